"""Records that can be away, or slow, while the test wants it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import anyio
from typing_extensions import override

from controller.core.errors import StoreUnavailable
from controller.core.records import Share
from controller.store.sqlite.store import SqliteStore

_T = TypeVar("_T")


class Records(SqliteStore):
    """``away``: nothing can be read or written. ``held``: until when no invitation is written."""

    def __init__(self) -> None:
        """Be there."""
        super().__init__(":memory:")
        self.away = False
        self.held: anyio.Event | None = None
        self.waiting = 0  # invitations that are held

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self.away:
            raise StoreUnavailable("The disk is full.")
        return await super()._run(work)

    @override
    async def add_share(self, share: Share) -> bool:
        if self.held is not None:
            self.waiting += 1
            await self.held.wait()
            self.waiting -= 1
        return await super().add_share(share)
