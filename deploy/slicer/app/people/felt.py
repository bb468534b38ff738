"""How quick the session feels: the time from the pointer to the picture, as pages measure it.

A page measures each picture that follows an input, and reports now and then how many there were and
where their time went. The clock comes in as an argument: seconds of the monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

import msgspec

# Upper bounds of the times that are told apart. Close together where a person feels the difference:
# 16, 33 and 50 ms are one, two and three pictures of a screen, from 100 ms on a hand waits. The hub
# reads counts by the same bounds (controller/rules/felt.py).
BOUNDS_MS = (8, 16, 25, 33, 50, 66, 100, 150, 200, 300, 500, 1000, 2000)
WINDOW_SECONDS = 60
# The hub refuses a whole answer with a larger number, so that reports may not lead to one.
PICTURES_MAX = 1_000_000
# An hour in one report: no page has waited for longer.
PART_MAX_MS = 3_600_000.0

_BUCKETS = len(BOUNDS_MS) + 1

Count = Annotated[int, msgspec.Meta(ge=0, le=PICTURES_MAX)]
Part = Annotated[float, msgspec.Meta(ge=0, le=PART_MAX_MS)]


class Parts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the time goes, in ms: what follows each other from the input to its picture."""

    network: Part  # there and back
    waiting: Part  # for the picture before
    render: Part
    encode: Part
    paint: Part  # in the browser


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One report of a page; decode it by `msgspec.convert`, which refuses what is out of bounds.

    ``counts``: how many pictures since its last report took at most each of `BOUNDS_MS` and more
    than the one before; the last number is of those above all bounds. ``parts``: sums over these
    pictures.
    """

    counts: Annotated[list[Count], msgspec.Meta(min_length=_BUCKETS, max_length=_BUCKETS)]
    parts: Parts


class Summary(msgspec.Struct, frozen=True):
    """The last minute of all pages: counts as in `Sample`, and the mean of each part in ms."""

    counts: list[int]
    parts: Parts = msgspec.field(name="parts_ms")


class Felt:
    """What was reported in the last minute; only the event loop's thread uses it."""

    def __init__(self) -> None:
        # One sum for each second, so that many reports take no more memory than few.
        self._seconds: dict[int, Sample] = {}

    def note(self, sample: Sample, clock: float) -> None:
        """A page has reported; without a picture, its report says nothing."""
        if not any(sample.counts):
            return
        self._forget(clock)
        second = math.floor(clock)
        before = self._seconds.get(second)
        self._seconds[second] = sample if before is None else _sum((before, sample))

    def summary(self, clock: float) -> Summary | None:
        """The last minute, by whole seconds; None if nobody felt anything in it."""
        self._forget(clock)
        if not self._seconds:
            return None
        whole = _sum(self._seconds.values())
        pictures = sum(whole.counts)
        return Summary(
            counts=[min(count, PICTURES_MAX) for count in whole.counts],
            parts=Parts(
                *(round(part / pictures, 1) for part in msgspec.structs.astuple(whole.parts))
            ),
        )

    def _forget(self, clock: float) -> None:
        first = math.floor(clock) - WINDOW_SECONDS
        self._seconds = {at: sample for at, sample in self._seconds.items() if at > first}


def _sum(samples: Iterable[Sample]) -> Sample:
    found = list(samples)
    return Sample(
        counts=[sum(column) for column in zip(*(one.counts for one in found), strict=True)],
        parts=Parts(
            *map(sum, zip(*(msgspec.structs.astuple(one.parts) for one in found), strict=True))
        ),
    )
