"""What facts mean, and what is done about them, over days and in spite of clocks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.model import Observed, Phase, QueuePosition
from controller.core.records import Reason, Sign
from controller.rules.lifecycle import (
    LOOK_FRESH,
    UNREACHED,
    Activity,
    Decision,
    Keep,
    Limits,
    Poll,
    Remove,
    Repair,
    Warn,
    Warned,
    WithdrawWarning,
    decide,
    limits_of,
    phase_of,
    takes_place,
)
from controller.rules.sentences import (
    KeepReason,
    Step,
    StepState,
    farewell_of,
    keep_reason,
    message_of,
    progress_of,
    warning_of,
)
from controller.settings.loading import SLICER
from tests.support.samples import session, settings

LIMITS = Limits(start=180, idle=1800, lifetime=86_400, failed=600)
ENDLESS = replace(LIMITS, idle=0, lifetime=0)
BORN = Observed(session(), complete=False)
UP = Observed(session(), running=True)
READY = replace(UP, served=True)
ENDED = Observed(session(), exit_code=1)
STOPPING = replace(READY, deleting=True)
ORPHAN = Observed(session(), complete=False, orphan=True)
REFUSED = replace(BORN, refused="It cannot be started.")
FETCHING = replace(BORN, progress="Fetching the program: 3 of 9 GB.")
DAY = 86_400.0
FORBIDDEN = {"container", "pod", "image", "route", "token"}


def words_of(sentence: str) -> set[str]:
    """Return the words of a sentence, in lower case and without its signs."""
    return set(re.findall(r"\w+", sentence.lower()))


@pytest.mark.parametrize(
    ("seen", "takes"),
    [(BORN, True), (UP, True), (READY, True), (STOPPING, True), (ENDED, False), (REFUSED, False)],
)
def test_takes_place(seen: Observed, takes: bool) -> None:
    """What runs or may still run keeps what it was lent, however long it takes; what ended none."""
    assert takes is takes_place(seen)


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
        (REFUSED, 0, Phase.FAILED),
        (replace(REFUSED, deleting=True), 0, Phase.STOPPING),
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


FRESH = Activity(first_seen=0, last_active=0)
FAILED_AT_100 = replace(FRESH, failed_since=100)
OLD = replace(FRESH, age_then=3600)


@pytest.mark.parametrize(
    ("seen", "activity", "now", "decision"),
    [
        # Being launched: others are at it.
        (BORN, FRESH, 29, Keep()),
        (ORPHAN, FRESH, 29, Keep()),
        (UP, FRESH, 170, Keep()),
        # Half made: a crash in the middle of a launch.
        (BORN, FRESH, 30, Repair()),
        (BORN, OLD, 1, Repair()),
        (replace(UP, complete=False), FRESH, 30, Repair()),
        # The engine is at it, and says what for.
        (replace(BORN, complete=True, progress="Waiting for a free machine"), FRESH, 170, Keep()),
        (replace(BORN, progress="Waiting for a free machine"), FRESH, 170, Repair()),
        (replace(READY, complete=False), FRESH, 5000, Repair()),
        (ORPHAN, FRESH, 30, Remove(Reason.STOPPED)),
        (ORPHAN, OLD, 1, Remove(Reason.STOPPED)),
        # A stop that was cut short is finished at once.
        (STOPPING, FRESH, 0, Remove(Reason.STOPPED)),
        # Failed or refused: kept for a while, so that people can read why.
        (ENDED, FRESH, 10 * DAY, Keep()),
        (ENDED, FAILED_AT_100, 699, Keep()),
        (ENDED, FAILED_AT_100, 700, Remove(Reason.FAILED)),
        (UP, replace(FAILED_AT_100, first_seen=-81), 100, Keep()),
        (UP, replace(FAILED_AT_100, first_seen=-81), 700, Remove(Reason.FAILED)),
        (REFUSED, FAILED_AT_100, 699, Keep()),
        (REFUSED, FAILED_AT_100, 700, Remove(Reason.FAILED)),
        # Not ready, so that nobody could be warned or come back: mended, never idle.
        (replace(READY, healthy=False), FRESH, 1800, Keep()),
        (replace(READY, running=False), FRESH, 1800, Repair()),
        # Out of reach at the end of its time: it gets an hour more to be told and saved.
        (replace(READY, healthy=False), FRESH, DAY + UNREACHED - 1, Keep()),
        (replace(READY, healthy=False), FRESH, DAY + UNREACHED, Remove(Reason.LIFETIME)),
        (replace(READY, complete=False), FRESH, DAY + UNREACHED - 1, Repair()),
        (replace(READY, complete=False), FRESH, DAY + UNREACHED, Remove(Reason.LIFETIME)),
        # Nothing in it that could be lost.
        (replace(READY, running=False), FRESH, DAY, Remove(Reason.LIFETIME)),
    ],
)
def test_decision(seen: Observed, activity: Activity, now: float, decision: Decision) -> None:
    """What works or is under way is left alone; the rest is mended or removed by the table."""
    assert decision == decide(seen, activity, now, LIMITS)


def idle_warned(at: float, stop: float) -> Warned:
    """Return the warning of a stop for idleness."""
    return Warned(Reason.IDLE, at, stop)


def lifetime_warned(at: float, stop: float) -> Warned:
    """Return the warning of a stop for age."""
    return Warned(Reason.LIFETIME, at, stop)


def used(at: float, *, warned: Warned | None = None, looked: float | None = None) -> Activity:
    """Return what is known of a session born at 0; without ``looked`` looks never fail."""
    return replace(FRESH, last_active=at, warned=warned, looked=looked or 100 * DAY)


SHORT = replace(LIMITS, idle=20, lifetime=60)


@pytest.mark.parametrize(
    ("activity", "now", "limits", "decision"),
    [
        # Idle: half an hour with five minutes of warning.
        (used(1000), 2499, LIMITS, Keep()),
        (used(1000), 2500, LIMITS, Warn(idle_warned(2500, 2800))),
        (used(1000, warned=idle_warned(2500, 2800)), 2799, LIMITS, Keep()),
        (used(1000, warned=idle_warned(2500, 2800)), 2800, LIMITS, Remove(Reason.IDLE)),
        # Noticed late, as after a restart: the warning has its full length all the same.
        (used(1000), 2790, LIMITS, Warn(idle_warned(2790, 3090))),
        (used(1000), DAY / 2, LIMITS, Warn(idle_warned(DAY / 2, DAY / 2 + 300))),
        (used(1000, warned=idle_warned(2790, 3090)), 3089, LIMITS, Keep()),
        (used(1000, warned=idle_warned(2790, 3090)), 3090, LIMITS, Remove(Reason.IDLE)),
        # Somebody came back in time.
        (used(2600, warned=idle_warned(2500, 2800)), 2610, LIMITS, WithdrawWarning()),
        (used(2600, warned=idle_warned(2500, 2800)), 2900, LIMITS, WithdrawWarning()),
        # Somebody came back in time, and no round saw it for very long.
        (used(2600, warned=idle_warned(2500, 2800)), 4100, LIMITS, Warn(idle_warned(4100, 4400))),
        (used(2600, warned=idle_warned(2500, 2800)), 5000, LIMITS, Warn(idle_warned(5000, 5300))),
        # Age: a day, however much it is used.
        (used(DAY - 301), DAY - 301, LIMITS, Keep()),
        (used(DAY - 300), DAY - 300, LIMITS, Warn(lifetime_warned(DAY - 300, DAY))),
        (used(DAY, warned=lifetime_warned(DAY - 300, DAY)), DAY - 1, LIMITS, Keep()),
        (used(DAY, warned=lifetime_warned(DAY - 300, DAY)), DAY, LIMITS, Remove(Reason.LIFETIME)),
        (used(DAY), DAY + 50, LIMITS, Warn(lifetime_warned(DAY + 50, DAY + 350))),
        # Told of the one stop while the other comes near: people are told of that, too.
        (
            used(DAY - 1700, warned=idle_warned(DAY - 200, DAY + 100)),
            DAY - 190,
            LIMITS,
            Warn(lifetime_warned(DAY - 190, DAY + 110)),
        ),
        (
            used(DAY - 1700, warned=lifetime_warned(DAY - 190, DAY + 110)),
            DAY + 109,
            LIMITS,
            Keep(),
        ),
        # Limits that are short themselves: half of the time is warning.
        (used(0), 9, SHORT, Keep()),
        (used(0), 10, SHORT, Warn(idle_warned(10, 20))),
        (used(0, warned=idle_warned(10, 20)), 19, SHORT, Keep()),
        (used(0, warned=idle_warned(10, 20)), 20, SHORT, Remove(Reason.IDLE)),
        (used(25), 29, SHORT, Keep()),
        (used(25), 30, SHORT, Warn(lifetime_warned(30, 60))),
        # No limit, no warning.
        (used(0), 1000 * DAY, ENDLESS, Keep()),
        (used(0), DAY - 1, replace(LIMITS, idle=0), Warn(lifetime_warned(DAY - 1, DAY + 299))),
        (used(0), DAY, replace(LIMITS, lifetime=0), Warn(idle_warned(DAY, DAY + 300))),
        # A limit that was taken away meanwhile: the warning goes, too.
        (used(0, warned=idle_warned(1500, 1800)), 1800, ENDLESS, WithdrawWarning()),
    ],
)
def test_warnings(activity: Activity, now: float, limits: Limits, decision: Decision) -> None:
    """People are told in time, for the whole time, and no more once they have come back."""
    assert decision == decide(READY, activity, now, limits)


TOLD = idle_warned(2500, 2800)


@pytest.mark.parametrize(
    ("warned", "looked", "now", "decision"),
    [
        # Before anybody is told.
        (None, 0, 2499, Keep()),
        (None, 2500 - LOOK_FRESH - 1, 2500, Poll()),
        (None, 2500 - LOOK_FRESH, 2500, Warn(TOLD)),
        # While the warning runs nothing has to be known.
        (TOLD, 0, 2799, Keep()),
        # Before the stop.
        (TOLD, 2800 - LOOK_FRESH - 1, 2800, Poll()),
        (TOLD, 2800 - LOOK_FRESH, 2800, Remove(Reason.IDLE)),
        # A controller that cannot look for days stops nobody, and warns nobody.
        (TOLD, 1000, 10 * DAY, Poll()),
        (None, 1000, 10 * DAY, Poll()),
        (TOLD, 10 * DAY - 1, 10 * DAY, Remove(Reason.IDLE)),
    ],
)
def test_nobody_is_stopped_unseen(
    warned: Warned | None, looked: float, now: float, decision: Decision
) -> None:
    """Before anybody is warned or stopped as idle, it is found out anew whether they are."""
    endless = replace(LIMITS, lifetime=0)
    activity = replace(FRESH, last_active=1000, warned=warned, looked=looked)
    assert decision == decide(READY, activity, now, endless)


TOLD_OF_AGE = lifetime_warned(DAY - 300, DAY)


@pytest.mark.parametrize(
    ("warned", "looked", "now", "decision"),
    [
        # Before anybody is told: who cannot be reached cannot be told.
        (None, DAY - 300 - LOOK_FRESH - 1, DAY - 300, Poll()),
        (None, DAY - 300 - LOOK_FRESH, DAY - 300, Warn(TOLD_OF_AGE)),
        (None, 1000, DAY + UNREACHED - 1, Poll()),
        # Before the stop: what cannot be reached cannot save.
        (TOLD_OF_AGE, 1000, DAY - 1, Keep()),
        (TOLD_OF_AGE, 1000, DAY, Poll()),
        (TOLD_OF_AGE, DAY - LOOK_FRESH, DAY, Remove(Reason.LIFETIME)),
        (TOLD_OF_AGE, 1000, DAY + UNREACHED - 1, Poll()),
        # Not for ever.
        (TOLD_OF_AGE, 1000, DAY + UNREACHED, Remove(Reason.LIFETIME)),
        (None, 1000, DAY + UNREACHED, Warn(lifetime_warned(DAY + UNREACHED, DAY + 3900))),
        (lifetime_warned(DAY + 3600, DAY + 3900), 0, DAY + 3900, Remove(Reason.LIFETIME)),
    ],
)
def test_out_of_reach_at_the_end(
    warned: Warned | None, looked: float, now: float, decision: Decision
) -> None:
    """A lifetime ends once people could be told and the session can save, or an hour later."""
    activity = replace(FRESH, last_active=now, warned=warned, looked=looked)
    assert decision == decide(READY, activity, now, LIMITS)


AHEAD = replace(used(0), ahead=True)


@pytest.mark.parametrize(
    ("seen", "activity", "now", "decision"),
    [
        (READY, AHEAD, 599, Keep()),
        (READY, AHEAD, 600, Remove(Reason.UNUSED)),
        (READY, replace(AHEAD, last_active=100), 699, Keep()),
        (READY, replace(AHEAD, last_active=100), 700, Remove(Reason.UNUSED)),
        (READY, replace(AHEAD, looked=0), 600, Remove(Reason.UNUSED)),
        (UP, AHEAD, 170, Keep()),
        (UP, AHEAD, 181, Keep()),  # failed, and to be read about
        (READY, replace(AHEAD, ahead=False), 1499, Keep()),
        (READY, replace(AHEAD, ahead=False), 1500, Warn(idle_warned(1500, 1800))),
    ],
)
def test_started_ahead(seen: Observed, activity: Activity, now: float, decision: Decision) -> None:
    """What was started ahead and is not used goes early and without a word; once used it stays."""
    assert decision == decide(seen, activity, now, LIMITS)


def test_someone_who_works_for_days() -> None:
    """A session used every twenty minutes goes on until its lifetime is over, and says so before.

    Nothing is said of idleness on the way.
    """
    activity = FRESH
    heard: list[Decision] = []
    for minute in range(25 * 60):
        now = minute * 60.0
        if minute % 20 == 0:
            activity = replace(activity, last_active=now)
        decision = decide(READY, replace(activity, looked=now), now, LIMITS)
        if decision != Keep():
            heard.append(decision)
        if isinstance(decision, Warn):
            activity = replace(activity, warned=decision.warned)
        if isinstance(decision, Remove):
            break
    assert heard == [Warn(lifetime_warned(DAY - 300, DAY)), Remove(Reason.LIFETIME)]


moments = st.floats(0, 1e7)
warnings = st.none() | st.builds(
    Warned, st.sampled_from([Reason.IDLE, Reason.LIFETIME]), moments, moments
)
activities = st.builds(
    Activity,
    first_seen=moments,
    last_active=moments,
    age_then=st.floats(0, 2 * DAY),
    failed_since=st.none() | moments,
    warned=warnings,
    ahead=st.booleans(),
    looked=moments,
)
anything = st.builds(
    Observed,
    session=st.just(session()),
    running=st.booleans(),
    healthy=st.booleans(),
    complete=st.booleans(),
    deleting=st.booleans(),
    orphan=st.booleans(),
    exit_code=st.none() | st.integers(0, 255),
    served=st.booleans(),
    refused=st.sampled_from(["", "It cannot be started."]),
)
some_limits = st.builds(
    Limits,
    start=st.floats(1, 1000),
    idle=st.just(0.0) | st.floats(1, 1e5),
    lifetime=st.just(0.0) | st.floats(1, 1e6),
    failed=st.floats(0, 1000),
    warning=st.floats(0, 1000),
    ahead=st.floats(0, 1000),
)


@given(anything, activities, moments, some_limits)
def test_no_stop_out_of_the_blue(
    seen: Observed, activity: Activity, now: float, limits: Limits
) -> None:
    """Whatever is known: an idle stop was announced, its time has come, and nobody came back."""
    if decide(seen, activity, now, limits) == Remove(Reason.IDLE):
        assert phase_of(seen, now - activity.first_seen, limits) is Phase.READY
        assert limits.idle
        assert activity.idle(now) >= limits.idle_warning
        assert not activity.ahead
        assert activity.warned is not None
        assert activity.warned.stop <= now
        assert activity.last_active <= activity.warned.at
        assert now - activity.looked <= LOOK_FRESH


@given(anything, activities, moments, some_limits)
def test_no_end_of_what_could_be_saved(
    seen: Observed, activity: Activity, now: float, limits: Limits
) -> None:
    """Whatever is known: what runs and was ready is told, reached or an hour over its time."""
    if decide(seen, activity, now, limits) == Remove(Reason.LIFETIME):
        if not (seen.running and seen.served):
            return
        late = activity.age(now) >= limits.lifetime + UNREACHED
        assert late or (activity.warned and now - activity.looked <= LOOK_FRESH)


@pytest.mark.parametrize(
    "seen",
    [
        READY,
        replace(READY, healthy=False),
        replace(READY, complete=False),
        replace(READY, running=False),
        replace(READY, served=False),
    ],
)
@pytest.mark.parametrize("now", [DAY - 10, DAY, DAY + 289])
def test_a_promise_is_kept(seen: Observed, now: float) -> None:
    """Who was told when it stops has until then, even if the session falters meanwhile."""
    told = used(now, warned=lifetime_warned(DAY - 10, DAY + 290))
    young = replace(told, first_seen=DAY - 20, age_then=DAY - 20)
    assert decide(seen, young, now, LIMITS) in {Keep(), Repair()}


@given(anything, activities, moments, some_limits)
def test_warnings_have_their_length(
    seen: Observed, activity: Activity, now: float, limits: Limits
) -> None:
    """Whatever is known: a warning is of now, and its stop is as far away as it must be."""
    decision = decide(seen, activity, now, limits)
    if isinstance(decision, Warn):
        of_age = decision.warned.reason is Reason.LIFETIME
        length = limits.lifetime_warning if of_age else limits.idle_warning
        assert decision.warned.at == now
        assert decision.warned.stop >= now + length


@given(
    st.floats(0, 1e9),
    st.floats(0, DAY - 301),
    st.floats(0, 1499),
)
def test_after_a_restart(clock: float, age: float, later: float) -> None:
    """Of whom nothing is remembered after a restart has the whole idle time again."""
    adopted = Activity(first_seen=clock, last_active=clock, age_then=age)
    now = min(clock + later, clock + DAY - 301 - age)
    assert decide(READY, adopted, now, LIMITS) == Keep()


@given(seen=anything, watched=st.floats(0, 1e6))
def test_ready_means_ready(seen: Observed, watched: float) -> None:
    """In no combination of facts is a session ready that is not running, whole and served."""
    if phase_of(seen, watched, LIMITS) is Phase.READY:
        assert seen.running
        assert seen.healthy
        assert seen.complete
        assert seen.served
        assert not seen.deleting
        assert seen.exit_code is None


@given(age=st.floats(0, 29), seen=st.sampled_from([BORN, UP, READY, ORPHAN]))
def test_a_launch_is_left_alone(age: float, seen: Observed) -> None:
    """Nothing under half a minute old is touched: its launch may be under way elsewhere."""
    young = Activity(first_seen=5, last_active=5, age_then=age)
    assert decide(seen, young, 5, LIMITS) == Keep()


def test_limits_of_a_profile() -> None:
    """A profile's limits count; a session whose profile is gone keeps the usual ones."""
    own = replace(SLICER, start_seconds=1, idle_seconds=2, lifetime_seconds=3)
    hub = settings(failed_seconds="4", warning_seconds="5", ahead_seconds="6")
    assert limits_of(own, hub) == Limits(start=1, idle=2, lifetime=3, failed=4, warning=5, ahead=6)
    assert limits_of(None, settings()) == LIMITS


