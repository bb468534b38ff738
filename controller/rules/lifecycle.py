"""Decides by the observed facts: the phase of a session, and what to do about it.

Pure. Times are seconds of the controller's monotonic clock, so that a step of the wall clock
stops no session (threats.md row 44). Only the age of a session without a memo is taken from the
wall clock, when the controller sees it for the first time.
"""

from __future__ import annotations

import msgspec

from controller.core.model import Observed, Phase, Profile
from controller.core.records import Reason, Sign
from controller.settings.schema import Settings

LAUNCH_GRACE = 30.0
"""Seconds after its creation in which an incomplete session counts as being launched.

With a round of housekeeping after that, what a crash left is repaired or gone within a minute."""


POLL_FRESH = 10.0
"""Seconds for which a poll is believed. No session is warned or stopped as idle because of an older
one, and so never while the controller cannot poll."""


UNREACHED = 3600.0
"""Seconds for which the end of a lifetime waits for a session that cannot be reached, because
people in it could not be warned and their work could not be saved. An outage of Traefik is usually
shorter, and a session that refuses to be reached gains no more than this."""


class Limits(msgspec.Struct, frozen=True):
    """Limits in seconds; 0 means no limit for idle and lifetime."""

    start: float
    idle: float
    lifetime: float
    failed: float
    warning: float = 300.0  # between the warning and the stop
    ahead: float = 600.0  # that a session started ahead of its owner waits for them

    @property
    def idle_warning(self) -> float:
        """Seconds of warning before an idle stop; at most half of the limit."""
        return min(self.warning, self.idle / 2)

    @property
    def lifetime_warning(self) -> float:
        """Seconds of warning before the end of a lifetime."""
        return min(self.warning, self.lifetime / 2)


class Warned(msgspec.Struct, frozen=True):
    """People in the session were told that it will be stopped."""

    reason: Reason
    at: float  # when they were told
    stop: float  # when it stops if nothing happens


class Activity(msgspec.Struct, frozen=True):
    """What the controller has noticed of a session since it first saw it.

    Times are monotonic. ``last_active``: a request through Traefik, input, computing, or an
    explicit keep; without a memo, the first sight of the session.
    """

    first_seen: float
    last_active: float
    age_then: float = 0.0  # seconds old when first seen
    failed_since: float | None = None
    warned: Warned | None = None
    ahead: bool = False  # started ahead of its owner, and not used yet
    polled: float = 0.0  # when it was last polled successfully
    input: str = ""  # the session's own last_input_at, as it said it last
    sign: Sign = Sign.SEEN  # what ``last_active`` was
    kept_by: str = ""  # who kept it, if that was the last sign of life
    extra: float = 0.0  # seconds that an administrator has added to its lifetime

    def age(self, now: float) -> float:
        """Seconds since the session was created, while a controller was running."""
        return self.age_then + now - self.first_seen

    def idle(self, now: float) -> float:
        """Seconds since the last sign of life."""
        return now - self.last_active


class Keep(msgspec.Struct, frozen=True):
    """Leave it alone."""


class Repair(msgspec.Struct, frozen=True):
    """A part of it is missing: ensure it again."""


class Remove(msgspec.Struct, frozen=True):
    """Stop it; the files stay."""

    reason: Reason


class Warn(msgspec.Struct, frozen=True):
    """Tell people in it that it will be stopped."""

    warned: Warned


class WithdrawWarning(msgspec.Struct, frozen=True):
    """Take the warning back: it has been used again."""


class Poll(msgspec.Struct, frozen=True):
    """Poll it first: is it used, and can it be reached?"""


Decision = Keep | Repair | Remove | Warn | WithdrawWarning | Poll


def limits_of(profile: Profile | None, settings: Settings) -> Limits:
    """Return the limits of a profile; one that is no longer configured gets the defaults."""
    chosen = profile or Profile(id="", title="", image="")
    return Limits(
        start=chosen.start_seconds,
        idle=chosen.idle_seconds,
        lifetime=chosen.lifetime_seconds,
        failed=settings.failed_seconds,
        warning=settings.warning_seconds,
        ahead=settings.ahead_seconds,
    )


