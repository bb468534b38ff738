"""Decisions of administrators."""

from __future__ import annotations

import sqlite3

import msgspec
from typing_extensions import override

from controller.core.model import SessionId, UserId
from controller.core.records import Drain, Message, Rules
from controller.store import RuleStore
from controller.store.sqlite.database import Database


class RuleTables(Database, RuleStore):
    """Decisions of administrators."""

    @override
    async def rules(self) -> Rules:
        def work(db: sqlite3.Connection) -> Rules:
            found = db.execute("SELECT body FROM drain").fetchone()
            drain = msgspec.json.decode(found[0], type=Drain) if found else None
            quotas = dict(db.execute("SELECT uid, sessions FROM quota").fetchall())
            messages = db.execute("SELECT session, text, until FROM message")
            return Rules(
                drain, quotas, {session: Message(text, until) for session, text, until in messages}
            )

        return await self._run(work)

    @override
    async def set_drain(self, drain: Drain | None) -> None:
        if drain is None:
            await self._write("DELETE FROM drain")
        else:
            body = msgspec.json.encode(drain)
            await self._write("INSERT OR REPLACE INTO drain VALUES (1, ?)", body)

    @override
    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        if sessions is None:
            await self._write("DELETE FROM quota WHERE uid = ?", uid)
        else:
            await self._write("INSERT OR REPLACE INTO quota VALUES (?, ?)", uid, sessions)

    @override
    async def set_message(self, session: SessionId, message: Message | None) -> None:
        if message is None:
            await self._write("DELETE FROM message WHERE session = ?", session)
        else:
            await self._write(
                "INSERT OR REPLACE INTO message VALUES (?, ?, ?)",
                session,
                message.text,
                message.until,
            )
