"""What people read of a session: why it waits, starts, failed or was stopped, and why it lives."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from controller.core.model import Observed, Phase
from controller.core.records import Reason, Sign
from controller.core.sentence import Phrase
from controller.rules.keeping import Keeping, KeepReason, keep_reason
from controller.rules.lifecycle import Activity, Limits
from controller.rules.notices import about_to_stop, stopped
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource, Shortfall
from controller.rules.sentences import Step, StepState, awaited, message_of, progress_of, refusal_of
from tests.unit.rules.facts import (
    BORN,
    ENDED,
    FAILED_AT_100,
    FETCHING,
    FRESH,
    LIMITS,
    READY,
    REFUSED,
    STOPPING,
    UP,
    idle_warned,
    lifetime_warned,
)

FORBIDDEN = {"container", "pod", "image", "route", "token"}


def words_of(sentence: str) -> set[str]:
    """Return the words of a sentence, in lower case and without its signs."""
    return set(re.findall(r"\w+", sentence.lower()))


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
    assert words in str(message_of(Phase.FAILED, replace(ENDED, exit_code=exit_code), LIMITS))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_sentence(phase: Phase) -> None:
    """Whatever goes on, people read a sentence and none of the engine's words."""
    sentence = str(message_of(phase, ENDED, LIMITS))
    assert sentence.endswith(".")
    assert words_of(sentence).isdisjoint(FORBIDDEN)


@pytest.mark.parametrize(
    ("phase", "seen", "place", "sentence"),
    [
        (Phase.PENDING, BORN, None, "Your session is being prepared."),
        (Phase.PENDING, BORN, (1, "a free place"), "Next in the queue; it waits for a free place."),
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
        (Phase.PENDING, FETCHING, (1, "its turn"), "Next in the queue; it waits for its turn."),
        (Phase.STARTING, replace(UP, progress=Phrase("It wakes up.")), None, "It wakes up."),
        (Phase.STARTING, UP, None, "Your files are connected; the program is loading."),
        (Phase.READY, replace(READY, progress=Phrase("It wakes up.")), None, "Ready."),
        (Phase.READY, READY, None, "Ready."),
        (Phase.STOPPING, STOPPING, None, "It is stopping. The files stay."),
        (Phase.FAILED, REFUSED, None, "It cannot be started."),
        (Phase.FAILED, replace(REFUSED, exit_code=3), None, "It cannot be started."),
        (
            Phase.FAILED,
            replace(ENDED, exit_code=137, progress=Phrase("The machine that it ran on was lost.")),
            None,
            "The machine that it ran on was lost.",
        ),
    ],
)
def test_messages(
    phase: Phase, seen: Observed, place: tuple[int, str] | None, sentence: str
) -> None:
    """A person reads the session's position in the queue, or what goes on, or why it failed."""
    waits_for = {"its turn": None, "a free place": Resource.TOTAL}
    stands = QueuePosition(place[0], waits_for[place[1]]) if place else None
    assert sentence == str(message_of(phase, seen, LIMITS, place=stands))


@pytest.mark.parametrize("reason", [Reason.IDLE, Reason.LIFETIME])
def test_warning_words(reason: Reason) -> None:
    """The warning in a session says why it will stop, in whole sentences of plain words."""
    sentence = str(about_to_stop(reason))
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
            "because of maintenance. Your files are there.",
        ),
        (Reason.STOPPED, LIMITS, ""),
        (Reason.FAILED, LIMITS, ""),
        (Reason.UNUSED, LIMITS, ""),
    ],
)
def test_farewell(reason: Reason, limits: Limits, sentence: str) -> None:
    """The owner of a stopped session reads why; after an own stop there is nothing to read."""
    said = stopped("Slicer", reason, limits)
    told = ("Slicer was stopped at", sentence) if sentence else None
    assert told == (said.around("at") if said else None)


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
PLACE = QueuePosition(1, Resource.TOTAL)
NEVER_IDLE = replace(LIMITS, idle=0)


@pytest.mark.parametrize(
    ("phase", "activity", "limits", "why"),
    [
        (Phase.PENDING, FRESH, LIMITS, KeepReason(Keeping.QUEUED, place=PLACE)),
        (Phase.STARTING, FRESH, LIMITS, KeepReason(Keeping.STARTING)),
        (Phase.STOPPING, USED, LIMITS, KeepReason(Keeping.STOPPING)),
        (Phase.FAILED, FAILED_AT_100, LIMITS, KeepReason(Keeping.FAILED, 700)),
        (Phase.FAILED, FRESH, LIMITS, KeepReason(Keeping.FAILED, 1660)),
        (Phase.READY, FRESH, LIMITS, KeepReason(Keeping.SEEN, 0)),
        (Phase.READY, USED, LIMITS, KeepReason(Keeping.INPUT, 1000)),
        (
            Phase.READY,
            replace(USED, sign=Sign.REQUEST),
            LIMITS,
            KeepReason(Keeping.REQUEST, 1000),
        ),
        (Phase.READY, replace(USED, sign=Sign.COMPUTING), LIMITS, KeepReason(Keeping.COMPUTING)),
        (
            Phase.READY,
            replace(USED, sign=Sign.COMPUTING, last_active=900),
            LIMITS,
            KeepReason(Keeping.COMPUTED, 900),
        ),
        (
            Phase.READY,
            replace(USED, sign=Sign.KEPT, kept_by="alice"),
            LIMITS,
            KeepReason(Keeping.KEPT_UNTIL, 2800, by="alice"),
        ),
        (
            Phase.READY,
            replace(USED, sign=Sign.KEPT, kept_by="alice"),
            NEVER_IDLE,
            KeepReason(Keeping.KEPT, 1000, by="alice", never_idle=True),
        ),
        (
            Phase.READY,
            USED,
            NEVER_IDLE,
            KeepReason(Keeping.INPUT, 1000, never_idle=True),
        ),
        (
            Phase.READY,
            replace(USED, ahead=True),
            LIMITS,
            KeepReason(Keeping.AHEAD, 1600),
        ),
        (
            Phase.READY,
            replace(USED, warned=idle_warned(1000, 1300)),
            LIMITS,
            KeepReason(Keeping.UNUSED, 1300),
        ),
        (
            Phase.READY,
            replace(USED, warned=lifetime_warned(1000, 1300)),
            LIMITS,
            KeepReason(Keeping.TIME_UP, 1300),
        ),
    ],
)
def test_why_it_lives(phase: Phase, activity: Activity, limits: Limits, why: KeepReason) -> None:
    """Administrators read why a session has not been stopped, and until when that holds."""
    place = PLACE if phase is Phase.PENDING else None
    assert why == keep_reason(phase, activity, 1060, limits, place=place)


@pytest.mark.parametrize("resource", list(Resource))
def test_words_for_what_is_lacking(resource: Resource) -> None:
    """Whatever is lacking, people read a sentence that says what helps, in plain words."""
    sentence, waits_for = str(refusal_of(Shortfall(resource, "3"))), str(awaited(resource))
    assert sentence.endswith(".")
    assert waits_for
    assert not waits_for.endswith(".")
    words = set(re.findall(r"[a-z]+", f"{sentence} {waits_for}".lower()))
    assert words.isdisjoint({"container", "pod", "image", "route", "token"})
    assert ("3" in sentence) is (resource is Resource.OWN)
