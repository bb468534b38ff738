"""How much is under way to a page, and how fine its moving pictures are.

What has been sent and not been seen fills the line at the measured rate for the smallest round trip
plus 50 ms, and no more: what lies in a queue on the way is late when it comes. The rate is the
largest of the last seconds, measured as congestion controls do that know no loss (Cardwell and
others, "BBR: Congestion-Based Congestion Control", 2016): the bytes seen between a picture's
sending and its own being seen, by that time. Where the program had nothing to send it is a lower
bound only, and counts if it is larger.

Two things shorten that. A picture that was long in a queue tells that the line carries less than
was thought, so what was measured before is forgotten. And coarse pictures cannot show that a line
carries more: while there is no queue, the rate is thought to be a little larger with each of them.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from app.core.errors import StreamError

QUEUE_SECONDS = 0.05
FIRST_RATE = 500_000.0  # bytes a second, until something was measured
LEAST_RATE = 2_000.0
_RATE_SECONDS = 2.0
_RTT_SECONDS = 10.0
_FIRST_RTT = 0.1
_LONG_QUEUE_SECONDS = 2 * QUEUE_SECONDS
_SHORT_QUEUE_SECONDS = QUEUE_SECONDS / 2
_GROWTH = 1.05
# The number of moving pictures a second that a line is used for before they become coarser.
PICTURES_A_SECOND = 20.0


class Level(NamedTuple):
    """How a moving picture is made smaller: part of its width and height, and JPEG's quality."""

    scale: float
    quality: int
    relative: float  # bytes of a pixel of the view, as part of those at the finest level


# Sizes of a turning brain, 618x366, relative to the first.
LEVELS = (
    Level(1.0, 80, 1.0),
    Level(1.0, 60, 0.8),
    Level(1.0, 40, 0.7),
    Level(0.75, 40, 0.45),
    Level(0.5, 40, 0.25),
    Level(0.35, 30, 0.14),
    Level(0.25, 30, 0.08),
)


class _Sent(NamedTuple):
    number: int
    size: int
    at: float
    seen_before: int  # bytes seen when it was sent
    seen_at: float  # and when the last of them was seen
    is_limited: bool  # whether more would have been sent if that had been allowed


class Flow:
    """What is known of one page's line. Times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque()
        self._last = 0  # number of the last picture that was sent
        self._under_way = 0
        self._seen = 0
        self._seen_at = 0.0
        self._rates: deque[tuple[float, float]] = deque()  # when, bytes a second
        self._trips: deque[tuple[float, float]] = deque()
        self._density = 0.04  # bytes of a pixel at the finest level
        self._is_held = False
        self._is_coarse = False  # whether the last moving picture was made smaller for the line

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return max((rate for _, rate in self._rates), default=FIRST_RATE)

    @property
    def round_trip(self) -> float:
        """The smallest of the last seconds, in seconds."""
        return min((trip for _, trip in self._trips), default=_FIRST_RTT)

    def trip(self, clock: float) -> float:
        """The smallest round trip of the last second, or else the last one; in seconds."""
        recent = [trip for at, trip in self._trips if at >= clock - 1.0]
        return min(recent, default=self._trips[-1][1] if self._trips else 0.0)

    @property
    def under_way(self) -> int:
        """Bytes that were sent and not yet seen."""
        return self._under_way

    def may_send(self) -> bool:
        """Whether another picture may go: always if none is under way."""
        limit = self.rate * (self.round_trip + QUEUE_SECONDS)
        may = not self._sent or self._under_way < limit
        self._is_held = self._is_held or not may
        return may

    def sent(self, number: int, size: int, clock: float) -> None:
        """A picture of ``size`` bytes went out."""
        if not self._sent:  # the time in which nothing was under way tells nothing of the line
            self._seen_at = clock
        self._sent.append(_Sent(number, size, clock, self._seen, self._seen_at, self._is_held))
        self._is_held = False
        self._last = number
        self._under_way += size

    def seen(self, number: int, took: float, clock: float) -> None:
        """The page has decoded a picture, ``took`` seconds after it had arrived.

        Pictures arrive in the order in which they were sent, so those before it have, too, even if
        that of another view takes longer to decode and is told later.
        Raises StreamError if it was never sent.
        """
        if number > self._last:
            raise StreamError("The page has seen a picture that it was not sent.")
        if not self._sent or number < self._sent[0].number:
            return
        last = self._sent[0]
        while self._sent and self._sent[0].number <= number:
            last = self._sent.popleft()
            self._under_way -= last.size
            self._seen += last.size
        arrived = max(clock - took, last.at)
        trip = arrived - last.at
        self._note_trip(trip, clock)
        span = max(arrived - last.seen_at, 1e-3)
        rate = max(LEAST_RATE, (self._seen - last.seen_before) / span)
        queued = trip - self.round_trip - last.size / self.rate
        if queued > _LONG_QUEUE_SECONDS:
            self._rates.clear()
        if last.is_limited or rate > self.rate or not self._rates:
            self._note_rate(rate, clock)
        elif self._is_coarse and queued < _SHORT_QUEUE_SECONDS:
            self._note_rate(self.rate * _GROWTH, clock)
        self._seen_at = arrived

    def level(self, pixels: int) -> Level:
        """How to encode a moving picture of so many pixels."""
        most = self.rate / PICTURES_A_SECOND
        fitting = (each for each in LEVELS if pixels * self._density * each.relative <= most)
        level = next(fitting, LEVELS[-1])
        self._is_coarse = level is not LEVELS[0]
        return level

    def encoded(self, pixels: int, level: Level, size: int) -> None:
        """A moving picture came to ``size`` bytes."""
        density = size / max(1, pixels) / level.relative
        self._density += 0.2 * (density - self._density)

    def _note_rate(self, rate: float, clock: float) -> None:
        self._rates.append((clock, rate))
        while self._rates[0][0] < clock - _RATE_SECONDS:
            self._rates.popleft()

    def _note_trip(self, trip: float, clock: float) -> None:
        self._trips.append((clock, trip))
        while self._trips[0][0] < clock - _RTT_SECONDS:
            self._trips.popleft()
