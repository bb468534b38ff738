"""Facts about sessions: times of starts, memos, the queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec
from typing_extensions import override

from controller.core.model import SessionId
from controller.core.records import Memo, Ticket
from controller.store import STARTS_KEPT, SessionStore
from controller.store.sqlite.database import Database, transaction


class SessionTables(Database, SessionStore):
    """Facts about sessions."""

    @override
    async def add_start(self, profile: str, seconds: float, now: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO start VALUES (?, ?, ?)", (profile, now, seconds))
            db.execute(
                "DELETE FROM start WHERE profile = ? AND rowid NOT IN"
                " (SELECT rowid FROM start WHERE profile = ? ORDER BY at DESC LIMIT ?)",
                (profile, profile, STARTS_KEPT),
            )

        await self._run(work)

    @override
    async def starts(self, profile: str) -> list[float]:
        def work(db: sqlite3.Connection) -> list[float]:
            rows = db.execute("SELECT seconds FROM start WHERE profile = ?", (profile,))
            return [seconds for (seconds,) in rows]

        return await self._run(work)

    @override
    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        rows = [(session, msgspec.json.encode(memo)) for session, memo in memos.items()]

        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.execute("DELETE FROM memo")
                db.executemany("INSERT INTO memo VALUES (?, ?)", rows)

        await self._run(work)

    @override
    async def memos(self) -> dict[SessionId, Memo]:
        def work(db: sqlite3.Connection) -> dict[SessionId, Memo]:
            rows = db.execute("SELECT session, body FROM memo")
            return {session: msgspec.json.decode(body, type=Memo) for session, body in rows}

        return await self._run(work)

    @override
    async def others_memos(self) -> dict[SessionId, Memo]:
        """There are no others."""
        return {}

    @override
    async def add_ticket(self, ticket: Ticket) -> None:
        body = msgspec.json.encode(ticket)
        await self._write("INSERT INTO ticket VALUES (?, ?)", ticket.session.id, body)

    @override
    async def remove_ticket(self, session: SessionId) -> None:
        await self._write("DELETE FROM ticket WHERE session = ?", session)

    @override
    async def tickets(self) -> list[Ticket]:
        def work(db: sqlite3.Connection) -> list[Ticket]:
            rows = db.execute("SELECT body FROM ticket ORDER BY rowid")
            return [msgspec.json.decode(body, type=Ticket) for (body,) in rows]

        return await self._run(work)
