"""How quick a session feels: from the pointer to the picture, as its pages measure it. Pure.

A session counts the pictures of all its pages by that time. Counts can be added, also over the
sessions of a profile; medians cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec

BOUNDS_MS = (8, 16, 25, 33, 50, 66, 100, 150, 200, 300, 500, 1000, 2000)
"""Upper bounds of the times that are told apart; above the last one all are alike.

Close together where a person feels the difference: 16, 33 and 50 ms are one, two and three pictures
of a screen, from 100 ms on a hand waits. Sessions count by the same bounds
(deploy/slicer/app/people/felt.py).
"""

PICTURES_MAX = 1_000_000
"""Most pictures in one count: a session is not trusted, and a minute has fewer."""

PART_MAX_MS = 3_600_000.0
"""Longest mean time of a part, an hour, for the same reason."""

MEDIAN = 0.5

SLOW = 0.95
"""Share of the pictures that come in time; the slowest twentieth comes later."""

_BUCKETS = len(BOUNDS_MS) + 1

_Count = Annotated[int, msgspec.Meta(ge=0, le=PICTURES_MAX)]
_Ms = Annotated[float, msgspec.Meta(ge=0, le=PART_MAX_MS)]


class Parts(msgspec.Struct, frozen=True):
    """Where the time of a picture goes, in ms."""

    network: _Ms  # there and back
    waiting: _Ms  # for the picture before
    render: _Ms
    encode: _Ms
    paint: _Ms  # in the browser


class Felt(msgspec.Struct, frozen=True):
    """What a session says of the minute before it was asked.

    ``counts``: how many pictures took at most each of BOUNDS_MS and more than the one before; the
    last number is of those above all bounds. ``parts_ms``: the mean of each part.
    """

    counts: Annotated[tuple[_Count, ...], msgspec.Meta(min_length=_BUCKETS, max_length=_BUCKETS)]
    parts_ms: Parts


class Speed(msgspec.Struct, frozen=True):
    """How quick one session feels: half of its pictures come within p50_ms, 95 % within p95_ms."""

    p50_ms: float
    p95_ms: float
    parts_ms: Parts

    @property
    def largest(self) -> str:
        """The part that takes most of the time; the earlier one of two that take the same."""
        parts = msgspec.structs.asdict(self.parts_ms)
        return max(parts, key=parts.__getitem__)


def speed_of(felt: Felt | None) -> Speed | None:
    """Return how quick a session feels; None if nobody felt anything in it."""
    p50 = quantile_ms(felt.counts, MEDIAN) if felt else None
    p95 = quantile_ms(felt.counts, SLOW) if felt else None
    if felt is None or p50 is None or p95 is None:
        return None
    return Speed(p50, p95, felt.parts_ms)


def merged(counts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Return the counts of several sessions as those of one."""
    return tuple(map(sum, zip(*counts, strict=True))) or (0,) * _BUCKETS


def quantile_ms(counts: Sequence[int], share: float) -> float | None:
    """Return the time in ms within which this share of the pictures came; None without a picture.

    Between two bounds the times are taken as evenly spread, as Prometheus does it. Above the last
    bound the answer is that bound.
    """
    rank = share * sum(counts)
    if not rank:
        return None
    below, lower = 0, 0.0
    for bound, number in zip(BOUNDS_MS, counts, strict=False):  # no bound for the last count
        if below + number >= rank:
            return lower + (bound - lower) * (rank - below) / number
        below, lower = below + number, float(bound)
    return lower
