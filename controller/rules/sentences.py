"""Turns decisions and facts into the sentences that people read about a session. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from controller.core.model import Observed, Phase
from controller.core.sentence import Phrase, Sentence
from controller.rules.keeping import Keeping, KeepReason
from controller.rules.lifecycle import Limits
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource, Shortfall

_MINUTE = 60

_HOUR = 3600

_DAY = 86_400

_STEP = 1024  # between units of memory

_LOADING = 2  # the step of a start in which the program loads

AT = ""
"""Stands for a moment that whoever shows a phrase puts in: see ``Phrase.around``."""


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


def keep_text(why: KeepReason, at: datetime | None, now: datetime) -> str:
    """Say in one line why a session runs: ``input 2 min ago``, ``kept by alice until 16:00 UTC``.

    ``at``: the moment that belongs to ``why``.
    """
    moment = "" if at is None else ago_text(at, now) if why.past else clock_text(at, now)
    said = _keep_phrase(why, moment)
    return str(_never_idle(said) if why.never_idle else said)


def keep_around(why: KeepReason) -> tuple[str, str]:
    """Return what ``keep_text`` says before and after the moment, which a page shows itself."""
    said = _keep_phrase(why, AT)
    before, after = said.around("at")
    return before, _never_idle(said).around("why")[1] if why.never_idle else after


def _never_idle(why: Phrase) -> Phrase:
    return Phrase("{why}, never stopped when unused", why=why)


def _keep_phrase(why: KeepReason, at: str) -> Phrase:
    if why.place is not None:
        return Phrase(
            "{place}, waits for {resource}",
            place=_place(why.place.position),
            resource=awaited(why.place.waits_for),
        )
    return _KEEP[why.kind](why.by, at)


_KEEP: Mapping[Keeping, Callable[[str, str], Phrase]] = {
    Keeping.STARTING: lambda _, __: Phrase("starting"),
    Keeping.STOPPING: lambda _, __: Phrase("stopping"),
    Keeping.FAILED: lambda _, at: Phrase("failed, shown until {at}", at=at),
    Keeping.AHEAD: lambda _, at: Phrase("started ahead, unused, waits until {at}", at=at),
    Keeping.UNUSED: lambda _, at: Phrase("unused, warned, stops at {at} unless it is used", at=at),
    Keeping.TIME_UP: lambda _, at: Phrase("its time is up, stops at {at}", at=at),
    Keeping.KEPT_UNTIL: lambda who, at: Phrase("kept by {who} until {at}", who=who, at=at),
    Keeping.KEPT: lambda who, at: Phrase("kept by {who} {at}", who=who, at=at),
    Keeping.COMPUTING: lambda _, __: Phrase("computing"),
    Keeping.COMPUTED: lambda _, at: Phrase("computed {at}", at=at),
    Keeping.INPUT: lambda _, at: Phrase("input {at}", at=at),
    Keeping.REQUEST: lambda _, at: Phrase("request {at}", at=at),
    Keeping.SEEN: lambda _, at: Phrase("no use seen since {at}", at=at),
}


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
    return str(_place(position))


def _place(position: int) -> Phrase:
    if position == 1:
        return Phrase("next in the queue")
    return Phrase("{position} in the queue", position=_ordinal(position))


def uses_text(uses: int, most: int | None) -> str:
    """How often a link was used, and how often it may be."""
    if most is not None:
        return f"used {uses} of {most}"
    return {0: "not used yet", 1: "used once"}.get(uses, f"used {uses} times")


STOPPING = Sentence("It is stopping. The files stay.")
"""Where a session stands that is being stopped."""


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


def refusal_of(shortfall: Shortfall) -> Sentence:
    """Tell people what is missing for one more session, and what helps."""
    match shortfall.resource:
        case Resource.OWN if shortfall.of == "1":
            return Sentence(
                "You have 1 session, as many as you may have. Stop one to start another."
            )
        case Resource.OWN:
            return Sentence(
                "You have {number} sessions, as many as you may have. Stop one to start another.",
                number=shortfall.of,
            )
        case Resource.GPUS:
            return Sentence(
                "All graphics cards are in use. Try again when somebody stops a session."
            )
        case Resource.CPUS | Resource.MEMORY:
            return Sentence("The server is full. Try again when somebody stops a session.")
        case Resource.GROUP:
            return Sentence(
                "All places of your group are taken. Try again when somebody of your group stops a "
                "session."
            )
        case Resource.PROFILE | Resource.TOTAL:
            return Sentence("All places are taken. Try again when somebody stops a session.")


def awaited(resource: Resource | None) -> Phrase:
    """Name what a session in the queue waits for; None: its turn."""
    match resource:
        case None:
            return Phrase("its turn")
        case Resource.GPUS:
            return Phrase("a graphics card")
        case Resource.CPUS | Resource.MEMORY:
            return Phrase("room on the server")
        case Resource.GROUP:
            return Phrase("a free place for your group")
        case Resource.OWN | Resource.PROFILE | Resource.TOTAL:
            return Phrase("a free place")


def failure_of(seen: Observed, limits: Limits) -> Phrase:
    """Say why a failed session failed."""
    if seen.refused is not None:
        return seen.refused
    if seen.progress is not None:
        return seen.progress  # the engine's words say more than an exit code
    match seen.exit_code:
        case None:
            return Sentence(
                "It was not ready within {seconds} seconds.", seconds=f"{limits.start:.0f}"
            )
        case 137:  # SIGKILL
            return Sentence(
                "It was ended, most likely because it needed more memory than it may have. Try it "
                "with less data, or ask the administrator for more memory."
            )
        case 0:
            return Sentence("It ended by itself, or with a restart of the server.")
        case 143:  # SIGTERM: not by the hub, which removes what it stops
            return Sentence("It was ended from outside, most likely by a restart of the server.")
        case code:
            return Sentence("It ended with an error (exit code {code}).", code=code)


def message_of(
    phase: Phase, seen: Observed, limits: Limits, *, place: QueuePosition | None = None
) -> Phrase:
    """Say what happens in this phase. ``place``: its position in the queue."""
    match phase:
        case Phase.PENDING if place is not None and place.position == 1:
            return Sentence(
                "Next in the queue; it waits for {resource}.", resource=awaited(place.waits_for)
            )
        case Phase.PENDING if place is not None:
            return Sentence(
                "{position} in the queue; it waits for {resource}.",
                position=_ordinal(place.position),
                resource=awaited(place.waits_for),
            )
        case Phase.PENDING | Phase.STARTING if seen.progress is not None:
            return seen.progress
        case Phase.PENDING:
            return Sentence("Your session is being prepared.")
        case Phase.STARTING:
            return Sentence("Your files are connected; the program is loading.")
        case Phase.READY:
            return Sentence("Ready.")
        case Phase.STOPPING:
            return STOPPING
        case Phase.FAILED:
            return failure_of(seen, limits)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    if number % 100 in {11, 12, 13}:
        ending = "th"
    return f"{number}{ending}"


def progress_of(phase: Phase, seen: Observed, *, title: str, usual: float | None) -> list[Step]:
    """Return the four steps of a start.

    ``usual``: seconds that this profile's past starts took, if there were any.
    """
    titles = (
        Phrase("Place found"),
        Phrase("Your files connected"),
        Phrase("{title} is loading", title=title),
        Phrase("Ready"),
    )
    if phase is Phase.READY:
        reached = len(titles)
    elif seen.running or seen.exit_code is not None:
        reached = _LOADING
    else:
        reached = 1 if seen.complete else 0
    steps: list[Step] = []
    for number, step in enumerate(titles):
        current = StepState.FAILED if phase is Phase.FAILED else StepState.ACTIVE
        waiting = current if number == reached else StepState.TODO
        state = StepState.DONE if number < reached else waiting
        detail: Phrase | str = ""
        if number == _LOADING and state is not StepState.DONE and usual:
            detail = Phrase("usually {seconds} s", seconds=f"{usual:.0f}")
        if state is StepState.ACTIVE and seen.progress is not None:
            detail = seen.progress
        steps.append(Step(str(step), state, str(detail)))
    return steps
