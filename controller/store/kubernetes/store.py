"""The complete store of several controllers."""

from __future__ import annotations

from typing_extensions import override

from controller.store import Store
from controller.store.kubernetes.desk import DeskRecords
from controller.store.kubernetes.gates import GateRecords
from controller.store.kubernetes.grants import GrantRecords
from controller.store.kubernetes.logins import LoginRecords
from controller.store.kubernetes.marks import MarkRecords
from controller.store.kubernetes.objects import mapped
from controller.store.kubernetes.rules import RuleRecords
from controller.store.kubernetes.sessions import SessionRecords


class KubernetesStore(
    LoginRecords,
    GrantRecords,
    DeskRecords,
    SessionRecords,
    RuleRecords,
    GateRecords,
    MarkRecords,
    Store,
):
    """Everything as records on the cluster."""

    @override
    async def ping(self) -> None:
        with mapped():
            await self.api.request("GET", self._path(), query={**self._selector(), "limit": "1"})
