"""The store of one controller: SQLite, one file in the data folder."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from controller.core.errors import StoreUnavailable
from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import (
    Drain,
    Link,
    Login,
    Memo,
    Message,
    Notice,
    Reading,
    Rules,
    Share,
    Ticket,
)
from controller.store import (
    CLOSED_MOST,
    LINKS_MOST,
    NOTICES_KEPT,
    SHARES_MOST,
    STARTS_KEPT,
    kept_links,
)

_T = TypeVar("_T")

_MIGRATIONS = (
    """
    CREATE TABLE login (
        sid TEXT PRIMARY KEY, uid TEXT NOT NULL, person BLOB NOT NULL,
        created REAL NOT NULL, expires REAL NOT NULL
    ) STRICT;
    CREATE TABLE failure (who TEXT NOT NULL, at REAL NOT NULL) STRICT;
    CREATE INDEX failure_who ON failure (who, at);
    CREATE TABLE notice (
        number INTEGER PRIMARY KEY, uid TEXT NOT NULL, at REAL NOT NULL,
        text TEXT NOT NULL, more TEXT NOT NULL
    ) STRICT;
    CREATE INDEX notice_uid ON notice (uid, at);
    CREATE TABLE start (profile TEXT NOT NULL, at REAL NOT NULL, seconds REAL NOT NULL) STRICT;
    CREATE INDEX start_profile ON start (profile, at);
    """,
    """
    CREATE TABLE share (
        session TEXT NOT NULL, uid TEXT NOT NULL, role TEXT NOT NULL, display_name TEXT NOT NULL,
        created REAL NOT NULL, expires REAL, PRIMARY KEY (session, uid)
    ) STRICT;
    CREATE TABLE link (
        id TEXT PRIMARY KEY, session TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL,
        max_uses INTEGER, uses INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX link_session ON link (session);
    CREATE TABLE redeemed (
        link TEXT NOT NULL REFERENCES link ON DELETE CASCADE, uid TEXT NOT NULL,
        PRIMARY KEY (link, uid)
    ) STRICT;
    CREATE TABLE memo (session TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE ticket (session TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE ahead (
        uid TEXT NOT NULL, profile TEXT NOT NULL, PRIMARY KEY (uid, profile)
    ) STRICT;
    """,
    """
    ALTER TABLE share ADD COLUMN look INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE drain (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), body BLOB NOT NULL)
        STRICT;
    CREATE TABLE quota (uid TEXT PRIMARY KEY, sessions INTEGER NOT NULL) STRICT;
    """,
    """
    ALTER TABLE login ADD COLUMN address TEXT NOT NULL DEFAULT '';
    ALTER TABLE login ADD COLUMN agent TEXT NOT NULL DEFAULT '';
    ALTER TABLE login ADD COLUMN script INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE login ADD COLUMN seen REAL NOT NULL DEFAULT 0;
    ALTER TABLE login ADD COLUMN key TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE share ADD COLUMN asks INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE message (session TEXT PRIMARY KEY, text TEXT NOT NULL, until REAL NOT NULL) STRICT;
    """,
)
"""Forward only: the file's user_version counts those that were run."""


class SqliteStore:
    """Store in one SQLite file. Calls go to a thread and take turns there.

    The file is opened at the first call, and again at each one as long as it cannot be: a hub
    whose records are damaged says so and denies, and goes on once somebody has seen to them.
    """

    def __init__(self, path: Path | str) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _opened(self) -> sqlite3.Connection:
        """Return the file, in this version's form."""
        if self._db is not None:
            return self._db
        db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA busy_timeout = 2000")  # milliseconds
            _migrate(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        def locked() -> _T:
            with self._lock, _mapped():
                return work(self._opened())

        return await anyio.to_thread.run_sync(locked)

    async def _write(self, sql: str, *values: object) -> None:
        await self._run(lambda db: db.execute(sql, values))

    async def add_login(self, login: Login) -> int:
        """See Store."""
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

    async def remove_login(self, sid: str) -> None:
        """See Store."""
        await self._write("DELETE FROM login WHERE sid = ?", sid)

    async def logins(self, now: float) -> list[Login]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[Login]:
            db.execute("DELETE FROM login WHERE expires <= ?", (now,))
            return _logins(db)

        return await self._run(work)

    async def read_logins(self) -> Reading:
        """See Store. Nobody else writes the file: there is nothing to hear of."""
        return Reading(tuple(await self._run(_logins)))

    async def set_person(self, person: Person) -> None:
        """See Store."""
        body = msgspec.json.encode(person)
        await self._write("UPDATE login SET person = ? WHERE uid = ?", body, person.uid)

    async def set_seen(self, sid: str, at: float) -> None:
        """See Store."""
        await self._write("UPDATE login SET seen = max(seen, ?) WHERE sid = ?", at, sid)

    async def add_failure(self, who: str, now: float) -> None:
        """See Store."""
        await self._write("INSERT INTO failure VALUES (?, ?)", who, now)

    async def failures(self, who: str, since: float) -> list[float]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[float]:
            db.execute("DELETE FROM failure WHERE at <= ?", (since,))
            rows = db.execute("SELECT at FROM failure WHERE who = ? ORDER BY at", (who,))
            return [at for (at,) in rows]

        return await self._run(work)

    async def clear_failures(self, who: str) -> None:
        """See Store."""
        await self._write("DELETE FROM failure WHERE who = ?", who)

    async def all_failures(self, since: float) -> dict[str, list[float]]:
        """See Store."""

        def work(db: sqlite3.Connection) -> dict[str, list[float]]:
            found: dict[str, list[float]] = {}
            for who, at in db.execute(
                "SELECT who, at FROM failure WHERE at > ? ORDER BY at", (since,)
            ):
                found.setdefault(who, []).append(at)
            return found

        return await self._run(work)

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

    async def add_share(self, share: Share) -> bool:
        """See Store."""

        def work(db: sqlite3.Connection) -> bool:
            with _transaction(db):
                return _add_share(db, share)

        return await self._run(work)

    async def remove_share(self, session: SessionId, uid: UserId, *, bar: bool) -> None:
        """See Store."""

        def work(db: sqlite3.Connection) -> None:
            with _transaction(db):
                forget = "DELETE FROM share WHERE session = ? AND uid = ?"
                invited = db.execute(forget, (session, uid)).rowcount
                if bar and invited:
                    _bar(db, session, uid)

        await self._run(work)

    async def lower_share(self, session: SessionId, uid: UserId) -> None:
        """See Store."""
        lower = "UPDATE share SET role = ? WHERE session = ? AND uid = ?"
        await self._write(lower, Role.VIEW, session, uid)

    async def set_asks(self, session: SessionId, uid: UserId) -> None:
        """See Store."""
        await self._write("UPDATE share SET asks = 1 WHERE session = ? AND uid = ?", session, uid)

    async def remove_person(self, uid: UserId) -> None:
        """See Store."""
        await self._write("DELETE FROM share WHERE uid = ?", uid)

    async def shares(self) -> list[Share]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[Share]:
            rows = db.execute(
                "SELECT session, uid, role, display_name, created, expires, look, asks FROM share"
            )
            return [
                Share(session, uid, Role(role), name, created, expires, bool(look), bool(asks))
                for session, uid, role, name, created, expires, look, asks in rows
            ]

        return await self._run(work)

    async def add_link(self, link: Link, digest: str) -> bool:
        """See Store."""
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
            with _transaction(db):
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

    async def remove_link(self, session: SessionId, link: str) -> None:
        """See Store."""
        await self._write("DELETE FROM link WHERE session = ? AND id = ?", session, link)

    async def links(self, session: SessionId) -> list[Link]:
        """See Store."""
        return await self._run(lambda db: _links(db, "session = ? ORDER BY created", session))

    async def find_link(self, digest: str) -> Link | None:
        """See Store."""
        return await self._run(lambda db: next(iter(_links(db, "digest = ?", digest)), None))

    async def use_link(self, digest: str, person: Person, now: float) -> Share | None:
        """See Store."""

        def work(db: sqlite3.Connection) -> Share | None:
            with _transaction(db):
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

    async def remove_grants(self, keep: Collection[SessionId], before: float) -> None:
        """See Store."""

        def work(db: sqlite3.Connection) -> None:
            with _transaction(db):
                for table in ("share", "link"):
                    found = db.execute(
                        f"SELECT DISTINCT session FROM {table} WHERE created < ?",  # noqa: S608 - a literal
                        (before,),
                    ).fetchall()
                    gone = [(session,) for (session,) in found if session not in keep]
                    db.executemany(f"DELETE FROM {table} WHERE session = ?", gone)  # noqa: S608 - the same

        await self._run(work)

    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        """See Store."""
        rows = [(session, msgspec.json.encode(memo)) for session, memo in memos.items()]

        def work(db: sqlite3.Connection) -> None:
            with _transaction(db):
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

    async def rules(self) -> Rules:
        """See Store."""

        def work(db: sqlite3.Connection) -> Rules:
            found = db.execute("SELECT body FROM drain").fetchone()
            drain = msgspec.json.decode(found[0], type=Drain) if found else None
            quotas = dict(db.execute("SELECT uid, sessions FROM quota").fetchall())
            messages = db.execute("SELECT session, text, until FROM message")
            return Rules(
                drain, quotas, {session: Message(text, until) for session, text, until in messages}
            )

        return await self._run(work)

    async def set_drain(self, drain: Drain | None) -> None:
        """See Store."""
        if drain is None:
            await self._write("DELETE FROM drain")
        else:
            body = msgspec.json.encode(drain)
            await self._write("INSERT OR REPLACE INTO drain VALUES (1, ?)", body)

    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        """See Store."""
        if sessions is None:
            await self._write("DELETE FROM quota WHERE uid = ?", uid)
        else:
            await self._write("INSERT OR REPLACE INTO quota VALUES (?, ?)", uid, sessions)

    async def set_message(self, session: SessionId, message: Message | None) -> None:
        """See Store."""
        if message is None:
            await self._write("DELETE FROM message WHERE session = ?", session)
        else:
            await self._write(
                "INSERT OR REPLACE INTO message VALUES (?, ?, ?)",
                session,
                message.text,
                message.until,
            )

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

    async def ping(self) -> None:
        """See Store."""
        await self._run(lambda db: db.execute("SELECT count(*) FROM login").fetchone())

    async def changes(self) -> AsyncGenerator[None, None]:
        """See Store. The file is one controller's: nobody else changes it."""
        await anyio.sleep_forever()
        yield

    async def aclose(self) -> None:
        """See Store."""
        await anyio.to_thread.run_sync(self.close)


def copy_store(path: Path, target: Path) -> int:
    """Copy the records as of one moment, though they are in use; return the copy's version.

    Raises StoreUnavailable.
    """
    with _mapped():
        # A name that is not there would be made.
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True)) as db, closing(sqlite3.connect(target)) as to:
            db.backup(to)
            to.execute("PRAGMA journal_mode = DELETE")  # one file, without a second beside it
    return store_version(target)


def store_version(path: Path) -> int:
    """Return the version of records that can be used here: whole, and of no newer hub.

    Raises StoreUnavailable for others.
    """
    with _mapped(), closing(sqlite3.connect(path, isolation_level=None)) as db:
        (found,) = db.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(str(found))
        return _version(db)


def _migrate(db: sqlite3.Connection) -> None:
    version = _version(db)
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise StoreUnavailable(
            f"The store is of a newer hub (version {version}, this one knows "
            f"{len(_MIGRATIONS)}). Start that hub again, or move the file away."
        )
    return int(version)


def _bar(db: sqlite3.Connection, session: SessionId, uid: UserId) -> None:
    """Let none of the session's links let this person in any more."""
    db.execute(
        "INSERT OR IGNORE INTO redeemed SELECT id, ? FROM link WHERE session = ?", (uid, session)
    )
    count = "SELECT count(*) FROM redeemed WHERE link IN (SELECT id FROM link WHERE session = ?)"
    if db.execute(count, (session,)).fetchone()[0] > CLOSED_MOST:
        db.execute("DELETE FROM link WHERE session = ?", (session,))


def _add_share(db: sqlite3.Connection, share: Share) -> bool:
    """Keep an invitation; False: the session has as many as it may."""
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


@contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[None, None, None]:
    """All or nothing; the file is locked for writing from the beginning on."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def _mapped() -> Generator[None, None, None]:
    """Turn sqlite3's and the decoder's errors into ours, here and nowhere else."""
    try:
        yield
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        unusable = StoreUnavailable(
            "The hub's own records cannot be used. Nobody new can log in; the administrator must "
            "see to the data folder."
        )
        unusable.add_note(f"SQLite says: {error}")
        raise unusable from error
