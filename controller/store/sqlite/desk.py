"""Notices to people, and their choices."""

from __future__ import annotations

import sqlite3

from typing_extensions import override

from controller.core.model import UserId
from controller.core.records import Notice
from controller.store import NOTICES_KEPT, DeskStore
from controller.store.sqlite.database import Database


class DeskTables(Database, DeskStore):
    """Notices to people, and their choices."""

    @override
    async def add_notice(self, uid: UserId, text: str, more: str, now: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO notice (uid, at, text, more) VALUES (?, ?, ?, ?)",
                (uid, now, text, more),
            )
            db.execute(
                "DELETE FROM notice WHERE uid = ? AND number NOT IN"
                " (SELECT number FROM notice WHERE uid = ? ORDER BY number DESC LIMIT ?)",
                (uid, uid, NOTICES_KEPT),
            )

        await self._run(work)

    @override
    async def notices(self, uid: UserId) -> list[Notice]:
        def work(db: sqlite3.Connection) -> list[Notice]:
            rows = db.execute(
                "SELECT number, at, text, more FROM notice WHERE uid = ? ORDER BY number DESC",
                (uid,),
            )
            return [Notice(*row) for row in rows]

        return await self._run(work)

    @override
    async def remove_notice(self, uid: UserId, number: int) -> None:
        await self._write("DELETE FROM notice WHERE uid = ? AND number = ?", uid, number)

    @override
    async def set_ahead(self, uid: UserId, profile: str, *, on: bool) -> None:
        if on:
            await self._write("INSERT OR IGNORE INTO ahead VALUES (?, ?)", uid, profile)
        else:
            await self._write("DELETE FROM ahead WHERE uid = ? AND profile = ?", uid, profile)

    @override
    async def ahead(self, uid: UserId) -> frozenset[str]:
        def work(db: sqlite3.Connection) -> frozenset[str]:
            rows = db.execute("SELECT profile FROM ahead WHERE uid = ?", (uid,))
            return frozenset(profile for (profile,) in rows)

        return await self._run(work)
