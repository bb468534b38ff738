"""What is remembered of sessions: their starts, their use, who waits for one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from controller.core.model import SessionId
from controller.core.records import Memo, Ticket
from controller.store import STARTS_KEPT
from controller.store.sqlite.database import Database, transaction


class SessionTables(Database):
    """What is remembered of sessions."""

    async def add_start(self, profile: str, seconds: float, now: float) -> None:
        """See Store."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO start VALUES (?, ?, ?)", (profile, now, seconds))
            db.execute(
                "DELETE FROM start WHERE profile = ? AND rowid NOT IN"
                " (SELECT rowid FROM start WHERE profile = ? ORDER BY at DESC LIMIT ?)",
                (profile, profile, STARTS_KEPT),
            )

        await self._run(work)

    async def starts(self, profile: str) -> list[float]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[float]:
            rows = db.execute("SELECT seconds FROM start WHERE profile = ?", (profile,))
            return [seconds for (seconds,) in rows]

        return await self._run(work)

    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        """See Store."""
        rows = [(session, msgspec.json.encode(memo)) for session, memo in memos.items()]

        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.execute("DELETE FROM memo")
                db.executemany("INSERT INTO memo VALUES (?, ?)", rows)

        await self._run(work)

    async def memos(self) -> dict[SessionId, Memo]:
        """See Store."""

        def work(db: sqlite3.Connection) -> dict[SessionId, Memo]:
            rows = db.execute("SELECT session, body FROM memo")
            return {session: msgspec.json.decode(body, type=Memo) for session, body in rows}

        return await self._run(work)

    async def others_memos(self) -> dict[SessionId, Memo]:
        """See Store. There are no others."""
        return {}

    async def add_ticket(self, ticket: Ticket) -> None:
        """See Store."""
        body = msgspec.json.encode(ticket)
        await self._write("INSERT INTO ticket VALUES (?, ?)", ticket.session.id, body)

    async def remove_ticket(self, session: SessionId) -> None:
        """See Store."""
        await self._write("DELETE FROM ticket WHERE session = ?", session)

    async def tickets(self) -> list[Ticket]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[Ticket]:
            rows = db.execute("SELECT body FROM ticket ORDER BY rowid")
            return [msgspec.json.decode(body, type=Ticket) for (body,) in rows]

        return await self._run(work)
