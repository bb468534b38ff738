"""Valid log-ins, and failed attempts."""

from __future__ import annotations

import sqlite3

import msgspec
from typing_extensions import override

from controller.core.model import Person
from controller.core.records import Login, Reading
from controller.store import LoginStore
from controller.store.sqlite.database import Database


class LoginTables(Database, LoginStore):
    """Valid log-ins, and failed attempts."""

    @override
    async def add_login(self, login: Login) -> int:
        await self._write(
            "INSERT INTO login"
            " (sid, uid, person, created, expires, address, agent, script, seen, key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            login.sid,
            login.person.uid,
            msgspec.json.encode(login.person),
            login.created,
            login.expires,
            login.address,
            login.agent,
            login.script,
            login.seen,
            login.key,
        )
        return 0

    @override
    async def remove_login(self, sid: str) -> None:
        await self._write("DELETE FROM login WHERE sid = ?", sid)

    @override
    async def logins(self, now: float) -> list[Login]:
        def work(db: sqlite3.Connection) -> list[Login]:
            db.execute("DELETE FROM login WHERE expires <= ?", (now,))
            return _logins(db)

        return await self._run(work)

    @override
    async def read_logins(self) -> Reading:
        """Nobody else writes the file, so there is no news."""
        return Reading(tuple(await self._run(_logins)))

    @override
    async def set_person(self, person: Person) -> None:
        body = msgspec.json.encode(person)
        await self._write("UPDATE login SET person = ? WHERE uid = ?", body, person.uid)

    @override
    async def set_seen(self, sid: str, at: float) -> None:
        await self._write("UPDATE login SET seen = max(seen, ?) WHERE sid = ?", at, sid)

    @override
    async def add_failure(self, who: str, now: float) -> None:
        await self._write("INSERT INTO failure VALUES (?, ?)", who, now)

    @override
    async def failures(self, who: str, since: float) -> list[float]:
        def work(db: sqlite3.Connection) -> list[float]:
            db.execute("DELETE FROM failure WHERE at <= ?", (since,))
            rows = db.execute("SELECT at FROM failure WHERE who = ? ORDER BY at", (who,))
            return [at for (at,) in rows]

        return await self._run(work)

    @override
    async def clear_failures(self, who: str) -> None:
        await self._write("DELETE FROM failure WHERE who = ?", who)

    @override
    async def all_failures(self, since: float) -> dict[str, list[float]]:
        def work(db: sqlite3.Connection) -> dict[str, list[float]]:
            found: dict[str, list[float]] = {}
            for who, at in db.execute(
                "SELECT who, at FROM failure WHERE at > ? ORDER BY at", (since,)
            ):
                found.setdefault(who, []).append(at)
            return found

        return await self._run(work)


def _logins(db: sqlite3.Connection) -> list[Login]:
    rows = db.execute(
        "SELECT sid, person, created, expires, address, agent, script, seen, key FROM login"
    )
    return [
        Login(
            sid,
            msgspec.json.decode(person, type=Person),
            created,
            expires,
            address=address,
            agent=agent,
            script=bool(script),
            seen=seen,
            key=key,
        )
        for sid, person, created, expires, address, agent, script, seen, key in rows
    ]
