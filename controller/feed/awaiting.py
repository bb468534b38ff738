"""Waiting for changes that are counted."""

from __future__ import annotations

import anyio

from controller.core.changes import ChangeCount


class Awaiting:
    """Waits until something has changed."""

    def __init__(self, changes: ChangeCount) -> None:
        self._changes = changes
        self._next = anyio.Event()
        changes.when_changed(self._wake)

    def _wake(self) -> None:
        self._next.set()
        self._next = anyio.Event()

    async def beyond(self, number: int) -> None:
        """Wait until it has changed more often than this."""
        while self._changes.number <= number:
            await self._next.wait()
