"""A gateway whose view of the sessions the test decides."""

from __future__ import annotations

from controller.errors import GatewayUnavailable
from controller.model import Profile, SessionId


class FakeGateway:
    """Serves what is in ``served``, or everything while ``serves_all``."""

    def __init__(self) -> None:
        """Serve nothing at first. ``fault``: raised by ``ping`` while it is set."""
        self.served: set[SessionId] = set()
        self.serves_all = False
        self.fault: GatewayUnavailable | None = None

    async def is_served(self, session_id: SessionId, profile: Profile) -> bool:
        """See Gateway."""
        del profile
        return self.serves_all or session_id in self.served

    async def ping(self) -> None:
        """See Gateway."""
        if self.fault is not None:
            raise self.fault