@pytest.mark.parametrize(
    ("idle", "lifetime", "warning", "of_idle", "of_lifetime"),
    [
        (1800, 86_400, 300, 300, 300),
        (600, 600, 300, 300, 300),
        (599, 100, 300, 299.5, 50),
        (20, 86_400, 300, 10, 300),
        (1800, 86_400, 0, 0, 0),
    ],
)
def test_length_of_warnings(
    idle: float, lifetime: float, warning: float, of_idle: float, of_lifetime: float
) -> None:
    """A warning takes the time that is configured, but never more than half of the limit."""
    limits = replace(LIMITS, idle=idle, lifetime=lifetime, warning=warning)
    assert (limits.idle_warning, limits.lifetime_warning) == (of_idle, of_lifetime)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (None, "within 180 seconds"),
        (137, "memory"),
        (0, "ended by itself"),
        (143, "restart of the server"),
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
    assert words_of(sentence).isdisjoint(FORBIDDEN)


@pytest.mark.parametrize(
    ("phase", "seen", "place", "sentence"),
    [
        (Phase.PENDING, BORN, None, "Your session is being prepared."),
        (Phase.PENDING, BORN, (1, "a free place"), "1st in the queue; it waits for a free place."),
        (Phase.PENDING, BORN, (2, "its turn"), "2nd in the queue; it waits for its turn."),
        (Phase.PENDING, BORN, (3, "a free place"), "3rd in the queue; it waits for a free place."),
        (Phase.PENDING, BORN, (4, "a free place"), "4th in the queue; it waits for a free place."),
        (
            Phase.PENDING,
            BORN,
            (11, "a free place"),
            "11th in the queue; it waits for a free place.",
        ),
        (
            Phase.PENDING,
            BORN,
            (12, "a free place"),
            "12th in the queue; it waits for a free place.",
        ),
        (
            Phase.PENDING,
            BORN,
            (13, "a free place"),
            "13th in the queue; it waits for a free place.",
        ),
        (
            Phase.PENDING,
            BORN,
            (21, "a free place"),
            "21st in the queue; it waits for a free place.",
        ),
        (
            Phase.PENDING,
            BORN,
            (102, "a free place"),
            "102nd in the queue; it waits for a free place.",
        ),
        (
            Phase.PENDING,
            BORN,
            (111, "a free place"),
            "111th in the queue; it waits for a free place.",
        ),
        (Phase.PENDING, FETCHING, None, "Fetching the program: 3 of 9 GB."),
        (Phase.PENDING, FETCHING, (1, "its turn"), "1st in the queue; it waits for its turn."),
        (Phase.STARTING, replace(UP, progress="It wakes up."), None, "It wakes up."),
        (Phase.STARTING, UP, None, "Your files are connected; the program is loading."),
        (Phase.READY, replace(READY, progress="It wakes up."), None, "Ready."),
        (Phase.READY, READY, None, "Ready."),
        (Phase.STOPPING, STOPPING, None, "It is stopping. The files stay."),
        (Phase.FAILED, REFUSED, None, "It cannot be started."),
        (Phase.FAILED, replace(REFUSED, exit_code=3), None, "It cannot be started."),
        (
            Phase.FAILED,
            replace(ENDED, exit_code=137, progress="The machine that it ran on was lost."),
            None,
            "The machine that it ran on was lost.",
        ),
    ],
)
def test_messages(
    phase: Phase, seen: Observed, place: tuple[int, str] | None, sentence: str
) -> None:
    """Who waits reads where they stand in the queue, or what goes on, or why it came to nothing."""
    stands = QueuePosition(*place) if place else None
    assert sentence == message_of(phase, seen, LIMITS, place=stands)


