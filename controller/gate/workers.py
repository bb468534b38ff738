"""Which worker is to be killed, and when another one begins. Pure; times are monotonic seconds.

A worker that waits for the processor does not hang: on a machine that has too much to do, killing
it would only add to that.
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


class Turns(msgspec.Struct, frozen=True):
    """What a process has had of the processor in its life, in seconds."""

    ran: float = 0.0
    waited: float = 0.0  # before turns that it got; what it waits for now is not in it
    waiting: bool = False  # it has or wants the processor now


class Slot(msgspec.Struct, frozen=True):
    """The place of one worker, and who has it."""

    pid: int = 0  # 0: nobody
    begun: float = 0.0
    quiet_since: float = 0.0  # the last heartbeat or, before the first, the beginning
    beats: bool = False  # the first heartbeat has come
    turns: Turns = Turns()  # as of quiet_since
    failures: int = 0  # workers that ended at once, one after the other
    due: float = 0.0  # when the next one may begin

    def started(self, pid: int, now: float) -> Slot:
        """A worker begins."""
        return replace(self, pid=pid, begun=now, quiet_since=now, beats=False, turns=Turns())

    def heard(self, now: float, turns: Turns) -> Slot:
        """A heartbeat has come."""
        return replace(self, quiet_since=now, beats=True, turns=turns)

    def excused(self, now: float, turns: Turns) -> Slot:
        """The parent could not hear: what counts begins now."""
        return replace(self, quiet_since=now, turns=turns)

    def ended(self, now: float) -> Slot:
        """The worker has ended, for whatever reason."""
        failures = self.failures + 1 if now - self.begun < _AT_ONCE_SECONDS else 0
        pause = min(_PAUSE_SECONDS * 2 ** (failures - 1), _PAUSE_MAX) if failures else 0.0
        return Slot(failures=failures, due=now + pause)

    def is_due(self, now: float) -> bool:
        """Tell whether a worker is to begin."""
        return not self.pid and now >= self.due

    def is_late(self, now: float) -> bool:
        """Tell whether there was no heartbeat for too long, for whatever reason."""
        bound = SILENT_SECONDS if self.beats else START_SECONDS
        return bool(self.pid) and now - self.quiet_since > bound

    def hangs(self, now: float, turns: Turns) -> bool:
        """Tell whether the worker is late though it could have got ready."""
        silent = now - self.quiet_since
        waited = turns.waited - self.turns.waited
        if turns.waiting:
            waited = max(waited, silent - (turns.ran - self.turns.ran))
        return self.is_late(now - min(max(waited, 0.0), STARVED_MOST))
