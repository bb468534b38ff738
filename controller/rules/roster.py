"""The roster of gates: which of them may still let pass what was taken back. Pure.

What is not known counts against a gate: it may exist, and it has confirmed nothing. A gate that
said goodbye is no longer on the roster; nor is one that was given up, after it had asked nothing
for so long that it denies: it is told nothing before it is on the roster again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from controller.core.records import Gate

ALONE_SECONDS = 12 * 3600.0
"""How long a gate answers from memory after it last heard its controller."""

DEAD_AFTER = ALONE_SECONDS + 60.0
"""Seconds of silence after which a gate lets nothing pass; clocks may run at different speeds."""

RENEW_SECONDS = 3600.0
"""Where several controllers share the roster: after which each puts the gates that follow it there
once more. A gate that follows another one, and is not put there again, follows nobody."""

Start = tuple[str, str]
"""One start of a gate: its name and its boot."""


class Heard(msgspec.Struct, frozen=True):
    """What this controller knows of one start of a gate."""

    at: float  # seconds of this controller's monotonic clock: last heard, or its record first read
    confirmed: int = 0  # number of the last change that it confirmed; 0: none. Changes count from 1
    connected: bool = False
    here: bool = False  # this is the controller that it has followed last


def with_roster(
    roster: Sequence[Gate], heard: Mapping[Start, Heard], now: float, *, before: Sequence[Gate] = ()
) -> dict[Start, Heard]:
    """Return what is known of the gates when the roster has been read.

    ``before``: as it was read the last time. The silence of a gate that only another controller has
    heard counts from when it was seen to be put there: nobody knows for how long it was silent
    before. Starts that are neither connected nor on the roster are forgotten.
    """
    starts = {start_of(gate) for gate in roster}
    anew = {start_of(gate) for gate in roster if gate not in before}
    return {start: Heard(at=now) for start in starts if start not in heard} | {
        start: replace(one, at=now, here=False) if start in anew and not one.connected else one
        for start, one in heard.items()
        if one.connected or start in starts
    }


def unconfirmed(
    roster: Sequence[Gate],
    heard: Mapping[Start, Heard],
    number: int,
    now: float,
    *,
    elsewhere: Collection[Start] = (),
    dead_after: float = DEAD_AFTER,
) -> tuple[Gate, ...]:
    """Return the gates that may still let pass what was taken back in a change.

    ``number``: that of the change; ``now``: by the clock of ``Heard.at``; ``elsewhere``: those that
    have confirmed it to other controllers; ``dead_after``: seconds. Such a gate has not confirmed
    the change and is not known to be dead.
    """
    return tuple(
        gate
        for gate in roster
        if start_of(gate) not in elsewhere
        and not _has_confirmed(gate, heard, number)
        and not _is_dead(gate, heard, now, dead_after)
    )


def _has_confirmed(gate: Gate, heard: Mapping[Start, Heard], number: int) -> bool:
    known = heard.get(start_of(gate))
    return known is not None and known.confirmed >= number


def _is_dead(gate: Gate, heard: Mapping[Start, Heard], now: float, dead_after: float) -> bool:
    known = heard.get(start_of(gate))
    # A connection that is open shows that it lives, however long it has said nothing.
    if known is None or known.connected:
        return False
    # A start that has confirmed nothing may know from its disk what the one before it was told.
    restarted = any(
        name == gate.name and boot != gate.boot and other.at > known.at and other.confirmed
        for (name, boot), other in heard.items()
    )
    return restarted or now - known.at >= dead_after


def start_of(gate: Gate) -> Start:
    """Return which start of which gate it is."""
    return gate.name, gate.boot
