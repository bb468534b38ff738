"""Turns decisions and facts into the sentences that people read about a session. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from controller.core.model import Observed, Phase, QueuePosition
from controller.core.records import Reason, Sign
from controller.rules.lifecycle import Activity, Limits

_MINUTE = 60

_HOUR = 3600

_DAY = 86_400

_STEP = 1024  # between units of memory


def session_title(profile_title: str, name: str) -> str:
    """What people call a session: ``Slicer · thesis``, or ``Slicer`` if it has no name."""
    return f"{profile_title} · {name}" if name else profile_title


def clock_text(at: datetime, now: datetime | None) -> str:
    """Time of day in UTC, with the date unless it is today: what pages show without script."""
    at, now = at.astimezone(UTC), now and now.astimezone(UTC)
    if now and at.date() == now.date():
        return f"{at:%H:%M} UTC"
    year = "" if now and at.year == now.year else f" {at.year}"
    return f"{at.day} {at:%b}{year}, {at:%H:%M} UTC"


def iso_text(at: datetime) -> str:
    """Time for a ``datetime`` attribute: UTC, whole seconds."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def why_text(why: KeepReason, at: datetime | None, now: datetime) -> str:
    """Say in one line why a session runs: ``input 2 min ago``, ``kept by alice until 16:00 UTC``.

    ``at``: the moment that belongs to ``why``.
    """
    moment = "" if at is None else ago_text(at, now) if why.past else clock_text(at, now)
    said = " ".join(part for part in (why.words, moment) if part)
    if not why.more:
        return said
    return f"{said} {why.more}" if why.more.startswith("unless") else f"{said}, {why.more}"


def ago_text(at: datetime, now: datetime) -> str:
    """How long ago something was, in the same words as the pages' script."""
    seconds = (now - at).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min ago"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h ago"
    return clock_text(at, now)


def bytes_text(size: float) -> str:
    """A size in a unit that needs few digits: ``0 MB``, ``640 MB``, ``3.4 GB``, ``1.2 TB``.

    Each unit is 1024 of the one before, under the name that people use.
    """
    size /= _STEP * _STEP
    for unit in ("MB", "GB", "TB"):
        if size < _STEP or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "MB" or size >= 100 else f"{size:.1f} {unit}"  # noqa: PLR2004 - three digits
        size /= _STEP
    raise AssertionError(size)


