"""Keeps what is in memory of the store's records in step with the store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

import anyio
import structlog

from controller.core.errors import StoreUnavailable
from controller.core.model import SessionId
from controller.core.records import Mark
from controller.people.logins import Logins
from controller.sessions.grant_records import GrantRecords
from controller.sessions.queue import Queue
from controller.sessions.rule_book import RuleBook
from controller.store import Store

_AGAIN_SECONDS = 2.0  # between two tries to read a store that cannot be used

_log = structlog.get_logger("app")


class Marks(Protocol):
    """Who answers the marks of other controllers."""

    async def read(self) -> list[Mark]:
        """Return the marks, to be taken once all else was read. Raises StoreUnavailable."""
        ...

    def take(self, marks: list[Mark]) -> None:
        """Answer them."""
        ...


class StoreSync:
    """Reads the store at the start, follows it, and writes what is left before the end."""

    def __init__(
        self,
        store: Store,
        *,
        logins: Logins,
        grant_records: GrantRecords,
        queue: Queue,
        rule_book: RuleBook,
        withdrawn: Callable[[set[SessionId]], None],
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        """``withdrawn`` hears in which sessions others have taken invitations back.

        ``again_seconds``: between two tries to read a store that cannot be used.
        """
        self._store = store
        self._logins = logins
        self._grant_records = grant_records
        self._queue = queue
        self._rule_book = rule_book
        self._withdrawn = withdrawn
        self._again_seconds = again_seconds
        self._agreement: Marks | None = None
        self._hearing = anyio.Lock()  # what was read later must not be replaced by earlier

    def answer_by(self, agreement: Marks) -> None:
        """Hand over marks of other controllers, once all that was written before them is read."""
        self._agreement = agreement

    async def load(self) -> None:
        """Learn who is logged in and invited; until the store can be read nobody is."""
        while True:
            try:
                await self._logins.following.load()
                await self._grant_records.load()
                await self._rule_book.load()
            except StoreUnavailable as error:
                _log.error(
                    "store_unavailable", error=str(error), notes=getattr(error, "__notes__", [])
                )
                await anyio.sleep(self._again_seconds)
            else:
                return

    async def run(self) -> None:
        """Apply what other controllers write, until cancelled."""
        async with aclosing(self._store.changes()) as changes:
            async for _ in changes:
                try:
                    await self.hear()
                except StoreUnavailable as error:
                    # What is known stays valid; the store tells when it can be read again.
                    _log.warning("store_not_followed", notes=getattr(error, "__notes__", []))

    async def hear(self) -> None:
        """Apply what other controllers have written. Raises StoreUnavailable."""
        async with self._hearing:
            marks = await self._agreement.read() if self._agreement else []
            await self._logins.following.load()
            self._withdrawn(await self._grant_records.load())
            await self._queue.load()
            await self._rule_book.load()
            if self._agreement:
                self._agreement.take(marks)

    async def write_down(self) -> None:
        """Write what has ended and could not be written so far: the last chance before the end."""
        for write_down in (
            self._logins.ending.write_down,
            self._grant_records.withdrawals.write_down,
        ):
            try:
                await write_down()
            except StoreUnavailable as error:
                _log.error("ended_unwritten", error=error.in_full)
