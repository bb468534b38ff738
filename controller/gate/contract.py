"""What the gate needs from the hub. It is called at every request, so nothing here may wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import Actor, Login
from controller.rules.access import Access
from controller.rules.credentials import Credentials


class AskFirst(Exception):
    """The gate has to hear of the controller before it can answer. Its parts may raise this."""

    def __init__(self, ask: Callable[[], Awaitable[object]]) -> None:
        """``ask`` begins to ask; what it returns is awaited, and may raise HubError."""
        super().__init__()
        self.ask = ask


class Sessions(Protocol):
    """The sessions, in their last known state."""

    @property
    def ready(self) -> bool:
        """Whether the sessions have been read."""
        ...

    def access(self, session_id: SessionId, uid: UserId) -> Access | None:
        """Return a person's role in a session, and its phase; None: it does not exist."""
        ...

    def touch(self, session_id: SessionId) -> None:
        """Note that the session was used just now."""
        ...

    def is_inside(self, session_id: SessionId, sid: str) -> bool:
        """Tell whether somebody has entered with this log-in."""
        ...

    def enter(self, session_id: SessionId, sid: str, role: Role, by: Actor) -> None:
        """Record that somebody has opened the session with the log-in ``sid``."""
        ...


class Logins(Protocol):
    """The valid log-ins. All but ``is_service`` raise NotReadyYet until they have been read."""

    def is_service(self, given: Credentials, session_id: str) -> bool:
        """Tell whether the controller itself asks this session something."""
        ...

    def by_cookie(self, given: Credentials) -> Login | None:
        """Return the log-in that a browser's cookie proves, or None."""
        ...

    def by_bearer(self, given: Credentials) -> Login | None:
        """Return the log-in that a program's token proves, or None."""
        ...


class Handoff(Protocol):
    """How a log-in at the hub becomes one at a session's own host."""

    def login_of(self, given: Credentials, session_id: SessionId) -> Login | None:
        """Return the log-in by which a browser has entered this session, or None."""
        ...

    def begin(self, given: Credentials) -> tuple[str, str]:
        """Begin a hand-off. Return the state's hash, for the hub, and the state's Set-Cookie."""
        ...

    def redeem(self, code: str, given: Credentials, session_id: SessionId) -> tuple[str, ...]:
        """Return the Set-Cookies for a code; none: the code is not valid here."""
        ...


class Companions(Protocol):
    """The other services of the site."""

    @property
    def ready(self) -> bool:
        """Whether the companions have been read."""
        ...

    def admits(self, app: str, person: Person) -> bool:
        """Tell whether somebody may use the companion of that name; False if there is none."""
        ...


class Counts(Protocol):
    """Where answers are counted."""

    def verified(self, status: int, seconds: float) -> None:
        """Count an answer of verify, and how long it took to make it."""
        ...
