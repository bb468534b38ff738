"""Which worker is to be killed, and when another one begins. Pure; times are monotonic seconds.

A worker that waits for the processor does not hang: on a machine that has too much to do, killing
it would only add to that. ``starved`` is for how long it has waited so in its whole life.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

BEAT_SECONDS = 0.1
"""Between two heartbeats of a worker."""

SILENT_SECONDS = 0.5
"""Without a heartbeat, after which a worker hangs. Traefik would wait 30 s for its answer."""

STARVED_MOST = 20.0
"""Seconds without a heartbeat that are forgiven to a worker that got no turn of the processor: the
next one would get no turn either."""

START_SECONDS = 10.0
"""The same before a worker's first heartbeat, in which it gets ready."""

STALLED_SECONDS = 0.25
"""Between two looks of the parent, after which it was stopped itself and has heard nobody."""

_AT_ONCE_SECONDS = 1.0  # in which a worker that ends has not worked

_PAUSE_SECONDS = 0.1  # before the next one, and twice that each time

_PAUSE_MAX = 5.0  # seconds


class Slot(msgspec.Struct, frozen=True):
    """The place of one worker, and who has it."""

    pid: int = 0  # 0: nobody
    begun: float = 0.0
    quiet_since: float = 0.0  # the last heartbeat or, before the first, the beginning
    beats: bool = False  # the first heartbeat has come
    starved: float = 0.0  # as of quiet_since
    failures: int = 0  # workers that ended at once, one after the other
    due: float = 0.0  # when the next one may begin

    def started(self, pid: int, now: float) -> Slot:
        """A worker begins."""
        return replace(self, pid=pid, begun=now, quiet_since=now, beats=False, starved=0.0)

    def heard(self, now: float, starved: float = 0.0) -> Slot:
        """A heartbeat has come."""
        return replace(self, quiet_since=now, beats=True, starved=starved)

    def excused(self, now: float, starved: float = 0.0) -> Slot:
        """The parent could not hear: what counts begins now."""
        return replace(self, quiet_since=now, starved=starved)

    def ended(self, now: float) -> Slot:
        """The worker has ended, for whatever reason."""
        failures = self.failures + 1 if now - self.begun < _AT_ONCE_SECONDS else 0
        pause = min(_PAUSE_SECONDS * 2 ** (failures - 1), _PAUSE_MAX) if failures else 0.0
        return Slot(failures=failures, due=now + pause)

    def is_due(self, now: float) -> bool:
        """Tell whether a worker is to begin."""
        return not self.pid and now >= self.due

    def is_silent(self, now: float, starved: float = 0.0) -> bool:
        """Tell whether the worker hangs."""
        bound = SILENT_SECONDS if self.beats else START_SECONDS
        silent = now - self.quiet_since
        waited = min(max(starved - self.starved, 0.0), STARVED_MOST)
        return bool(self.pid) and silent - waited > bound
