"""Input that waits to be applied: the newest place of a pointer, all notches of a wheel.

What comes while a picture is drawn is applied together before the next one, so a picture never
shows less than what had arrived, and no input waits for the pictures of those before it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import StreamError
from app.stream.wire import MOVE, WHEEL, Event

if TYPE_CHECKING:
    from app.stream.wire import Input

# Presses, keys and gestures cannot be merged. A person makes some ten in a second.
MOST_WAITING = 256
# A wheel turns by whole notches; a touch pad reports small parts of one.
_PART_OF_A_NOTCH = 0.5
_ROUNDING = 1e-9  # ten tenths of a notch are one
_MOST_NOTCHES = 1000
# What may differ between two moves of which only the second one counts.
_PLACE = frozenset({"x", "y"})
_GESTURES = frozenset({"Pinch", "Pan", "Rotate"})
_GESTURED = _PLACE | {"factor", "rotation", "translation", "positions"}


class Waiting(msgspec.Struct, frozen=True):
    """An event for a view, to be applied ``times`` times (0: it was undone by a later one).

    ``number``: the page's own of the last input in it, ``since``: when that arrived (clock).
    """

    page: int
    view: str
    event: Event
    times: int
    number: int
    since: float


class Inputs:
    """The queue of all pages. Only the event loop's thread uses it."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._last: dict[int, int] = {}  # by page: where its last one stands
        self._counts: dict[int, int] = {}
        self._turned: dict[tuple[int, str], float] = {}  # parts of a notch, by page and view

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def put(self, page: int, entry: Input, clock: float) -> None:
        """Adds an input, or merges it with the last one of its page.

        Raises StreamError if the page has more waiting than a person can cause.
        """
        times = 1
        event = entry.event
        if event.type == WHEEL:
            times = self._notches(page, entry)
            event = msgspec.structs.replace(event, spin_y=1.0 if times > 0 else -1.0)
        times = min(_MOST_NOTCHES, abs(times))
        new = Waiting(page, entry.view, event, times, entry.number, clock)
        at = self._last.get(page)
        if at is not None and (merged := merge(self._waiting[at], new)) is not None:
            self._waiting[at] = merged
            return
        if self._counts.get(page, 0) >= MOST_WAITING:
            raise StreamError("The page sends more input than a person can cause.")
        self._counts[page] = self._counts.get(page, 0) + 1
        self._last[page] = len(self._waiting)
        self._waiting.append(new)

    def take(self) -> list[Waiting]:
        """All that waits, in the order in which it came."""
        taken, self._waiting = self._waiting, []
        self._last.clear()
        self._counts.clear()
        return taken

    def forget(self, page: int) -> None:
        """The page has gone; what it has sent is still applied."""
        for key in [key for key in self._turned if key[0] == page]:
            del self._turned[key]

    def _notches(self, page: int, entry: Input) -> int:
        spin = entry.event.spin_y or 0.0
        if abs(spin) >= _PART_OF_A_NOTCH:
            self._turned.pop((page, entry.view), None)
            return round(spin) or (1 if spin > 0 else -1)
        turned = self._turned.get((page, entry.view), 0.0)
        turned = turned + spin if turned * spin >= 0 else spin  # it turns the other way now
        notches = int(turned + math.copysign(_ROUNDING, turned))
        self._turned[page, entry.view] = turned - notches
        return notches


def merge(old: Waiting, new: Waiting) -> Waiting | None:
    """One input with the effect of both, or None if both are needed."""
    if (old.view, old.event.type) != (new.view, new.event.type):
        return None
    kind = new.event.type
    if kind == WHEEL:
        if not _differ_only_by(old.event, new.event, _PLACE | {"spin_y"}):
            return None
        turned = old.times * old.event.spin_y + new.times * new.event.spin_y
        event = msgspec.structs.replace(new.event, spin_y=1.0 if turned > 0 else -1.0)
        return msgspec.structs.replace(new, event=event, times=min(_MOST_NOTCHES, abs(int(turned))))
    may_differ = _PLACE if kind == MOVE else _GESTURED if kind in _GESTURES else frozenset[str]()
    if may_differ and _differ_only_by(old.event, new.event, may_differ):
        return new
    return None


def _differ_only_by(one: Event, other: Event, names: frozenset[str]) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in Event.__struct_fields__
        if name not in names
    )
