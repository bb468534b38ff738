"""What sessions take of the machines, as the cluster measures it."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog

from controller.cluster.client import BrokenError, ForbiddenError, MissingError
from controller.core.model import SessionId, Usage
from controller.engines.kubernetes import answers, manifests
from controller.engines.kubernetes.answers import Measured
from controller.engines.kubernetes.calls import Calls

_METRICS_SECONDS = 10.0  # metrics-server measures each 15 s

_NO_METRICS_SECONDS = 300.0  # between two checks whether there are metrics

_log = structlog.get_logger("kubernetes")


class Measurements:
    """What was measured last, of all sessions at once: housekeeping asks for one after another."""

    def __init__(self, calls: Calls, clock: Callable[[], float]) -> None:
        """Nothing is asked of the cluster yet. ``clock``: monotonic seconds."""
        self._calls = calls
        self._clock = clock
        self._measured: dict[str, Usage | None] = {}
        self._measure_at = 0.0  # of the clock; not before that
        self._measuring = anyio.Lock()

    async def of(self, session_id: SessionId) -> Usage | None:
        """Return what a session takes; None if it was not measured."""
        async with self._measuring:
            if self._clock() >= self._measure_at:
                await self._measure()
        return self._measured.get(session_id)

    def forget(self, session_id: SessionId) -> None:
        """Forget a session that is gone."""
        self._measured.pop(session_id, None)

    async def _measure(self) -> None:
        self._measured = {}
        try:
            found, _ = await self._calls.listed("PodMetrics", Measured, None)
        except (MissingError, ForbiddenError, BrokenError) as error:
            self._measure_at = self._clock() + _NO_METRICS_SECONDS
            _log.info("no_metrics", why=error.in_full)
            return
        self._measure_at = self._clock() + _METRICS_SECONDS
        for one in found:
            session_id = (one.metadata.labels or {}).get(manifests.SESSION, "")
            try:
                self._measured[session_id] = answers.usage_of(one.containers)
            except ValueError as error:
                _log.warning("metrics_unreadable", session=session_id, fault=str(error))
