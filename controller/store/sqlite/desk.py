"""What people are told, and what they have chosen."""

from __future__ import annotations

import sqlite3

from controller.core.model import UserId
from controller.core.records import Notice
from controller.store import NOTICES_KEPT
from controller.store.sqlite.database import Database


class DeskTables(Database):
    """What people are told, and what they have chosen."""

    async def add_notice(self, uid: UserId, text: str, more: str, now: float) -> None:
        """See Store."""

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

    async def notices(self, uid: UserId) -> list[Notice]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[Notice]:
            rows = db.execute(
                "SELECT number, at, text, more FROM notice WHERE uid = ? ORDER BY number DESC",
                (uid,),
            )
            return [Notice(*row) for row in rows]

        return await self._run(work)

    async def remove_notice(self, uid: UserId, number: int) -> None:
        """See Store."""
        await self._write("DELETE FROM notice WHERE uid = ? AND number = ?", uid, number)

    async def set_ahead(self, uid: UserId, profile: str, *, on: bool) -> None:
        """See Store."""
        if on:
            await self._write("INSERT OR IGNORE INTO ahead VALUES (?, ?)", uid, profile)
        else:
            await self._write("DELETE FROM ahead WHERE uid = ? AND profile = ?", uid, profile)

    async def ahead(self, uid: UserId) -> frozenset[str]:
        """See Store."""

        def work(db: sqlite3.Connection) -> frozenset[str]:
            rows = db.execute("SELECT profile FROM ahead WHERE uid = ?", (uid,))
            return frozenset(profile for (profile,) in rows)

        return await self._run(work)
