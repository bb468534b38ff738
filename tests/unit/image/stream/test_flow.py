"""How much is sent to a page, on lines that exist only as numbers: time is counted, never waited.

A line carries bytes one after the other at its rate. What is sent faster waits in its queue.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count, pairwise

import msgspec
import pytest
from app.core.errors import StreamError
from app.stream.flow import FIRST_RATE, LEAST_RATE, LEVELS, QUEUE_SECONDS, Flow, Level
from hypothesis import given
from hypothesis import strategies as st

MBIT = 125_000.0  # bytes a second
PAGE_SECONDS = 0.005  # for decoding a picture
ROUND_TRIPS = [0.0, 0.02, 0.05, 0.1]
VIEW = 618 * 366
SCREEN = 1920 * 1080


class Sent(msgspec.Struct, frozen=True):
    """A picture when it went out: what was known then, and how long its line is busy with all."""

    at: float
    size: int
    level: int
    rate: float
    under_way: int
    queue: float


class Line:
    """A way to a page: ``rates`` are pairs of a time and of the bytes a second from then on."""

    def __init__(self, round_trip: float, *rates: tuple[float, float]) -> None:
        """Nothing is under way."""
        self.flow = Flow()
        self._round_trip = round_trip
        self._rates = rates
        self._free = 0.0  # when the last byte is through
        self._seen: list[tuple[float, int]] = []
        self._numbers = count(1)

    def run(
        self, seconds: float, *, picture: Callable[[Flow], tuple[int, int]], every: float = 0.0
    ) -> list[Sent]:
        """Sends whenever it may, at most one picture ``every`` so many seconds."""
        return list(self._run(seconds, picture, every))

    def _run(
        self, seconds: float, picture: Callable[[Flow], tuple[int, int]], every: float
    ) -> Iterator[Sent]:
        now = due = 0.0
        while now < seconds:
            while self._seen and self._seen[0][0] <= now:
                self.flow.seen(heapq.heappop(self._seen)[1], PAGE_SECONDS, now)
            if now >= due and self.flow.may_send():
                yield self._send(now, *picture(self.flow))
                due = now + every
            else:
                now = min([due] * (due > now) + [at for at, _ in self._seen[:1]])

    def _send(self, now: float, size: int, level: int) -> Sent:
        number = next(self._numbers)
        self._free = self._through(max(now, self._free), size)
        self.flow.sent(number, size, now)
        seen_at = self._free + self._round_trip + PAGE_SECONDS
        heapq.heappush(self._seen, (seen_at, number))
        return Sent(now, size, level, self.flow.rate, self.flow.under_way, self._free - now)

    def _through(self, at: float, size: float) -> float:
        for (_, rate), (end, _) in zip(
            self._rates, [*self._rates[1:], (float("inf"), 0.0)], strict=True
        ):
            if at >= end:
                continue
            if (end - at) * rate >= size:
                return at + size / rate
            size -= (end - at) * rate
            at = end
        raise AssertionError("The last rate is for ever.")


def same(size: int) -> Callable[[Flow], tuple[int, int]]:
    """Pictures of one size."""
    return lambda _: (size, 0)


def moving(pixels: int) -> Callable[[Flow], tuple[int, int]]:
    """Pictures of a view with so many pixels, as fine as the line is said to allow."""

    def picture(flow: Flow) -> tuple[int, int]:
        level = flow.level(pixels)
        size = max(600, round(pixels * 0.04 * level.relative))
        flow.encoded(pixels, level, size)
        return size, LEVELS.index(level)

    return picture


def last(sent: list[Sent], before: float) -> Sent:
    """The last one before a time."""
    return next(each for each in reversed(sent) if each.at < before)


def longest_queue(sent: list[Sent], since: float, until: float) -> float:
    """The longest time that a picture took to get through the line."""
    return max(each.queue for each in sent if since <= each.at < until)


@pytest.mark.parametrize("size", [5_000, 20_000, 60_000])
@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_a_line_is_used(round_trip: float, size: int) -> None:
    """Near or far, a page gets nearly all the pictures that its line carries, and none late."""
    sent = Line(round_trip, (0, 10 * MBIT)).run(5, picture=same(size))
    carried = sum(each.size for each in sent if each.at >= 1) / 4
    assert carried >= 0.8 * 10 * MBIT
    assert sent[-1].rate == pytest.approx(10 * MBIT, rel=0.1)
    one_picture = size / (10 * MBIT)
    assert longest_queue(sent, 1, 5) <= 2 * QUEUE_SECONDS + one_picture


@pytest.mark.parametrize("pixels", [VIEW, SCREEN])
@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_a_line_that_becomes_slow_and_quick_again_is_followed(
    round_trip: float, pixels: int
) -> None:
    """Two seconds after a change of the network the pictures fit it, and none is late."""
    line = Line(round_trip, (0, 10 * MBIT), (5, MBIT), (10, 10 * MBIT))
    sent = line.run(15, picture=moving(pixels))
    assert last(sent, 5).rate == pytest.approx(10 * MBIT, rel=0.2)
    assert last(sent, 7.1).rate == pytest.approx(MBIT, rel=0.6)
    assert last(sent, 10).rate == pytest.approx(MBIT, rel=0.2)
    assert last(sent, 12.1).rate == pytest.approx(10 * MBIT, rel=0.2)
    assert longest_queue(sent, 1, 4.5) < 0.2
    assert longest_queue(sent, 7, 10) < 0.2
    assert longest_queue(sent, 12, 15) < 0.2
    # What was under way when the line became slow takes ten times as long, and no more comes to it.
    assert longest_queue(sent, 5, 7) < 10 * (round_trip + 2 * QUEUE_SECONDS)


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_a_view_of_usual_size_is_never_half_a_second_late(round_trip: float) -> None:
    """Who turns a brain while the network drops to a tenth hardly notices."""
    line = Line(round_trip, (0, 10 * MBIT), (5, MBIT), (10, 10 * MBIT))
    sent = line.run(15, picture=moving(VIEW), every=1 / 30)
    assert longest_queue(sent, 0, 15) < 0.5


@pytest.mark.parametrize("every", [1 / 30, 1 / 20, 1 / 10])
@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_pictures_become_fine_again(round_trip: float, every: float) -> None:
    """A large view is not left coarse on a line that carries more, though coarse ones fill none."""
    line = Line(round_trip, (0, MBIT), (5, 30 * MBIT))
    sent = line.run(20, picture=moving(SCREEN), every=every)
    assert last(sent, 5).level >= 4
    assert sent[-1].level == 0


def test_a_slow_line_gets_coarser_pictures() -> None:
    """Who is far away sees the brain turn as smoothly, only less fine."""
    levels: list[int] = []
    for rate in (10, 1, 0.5):
        line = Line(0.05, (0, rate * MBIT))
        sent = line.run(10, picture=moving(VIEW), every=1 / 30)
        levels.append(max(each.level for each in sent if each.at > 5))
        assert sum(each.at >= 5 for each in sent) >= 5 * 15
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert levels[1] > 0


@given(
    round_trip=st.floats(0, 0.5),
    rates=st.lists(st.floats(0.1, 100), min_size=1, max_size=3),
    sizes=st.lists(st.integers(100, 300_000), min_size=1),
)
def test_no_more_is_under_way_than_the_line_takes(
    round_trip: float, rates: list[float], sizes: list[int]
) -> None:
    """Nobody's pictures pile up on the way, whatever their sizes and their line are."""
    changes = [(2.0 * at, rate * MBIT) for at, rate in enumerate(rates)]
    line = Line(round_trip, *changes)
    numbers = count()

    def picture(flow: Flow) -> tuple[int, int]:
        limit = flow.rate * (flow.round_trip + QUEUE_SECONDS)
        assert flow.under_way < limit or not flow.under_way
        return sizes[next(numbers) % len(sizes)], 0

    sent = line.run(6, picture=picture, every=0.01)
    assert all(each.rate >= LEAST_RATE for each in sent)


