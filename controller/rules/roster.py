"""The roster of gates: which of them may still let pass what was taken back. Pure.

What is not known counts against a gate: it may exist, and it has confirmed nothing. A gate that
said goodbye is no longer on the roster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from controller.core.records import Gate

ALONE_SECONDS = 12 * 3600.0
"""How long a gate answers from memory after it last heard its controller."""

DEAD_AFTER = ALONE_SECONDS + 60.0
"""Seconds of silence after which a gate lets nothing pass; clocks may run at different speeds."""

Start = tuple[str, str]
"""One start of a gate: its name and its boot."""


class Heard(msgspec.Struct, frozen=True):
    """What this controller knows of one start of a gate."""

    at: float  # seconds of this controller's monotonic clock: last heard, or its record first read
    confirmed: int = 0  # number of the last change that it confirmed; 0: none. Changes count from 1
    connected: bool = False
    shut: bool = False  # it was silent for so long that it denies until it hears anew


def with_roster(
    roster: Sequence[Gate], heard: Mapping[Start, Heard], now: float
) -> dict[Start, Heard]:
    """Return what is known of the gates when the roster has been read.

    The silence of a gate that only an earlier controller heard counts from now on: nobody knows any
    more for how long that gate was silent before. Starts that are neither connected nor on the
    roster are forgotten.
    """
    starts = {_start(gate) for gate in roster}
    kept = {start: one for start, one in heard.items() if one.connected or start in starts}
    return {start: Heard(at=now) for start in starts} | kept


def unconfirmed(
    roster: Sequence[Gate],
    heard: Mapping[Start, Heard],
    number: int,
    now: float,
    dead_after: float = DEAD_AFTER,
) -> tuple[Gate, ...]:
    """Return the gates that may still let pass what was taken back in a change.

    ``number``: that of the change; ``now``: by the clock of ``Heard.at``; ``dead_after``: seconds.
    Such a gate has not confirmed the change and is not known to be dead.
    """
    return tuple(
        gate
        for gate in roster
        if not _has_confirmed(gate, heard, number) and not _is_dead(gate, heard, now, dead_after)
    )


def _has_confirmed(gate: Gate, heard: Mapping[Start, Heard], number: int) -> bool:
    known = heard.get(_start(gate))
    return known is not None and (known.shut or known.confirmed >= number)


def _is_dead(gate: Gate, heard: Mapping[Start, Heard], now: float, dead_after: float) -> bool:
    known = heard.get(_start(gate))
    # A connection that is open shows that it lives, however long it has said nothing.
    if known is None or known.connected:
        return False
    restarted = any(
        name == gate.name and boot != gate.boot and other.at > known.at
        for (name, boot), other in heard.items()
    )
    return restarted or now - known.at >= dead_after


def _start(gate: Gate) -> Start:
    return gate.name, gate.boot
