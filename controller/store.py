"""What is no session and must outlive the controller: log-ins, failures, notices, past starts.

SQLite, one file in the data folder. What lets people in is listed, never what keeps them out:
a lost file means that everyone logs in again, not that a revoked log-in comes back. Sessions
stay their owners', since that stands in their labels.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import anyio.to_thread
import msgspec

from controller.errors import StoreUnavailable
from controller.model import Person, UserId

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
)
"""Forward only: the file's user_version counts those that were run."""

_STARTS_KEPT = 20  # of each profile: enough for a median that follows an upgrade
_NOTICES_KEPT = 5  # of each person


class Login(msgspec.Struct, frozen=True):
    """Somebody is logged in. Times are seconds since the epoch."""

    sid: str
    person: Person
    created: float
    expires: float


class Notice(msgspec.Struct, frozen=True):
    """Something to tell a person on their page, until they put it away.

    It reads ``text``, the time of ``at``, ``more``: the page knows how to write times.
    """

    number: int
    at: float  # seconds since the epoch
    text: str
    more: str


class Store(Protocol):
    """The contract. Every method raises StoreUnavailable if the store cannot be used."""

    async def add_login(self, login: Login) -> None:
        """Keep a log-in; returns when it is on disk."""
        ...

    async def remove_login(self, sid: str) -> None:
        """Forget a log-in; a missing one is success."""
        ...

    async def logins(self, now: float) -> list[Login]:
        """Return all log-ins that are not over, and forget the others."""
        ...

    async def add_failure(self, who: str, now: float) -> None:
        """Count a failed log-in under each key that the caller chose."""
        ...

    async def failures(self, who: str, since: float) -> list[float]:
        """Return the times of the failures after ``since``, oldest first, and forget older ones."""
        ...

    async def clear_failures(self, who: str) -> None:
        """Forget the failures of a key: a log-in has succeeded."""
        ...

    async def add_notice(self, uid: UserId, text: str, more: str, now: float) -> None:
        """Leave a notice for a person."""
        ...

    async def notices(self, uid: UserId) -> list[Notice]:
        """Return a person's newest notices, newest first."""
        ...

    async def remove_notice(self, uid: UserId, number: int) -> None:
        """Put away a notice of this person; another's stays."""
        ...

    async def add_start(self, profile: str, seconds: float, now: float) -> None:
        """Remember how long a start took."""
        ...

    async def starts(self, profile: str) -> list[float]:
        """Return how long the last starts of a profile took, in seconds."""
        ...

    async def ping(self) -> None:
        """Write nothing, but prove that it could be read."""
        ...


class SqliteStore:
    """Store in one SQLite file. Calls go to a thread and take turns there."""

    def __init__(self, path: Path | str) -> None:
        """Open or make the file and bring it to this version's form.

        Raises StoreUnavailable if it cannot be opened, is damaged, or was written by a newer hub.
        """
        self._lock = threading.Lock()
        with _mapped():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA busy_timeout = 2000")  # milliseconds
            self._migrate()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StoreUnavailable(
                f"The store is of a newer hub (version {version}, this one knows "
                f"{len(_MIGRATIONS)}). Start that hub again, or move the file away."
            )
        for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        def locked() -> _T:
            with self._lock, _mapped():
                return work(self._db)

        return await anyio.to_thread.run_sync(locked)

    async def _write(self, sql: str, *values: object) -> None:
        await self._run(lambda db: db.execute(sql, values))

    async def add_login(self, login: Login) -> None:
        """See Store."""
        await self._write(
            "INSERT INTO login VALUES (?, ?, ?, ?, ?)",
            login.sid,
            login.person.uid,
            msgspec.json.encode(login.person),
            login.created,
            login.expires,
        )

    async def remove_login(self, sid: str) -> None:
        """See Store."""
        await self._write("DELETE FROM login WHERE sid = ?", sid)

    async def logins(self, now: float) -> list[Login]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[Login]:
            db.execute("DELETE FROM login WHERE expires <= ?", (now,))
            rows = db.execute("SELECT sid, person, created, expires FROM login").fetchall()
            return [
                Login(sid, msgspec.json.decode(person, type=Person), created, expires)
                for sid, person, created, expires in rows
            ]

        return await self._run(work)

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
                (uid, uid, _NOTICES_KEPT),
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
                (profile, profile, _STARTS_KEPT),
            )

        await self._run(work)

    async def starts(self, profile: str) -> list[float]:
        """See Store."""

        def work(db: sqlite3.Connection) -> list[float]:
            rows = db.execute("SELECT seconds FROM start WHERE profile = ?", (profile,))
            return [seconds for (seconds,) in rows]

        return await self._run(work)

    async def ping(self) -> None:
        """See Store."""
        await self._run(lambda db: db.execute("SELECT count(*) FROM login").fetchone())


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
