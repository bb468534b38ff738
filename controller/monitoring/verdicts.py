"""Counts of verdicts, which a controller and a gate keep alike: plain numbers."""

from __future__ import annotations

from bisect import bisect_left

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of numbers as Prometheus reads them."""

BOUNDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1)
"""Upper bounds of the times in seconds. A verdict takes microseconds."""


class Verdicts:
    """Answers of verify and their times.

    Plain numbers, since all of it happens in the event loop's thread: the client's own counter and
    histogram take a lock for each step, which would cost more than a tenth of a whole verdict.
    """

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)  # the last one: above all bounds
        self.seconds = 0.0

    def add(self, status: int, seconds: float) -> None:
        """Count an answer, and how long it took to make it."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
