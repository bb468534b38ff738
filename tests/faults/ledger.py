"""What people were told, and so what must be so of their sessions, guests and links."""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto

from controller.core.model import Role, SessionId, UserId


class Fate(Enum):
    """What must be true of a session once all is right again."""

    ASKED = auto()  # there, or not: nobody was told
    THERE = auto()
    WAITS = auto()  # in line, or there
    ENDED = auto()  # there, as failed; or gone
    STOPPING = auto()  # gone; if the controller died since, maybe there
    GONE = auto()


class Ledger:
    """What people were told, and so what must be so."""

    def __init__(self) -> None:
        """Nothing was ever asked."""
        self.fates: dict[SessionId, Fate] = {}
        self.ended: set[SessionId] = set()  # by the engine
        self.killed_since: set[SessionId] = set()  # the controller died since it was to stop
        self.grants: dict[tuple[SessionId, UserId], set[Role | None]] = {}
        self.asked_in: Counter[tuple[SessionId, UserId]] = Counter()  # how often, by name or link
        self.codes: dict[str, tuple[SessionId, Role]] = {}
        self.tried: dict[str, set[UserId]] = {}  # who ever came by a code
        self.coming: list[tuple[SessionId, UserId, Role]] = []  # by a code, not let in yet
        self.asked_to_bar: set[tuple[str, UserId]] = set()  # codes that may not let in any more
        self.barred: set[tuple[str, UserId]] = set()  # codes that must not let in any more

    def may(self, session: SessionId, uid: UserId) -> set[Role | None]:
        """Return the roles that a guest may have."""
        return self.grants.get((session, uid), {None})
