"""What facts mean, and what is done about them, over days and in spite of clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.config import SLICER
from controller.lifecycle import (
    Activity,
    Decision,
    Keep,
    Limits,
    Reason,
    Remove,
    Repair,
    Step,
    StepState,
    decide,
    farewell_of,
    limits_of,
    message_of,
    phase_of,
    progress_of,
)
from controller.model import Observed, Phase
from tests.samples import session

LIMITS = Limits(start=180, idle=1800, lifetime=86_400, failed=600)
ENDLESS = replace(LIMITS, idle=0, lifetime=0)
BORN = Observed(session(), complete=False)
UP = Observed(session(), running=True)
READY = replace(UP, served=True)
ENDED = Observed(session(), exit_code=1)
STOPPING = replace(READY, deleting=True)
ORPHAN = Observed(session(), complete=False, orphan=True)
DAY = 86_400.0


@pytest.mark.parametrize(
    ("seen", "watched", "phase"),
    [
        (BORN, 0, Phase.PENDING),
        (BORN, 180, Phase.PENDING),
        (BORN, 181, Phase.FAILED),
        (UP, 0, Phase.STARTING),
        (UP, 180, Phase.STARTING),
        (UP, 181, Phase.FAILED),
        (replace(UP, complete=False), 10, Phase.STARTING),
        (READY, 0, Phase.READY),
        (READY, 10 * DAY, Phase.READY),
        (replace(READY, healthy=False), 10 * DAY, Phase.STARTING),
        (replace(READY, complete=False), 10 * DAY, Phase.STARTING),
        (replace(READY, running=False), 10 * DAY, Phase.PENDING),
        (ENDED, 0, Phase.FAILED),
        (replace(ENDED, exit_code=0), 0, Phase.FAILED),
        (replace(ENDED, served=True), 0, Phase.FAILED),
        (STOPPING, 0, Phase.STOPPING),
        (STOPPING, 10 * DAY, Phase.STOPPING),
        (replace(ENDED, deleting=True), 0, Phase.STOPPING),
    ],
)
def test_phase(seen: Observed, watched: float, phase: Phase) -> None:
    """Ready means that a browser gets the page, and what was once ready never times out."""
    assert phase == phase_of(seen, watched, LIMITS)


FRESH = Activity(first_seen=0)
FAILED_AT_100 = Activity(first_seen=0, failed_since=100)


@pytest.mark.parametrize(
    ("seen", "activity", "now", "decision"),
    [
        # Being launched: others are at it.
        (BORN, FRESH, 59, Keep()),
        (ORPHAN, FRESH, 59, Keep()),
        (UP, FRESH, 170, Keep()),
        # Half made: a crash in the middle of a launch.
        (BORN, FRESH, 60, Repair()),
        (BORN, Activity(first_seen=0, age_then=3600), 1, Repair()),
        (replace(UP, complete=False), FRESH, 60, Repair()),
        (replace(READY, complete=False), FRESH, 5000, Repair()),
        (ORPHAN, FRESH, 60, Remove(Reason.STOPPED)),
        (ORPHAN, Activity(first_seen=0, age_then=3600), 1, Remove(Reason.STOPPED)),
        # A stop that was cut short is finished at once.
        (STOPPING, FRESH, 0, Remove(Reason.STOPPED)),
        # Failed: kept for a while, so that people can read why.
        (ENDED, FRESH, 10 * DAY, Keep()),
        (ENDED, FAILED_AT_100, 699, Keep()),
        (ENDED, FAILED_AT_100, 700, Remove(Reason.FAILED)),
        (UP, replace(FAILED_AT_100, first_seen=-81), 100, Keep()),
        (UP, replace(FAILED_AT_100, first_seen=-81), 700, Remove(Reason.FAILED)),
        # Idle.
        (READY, FRESH, 1799, Keep()),
        (READY, FRESH, 1800, Remove(Reason.IDLE)),
        (READY, Activity(first_seen=0, last_active=1000), 2799, Keep()),
        (READY, Activity(first_seen=0, last_active=1000), 2800, Remove(Reason.IDLE)),
        # Too old, although in use.
        (READY, Activity(first_seen=0, last_active=DAY - 1), DAY - 1, Keep()),
        (READY, Activity(first_seen=0, last_active=DAY), DAY, Remove(Reason.LIFETIME)),
        (READY, Activity(first_seen=0, age_then=DAY - 10), 9, Keep()),
        (READY, Activity(first_seen=0, age_then=DAY - 10), 10, Remove(Reason.LIFETIME)),
    ],
)
def test_decision(seen: Observed, activity: Activity, now: float, decision: Decision) -> None:
    """What works or is under way is left alone; the rest is mended or removed by the table."""
    assert decision == decide(seen, activity, now, LIMITS)


def test_without_limits() -> None:
    """Where a profile sets no limits, nothing is stopped for age or idleness."""
    assert decide(READY, FRESH, 1000 * DAY, ENDLESS) == Keep()


def test_someone_who_works_for_days() -> None:
    """A session that is used every twenty minutes goes on until its lifetime is over, no longer."""
    activity = FRESH
    for minute in range(24 * 60):
        now = minute * 60.0
        assert decide(READY, activity, now, LIMITS) == Keep(), f"minute {minute}"
        if minute % 20 == 0:
            activity = replace(activity, last_active=now)
    assert decide(READY, activity, DAY, LIMITS) == Remove(Reason.LIFETIME)


def test_someone_who_forgot() -> None:
    """A forgotten session is stopped half an hour after its last use, not earlier."""
    activity = FRESH
    stopped = None
    for second in range(0, 6 * 3600, 10):
        if second < 3600 and second % 300 == 0:
            activity = replace(activity, last_active=float(second))
        if decide(READY, activity, second, LIMITS) != Keep():
            stopped = second
            break
    assert stopped == 3300 + 1800


@given(
    st.floats(0, 1e9),
    st.floats(0, DAY - 1),
    st.floats(0, 1799),
)
def test_after_a_restart(clock: float, age: float, later: float) -> None:
    """After a restart of the controller everyone has the whole idle time again."""
    adopted = Activity(first_seen=clock, age_then=age)
    now = min(clock + later, clock + DAY - 1 - age)
    assert decide(READY, adopted, now, LIMITS) == Keep()


@given(
    seen=st.builds(
        Observed,
        session=st.just(session()),
        running=st.booleans(),
        healthy=st.booleans(),
        complete=st.booleans(),
        deleting=st.booleans(),
        orphan=st.booleans(),
        exit_code=st.none() | st.integers(0, 255),
        served=st.booleans(),
    ),
    watched=st.floats(0, 1e6),
)
def test_ready_means_ready(seen: Observed, watched: float) -> None:
    """In no combination of facts is a session ready that is not running, whole and served."""
    if phase_of(seen, watched, LIMITS) is Phase.READY:
        assert seen.running
        assert seen.healthy
        assert seen.complete
        assert seen.served
        assert not seen.deleting
        assert seen.exit_code is None


@given(age=st.floats(0, 59), seen=st.sampled_from([BORN, UP, READY, ORPHAN]))
def test_a_launch_is_left_alone(age: float, seen: Observed) -> None:
    """Nothing that is younger than a minute is touched: its launch may be under way elsewhere."""
    assert decide(seen, Activity(first_seen=5, age_then=age), 5, LIMITS) == Keep()


def test_limits_of_a_profile() -> None:
    """A profile's limits count; a session whose profile is gone keeps the usual ones."""
    own = replace(SLICER, start_seconds=1, idle_seconds=2, lifetime_seconds=3)
    assert limits_of(own, 4) == Limits(start=1, idle=2, lifetime=3, failed=4)
    assert limits_of(None, 600) == LIMITS


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (None, "within 180 seconds"),
        (137, "memory"),
        (0, "ended by itself"),
        (3, "exit code 3"),
    ],
)
def test_failures_are_explained(exit_code: int | None, words: str) -> None:
    """A failed session says why in a sentence."""
    assert words in message_of(Phase.FAILED, replace(ENDED, exit_code=exit_code), LIMITS)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_sentence(phase: Phase) -> None:
    """Whatever goes on, people read a sentence and none of the engine's words."""
    sentence = message_of(phase, ENDED, LIMITS)
    assert sentence.endswith(".")
    assert not {"container", "pod", "image", "route", "token"} & set(sentence.lower().split())


