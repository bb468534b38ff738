"""What is no session and must outlive the controller: log-ins, grants, the queue, memos, notices.

What lets people in is listed, never what keeps them out: a lost store means that everyone logs in
again and is invited again, not that a revoked log-in comes back. Sessions stay their owners', since
that stands in their labels.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Collection,
    Mapping,
    Sequence,
)
from typing import Protocol

from controller.core.model import Person, SessionId, UserId
from controller.core.records import (
    Drain,
    Link,
    Login,
    Memo,
    Message,
    Notice,
    Reading,
    Rules,
    Share,
    Ticket,
)

STARTS_KEPT = 20  # of each profile: enough for a median that follows an upgrade

NOTICES_KEPT = 5  # of each person

SHARES_MOST = 200  # to one session, without those by which administrators look on

LINKS_MOST = 50  # to one session, that are open; of those that are used up as many are remembered

CLOSED_MOST = 2000  # people whom the links to one session do not let in any more, counted by link


def kept_links(links: Sequence[Link], now: float) -> list[Link]:
    """Return which of a session's links, the oldest first, are still of use.

    One that is used up still leads those in who came by it, as long as it has not expired.
    """
    standing = [one for one in links if now < one.expires]
    used_up = [one for one in standing if not one.is_open(now)][-LINKS_MOST:]
    return [one for one in standing if one.is_open(now) or one in used_up]


class LoginStore(Protocol):
    """Log-ins that stand, and failed ones."""

    async def add_login(self, login: Login) -> int:
        """Keep a log-in; returns, when it is on disk, the revision in which it stands.

        Revisions grow with each change that any controller makes. 0: there is only one.
        """
        ...

    async def remove_login(self, sid: str) -> None:
        """Forget a log-in; a missing one is success."""
        ...

    async def logins(self, now: float) -> list[Login]:
        """Return all log-ins that are not over, and forget the others."""
        ...

    async def read_logins(self) -> Reading:
        """Return all log-ins, and how much of what other controllers did is in that."""
        ...

    async def set_person(self, person: Person) -> None:
        """Put what the directory says now of somebody into their log-ins."""
        ...

    async def set_seen(self, sid: str, at: float) -> None:
        """Remember that a log-in was used; one that is over stays over."""
        ...

    async def add_failure(self, who: str, now: float) -> None:
        """Count a failed log-in under each key that the caller chose."""
        ...

    async def failures(self, who: str, since: float) -> list[float]:
        """Return the times of the failures after ``since``, oldest first, and forget older ones."""
        ...

    async def clear_failures(self, who: str) -> None:
        """Forget the failures of a key: a log-in has succeeded."""
        ...

    async def all_failures(self, since: float) -> dict[str, list[float]]:
        """Return the times of the failures after ``since``, oldest first, by key."""
        ...


class GrantStore(Protocol):
    """What owners of sessions have granted: to people by name, and by links."""

    async def add_share(self, share: Share) -> bool:
        """Keep an invitation; one of the same person to the same session is replaced.

        False: the session has as many as it may.
        """
        ...

    async def remove_share(self, session: SessionId, uid: UserId, *, bar: bool) -> None:
        """Forget an invitation; a missing one is success.

        ``bar``: the session's present links do not let in any more either whoever was invited. If
        they come to shut out too many, they end.
        """
        ...

    async def lower_share(self, session: SessionId, uid: UserId) -> None:
        """Let somebody who is invited look on only; who is not invited stays so."""
        ...

    async def set_asks(self, session: SessionId, uid: UserId) -> None:
        """Note that somebody who is invited asks for control; who is not invited stays so."""
        ...

    async def remove_person(self, uid: UserId) -> None:
        """Forget all invitations of a person."""
        ...

    async def shares(self) -> list[Share]:
        """Return all invitations, those that are over included."""
        ...

    async def add_link(self, link: Link, digest: str) -> bool:
        """Keep a link under the hash of its code, and forget those that are over.

        False: the session has as many open ones as it may.
        """
        ...

    async def remove_link(self, session: SessionId, link: str) -> None:
        """Forget a link of this session; a missing one is success."""
        ...

    async def links(self, session: SessionId) -> list[Link]:
        """Return a session's links, the oldest first."""
        ...

    async def find_link(self, digest: str) -> Link | None:
        """Return the link of a code's hash."""
        ...

    async def use_link(self, digest: str, person: Person, now: float) -> Share | None:
        """Count one use of a link and keep the invitation that it gives: both or neither.

        None if it is over, or this person used it, or the session has as many invitations as it
        may. Two at once for the last use: one gets it.
        """
        ...

    async def remove_grants(self, keep: Collection[SessionId], before: float) -> None:
        """Forget the invitations and links of all sessions but these, if made before then."""
        ...


class DeskStore(Protocol):
    """What people are told, and what they have chosen."""

    async def add_notice(self, uid: UserId, text: str, more: str, now: float) -> None:
        """Leave a notice for a person."""
        ...

    async def notices(self, uid: UserId) -> list[Notice]:
        """Return a person's newest notices, newest first."""
        ...

    async def remove_notice(self, uid: UserId, number: int) -> None:
        """Put away a notice of this person; another's stays."""
        ...

    async def set_ahead(self, uid: UserId, profile: str, *, on: bool) -> None:
        """Remember whether a person wants this profile to be started when they log in."""
        ...

    async def ahead(self, uid: UserId) -> frozenset[str]:
        """Return the profiles that a person wants to be started when they log in."""
        ...


class SessionStore(Protocol):
    """What is remembered of sessions: their starts, their use, who waits for one."""

    async def add_start(self, profile: str, seconds: float, now: float) -> None:
        """Remember how long a start took."""
        ...

    async def starts(self, profile: str) -> list[float]:
        """Return how long the last starts of a profile took, in seconds."""
        ...

    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        """Keep exactly these memos."""
        ...

    async def memos(self) -> dict[SessionId, Memo]:
        """Return what was last kept, by whichever controller."""
        ...

    async def others_memos(self) -> dict[SessionId, Memo]:
        """Return what other controllers that run know of sessions, idle until now."""
        ...

    async def add_ticket(self, ticket: Ticket) -> None:
        """Keep a place in line."""
        ...

    async def remove_ticket(self, session: SessionId) -> None:
        """Forget a place in line; a missing one is success."""
        ...

    async def tickets(self) -> list[Ticket]:
        """Return the line, the oldest first."""
        ...


class RuleStore(Protocol):
    """What administrators have decided."""

    async def rules(self) -> Rules:
        """Return what administrators have decided."""
        ...

    async def set_drain(self, drain: Drain | None) -> None:
        """Remember that nothing starts any more; None: it does again."""
        ...

    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        """Remember how many sessions a person may have; None: as many as configured."""
        ...

    async def set_message(self, session: SessionId, message: Message | None) -> None:
        """Remember what stands in a session; None: nothing does any more."""
        ...


class Store(LoginStore, GrantStore, DeskStore, SessionStore, RuleStore, Protocol):
    """The contract. Every method raises StoreUnavailable if the store cannot be used."""

    async def ping(self) -> None:
        """Write nothing, but prove that it could be read."""
        ...

    def changes(self) -> AsyncGenerator[None, None]:
        """Yield whenever another controller may have changed what is kept; never ends.

        Raises nothing: it reconnects by itself, and yields when it has. Whoever follows closes it,
        too (``aclosing``): it has tasks of its own.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the file or the connection; a later call opens it again."""
        ...
