"""What sessions take of the machine, as the engine measures it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from controller.core import labels
from controller.core.model import SessionId, Usage
from controller.engines.docker.answers import Stats, UnreadableError, read
from controller.engines.docker.calls import Calls
from controller.engines.docker.client import read_stats


class Measurements:
    """What each session has taken since it was asked for last: the engine tells sums only."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._samples: dict[SessionId, tuple[datetime, int]] = {}

    async def of(self, session_id: SessionId) -> Usage | None:
        """Return what a session takes; None if that is not known, or not yet."""
        for one in await self._calls.ours(f"{labels.SESSION}={session_id}"):
            stats = await self._calls.gone_is_fine(partial(read_stats, container=one.id))
            if stats is not None:
                return self._since_last(session_id, stats)
        return None

    def forget(self, session_id: SessionId) -> None:
        """Forget a session that is gone."""
        self._samples.pop(session_id, None)

    def _since_last(self, session_id: SessionId, stats: object) -> Usage | None:
        try:
            found = read(stats, Stats)
            at = datetime.fromisoformat(found.read[:19]).replace(tzinfo=UTC)
        except (UnreadableError, ValueError):
            return None  # the container is not running
        total, memory = found.cpu_stats.cpu_usage.total_usage, found.memory_stats.usage
        before = self._samples.get(session_id)
        self._samples[session_id] = (at, total)
        if before is None or (seconds := (at - before[0]).total_seconds()) <= 0:
            return None
        return Usage(cpu_percent=(total - before[1]) / seconds / 1e7, memory_bytes=memory)
