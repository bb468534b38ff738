"""A worker that hangs is noticed, one that works is left alone, and a broken one is not rushed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gate.workers import SILENT_SECONDS, START_SECONDS, Slot

YOUNG = Slot().started(7, 100.0)
BEATING = YOUNG.heard(101.0)


@pytest.mark.parametrize(
    ("slot", "now", "silent"),
    [
        (Slot(), 1e9, False),
        (YOUNG, 100.0, False),
        (YOUNG, 100.0 + START_SECONDS, False),
        (YOUNG, 100.1 + START_SECONDS, True),
        (BEATING, 101.0 + SILENT_SECONDS, False),
        (BEATING, 101.1 + SILENT_SECONDS, True),
        (BEATING.heard(102.0), 102.4, False),
        (BEATING.excused(200.0), 200.4, False),
        (BEATING.excused(200.0), 200.6, True),
        (YOUNG.excused(200.0), 200.6, False),
    ],
)
def test_silence(slot: Slot, now: float, *, silent: bool) -> None:
    """A worker that hangs is told from one that gets ready, and from one nobody listened to."""
    assert slot.is_silent(now) is silent


@pytest.mark.parametrize(
    ("quiet", "starved", "silent"),
    [
        (2.0, 0.0, True),
        (2.0, 1.4, True),  # it hangs, while others want the processor, too
        (2.0, 1.6, False),
        (20.4, 20.4, False),
        (20.6, 20.6, True),  # nobody waits for ever
        (2.0, -9.0, True),  # a figure that cannot be
    ],
)
def test_starving(quiet: float, starved: float, *, silent: bool) -> None:
    """A worker that gets no turn of the processor does not hang."""
    earlier = 77.0
    slot = YOUNG.heard(101.0, earlier)
    assert slot.is_silent(101.0 + quiet, earlier + starved) is silent
    slot = BEATING.excused(101.0, earlier)
    assert slot.is_silent(101.0 + quiet, earlier + starved) is silent


@pytest.mark.parametrize(
    ("lives", "pause"),
    [
        ([60.0], 0.0),
        ([0.0], 0.1),
        ([0.0, 0.0], 0.2),
        ([0.0] * 6, 3.2),
        ([0.0] * 7, 5.0),
        ([0.0] * 70, 5.0),
        ([0.0, 0.0, 60.0], 0.0),
        ([60.0, 0.9], 0.1),
    ],
)
def test_pauses(lives: list[float], pause: float) -> None:
    """What ends after long work is replaced at once, what ends at once ever more slowly."""
    slot, now = Slot(), 0.0
    for life in lives:
        now = max(now, slot.due)
        assert slot.is_due(now)
        slot = slot.started(7, now)
        assert not slot.is_due(now)
        now += life
        slot = slot.ended(now)
    assert slot.due - now == pytest.approx(pause)
    assert slot.is_due(slot.due)
    assert slot.pid == 0


@given(st.lists(st.floats(0, SILENT_SECONDS, exclude_max=True), min_size=1))
def test_regular_beats(gaps: list[float]) -> None:
    """Whoever beats in time is never killed."""
    slot, now = BEATING, 101.0
    for gap in gaps:
        now += gap
        assert not slot.is_silent(now)
        slot = slot.heard(now)
