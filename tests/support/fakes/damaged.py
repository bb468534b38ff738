"""An engine with half-made sessions in it, and a hub over it."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace
from typing_extensions import override

from controller.core.errors import EngineUnavailable
from controller.core.model import Observed, Session, SessionId, Usage
from controller.engines.memory import MemoryOrchestrator
from tests.support.hub import ORIGIN, World
from tests.support.samples import session, settings


class Damaged(MemoryOrchestrator):
    """An engine with half-made sessions in it, that counts what is asked of it."""

    def __init__(self, *left: Observed) -> None:
        """Begin with ``left``."""
        super().__init__(settings())
        for one in left:
            self._put(one)
        self.ensured: list[SessionId] = []
        self.fault: EngineUnavailable | None = None
        self.busy: set[SessionId] = set()

    @override
    async def ensure(self, session: Session) -> None:
        self.ensured.append(session.id)
        if self.fault is not None:
            raise self.fault
        await super().ensure(session)
        seen = self._sessions[session.id]
        self._put(replace(seen, complete=True))

    @override
    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        if self.fault is not None:
            raise self.fault
        await super().remove(session_id, grace=grace)

    @override
    async def usage(self, session_id: SessionId) -> Usage | None:
        await super().usage(session_id)
        return Usage(100.0 if session_id in self.busy else 1.0, 0)


def hub_over(engine: Damaged) -> World:
    """Return a hub over this engine, an hour after the sessions of the samples were made."""
    made = World(settings(public_url=ORIGIN), orchestrator=engine)
    made.clock.epoch = session().created_at.timestamp() + 3600
    made.gateway.serves_all = True
    return made
