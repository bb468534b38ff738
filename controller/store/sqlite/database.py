"""One SQLite file: opens, migrates and copies it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from controller.core.errors import StoreUnavailable

_T = TypeVar("_T")

MIGRATIONS = (
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
    """
    CREATE TABLE gate (name TEXT PRIMARY KEY, boot TEXT NOT NULL, since REAL NOT NULL) STRICT;
    """,
)
"""Migrations, forward only; the file's user_version counts those that were run."""


class Database:
    """One SQLite file. Calls go to a thread and take turns there.

    The file is opened at the first call, and at each later one until that works: a hub with
    damaged records reports that and denies, and goes on once they are repaired.
    """

    def __init__(self, path: Path | str) -> None:
        """The file is not opened yet."""
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    async def aclose(self) -> None:
        """Let go of the file; a later call opens it again."""
        await anyio.to_thread.run_sync(self.close)

    def _opened(self) -> sqlite3.Connection:
        """Return the open file, migrated to this version."""
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
            with self._lock, mapped():
                return work(self._opened())

        return await anyio.to_thread.run_sync(locked)

    async def _write(self, sql: str, *values: object) -> None:
        await self._run(lambda db: db.execute(sql, values))


def copy_store(path: Path, target: Path) -> int:
    """Copy the records at one moment, even in use; return the copy's version.

    Raises StoreUnavailable.
    """
    with mapped():
        # SQLite would make a missing file.
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True)) as db, closing(sqlite3.connect(target)) as to:
            db.backup(to)
            to.execute("PRAGMA journal_mode = DELETE")  # one file, without a second beside it
    return store_version(target)


def store_version(path: Path) -> int:
    """Return the version of records that are intact and not from a newer hub.

    Raises StoreUnavailable for others.
    """
    with mapped(), closing(sqlite3.connect(path, isolation_level=None)) as db:
        (found,) = db.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(str(found))
        return _version(db)


def _migrate(db: sqlite3.Connection) -> None:
    version = _version(db)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreUnavailable(
            "The store is from a newer hub (version {version}, this one knows "
            "{known}). Start that hub again, or move the file away.",
            version=version,
            known=len(MIGRATIONS),
        )
    return int(version)


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None, None, None]:
    """Run a transaction; the file is locked for writing from its beginning."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def mapped() -> Generator[None, None, None]:
    """Turn sqlite3's and the decoder's errors into the hub's, here and nowhere else."""
    try:
        yield
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        unusable = StoreUnavailable(
            "The hub cannot use its own records. Nobody new can log in. The administrator must "
            "check the data folder."
        )
        unusable.add_note(f"SQLite says: {error}")
        raise unusable from error
