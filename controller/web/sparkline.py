"""Plots of the last day as lines in a small picture. Pure: numbers in, coordinates out.

Templates put the result into an SVG; the stylesheet sets colours and widths.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

WIDTH = 240.0

HEIGHT = 56.0
"""Size of a picture in its own units; the page scales it."""

POINTS = 144
"""Most points of a line: more cannot be distinguished in such a picture."""

_GAP = 3  # steps without a value after which a line is broken instead of drawn on


class Value(msgspec.Struct, frozen=True):
    """A value measured at a time (seconds since the epoch)."""

    at: float
    value: float


class Plot(msgspec.Struct, frozen=True):
    """A line within ``WIDTH`` x ``HEIGHT``. ``top``: the value at the upper edge; 0 is below."""

    line: str  # path data; "" if nothing was measured
    area: str  # the same, closed along the bottom
    top: float
    now: Value | None = None  # the last one
    most: Value | None = None


def plot(values: Sequence[Value], *, now: float, span: float, whole: bool = False) -> Plot:
    """Draw the samples of the ``span`` seconds before ``now``, oldest first.

    ``whole``: the values are counts, so the scale ends at a whole number.
    """
    begin = now - span
    seen = [one for one in values if begin <= one.at <= now]
    if not seen:
        return Plot("", "", 1.0)
    most = max(seen, key=lambda one: one.value)
    top = nice_top(most.value, whole=whole)
    step = span / POINTS
    runs = _runs(thinned(seen, begin=begin, step=step), _GAP * step)
    placed = [
        [(WIDTH * (one.at - begin) / span, HEIGHT * (1 - one.value / top)) for one in run]
        for run in runs
    ]
    return Plot(
        line="".join(_line(run) for run in placed),
        area="".join(
            f"{_line(run)}L{_number(run[-1][0])} {_number(HEIGHT)}"
            f"L{_number(run[0][0])} {_number(HEIGHT)}Z"
            for run in placed
        ),
        top=top,
        now=seen[-1],
        most=most,
    )


def nice_top(most: float, *, whole: bool = False) -> float:
    """Return the next of 1, 2, 5, 10, 20, ... that is not below ``most``; 1 for nothing at all."""
    if most <= 0:
        return 1.0
    scale = 10.0 ** math.floor(math.log10(most))
    top = next(scale * one for one in (1, 2, 5, 10) if most <= scale * one)
    return max(top, 1.0) if whole else top


def thinned(values: Iterable[Value], *, begin: float, step: float) -> list[Value]:
    """Return the greatest value of each step, so that no peak is lost."""
    greatest: dict[int, Value] = {}
    for one in values:
        number = int((one.at - begin) // step)
        if number not in greatest or one.value > greatest[number].value:
            greatest[number] = one
    return list(greatest.values())


def hourly(values: Iterable[Value], *, now: float, hours: int) -> list[tuple[float, float | None]]:
    """Return the greatest value of each of the last hours, the newest first, for a table.

    Each with the moment at which it begins; None: nothing was measured.
    """
    greatest: dict[int, float] = {}
    for one in values:
        number = int((now - one.at) // 3600)
        greatest[number] = max(greatest.get(number, one.value), one.value)
    return [(now - 3600 * (number + 1), greatest.get(number)) for number in range(hours)]


def _runs(values: Sequence[Value], gap: float) -> list[list[Value]]:
    runs: list[list[Value]] = []
    for one in values:
        if runs and one.at - runs[-1][-1].at <= gap:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _line(points: Sequence[tuple[float, float]]) -> str:
    # A single point has no length: a short stroke shows it.
    ends = [*points, (points[0][0] + 1, points[0][1])] if len(points) == 1 else points
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in ends)


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
