"""The store: what must outlive the controller: log-ins, grants, the queue, notices, the gates.

It lists what lets people in, never what keeps them out: after the loss of a store everybody logs in
again and is invited again, but a revoked log-in never comes back. Sessions keep their owners, which
are in their labels.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Collection,
    Mapping,
    Sequence,
)
from typing import Protocol, runtime_checkable

from controller.core.errors import StoreUnavailable
from controller.core.model import Person, SessionId, UserId
from controller.core.records import (
    Drain,
    Gate,
    Link,
    Login,
    Mark,
    Memo,
    Message,
    Notice,
    Reading,
    Rules,
    Share,
    Ticket,
)

STARTS_KEPT = 20  # per profile: enough for a median that follows an upgrade

NOTICES_KEPT = 5  # of each person

SHARES_MOST = 200  # to one session, without those of viewing administrators

LINKS_MOST = 50  # open ones to one session; as many used-up ones are remembered

CLOSED_MOST = 2000  # people whom the links of one session no longer let in, counted by link

GATES_MOST = 64  # on the roster


def kept_links(links: Sequence[Link], now: float) -> list[Link]:
    """Return the links of a session that are still needed, the oldest first.

    A used-up link still works for the people who used it, until it expires.
    """
    standing = [one for one in links if now < one.expires]
    used_up = [one for one in standing if not one.is_open(now)][-LINKS_MOST:]
    return [one for one in standing if one.is_open(now) or one in used_up]


def full_roster() -> StoreUnavailable:
    """Return the refusal of one more gate than there may be."""
    return StoreUnavailable(
        "The roster has {most} gates already and can have no more. Stop gates that are not needed.",
        most=GATES_MOST,
    )


class LoginStore(Protocol):
    """Valid log-ins, and failed attempts."""

    async def add_login(self, login: Login) -> int:
        """Store a log-in; returns the store's revision when it is on disk.

        Revisions grow with each change that any controller makes. 0: there is only one.
        """
        ...

    async def remove_login(self, sid: str) -> None:
        """Forget a log-in; a missing one is success."""
        ...

    async def logins(self, now: float) -> list[Login]:
        """Return all valid log-ins, and forget the others."""
        ...

    async def read_logins(self) -> Reading:
        """Return all log-ins, and the revision up to which other controllers' changes are in."""
        ...

    async def set_person(self, person: Person) -> None:
        """Update the person in their log-ins, from the directory."""
        ...

    async def set_seen(self, sid: str, at: float) -> None:
        """Remember that a log-in was used; an ended one stays ended."""
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
    """Grants of owners: shares to people by name, and links."""

    async def add_share(self, share: Share) -> bool:
        """Store an invitation; it replaces one of the same person to the same session.

        False: the session has as many as it may.
        """
        ...

    async def remove_share(self, session: SessionId, uid: UserId, *, bar: bool) -> None:
        """Forget an invitation; a missing one is success.

        ``bar``: the session's present links no longer let this person in, either. A link that shuts
        out too many people ends.
        """
        ...

    async def lower_share(self, session: SessionId, uid: UserId) -> None:
        """Let an invited person only view; nothing changes for others."""
        ...

    async def set_asks(self, session: SessionId, uid: UserId) -> None:
        """Note that an invited person asks for control; nothing changes for others."""
        ...

    async def remove_person(self, uid: UserId) -> None:
        """Forget all invitations of a person."""
        ...

    async def shares(self) -> list[Share]:
        """Return all invitations, also ended ones."""
        ...

    async def add_link(self, link: Link, digest: str) -> bool:
        """Store a link under the hash of its code, and forget ended ones.

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

        None if the link has ended, or this person has used it, or the session has as many
        invitations as it may. If two people want the last use at once, one gets it.
        """
        ...

    async def remove_grants(self, keep: Collection[SessionId], before: float) -> None:
        """Forget invitations and links of all other sessions, if made before a time."""
        ...


