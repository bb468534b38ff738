"""From what a page noted to figures: which step each picture shows, and how late it came.

Each picture is a small grey fingerprint. A reference is the fingerprint of a known step at rest.
A picture while the hand moves is coarser, and may lie between two references; so it is placed on
the way from one to the next, where it is nearest. Pictures come in the order of the steps and
never before the input that they show: of all ways to place them, the nearest in total is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

FAR = 0.5
"""A picture further from the way shows none, in parts of how far references are from each other."""


class Picture(NamedTuple):
    """One that was on the screen from ``at`` on, in seconds of the page's clock."""

    at: float
    greys: bytes


class Reference(NamedTuple):
    """What the view shows after so many steps."""

    step: int
    greys: bytes


class Noted(NamedTuple):
    """An input as the page's own listeners saw it. ``at``: seconds of the page's clock."""

    kind: str
    at: float
    x: float
    y: float
    delta: float


class Seen(NamedTuple):
    """A picture and the step that it shows; None: no step is like it."""

    at: float
    step: float | None


class Feel(NamedTuple):
    """How a view followed one stroke.

    ``rate``: distinct pictures a second while the hand moved. ``p50``, ``p95``: seconds from the
    input of a step to the first picture of it or a later one. ``last``: seconds from the last input
    to the last change. ``unmatched``: share of the pictures that show no step. ``received``: bytes.
    ``cores``: seconds of processor time of the session, if known.
    """

    rate: float
    p50: float
    p95: float
    last: float
    unmatched: float
    received: float
    cores: float | None = None


def step_times(inputs: Sequence[Noted], places: Sequence[tuple[float, float]]) -> list[float]:
    """Return the time of each step, from 1 on: of the first input that reached it or a later one.

    ``places``: where the pointer is at each step of a drag; a wheel, which stays where it is, has
    one step for each notch. Raises ValueError if the page did not get all of them.
    """
    steps: list[tuple[int, float]] = []
    notches = 0.0
    known = {place: step for step, place in enumerate(places, 1)}
    for one in inputs:
        if one.kind == "wheel":
            notches += abs(one.delta) / 120
            steps.append((round(notches), one.at))
        elif one.kind == "pointermove" and (one.x, one.y) in known and len(known) > 1:
            steps.append((known[one.x, one.y], one.at))
    if not steps or steps[-1][0] != len(places):
        reached = steps[-1][0] if steps else 0
        raise ValueError(f"The page got {reached} of {len(places)} inputs.")
    times: list[float] = []
    for step, at in steps:
        times += [at] * (step - len(times))
    return times


def place(
    pictures: Sequence[Picture], references: Sequence[Reference], times: Sequence[float]
) -> list[Seen]:
    """Find the step that each picture shows.

    ``references``: in the order of their steps, from 0 on. ``times``: see `step_times`.
    """
    spans = [math.dist(one.greys, other.greys) for one, other in pairwise(references)]
    apart = median(
        math.dist(one.greys, other.greys)
        for at, one in enumerate(references)
        for other in references[at + max(1, len(references) // 4) :]
    )
    ways = [_ways(one, references, spans, times) for one in pictures]
    chosen = _in_order([[far for far, _ in way] for way in ways], (FAR * apart) ** 2)
    seen: list[Seen] = []
    newest = 0.0
    for picture, way, segment in zip(pictures, ways, chosen, strict=True):
        if segment is not None:
            newest = max(newest, way[segment][1])
        seen.append(Seen(picture.at, None if segment is None else newest))
    return seen


def backwards(references: Sequence[Reference]) -> list[Reference]:
    """Return the references of the way back."""
    end = references[-1].step
    return [Reference(end - one.step, one.greys) for one in reversed(references)]


def _ways(
    picture: Picture,
    references: Sequence[Reference],
    spans: Sequence[float],
    times: Sequence[float],
) -> list[tuple[float, float]]:
    """Return how far (squared) a picture is from each way between references, and at which step."""
    done = sum(at <= picture.at for at in times)
    to = [math.dist(picture.greys, one.greys) ** 2 for one in references]
    found: list[tuple[float, float]] = []
    for at, ((one, other), span) in enumerate(zip(pairwise(references), spans, strict=True)):
        if one.step > done:
            found.append((math.inf, 0.0))
            continue
        most = min(1.0, (done - one.step) / (other.step - one.step))
        square = span * span
        part = (to[at] - to[at + 1] + square) / (2 * square) if square else 0.0
        part = min(max(part, 0.0), most)
        far = to[at] + part * (to[at + 1] - to[at] - square) + part * part * square
        found.append((max(far, 0.0), one.step + part * (other.step - one.step)))
    return found


def _in_order(costs: Sequence[Sequence[float]], most: float) -> list[int | None]:
    """Choose a column of each row, none before the one above, at the least cost in total.

    A row of which no column is chosen (None) costs ``most``.
    """
    if not costs:
        return []
    total = [0.0] * len(costs[0])  # of the best way so far that ends at this column
    came: list[list[tuple[int, bool]]] = []
    for row in costs:
        best: list[float] = []
        choices: list[tuple[int, bool]] = []
        least, where = math.inf, 0
        for column, cost in enumerate(row):
            if total[column] < least:
                least, where = total[column], column
            taken, left = least + cost, total[column] + most
            best.append(min(taken, left))
            choices.append((where, True) if taken <= left else (column, False))
        total = best
        came.append(choices)
    column = min(range(len(total)), key=total.__getitem__)
    chosen: list[int | None] = []
    for choices in reversed(came):
        before, taken = choices[column]
        chosen.append(column if taken else None)
        column = before
    return chosen[::-1]


def latencies(seen: Sequence[Seen], times: Sequence[float]) -> list[float]:
    """Return for each step the seconds until it, or a later one, was shown; infinite: never."""
    found: list[float] = []
    for step, at in enumerate(times, 1):
        shown = (one.at for one in seen if one.step is not None and one.step >= step - 0.5)
        found.append(next(shown, math.inf) - at)
    return found


def share(values: Sequence[float], part: float) -> float:
    """Return the value that this part of all does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def feel(
    pictures: Sequence[Picture],
    references: Sequence[Reference],
    times: Sequence[float],
    ended: float,
    received: int,
) -> Feel:
    """Return the figures of one stroke. ``ended``: when the last input was, in seconds.

    The first picture is what was there before the stroke.
    """
    seen = place(pictures, references, times)
    changes = [one for one in seen[1:] if one.at > times[0]]
    moving = [one for one in changes if one.at <= times[-1]]
    late = latencies(seen, times)
    return Feel(
        rate=len(moving) / (times[-1] - times[0]),
        p50=share(late, 0.5),
        p95=share(late, 0.95),
        last=max([0.0, *(one.at - ended for one in changes)]),
        unmatched=sum(one.step is None for one in seen) / len(seen),
        received=received,
    )