@pytest.mark.parametrize(
    ("reason", "limits", "sentence"),
    [
        (Reason.IDLE, LIMITS, "after 30 minutes unused. Your files are there."),
        (
            Reason.LIFETIME,
            LIMITS,
            "after 24 hours, the longest it may run. Your files are there.",
        ),
        (Reason.IDLE, replace(LIMITS, idle=20), "after 20 seconds unused. Your files are there."),
        (Reason.STOPPED, LIMITS, ""),
        (Reason.FAILED, LIMITS, ""),
    ],
)
def test_farewell(reason: Reason, limits: Limits, sentence: str) -> None:
    """Who comes back to a stopped session reads why; who stopped it reads nothing."""
    assert sentence == farewell_of(reason, limits)


@pytest.mark.parametrize(
    ("phase", "seen", "states"),
    [
        (Phase.PENDING, BORN, "active todo todo todo"),
        (Phase.PENDING, replace(BORN, complete=True), "done active todo todo"),
        (Phase.STARTING, UP, "done done active todo"),
        (Phase.READY, READY, "done done done done"),
        (Phase.FAILED, ENDED, "done done failed todo"),
        (Phase.FAILED, BORN, "failed todo todo todo"),
    ],
)
def test_progress(phase: Phase, seen: Observed, states: str) -> None:
    """The steps of a start show what is done, what is going on and where it failed."""
    steps = progress_of(phase, seen, title="Slicer", usual=None)
    assert states == " ".join(step.state.value for step in steps)


def test_progress_says_how_long_it_takes() -> None:
    """Where earlier starts are known, people see how long the loading usually takes."""
    steps = progress_of(Phase.STARTING, UP, title="Slicer", usual=6.2)
    assert Step("Slicer is loading", StepState.ACTIVE, "usually 6 s") in steps
