"""What the observed facts mean: a session's phase, its progress, and what is to be done about it.

Pure. Times are seconds of the controller's monotonic clock, so that a step of the wall clock
stops nobody (threats.md row 44). Only a session's age, when the controller sees it for the first
time, is taken from the wall clock.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from controller.model import Observed, Phase, Profile

LAUNCH_GRACE = 60.0
"""Seconds after its creation in which a session that is not whole counts as being launched."""


class Limits(msgspec.Struct, frozen=True):
    """How long things may take, in seconds; 0 means without limit for idle and lifetime."""

    start: float
    idle: float
    lifetime: float
    failed: float


class Activity(msgspec.Struct, frozen=True):
    """What the controller has noticed of a session since it first saw it."""

    first_seen: float
    age_then: float = 0.0  # seconds old when first seen
    last_active: float = 0.0  # a request through Traefik, or computing
    failed_since: float | None = None

    def age(self, now: float) -> float:
        """Seconds since the session was created."""
        return self.age_then + now - self.first_seen

    def idle(self, now: float) -> float:
        """Seconds since the last sign of life; being seen for the first time is one."""
        return now - max(self.last_active, self.first_seen)


class Reason(StrEnum):
    """Why a session is removed."""

    STOPPED = "stopped"  # by a person, or a stop that was cut short
    IDLE = "idle"
    LIFETIME = "lifetime"
    FAILED = "failed"


class Keep(msgspec.Struct, frozen=True):
    """Leave it alone."""


class Repair(msgspec.Struct, frozen=True):
    """Something that belongs to it is missing: ensure it again."""


class Remove(msgspec.Struct, frozen=True):
    """Stop it; the files stay."""

    reason: Reason


Decision = Keep | Repair | Remove


class StepState(StrEnum):
    """Where a step of a start stands."""

    DONE = "done"
    ACTIVE = "active"
    TODO = "todo"
    FAILED = "failed"


class Step(msgspec.Struct, frozen=True):
    """A step of a session's start."""

    title: str
    state: StepState
    detail: str = ""  # such as "usually 6 s"


def limits_of(profile: Profile | None, failed_seconds: float) -> Limits:
    """Return the limits of a profile; one that is no longer configured gets the defaults."""
    chosen = profile or Profile(id="", title="", image="")
    return Limits(
        start=chosen.start_seconds,
        idle=chosen.idle_seconds,
        lifetime=chosen.lifetime_seconds,
        failed=failed_seconds,
    )


def phase_of(seen: Observed, watched: float, limits: Limits) -> Phase:
    """Return the phase; the first that matches wins.

    ``watched``: seconds since this controller first saw the session. A session that was once
    served is never failed for its age: what it lacks is repaired.
    """
    if seen.deleting:
        return Phase.STOPPING
    if seen.exit_code is not None:
        return Phase.FAILED
    if seen.running and seen.healthy and seen.complete and seen.served:
        return Phase.READY
    if not seen.served and watched > limits.start:
        return Phase.FAILED
    return Phase.STARTING if seen.running else Phase.PENDING


def decide(seen: Observed, activity: Activity, now: float, limits: Limits) -> Decision:
    """Return what housekeeping has to do about a session now."""
    phase = phase_of(seen, now - activity.first_seen, limits)
    if phase is Phase.STOPPING:
        return Remove(Reason.STOPPED)
    if phase is Phase.FAILED:
        since = activity.failed_since
        over = since is not None and now - since >= limits.failed
        return Remove(Reason.FAILED) if over else Keep()
    if limits.lifetime and activity.age(now) >= limits.lifetime:
        return Remove(Reason.LIFETIME)
    if phase is Phase.READY and limits.idle and activity.idle(now) >= limits.idle:
        return Remove(Reason.IDLE)
    whole = seen.running and seen.complete
    launching = not seen.served and activity.age(now) < LAUNCH_GRACE
    if whole or launching:
        return Keep()
    return Remove(Reason.STOPPED) if seen.orphan else Repair()


def failure_of(seen: Observed, limits: Limits) -> str:
    """Say in a sentence why a failed session failed."""
    match seen.exit_code:
        case None:
            return f"It did not get ready within {limits.start:.0f} seconds."
        case 137:  # SIGKILL
            return "It was killed, most likely because it needed more memory than it may have."
        case 0:
            return "It ended by itself."
        case code:
            return f"It ended with an error (exit code {code})."


def message_of(phase: Phase, seen: Observed, limits: Limits) -> str:
    """Say in a sentence what happens in this phase."""
    match phase:
        case Phase.PENDING:
            return "A place is being made."
        case Phase.STARTING:
            return "Your files are connected; the program is loading."
        case Phase.READY:
            return "Ready."
        case Phase.STOPPING:
            return "It is stopping; the files stay."
        case Phase.FAILED:
            return failure_of(seen, limits)


def farewell_of(reason: Reason, limits: Limits) -> str:
    """Say why a session was stopped, as it goes on after "… was stopped at 14:02".

    "" if its owner did it, or knows already.
    """
    match reason:
        case Reason.IDLE:
            return f"after {_span(limits.idle)} unused. Your files are there."
        case Reason.LIFETIME:
            return f"after {_span(limits.lifetime)}, the longest it may run. Your files are there."
        case Reason.FAILED | Reason.STOPPED:
            return ""


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 120:  # noqa: PLR2004 - two hours, where hours begin to read better
        return f"{round(minutes / 60)} hours"
    return f"{minutes} minutes" if minutes else f"{seconds:.0f} seconds"


_TITLES = ("Place found", "Your files connected", "{title} is loading", "Ready")


def progress_of(phase: Phase, seen: Observed, *, title: str, usual: float | None) -> list[Step]:
    """Return the four steps of a start.

    ``usual``: seconds that this profile's past starts took, if there were any.
    """
    if phase is Phase.READY:
        reached = len(_TITLES)
    elif seen.running or seen.exit_code is not None:
        reached = 2
    else:
        reached = 1 if seen.complete else 0
    steps: list[Step] = []
    for number, template in enumerate(_TITLES):
        current = StepState.FAILED if phase is Phase.FAILED else StepState.ACTIVE
        waiting = current if number == reached else StepState.TODO
        state = StepState.DONE if number < reached else waiting
        loading = template.startswith("{") and state is not StepState.DONE
        detail = f"usually {usual:.0f} s" if loading and usual else ""
        steps.append(Step(template.format(title=title), state, detail))
    return steps
