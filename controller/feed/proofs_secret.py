"""The proofs on a cluster: a Secret that all controllers share with their gates.

The first controller makes them, and all use them until shortly before they end: each gate must get
in at each controller, and a Pod that is started again finds the same as the others. Who finds them
damaged, or about to end, makes new ones, and the others find those.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog
from typing_extensions import override

from controller.cluster.client import Api
from controller.core.sentence import Sentence
from controller.feed.certificates import Proofs, fault_of, make_proofs
from controller.feed.proofs import ProofStorage
from controller.gate.link import LINK_FILE
from controller.store.kubernetes.shared_secret import Content, SharedSecret

CONTROLLER_KEY = "controller.pem"
"""The controllers' part, which gates do not mount; theirs has the name of their file."""

_log = structlog.get_logger("feed")


class ProofSecret(ProofStorage):
    """A Secret of the hub's own namespace, which may exist without content."""

    shared = True

    def __init__(self, api: Api, instance: str, name: str, wall: Callable[[], float]) -> None:
        """``api``: for nobody else; ``wall``: seconds since the epoch. No request is made yet."""
        self._api = api
        self._secret = SharedSecret(
            api,
            instance,
            name,
            unusable=Sentence(
                "The hub cannot use what proves gates to it. No gate can follow this controller, "
                "unless it has read that before. The administrator must check the Secret {name}.",
                name=name,
            ),
        )
        self._wall = wall

    @override
    async def proofs(self) -> Proofs:
        try:
            proofs, replaced = await self._secret.change(self._usable)
        finally:
            with anyio.CancelScope(shield=True):  # nothing more is asked for minutes
                await self._api.aclose()
        if replaced:
            _log.warning(
                "gate_proofs_replaced",
                object=self._secret.name,
                reason=replaced,
                advice="Nothing is to be done: controllers and gates use the new ones in minutes.",
            )
        return proofs

    def _usable(self, content: Content) -> tuple[Content, tuple[Proofs, str | None]]:
        """Return the content with proofs that can be used, those, and why others were replaced."""
        now = self._wall()
        found = Proofs(content.get(CONTROLLER_KEY, b""), content.get(LINK_FILE, b""))
        fault = None
        if found.controller and found.gate:
            fault = fault_of(found, now)
            if fault is None:
                return content, (found, None)
        elif found.controller or found.gate:
            fault = "one of the two is missing"
        made = make_proofs(now)
        filled = {**content, CONTROLLER_KEY: made.controller, LINK_FILE: made.gate}
        return filled, (made, fault)