class DeskStore(Protocol):
    """Notices to people, and their choices."""

    async def add_notice(self, uid: UserId, text: str, more: str, now: float) -> None:
        """Leave a notice for a person."""
        ...

    async def notices(self, uid: UserId) -> list[Notice]:
        """Return a person's newest notices, newest first."""
        ...

    async def remove_notice(self, uid: UserId, number: int) -> None:
        """Dismiss a notice of this person; those of others stay."""
        ...

    async def set_ahead(self, uid: UserId, profile: str, *, on: bool) -> None:
        """Remember whether a person wants this profile to be started when they log in."""
        ...

    async def ahead(self, uid: UserId) -> frozenset[str]:
        """Return the profiles that a person wants to be started when they log in."""
        ...


class SessionStore(Protocol):
    """Facts about sessions: times of starts, memos, the queue."""

    async def add_start(self, profile: str, seconds: float, now: float) -> None:
        """Remember how long a start took."""
        ...

    async def starts(self, profile: str) -> list[float]:
        """Return how long the last starts of a profile took, in seconds."""
        ...

    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        """Store exactly these memos."""
        ...

    async def memos(self) -> dict[SessionId, Memo]:
        """Return the last memos of any controller."""
        ...

    async def others_memos(self) -> dict[SessionId, Memo]:
        """Return the memos of other running controllers, with idle times up to now."""
        ...

    async def add_ticket(self, ticket: Ticket) -> None:
        """Store a ticket."""
        ...

    async def remove_ticket(self, session: SessionId) -> None:
        """Forget a ticket; a missing one is success."""
        ...

    async def tickets(self) -> list[Ticket]:
        """Return all tickets, the oldest first."""
        ...


class RuleStore(Protocol):
    """Decisions of administrators."""

    async def rules(self) -> Rules:
        """Return the decisions of administrators."""
        ...

    async def set_drain(self, drain: Drain | None) -> None:
        """Store a drain; None: sessions start again."""
        ...

    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        """Store a person's number of sessions; None: as configured."""
        ...

    async def set_message(self, session: SessionId, message: Message | None) -> None:
        """Store the message of a session; None: it has none."""
        ...


class GateStore(Protocol):
    """The roster of gates: a controller that has just started must know which there may be."""

    async def gates(self) -> tuple[Gate, ...]:
        """Return all gates that may exist, sorted by name; of a name only the last one put."""
        ...

    async def put_gate(self, gate: Gate) -> None:
        """Store a gate; it replaces the one of that name.

        Afterwards everything that any controller wrote before is known here. Also raises
        StoreUnavailable if the roster is full: a gate that is not on it must not let anything pass,
        because no one would wait for it.
        """
        ...

    async def remove_gate(self, gate: Gate) -> None:
        """Forget a gate; a missing one is success.

        One of that name that was put there since stays: another start, or the same one that has
        come to another controller.
        """
        ...


@runtime_checkable
class MarkStore(Protocol):
    """The marks of several controllers, by which they ask each other about their gates.

    A store that only one controller uses has none.
    """

    @property
    def identity(self) -> str:
        """This controller's name among the others."""
        ...

    async def marks(self) -> list[Mark]:
        """Return the marks of all other controllers."""
        ...

    async def put_mark(self, mark: Mark) -> None:
        """Replace this controller's mark, and forget those of controllers that are long gone."""
        ...


class Store(LoginStore, GrantStore, DeskStore, SessionStore, RuleStore, GateStore, Protocol):
    """The contract. Every method raises StoreUnavailable if the store cannot be used."""

    async def ping(self) -> None:
        """Prove that the store can be read, without writing."""
        ...

    def changes(self) -> AsyncGenerator[None, None]:
        """Yield whenever another controller may have changed the store; never ends.

        Raises nothing: it reconnects by itself, and yields afterwards. The caller must close it
        (``aclosing``), because it has tasks of its own.
        """
        ...

    async def aclose(self) -> None:
        """Close the file or the connection; a later call opens it again."""
        ...
