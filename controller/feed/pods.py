"""Whether a gate on a cluster is no more: its Pod is gone.

Kubernetes forgets a Pod once its machine has said that it ended, or an administrator has said so of
a machine that is lost (a node that is deleted, or out of service).
"""

from __future__ import annotations

import anyio
from typing_extensions import override

from controller.cluster.client import Api, MissingError
from controller.feed.gates import Presence


class GatePods(Presence):
    """The Pods of gates, in the hub's own namespace. A gate has the name of its Pod."""

    def __init__(self, api: Api) -> None:
        """``api``: for nobody else. No request is made yet."""
        self._api = api

    @override
    async def is_gone(self, name: str) -> bool:
        pod = name.rpartition("-")[0]  # without the number of the process
        path = f"/api/v1/namespaces/{self._api.own_namespace()}/pods/{pod}"
        try:
            await self._api.request("GET", path)
        except MissingError:
            return True
        finally:
            with anyio.CancelScope(shield=True):  # for long nothing more is asked
                await self._api.aclose()
        return False