def phase_of(seen: Observed, watched: float, limits: Limits) -> Phase:
    """Return the phase; the first that matches wins.

    ``watched``: seconds since this controller first saw the session. A session that was once
    served never fails because of its age: missing parts are repaired.
    """
    if seen.deleting:
        return Phase.STOPPING
    if seen.exit_code is not None or seen.refused is not None:
        return Phase.FAILED
    if seen.running and seen.healthy and seen.complete and seen.served:
        return Phase.READY
    if not seen.served and watched > limits.start:
        return Phase.FAILED
    return Phase.STARTING if seen.running else Phase.PENDING


def takes_place(seen: Observed) -> bool:
    """Tell whether a session counts against the limits: it runs, or may still run.

    A session that failed only because it took too long may still start, with its resources.
    """
    return seen.exit_code is None and seen.refused is None


def decide(seen: Observed, activity: Activity, now: float, limits: Limits) -> Decision:
    """Return what housekeeping must do about a session now."""
    phase = phase_of(seen, now - activity.first_seen, limits)
    if phase is Phase.STOPPING:
        return Remove(Reason.STOPPED)
    if phase is Phase.FAILED:
        since = activity.failed_since
        over = since is not None and now - since >= limits.failed
        return Remove(Reason.FAILED) if over else Keep()
    if phase is Phase.READY:
        ending = _ending(activity, now, limits)
        if ending is not None:
            return ending
    elif (
        limits.lifetime
        and activity.age(now) >= limits.lifetime + _spared(seen)
        # Nobody is in it to be warned. But people who were told of a later stop have until then.
        and (activity.warned is None or now >= activity.warned.stop)
    ):
        return Remove(Reason.LIFETIME)
    # An engine that reports progress is still working on the start.
    whole = seen.complete and (seen.running or seen.progress is not None)
    launching = not seen.served and activity.age(now) < LAUNCH_GRACE
    if whole or launching:
        return Keep()
    return Remove(Reason.STOPPED) if seen.orphan else Repair()


def _spared(seen: Observed) -> float:
    """Return how long the end of a lifetime waits for a session that is not ready.

    A session that was ready and still runs holds people's work, and may only be out of reach.
    """
    return UNREACHED if seen.running and seen.served else 0.0


def _ending(
    activity: Activity, now: float, limits: Limits
) -> Remove | Warn | WithdrawWarning | Poll | None:
    """Decide whether a running session must end, or be warned of its end.

    A stop always follows a warning of full length: a restart of the controller can only delay it.
    """
    if activity.ahead:
        # There is nobody to warn, and nothing to lose.
        over = activity.idle(now) >= limits.ahead
        return Remove(Reason.UNUSED) if over else None
    warned = activity.warned
    due = _due(activity, now, limits)
    if due is None:
        return WithdrawWarning() if warned is not None else None
    told = warned if warned is not None and warned.reason is due.reason else None
    if told is not None and due.reason is Reason.IDLE and activity.last_active > told.at:
        told = None  # it was used in between: that warning no longer counts
    if told is not None and now < told.stop:
        return None
    out_of_reach = now - activity.polled > POLL_FRESH
    late = limits.lifetime and activity.age(now) >= limits.lifetime + UNREACHED
    if out_of_reach and not (due.reason is Reason.LIFETIME and late):
        return Poll()
    return Warn(due) if told is None else Remove(due.reason)


def _due(activity: Activity, now: float, limits: Limits) -> Warned | None:
    """Return the stop of which people must be warned by now; the lifetime comes first."""
    if limits.lifetime:
        left = limits.lifetime - activity.age(now)
        if left <= limits.lifetime_warning:
            return Warned(Reason.LIFETIME, now, now + max(left, limits.lifetime_warning))
    if limits.idle:
        left = limits.idle - activity.idle(now)
        if left <= limits.idle_warning:
            return Warned(Reason.IDLE, now, now + max(left, limits.idle_warning))
    return None