def duration_text(duration: timedelta) -> str:
    """A length of time in at most two units: ``1 h 30 min``, ``45 s``."""
    seconds = round(duration.total_seconds())
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        minutes, rest = divmod(seconds, _MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(seconds, _HOUR)
    return f"{hours} h {rest // _MINUTE} min" if rest >= _MINUTE else f"{hours} h"


def elapsed_text(seconds: float) -> str:
    """The time elapsed, in whole seconds; the pages' script counts on from it."""
    return duration_text(timedelta(seconds=int(seconds)))


def place_text(position: int) -> str:
    """A position in the queue, counted from 1: ``next in the queue``, ``22nd in the queue``."""
    return "next in the queue" if position == 1 else f"{_ordinal(position)} in the queue"


def uses_text(uses: int, most: int | None) -> str:
    """How often a link was used, and how often it may be."""
    if most is not None:
        return f"used {uses} of {most}"
    return {0: "not used yet", 1: "used once"}.get(uses, f"used {uses} times")


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


def failure_of(seen: Observed, limits: Limits) -> str:
    """Say in a sentence why a failed session failed."""
    if seen.refused:
        return seen.refused
    if seen.progress:
        return seen.progress  # the engine's words say more than an exit code
    match seen.exit_code:
        case None:
            return f"It was not ready within {limits.start:.0f} seconds."
        case 137:  # SIGKILL
            return "It was killed, most likely because it needed more memory than it may have."
        case 0:
            return "It ended by itself, or with a restart of the server."
        case 143:  # SIGTERM: not by the hub, which removes what it stops
            return "It was ended from outside, most likely by a restart of the server."
        case code:
            return f"It ended with an error (exit code {code})."


def message_of(
    phase: Phase, seen: Observed, limits: Limits, *, place: QueuePosition | None = None
) -> str:
    """Say in a sentence what happens in this phase. ``place``: its position in the queue."""
    match phase:
        case Phase.PENDING if place is not None:
            return f"{_ordinal(place.position)} in the queue; it waits for {place.waits_for}."
        case Phase.PENDING | Phase.STARTING if seen.progress:
            return seen.progress
        case Phase.PENDING:
            return "Your session is being prepared."
        case Phase.STARTING:
            return "Your files are connected; the program is loading."
        case Phase.READY:
            return "Ready."
        case Phase.STOPPING:
            return "It is stopping. The files stay."
        case Phase.FAILED:
            return failure_of(seen, limits)


def farewell_of(reason: Reason, limits: Limits, *, saved: bool = False) -> str:
    """Say why a session was stopped: the end of a sentence after "… was stopped at 14:02".

    "" if its owner did it, or knows already. ``saved``: its scene is offered at the next start.
    """
    left = (
        "Your scene was saved; it is offered when you start again."
        if saved
        else "Your files are there."
    )
    match reason:
        case Reason.IDLE:
            return f"after {_span(limits.idle)} unused. {left}"
        case Reason.LIFETIME:
            return f"after {_span(limits.lifetime)}, the longest it may run. {left}"
        case Reason.DEPARTED:
            return "because this account may no longer use the hub. Your files are kept."
        case Reason.ADMIN:
            return f"by the administrator. {left}"
        case Reason.DRAIN:
            return f"because the hub is being emptied for maintenance. {left}"
        case Reason.FAILED | Reason.STOPPED | Reason.UNUSED:
            return ""


def warning_of(reason: Reason) -> str:
    """Say inside a session why it will be stopped; the banner shows when."""
    if reason is Reason.LIFETIME:
        return "This session has run as long as it may and is about to stop. Save your work."
    return "This session is about to stop, because nobody is using it."


class KeepReason(msgspec.Struct, frozen=True):
    """Why a session is still running, in words that include a moment: ``input`` 2 min ago.

    ``at`` is monotonic and follows ``words``: as a time ago if it is ``past``, else as a time of
    day. ``more`` ends the sentence.
    """

    words: str
    at: float | None = None
    past: bool = False
    more: str = ""


COMPUTING_FRESH = 90.0
"""Seconds for which a poll that saw computing is believed: three rounds of polls."""


def keep_reason(
    phase: Phase,
    activity: Activity,
    now: float,
    limits: Limits,
    *,
    place: QueuePosition | None = None,
) -> KeepReason:
    """Say why a session has not been removed. ``place``: its position in the queue."""
    match phase:
        case Phase.PENDING if place is not None:
            words = f"{_ordinal(place.position)} in the queue, waits for {place.waits_for}"
            return KeepReason(words)
        case Phase.PENDING | Phase.STARTING:
            return KeepReason("starting")
        case Phase.STOPPING:
            return KeepReason("stopping")
        case Phase.FAILED:
            since = activity.failed_since
            return KeepReason(
                "failed, shown until", (now if since is None else since) + limits.failed
            )
        case Phase.READY:
            return _why_ready(activity, now, limits)


def _why_ready(activity: Activity, now: float, limits: Limits) -> KeepReason:
    last = activity.last_active
    if activity.ahead:
        return KeepReason("started ahead, unused, waits until", last + limits.ahead)
    if activity.warned is not None:
        unused = activity.warned.reason is Reason.IDLE
        return KeepReason(
            "unused, warned, stops at" if unused else "its time is up, stops at",
            activity.warned.stop,
            more="unless it is used" if unused else "",
        )
    if activity.sign is Sign.KEPT and limits.idle:
        return KeepReason(f"kept by {activity.kept_by} until", last + limits.idle)
    more = "" if limits.idle else "never stopped for idleness"
    match activity.sign:
        case Sign.COMPUTING if now - last <= COMPUTING_FRESH:
            return KeepReason("computing", more=more)
        case Sign.COMPUTING:
            return KeepReason("computed", last, past=True, more=more)
        case Sign.KEPT:
            return KeepReason(f"kept by {activity.kept_by}", last, past=True, more=more)
        case Sign.INPUT | Sign.REQUEST:
            return KeepReason(activity.sign.value, last, past=True, more=more)
        case Sign.SEEN:
            return KeepReason("no use seen since", last, more=more)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    if number % 100 in {11, 12, 13}:
        ending = "th"
    return f"{number}{ending}"


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
        if state is StepState.ACTIVE and seen.progress:
            detail = seen.progress
        steps.append(Step(template.format(title=title), state, detail))
    return steps
