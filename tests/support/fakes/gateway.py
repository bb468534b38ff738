"""A gateway whose view of the sessions the test decides."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import anyio

from controller.core.errors import GatewayUnavailable
from controller.core.model import Profile, SessionId, UserId
from controller.sessions.gateway import Inside


class FakeGateway:
    """Serves what is in ``served``, or everything while ``serves_all``."""

    def __init__(self) -> None:
        """Serve nothing at first. ``fault``: raised by ``ping`` while it is set.

        ``insides``: what sessions say of themselves, None for one that does not answer.
        ``saves``: sessions that have something to save. ``kicked`` and ``notices``: what they
        were asked. ``stuck``: sessions that never come to an end of saving. ``hangs``: how many of
        the next kicks a session leaves without an answer. ``broken``: at which question to a
        session the gateway itself stumbles, as it should not.
        """
        self.served: set[SessionId] = set()
        self.serves_all = False
        self.fault: GatewayUnavailable | None = None
        self.insides: dict[SessionId, Inside | None] = {}
        self.kicked: list[tuple[SessionId, UserId]] = []
        self.saves: set[SessionId] = set()
        self.stuck: set[SessionId] = set()
        self.hangs: Counter[SessionId] = Counter()
        self.broken: dict[SessionId, str] = {}
        self.notices: list[tuple[SessionId, str, datetime | None]] = []

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """See Gateway."""
        del profile
        self._stumble(session_id, "is_served")
        return self.serves_all or session_id in self.served

    async def inside(self, session_id: SessionId) -> Inside | None:
        """See Gateway."""
        self._stumble(session_id, "inside")
        return self.insides.get(session_id, Inside())

    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        """See Gateway."""
        self._stumble(session_id, "kick")
        if self.hangs[session_id]:
            self.hangs[session_id] -= 1
            await anyio.sleep_forever()
        if self.insides.get(session_id, Inside()) is None:
            return False
        self.kicked.append((session_id, uid))
        return True

    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        """See Gateway."""
        self._stumble(session_id, "notice")
        if self.insides.get(session_id, Inside()) is None:
            return False
        self.notices.append((session_id, text, until))
        return True

    async def save(self, session_id: SessionId) -> bool:
        """See Gateway."""
        self._stumble(session_id, "save")
        if session_id in self.stuck:
            await anyio.sleep_forever()
        return session_id in self.saves

    def _stumble(self, session_id: SessionId, question: str) -> None:
        if self.broken.get(session_id) == question:
            raise RecursionError("an answer that nests")

    async def ping(self) -> None:
        """See Gateway."""
        if self.fault is not None:
            raise self.fault
