"""Why a session is still running, for administrators. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from controller.core.model import Phase
from controller.core.records import Reason, Sign
from controller.rules.lifecycle import Activity, Limits
from controller.rules.queue import QueuePosition

COMPUTING_FRESH = 90.0
"""Seconds for which a poll that saw computing is believed: three rounds of polls."""


class Keeping(StrEnum):
    """Kind of the reason; the moment of each is named beside it."""

    QUEUED = "queued"
    STARTING = "starting"
    STOPPING = "stopping"
    FAILED = "failed"  # until when it is shown
    AHEAD = "ahead"  # until when it waits for its owner
    UNUSED = "unused"  # when it stops
    TIME_UP = "time_up"  # when it stops
    KEPT_UNTIL = "kept_until"  # until when
    KEPT = "kept"  # when somebody said so
    COMPUTING = "computing"
    COMPUTED = "computed"  # when it was last seen to
    INPUT = "input"  # when
    REQUEST = "request"  # when
    SEEN = "seen"  # since when no use was seen


_PAST = frozenset({Keeping.KEPT, Keeping.COMPUTED, Keeping.INPUT, Keeping.REQUEST})


class KeepReason(msgspec.Struct, frozen=True):
    """Why a session has not been removed. ``at`` is monotonic: the moment that belongs to it."""

    kind: Keeping
    at: float | None = None
    by: str = ""  # who kept it
    place: QueuePosition | None = None
    never_idle: bool = False  # it is never stopped when unused

    @property
    def past(self) -> bool:
        """Whether the moment reads best as a time ago."""
        return self.kind in _PAST


def keep_reason(
    phase: Phase,
    activity: Activity,
    now: float,
    limits: Limits,
    *,
    place: QueuePosition | None = None,
) -> KeepReason:
    """Return why a session has not been removed. ``place``: its position in the queue."""
    match phase:
        case Phase.PENDING if place is not None:
            return KeepReason(Keeping.QUEUED, place=place)
        case Phase.PENDING | Phase.STARTING:
            return KeepReason(Keeping.STARTING)
        case Phase.STOPPING:
            return KeepReason(Keeping.STOPPING)
        case Phase.FAILED:
            since = activity.failed_since
            return KeepReason(Keeping.FAILED, (now if since is None else since) + limits.failed)
        case Phase.READY:
            return _why_ready(activity, now, limits)


def _why_ready(activity: Activity, now: float, limits: Limits) -> KeepReason:
    last, never_idle = activity.last_active, not limits.idle
    if activity.ahead:
        return KeepReason(Keeping.AHEAD, last + limits.ahead)
    if activity.warned is not None:
        unused = activity.warned.reason is Reason.IDLE
        return KeepReason(Keeping.UNUSED if unused else Keeping.TIME_UP, activity.warned.stop)
    match activity.sign:
        case Sign.KEPT if limits.idle:
            return KeepReason(Keeping.KEPT_UNTIL, last + limits.idle, by=activity.kept_by)
        case Sign.KEPT:
            return KeepReason(Keeping.KEPT, last, by=activity.kept_by, never_idle=never_idle)
        case Sign.COMPUTING if now - last <= COMPUTING_FRESH:
            return KeepReason(Keeping.COMPUTING, never_idle=never_idle)
        case Sign.COMPUTING:
            return KeepReason(Keeping.COMPUTED, last, never_idle=never_idle)
        case Sign.INPUT:
            return KeepReason(Keeping.INPUT, last, never_idle=never_idle)
        case Sign.REQUEST:
            return KeepReason(Keeping.REQUEST, last, never_idle=never_idle)
        case Sign.SEEN:
            return KeepReason(Keeping.SEEN, last, never_idle=never_idle)
