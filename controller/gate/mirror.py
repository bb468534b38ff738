"""What a gate knows of sessions and companions, and what it notes of their use.

It answers the questions of ``contract`` from what a controller has told (``facts``).
"""

from __future__ import annotations

from collections.abc import Callable

from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import Actor
from controller.gate.facts import Change, Entered, Extra, SessionFacts, Snapshot, Used
from controller.rules.access import Access
from controller.rules.companions import Companion

NOTES_MOST = 20_000
"""Of each kind between two reports. While no controller is there, what comes first is kept."""


class Mirror:
    """The sessions and the companions, as last heard."""

    def __init__(self, *, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch; ``clock``: monotonic seconds."""
        self._wall = wall
        self._clock = clock
        self._sessions: dict[SessionId, SessionFacts] = {}
        self._companions: dict[str, Companion] = {}
        self.traefik = b""
        self.ready = False
        self._used: dict[SessionId, float] = {}  # when last; monotonic
        self._entered: dict[tuple[SessionId, str], Entered] = {}

    # -- what is heard ---------------------------------------------------------------------

    def replace(self, snapshot: Snapshot) -> None:
        """Know this, and nothing else."""
        self._sessions = {one.id: one for one in snapshot.sessions}
        self._take(snapshot.extra)
        self.ready = True

    def apply(self, change: Change) -> None:
        """Know this, too."""
        for one in change.sessions:
            self._sessions[one.id] = one
        for session_id in change.gone:
            self._sessions.pop(session_id, None)
        if change.extra is not None:
            self._take(change.extra)

    def _take(self, extra: Extra) -> None:
        self._companions = {one.app: one for one in extra.companions}
        self.traefik = extra.traefik

    @property
    def sessions(self) -> tuple[SessionFacts, ...]:
        """Return all sessions, as last heard."""
        return tuple(self._sessions.values())

    @property
    def companions(self) -> tuple[Companion, ...]:
        """Return all companions, as last heard."""
        return tuple(self._companions.values())

    # -- what verdicts ask -----------------------------------------------------------------

    def access(self, session_id: SessionId, uid: UserId) -> Access | None:
        """Return a person's role in a session, and its phase; None: it does not exist."""
        known = self._sessions.get(session_id)
        if known is None:
            return None
        return Access(self._role(known, uid), known.phase)

    def _role(self, known: SessionFacts, uid: UserId) -> Role | None:
        if known.owner == uid:
            return Role.OWNER
        guest = known.guests.get(uid)
        if guest is None or (guest.expires is not None and self._wall() >= guest.expires):
            return None
        return guest.role

    def admits(self, app: str, person: Person) -> bool:
        """Tell whether somebody may use the companion of that name; False if there is none."""
        found = self._companions.get(app)
        return found is not None and found.is_open_to(person)

    # -- what is used ----------------------------------------------------------------------

    def touch(self, session_id: SessionId) -> None:
        """Note that the session was used just now."""
        if session_id in self._used or len(self._used) < NOTES_MOST:
            self._used[session_id] = self._clock()

    def is_inside(self, session_id: SessionId, sid: str) -> bool:
        """Tell whether it was noted since the last report; the controller knows about earlier."""
        return (session_id, sid) in self._entered

    def enter(self, session_id: SessionId, sid: str, role: Role, by: Actor) -> None:
        """Note that somebody has opened the session with the log-in ``sid``."""
        if len(self._entered) < NOTES_MOST:
            self._entered[session_id, sid] = Entered(
                session_id, sid, UserId(by.who), role, by.address
            )

    def report(self, logins: dict[str, float]) -> Used | None:
        """Return what was used since the last report, and forget it; None: nothing.

        ``logins``: how many seconds ago log-ins were used.
        """
        if not (self._used or self._entered or logins):
            return None
        now = self._clock()
        told = Used(
            sessions={one: now - at for one, at in self._used.items()},
            logins=logins,
            entered=tuple(self._entered.values()),
        )
        self._used, self._entered = {}, {}
        return told
