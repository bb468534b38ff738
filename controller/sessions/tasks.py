"""Background tasks: each is for one session, and its failure affects no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio.abc import TaskGroup

from controller.core.model import SessionId
from controller.monitoring.faults import contained
from controller.monitoring.metrics import Metrics


class Tasks:
    """What goes on beside its caller, as long as the controller runs."""

    def __init__(self, metrics: Metrics) -> None:
        """No task can begin before ``group`` is set."""
        self._metrics = metrics
        self.group: TaskGroup | None = None

    @property
    def running(self) -> bool:
        """Whether tasks can begin."""
        return self.group is not None

    def spawn(self, work: str, session_id: SessionId, do: Callable[[], Awaitable[None]]) -> None:
        """Start a task for one session; if it fails, no other is affected."""

        async def do_contained() -> None:
            with contained(work, self._metrics, session=session_id):
                await do()

        if self.group is not None:
            self.group.start_soon(do_contained)
