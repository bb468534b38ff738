"""A worker that hangs is noticed, one that works is left alone, and a broken one is not rushed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gate.workers import SILENT_SECONDS, START_SECONDS, Slot, Turns

YOUNG = Slot().started(7, 100.0)
BEATING = YOUNG.heard(101.0, Turns())


@pytest.mark.parametrize(
    ("slot", "now", "silent"),
    [
        (Slot(), 1e9, False),
        (YOUNG, 100.0, False),
        (YOUNG, 100.0 + START_SECONDS, False),
        (YOUNG, 100.1 + START_SECONDS, True),
        (BEATING, 101.0 + SILENT_SECONDS, False),
        (BEATING, 101.1 + SILENT_SECONDS, True),
        (BEATING.heard(102.0, Turns()), 102.4, False),
        (BEATING.excused(200.0, Turns()), 200.4, False),
        (BEATING.excused(200.0, Turns()), 200.6, True),
        (YOUNG.excused(200.0, Turns()), 200.6, False),
    ],
)
def test_silence(slot: Slot, now: float, *, silent: bool) -> None:
    """A worker that hangs is told from one that gets ready, and from one nobody listened to."""
    assert slot.is_late(now) is slot.hangs(now, Turns()) is silent


@pytest.mark.parametrize(
    ("quiet", "since", "hangs"),
    [
        (2.0, Turns(), True),
        (2.0, Turns(waited=1.4), True),  # it hangs, while others want the processor, too
        (2.0, Turns(waited=1.6), False),
        (2.0, Turns(waiting=True), False),  # its turn has not come at all
        (2.0, Turns(ran=0.4, waiting=True), False),
        (2.0, Turns(ran=0.6, waiting=True), True),  # it computes, and does not end
        (2.0, Turns(ran=2.0, waiting=True), True),
        (2.0, Turns(ran=2.0, waited=1.6, waiting=True), False),
        (20.4, Turns(waited=20.4), False),
        (20.6, Turns(waited=20.6), True),  # nobody waits for ever
        (20.6, Turns(waiting=True), True),
        (2.0, Turns(waited=-9.0), True),  # a figure that cannot be
    ],
)
def test_starving(quiet: float, since: Turns, *, hangs: bool) -> None:
    """A worker that gets no turn of the processor does not hang."""
    then = Turns(ran=33.0, waited=77.0)
    now = Turns(then.ran + since.ran, then.waited + since.waited, waiting=since.waiting)
    for slot in YOUNG.heard(101.0, then), BEATING.excused(101.0, then):
        assert slot.hangs(101.0 + quiet, now) is hangs


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
        assert not slot.is_late(now)
        slot = slot.heard(now, Turns())