@pytest.mark.parametrize("reason", [Reason.IDLE, Reason.LIFETIME])
def test_warning_words(reason: Reason) -> None:
    """The warning in a session says why it will stop, in whole sentences of plain words."""
    sentence = warning_of(reason)
    assert sentence.endswith(".")
    assert words_of(sentence).isdisjoint(FORBIDDEN)
    assert ("long" in sentence) is (reason is Reason.LIFETIME)


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
        (Reason.IDLE, replace(LIMITS, idle=7200), "after 2 hours unused. Your files are there."),
        (
            Reason.DEPARTED,
            LIMITS,
            "because this account may no longer use the hub. Your files are kept.",
        ),
        (Reason.ADMIN, LIMITS, "by the administrator. Your files are there."),
        (
            Reason.DRAIN,
            LIMITS,
            "because the hub is being emptied for maintenance. Your files are there.",
        ),
        (Reason.STOPPED, LIMITS, ""),
        (Reason.FAILED, LIMITS, ""),
        (Reason.UNUSED, LIMITS, ""),
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
        (Phase.FAILED, REFUSED, "failed todo todo todo"),
        (Phase.STOPPING, UP, "done done active todo"),
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


def test_progress_says_what_goes_on() -> None:
    """What a start waits for stands beside the step that waits, and nowhere else."""
    steps = progress_of(Phase.PENDING, FETCHING, title="Slicer", usual=6.2)
    assert steps == [
        Step("Place found", StepState.ACTIVE, "Fetching the program: 3 of 9 GB."),
        Step("Your files connected", StepState.TODO),
        Step("Slicer is loading", StepState.TODO, "usually 6 s"),
        Step("Ready", StepState.TODO),
    ]


