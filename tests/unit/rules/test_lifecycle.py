"""What facts mean, and what is done about them, over days and in spite of clocks."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.core.model import Observed, Phase
from controller.core.records import Reason
from controller.core.sentence import Phrase
from controller.rules.lifecycle import (
    POLL_FRESH,
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
from controller.settings.loading import SLICER
from tests.support.samples import settings
from tests.unit.rules.facts import (
    BORN,
    DAY,
    ENDED,
    FAILED_AT_100,
    FRESH,
    LIMITS,
    ORPHAN,
    READY,
    REFUSED,
    STOPPING,
    UP,
    idle_warned,
    lifetime_warned,
    used,
)

ENDLESS = replace(LIMITS, idle=0, lifetime=0)


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
        (
            replace(BORN, complete=True, progress=Phrase("Waiting for a free machine")),
            FRESH,
            170,
            Keep(),
        ),
        (replace(BORN, progress=Phrase("Waiting for a free machine")), FRESH, 170, Repair()),
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
    ("warned", "polled", "now", "decision"),
    [
        # Before anybody is told.
        (None, 0, 2499, Keep()),
        (None, 2500 - POLL_FRESH - 1, 2500, Poll()),
        (None, 2500 - POLL_FRESH, 2500, Warn(TOLD)),
        # While the warning runs nothing has to be known.
        (TOLD, 0, 2799, Keep()),
        # Before the stop.
        (TOLD, 2800 - POLL_FRESH - 1, 2800, Poll()),
        (TOLD, 2800 - POLL_FRESH, 2800, Remove(Reason.IDLE)),
        # A controller that cannot look for days stops nobody, and warns nobody.
        (TOLD, 1000, 10 * DAY, Poll()),
        (None, 1000, 10 * DAY, Poll()),
        (TOLD, 10 * DAY - 1, 10 * DAY, Remove(Reason.IDLE)),
    ],
)
def test_nobody_is_stopped_unseen(
    warned: Warned | None, polled: float, now: float, decision: Decision
) -> None:
    """Before anybody is warned or stopped as idle, it is found out anew whether they are."""
    endless = replace(LIMITS, lifetime=0)
    activity = replace(FRESH, last_active=1000, warned=warned, polled=polled)
    assert decision == decide(READY, activity, now, endless)


TOLD_OF_AGE = lifetime_warned(DAY - 300, DAY)


@pytest.mark.parametrize(
    ("warned", "polled", "now", "decision"),
    [
        # Before anybody is told: who cannot be reached cannot be told.
        (None, DAY - 300 - POLL_FRESH - 1, DAY - 300, Poll()),
        (None, DAY - 300 - POLL_FRESH, DAY - 300, Warn(TOLD_OF_AGE)),
        (None, 1000, DAY + UNREACHED - 1, Poll()),
        # Before the stop: what cannot be reached cannot save.
        (TOLD_OF_AGE, 1000, DAY - 1, Keep()),
        (TOLD_OF_AGE, 1000, DAY, Poll()),
        (TOLD_OF_AGE, DAY - POLL_FRESH, DAY, Remove(Reason.LIFETIME)),
        (TOLD_OF_AGE, 1000, DAY + UNREACHED - 1, Poll()),
        # Not for ever.
        (TOLD_OF_AGE, 1000, DAY + UNREACHED, Remove(Reason.LIFETIME)),
        (None, 1000, DAY + UNREACHED, Warn(lifetime_warned(DAY + UNREACHED, DAY + 3900))),
        (lifetime_warned(DAY + 3600, DAY + 3900), 0, DAY + 3900, Remove(Reason.LIFETIME)),
    ],
)
def test_out_of_reach_at_the_end(
    warned: Warned | None, polled: float, now: float, decision: Decision
) -> None:
    """A lifetime ends once people could be told and the session can save, or an hour later."""
    activity = replace(FRESH, last_active=now, warned=warned, polled=polled)
    assert decision == decide(READY, activity, now, LIMITS)


AHEAD = replace(used(0), ahead=True)


@pytest.mark.parametrize(
    ("seen", "activity", "now", "decision"),
    [
        (READY, AHEAD, 599, Keep()),
        (READY, AHEAD, 600, Remove(Reason.UNUSED)),
        (READY, replace(AHEAD, last_active=100), 699, Keep()),
        (READY, replace(AHEAD, last_active=100), 700, Remove(Reason.UNUSED)),
        (READY, replace(AHEAD, polled=0), 600, Remove(Reason.UNUSED)),
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
        decision = decide(READY, replace(activity, polled=now), now, LIMITS)
        if decision != Keep():
            heard.append(decision)
        if isinstance(decision, Warn):
            activity = replace(activity, warned=decision.warned)
        if isinstance(decision, Remove):
            break
    assert heard == [Warn(lifetime_warned(DAY - 300, DAY)), Remove(Reason.LIFETIME)]


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
