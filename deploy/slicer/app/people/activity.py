"""Activity: the last input, the people who are connected, and running computations.

Bookkeeping only: the time comes in as an argument. Times of day are for people and for the hub;
spans are measured on the monotonic clock, so that a step of the clock changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from app.people.roles import Role, Visitor

if TYPE_CHECKING:
    from collections.abc import Iterable

# Drawing a frame takes tenths of a second in software; what takes longer is a computation.
BUSY_SECONDS = 1.0
# Time after its end for which a computation that blocked the program is still reported: a question
# that arrived meanwhile is answered only afterwards, and must learn of it.
BUSY_ECHO_SECONDS = 2.0


class Client(msgspec.Struct, frozen=True):
    """One open page. ``since`` is a time with a zone.

    ``id`` is the library's name for it, ``number`` that of the connection it came by.
    """

    id: str
    visitor: Visitor
    since: datetime
    number: int = 0


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The clients to disconnect: those that match every given field; ``all`` is everybody."""

    user: str | None = None
    role: Role | None = None
    all: bool = False

    @property
    def is_empty(self) -> bool:
        """True for ``{}``: it names nobody, and must not mean everybody."""
        return self.user is None and self.role is None and not self.all


class Activity:
    """The only record of activity; only the event loop's thread uses it."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._last_input_at: datetime | None = None
        self._inputs = 0
        self._running: dict[int, float] = {}
        self._next = 0
        self._stalled_until: float | None = None

    @property
    def clients(self) -> list[Client]:
        """Who is connected, the longest first."""
        return list(self._clients.values())

    @property
    def last_input_at(self) -> datetime | None:
        """The last input of somebody who may change things; None before the first."""
        return self._last_input_at

    @property
    def inputs(self) -> int:
        """The number of inputs, because two inputs may have the same time."""
        return self._inputs

    def joined(self, client: Client) -> None:
        """A page was opened."""
        self._clients[client.id] = client

    def left(self, client_id: str) -> None:
        """A page was closed; closing it twice is no error."""
        self._clients.pop(client_id, None)

    def get(self, client_id: str) -> Client | None:
        """The client of a connection, None once it has left or was disconnected."""
        return self._clients.get(client_id)

    def touched(self, when: datetime) -> None:
        """A person did something."""
        self._last_input_at = when
        self._inputs += 1

    def begun(self, clock: float) -> int:
        """A request began at ``clock`` (monotonic seconds); pass the number to `ended`."""
        self._next += 1
        self._running[self._next] = clock
        return self._next

    def ended(self, number: int) -> None:
        """The request has ended."""
        self._running.pop(number, None)

    def ticked(self, clock: float, late: float) -> None:
        """A timer came ``late`` seconds late: the program was busy for that time."""
        if late >= BUSY_SECONDS:
            self._stalled_until = clock

    def is_busy(self, clock: float) -> bool:
        """Whether a computation runs, or has just ended after blocking everything else."""
        if any(clock - since >= BUSY_SECONDS for since in self._running.values()):
            return True
        return self._stalled_until is not None and clock - self._stalled_until <= BUSY_ECHO_SECONDS


def viewing_sentence(clients: Iterable[Client]) -> str:
    """What somebody who only views is told: who has control."""
    users = sorted({client.visitor.user for client in clients if client.visitor.role.may_change})
    if not users:
        return "You are viewing."
    *most, last = users
    named = f"{', '.join(most)} and {last} have" if most else f"{last} has"
    return f"You are viewing; {named} control."


def select(clients: Iterable[Client], selection: Selection) -> list[Client]:
    """The clients that the selection names; none for an empty one."""
    if selection.is_empty:
        return []
    return [
        client
        for client in clients
        if selection.all
        or (
            (selection.user is None or client.visitor.user == selection.user)
            and (selection.role is None or client.visitor.role is selection.role)
        )
    ]