USED = replace(FRESH, last_active=1000, sign=Sign.INPUT)
PLACE = QueuePosition(1, "a free place")
NEVER_IDLE = replace(LIMITS, idle=0)


@pytest.mark.parametrize(
    ("phase", "activity", "limits", "why"),
    [
        (Phase.PENDING, FRESH, LIMITS, KeepReason("1st in the queue, waits for a free place")),
        (Phase.STARTING, FRESH, LIMITS, KeepReason("starting")),
        (Phase.STOPPING, USED, LIMITS, KeepReason("stopping")),
        (Phase.FAILED, FAILED_AT_100, LIMITS, KeepReason("failed, shown until", 700)),
        (Phase.FAILED, FRESH, LIMITS, KeepReason("failed, shown until", 1660)),
        (Phase.READY, FRESH, LIMITS, KeepReason("no use seen since", 0)),
        (Phase.READY, USED, LIMITS, KeepReason("input", 1000, past=True)),
        (
            Phase.READY,
            replace(USED, sign=Sign.REQUEST),
            LIMITS,
            KeepReason("request", 1000, past=True),
        ),
        (Phase.READY, replace(USED, sign=Sign.COMPUTING), LIMITS, KeepReason("computing")),
        (
            Phase.READY,
            replace(USED, sign=Sign.COMPUTING, last_active=900),
            LIMITS,
            KeepReason("computed", 900, past=True),
        ),
        (
            Phase.READY,
            replace(USED, sign=Sign.KEPT, kept_by="alice"),
            LIMITS,
            KeepReason("kept by alice until", 2800),
        ),
        (
            Phase.READY,
            replace(USED, sign=Sign.KEPT, kept_by="alice"),
            NEVER_IDLE,
            KeepReason("kept by alice", 1000, past=True, more="never stopped for idleness"),
        ),
        (
            Phase.READY,
            USED,
            NEVER_IDLE,
            KeepReason("input", 1000, past=True, more="never stopped for idleness"),
        ),
        (
            Phase.READY,
            replace(USED, ahead=True),
            LIMITS,
            KeepReason("started ahead, unused, waits until", 1600),
        ),
        (
            Phase.READY,
            replace(USED, warned=idle_warned(1000, 1300)),
            LIMITS,
            KeepReason("unused, warned, stops at", 1300, more="unless it is used"),
        ),
        (
            Phase.READY,
            replace(USED, warned=lifetime_warned(1000, 1300)),
            LIMITS,
            KeepReason("its time is up, stops at", 1300),
        ),
    ],
)
def test_why_it_lives(phase: Phase, activity: Activity, limits: Limits, why: KeepReason) -> None:
    """Administrators read why a session has not been stopped, and until when that holds."""
    place = PLACE if phase is Phase.PENDING else None
    assert why == keep_reason(phase, activity, 1060, limits, place=place)
