"""The kinds of records, and their contents."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from controller.core.model import SessionId, UserId
from controller.core.records import (
    Gate,
    Link,
    Login,
    Mark,
    Memo,
    Notice,
    Rules,
    Share,
    Ticket,
)
from controller.store import SHARES_MOST

_T = TypeVar("_T", bound=msgspec.Struct)


class HeldLink(msgspec.Struct, frozen=True):
    """A link, and the people whom it no longer lets in."""

    link: Link
    digest: str
    closed_to: frozenset[UserId] = frozenset()  # who used it, or was shut out


class Grants(msgspec.Struct, frozen=True):
    """The grants of one session."""

    shares: dict[UserId, Share] = {}
    links: dict[str, HeldLink] = {}

    def has_room_for(self, share: Share) -> bool:
        """Tell whether there may be one more share; those of administrators always may."""
        others = sum(not one.look for one in self.shares.values() if one.uid != share.uid)
        return share.look or others < SHARES_MOST


class Failures(msgspec.Struct, frozen=True):
    """A part of the failed log-ins, oldest first, by key."""

    times: dict[str, list[float]] = {}


class Desk(msgspec.Struct, frozen=True):
    """The notices and choices of one person."""

    notices: list[Notice] = []  # the newest first
    ahead: frozenset[str] = frozenset()


class Starts(msgspec.Struct, frozen=True):
    """Start times and durations in seconds, by profile."""

    starts: dict[str, list[tuple[float, float]]] = {}


class Memos(msgspec.Struct, frozen=True):
    """The memos of one controller. ``at``: seconds since the epoch."""

    by: str
    at: float
    memos: dict[SessionId, Memo] = {}


class Roster(msgspec.Struct, frozen=True):
    """The gates that may exist, by name."""

    gates: dict[str, Gate] = {}


class Kind(msgspec.Struct, Generic[_T], frozen=True):
    """A kind of records. ``told``: whether its changes are reported to followers."""

    name: str
    type: type[_T]
    told: bool


LOGIN = Kind("login", Login, told=True)

GRANTS = Kind("grants", Grants, told=True)

TICKET = Kind("ticket", Ticket, told=True)

DESK = Kind("person", Desk, told=True)

FAILURES = Kind("failures", Failures, told=False)

STARTS = Kind("starts", Starts, told=False)

MEMOS = Kind("memos", Memos, told=False)

RULES = Kind("rules", Rules, told=True)

GATES = Kind("gates", Roster, told=False)

MARK = Kind("mark", Mark, told=True)

TOLD = frozenset(kind.name for kind in (LOGIN, GRANTS, TICKET, DESK, RULES, MARK))
