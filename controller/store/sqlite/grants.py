"""Grants of owners: shares to people by name, and links."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from typing_extensions import override

from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import Link, Share
from controller.store import CLOSED_MOST, LINKS_MOST, SHARES_MOST, GrantStore, kept_links
from controller.store.sqlite.database import Database, transaction


class GrantTables(Database, GrantStore):
    """Grants of owners."""

    @override
    async def add_share(self, share: Share) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            with transaction(db):
                return _add_share(db, share)

        return await self._run(work)

    @override
    async def remove_share(self, session: SessionId, uid: UserId, *, bar: bool) -> None:
        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                forget = "DELETE FROM share WHERE session = ? AND uid = ?"
                invited = db.execute(forget, (session, uid)).rowcount
                if bar and invited:
                    _bar(db, session, uid)

        await self._run(work)

    @override
    async def lower_share(self, session: SessionId, uid: UserId) -> None:
        lower = "UPDATE share SET role = ? WHERE session = ? AND uid = ?"
        await self._write(lower, Role.VIEW, session, uid)

    @override
    async def set_asks(self, session: SessionId, uid: UserId) -> None:
        await self._write("UPDATE share SET asks = 1 WHERE session = ? AND uid = ?", session, uid)

    @override
    async def remove_person(self, uid: UserId) -> None:
        await self._write("DELETE FROM share WHERE uid = ?", uid)

    @override
    async def shares(self) -> list[Share]:
        def work(db: sqlite3.Connection) -> list[Share]:
            rows = db.execute(
                "SELECT session, uid, role, display_name, created, expires, look, asks FROM share"
            )
            return [
                Share(session, uid, Role(role), name, created, expires, bool(look), bool(asks))
                for session, uid, role, name, created, expires, look, asks in rows
            ]

        return await self._run(work)

    @override
    async def add_link(self, link: Link, digest: str) -> bool:
        row = (
            link.id,
            link.session,
            digest,
            link.role.value,
            link.created,
            link.expires,
            link.max_uses,
        )

        def work(db: sqlite3.Connection) -> bool:
            with transaction(db):
                there = _links(db, "session = ? ORDER BY created", link.session)
                kept = kept_links(there, link.created)
                gone = [(one.id,) for one in there if one not in kept]
                db.executemany("DELETE FROM link WHERE id = ?", gone)
                if sum(one.is_open(link.created) for one in kept) >= LINKS_MOST:
                    return False
                db.execute(
                    "INSERT INTO link (id, session, digest, role, created, expires, max_uses)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
                return True

        return await self._run(work)

    @override
    async def remove_link(self, session: SessionId, link: str) -> None:
        await self._write("DELETE FROM link WHERE session = ? AND id = ?", session, link)

    @override
    async def links(self, session: SessionId) -> list[Link]:
        return await self._run(lambda db: _links(db, "session = ? ORDER BY created", session))

    @override
    async def find_link(self, digest: str) -> Link | None:
        return await self._run(lambda db: next(iter(_links(db, "digest = ?", digest)), None))

    @override
    async def use_link(self, digest: str, person: Person, now: float) -> Share | None:
        def work(db: sqlite3.Connection) -> Share | None:
            with transaction(db):
                link = next(iter(_links(db, "digest = ?", digest)), None)
                if link is None or not link.is_open(now):
                    return None
                used = "SELECT 1 FROM redeemed WHERE link = ? AND uid = ?"
                if db.execute(used, (link.id, person.uid)).fetchone():
                    return None
                share = link.share_for(person, now)
                if not _add_share(db, share):
                    return None
                db.execute("INSERT INTO redeemed VALUES (?, ?)", (link.id, person.uid))
                db.execute("UPDATE link SET uses = uses + 1 WHERE id = ?", (link.id,))
                return share

        return await self._run(work)

    @override
    async def remove_grants(self, keep: Collection[SessionId], before: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                for table in ("share", "link"):
                    found = db.execute(
                        f"SELECT DISTINCT session FROM {table} WHERE created < ?",  # noqa: S608 - a literal
                        (before,),
                    ).fetchall()
                    gone = [(session,) for (session,) in found if session not in keep]
                    db.executemany(f"DELETE FROM {table} WHERE session = ?", gone)  # noqa: S608 - the same

        await self._run(work)


def _bar(db: sqlite3.Connection, session: SessionId, uid: UserId) -> None:
    """Stop all links of the session from letting this person in."""
    db.execute(
        "INSERT OR IGNORE INTO redeemed SELECT id, ? FROM link WHERE session = ?", (uid, session)
    )
    count = "SELECT count(*) FROM redeemed WHERE link IN (SELECT id FROM link WHERE session = ?)"
    if db.execute(count, (session,)).fetchone()[0] > CLOSED_MOST:
        db.execute("DELETE FROM link WHERE session = ?", (session,))


def _add_share(db: sqlite3.Connection, share: Share) -> bool:
    """Store an invitation; False: the session has as many as it may."""
    count = "SELECT count(*) FROM share WHERE session = ? AND uid <> ? AND NOT look"
    others = db.execute(count, (share.session, share.uid)).fetchone()[0]
    if not share.look and others >= SHARES_MOST:
        return False
    db.execute(
        "INSERT OR REPLACE INTO share"
        " (session, uid, role, display_name, created, expires, look, asks)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            share.session,
            share.uid,
            share.role.value,
            share.display_name,
            share.created,
            share.expires,
            share.look,
            share.asks,
        ),
    )
    return True


def _links(db: sqlite3.Connection, where: str, *values: object) -> list[Link]:
    rows = db.execute(
        "SELECT id, session, role, created, expires, max_uses, uses FROM link"  # noqa: S608 - a literal
        f" WHERE {where}",
        values,
    )
    return [
        Link(id_, session, Role(role), created, expires, max_uses, uses)
        for id_, session, role, created, expires, max_uses, uses in rows
    ]
