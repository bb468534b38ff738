"""A count of changes: whoever keeps a copy of something sees by it whether the copy is old."""

from __future__ import annotations

import anyio


class ChangeCount:
    """How often something has changed, for one event loop."""

    def __init__(self) -> None:
        self._number = 0
        self._next = anyio.Event()

    @property
    def number(self) -> int:
        """Return how often it has changed."""
        return self._number

    def add(self) -> None:
        """Count a change, and wake those who wait for one."""
        self._number += 1
        self._next.set()
        self._next = anyio.Event()

    async def beyond(self, number: int) -> int:
        """Wait until it has changed more often than this; return how often."""
        while self._number <= number:
            await self._next.wait()
        return self._number
