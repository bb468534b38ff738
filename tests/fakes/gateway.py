"""A gateway whose view of the sessions the test decides."""

from __future__ import annotations

from datetime import datetime

from controller.errors import GatewayUnavailable
from controller.gateway import Inside
from controller.model import Profile, SessionId, UserId


class FakeGateway:
    """Serves what is in ``served``, or everything while ``serves_all``."""

    def __init__(self) -> None:
        """Serve nothing at first. ``fault``: raised by ``ping`` while it is set.

        ``insides``: what sessions say of themselves, None for one that does not answer.
        ``saves``: sessions that have something to save. ``kicked`` and ``notices``: what they
        were asked.
        """
        self.served: set[SessionId] = set()
        self.serves_all = False
        self.fault: GatewayUnavailable | None = None
        self.insides: dict[SessionId, Inside | None] = {}
        self.kicked: list[tuple[SessionId, UserId]] = []
        self.saves: set[SessionId] = set()
        self.notices: list[tuple[SessionId, str, datetime | None]] = []

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """See Gateway."""
        del profile
        return self.serves_all or session_id in self.served

    async def inside(self, session_id: SessionId) -> Inside | None:
        """See Gateway."""
        return self.insides.get(session_id, Inside())

    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        """See Gateway."""
        if self.insides.get(session_id, Inside()) is None:
            return False
        self.kicked.append((session_id, uid))
        return True

    async def notice(self, session_id: SessionId, text: str, until: datetime | None) -> bool:
        """See Gateway."""
        if self.insides.get(session_id, Inside()) is None:
            return False
        self.notices.append((session_id, text, until))
        return True

    async def save(self, session_id: SessionId) -> bool:
        """See Gateway."""
        return session_id in self.saves

    async def ping(self) -> None:
        """See Gateway."""
        if self.fault is not None:
            raise self.fault
