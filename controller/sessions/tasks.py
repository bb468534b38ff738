"""Pieces of work that go on by themselves: each is about one session, and harms no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio.abc import TaskGroup

from controller.core.model import SessionId
from controller.monitoring.faults import contained
from controller.monitoring.metrics import Metrics


class Tasks:
    """What goes on beside its caller, as long as the controller runs."""

    def __init__(self, metrics: Metrics) -> None:
        """Nothing can begin before ``group`` is given."""
        self._metrics = metrics
        self.group: TaskGroup | None = None

    @property
    def running(self) -> bool:
        """Whether work can begin."""
        return self.group is not None

    def spawn(self, work: str, session_id: SessionId, do: Callable[[], Awaitable[None]]) -> None:
        """Let a piece of work about one session go on by itself, and harm no other if it fails."""

        async def do_contained() -> None:
            with contained(work, self._metrics, session=session_id):
                await do()

        if self.group is not None:
            self.group.start_soon(do_contained)