@given(size=st.integers(1, 10**9))
def test_one_picture_always_goes(size: int) -> None:
    """On the slowest line a page gets one picture, and the next one once it has seen that."""
    flow = Flow()
    assert flow.rate == FIRST_RATE
    for number in range(1, 5):
        assert flow.may_send()
        flow.sent(number, size, number * 1000.0)
        assert flow.under_way == size
        flow.seen(number, 0, number * 1000.0 + 999)
        assert flow.under_way == 0
    other = Flow()
    other.sent(1, 10**6, 0)
    assert not other.may_send()


@pytest.mark.parametrize("number", [4, 5, 2**53])
def test_what_was_not_sent_cannot_be_seen(number: int) -> None:
    """A page that makes up what it has seen is none of the hub's."""
    flow = Flow()
    with pytest.raises(StreamError):
        flow.seen(1, 0, 1)
    for each in (1, 2, 3):
        flow.sent(each, 100, 1)
    with pytest.raises(StreamError):
        flow.seen(number, 0, 1)
    assert flow.under_way == 300


def test_one_view_may_be_slower_than_another() -> None:
    """A picture that is decoded after a later one of another view costs its page nothing."""
    flow = Flow()
    for each in (1, 2, 3):
        flow.sent(each, 100, 1)
    flow.seen(2, 0, 1)  # and with it the one before
    assert flow.under_way == 100
    flow.seen(1, 0, 1)
    flow.seen(2, 0, 1)
    assert flow.under_way == 100
    flow.seen(3, 0, 1)
    assert flow.under_way == 0


@given(took=st.floats(0, 60), after=st.floats(0, 60), size=st.integers(1, 10**6))
def test_what_a_page_says_of_its_time_does_no_harm(took: float, after: float, size: int) -> None:
    """A page that tells odd times still has a line with a rate and a round trip."""
    flow = Flow()
    flow.sent(1, size, 100)
    flow.seen(1, took, 100 + after)
    assert LEAST_RATE <= flow.rate <= max(FIRST_RATE, size * 1000)
    assert 0 <= flow.round_trip <= after + 1e-9


def test_the_levels_become_coarser_by_steps() -> None:
    """Each level is smaller than the one before, and none is so by more than half."""
    sizes = [level.relative for level in LEVELS]
    assert sizes == sorted(sizes, reverse=True)
    assert all(after >= before * 0.5 for before, after in pairwise(sizes))
    assert all(isinstance(level, Level) and 0 < level.scale <= 1 for level in LEVELS)
