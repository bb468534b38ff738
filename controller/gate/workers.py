"""Which worker is to be killed, and when another one begins. Pure; times are monotonic seconds."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

BEAT_SECONDS = 0.1
"""Between two heartbeats of a worker."""

SILENT_SECONDS = 0.5
"""Without a heartbeat, after which a worker hangs. Traefik would wait 30 s for its answer."""

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
    failures: int = 0  # workers that ended at once, one after the other
    due: float = 0.0  # when the next one may begin

    def started(self, pid: int, now: float) -> Slot:
        """A worker begins."""
        return replace(self, pid=pid, begun=now, quiet_since=now, beats=False)

    def heard(self, now: float) -> Slot:
        """A heartbeat has come."""
        return replace(self, quiet_since=now, beats=True)

    def excused(self, now: float) -> Slot:
        """The parent could not hear: what counts begins now."""
        return replace(self, quiet_since=now)

    def ended(self, now: float) -> Slot:
        """The worker has ended, for whatever reason."""
        failures = self.failures + 1 if now - self.begun < _AT_ONCE_SECONDS else 0
        pause = min(_PAUSE_SECONDS * 2 ** (failures - 1), _PAUSE_MAX) if failures else 0.0
        return Slot(failures=failures, due=now + pause)

    def is_due(self, now: float) -> bool:
        """Tell whether a worker is to begin."""
        return not self.pid and now >= self.due

    def is_silent(self, now: float) -> bool:
        """Tell whether the worker hangs."""
        bound = SILENT_SECONDS if self.beats else START_SECONDS
        return bool(self.pid) and now - self.quiet_since > bound
