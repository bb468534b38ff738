"""Paces many small pieces of work: a few at a time, and a slow one does not delay the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


class Pace:
    """Lets work begin at a pace that overloads neither Traefik nor the event loop.

    Work that takes longer than its turn goes on beside the next: ``n`` pieces that each end within
    ``t`` seconds are done within ``n * seconds / at_once + t``.
    """

    def __init__(self, at_once: int = 8, seconds: float = 0.2) -> None:
        """``at_once``: turns at the same time; ``seconds``: the longest a turn is held."""
        self._turns = anyio.CapacityLimiter(at_once)
        self._seconds = seconds

    async def go(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for a turn, do the work, and return when it is done."""
        done = anyio.Event()

        async def do() -> None:
            try:
                await work()
            finally:
                done.set()

        async with anyio.create_task_group() as group, self._turns:
            group.start_soon(do)
            with anyio.move_on_after(self._seconds):
                await done.wait()
