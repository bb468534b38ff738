"""The file that the hub remembers in: lost, older, newer, damaged, locked or not to be made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from controller.core.errors import StoreUnavailable
from controller.store.sqlite.store import SqliteStore
from tests.contract.records import ALICE, BOB, LINK, LOGIN, ONE, SHARE, someone

pytestmark = pytest.mark.anyio


async def test_lost_file(tmp_path: Path) -> None:
    """If the file is lost nobody is logged in any more."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    await store.add_login(LOGIN)
    store.close()
    path.unlink()
    again = SqliteStore(path)
    assert await again.logins(150) == []
    again.close()


FIRST_VERSION = """
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
    PRAGMA user_version = 1;
"""


async def test_older_hub(tmp_path: Path) -> None:
    """The file of the first version keeps its log-ins and can do what the present one can."""
    path = tmp_path / "store.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(FIRST_VERSION)
    db.execute(
        "INSERT INTO login VALUES (?, ?, ?, ?, ?)",
        (
            "sid-1",
            "carol",
            msgspec.json.encode(
                {
                    "uid": "carol",
                    "display_name": "Carol Clark",
                    "groups": ["slicer-users", "slicer-admins"],
                    "admin": True,
                }
            ),
            100.0,
            200.0,
        ),
    )
    db.execute("INSERT INTO notice (uid, at, text, more) VALUES ('alice', 1.0, 'a', 'b')")
    db.close()
    store = SqliteStore(path)
    assert await store.logins(150) == [LOGIN]
    assert [one.text for one in await store.notices(ALICE)] == ["a"]
    assert await store.shares() == []
    await store.add_share(SHARE)
    await store.add_link(LINK, "digest")
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.use_link("digest", someone(BOB), 150) is None
    assert await store.memos() == {}
    assert await store.tickets() == []
    assert await store.ahead(ALICE) == frozenset()
    assert await store.gates() == ()
    await store.set_seen("sid-1", 160.0)
    assert await store.logins(150) == [replace(LOGIN, seen=160.0)]
    store.close()
    again = SqliteStore(path)
    assert await again.links(ONE) == [LINK]
    again.close()


async def used(path: Path) -> None:
    """Let a hub make the file and end."""
    store = SqliteStore(path)
    await store.ping()
    store.close()


async def test_newer_hub(tmp_path: Path) -> None:
    """A file of a newer hub is not touched; the message says what to do."""
    path = tmp_path / "store.sqlite"
    await used(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"newer hub \(version 99"):
        await SqliteStore(path).ping()
    assert before == path.read_bytes()


async def test_interrupted_migration(tmp_path: Path) -> None:
    """A file that was begun and not finished is brought to its form at the next start."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"")
    await used(path)
    db = sqlite3.connect(path)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    assert version >= 1


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 50])
async def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    """A damaged file is not written over: the hub says so, until somebody has seen to it."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    store = SqliteStore(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="must check the data folder"):
            await store.ping()
    assert content == path.read_bytes()
    path.rename(tmp_path / "damaged.sqlite")
    await store.add_login(LOGIN)
    assert await store.logins(150) == [LOGIN]
    store.close()


async def test_no_folder(tmp_path: Path) -> None:
    """A data folder that is not there is named as the cause."""
    with pytest.raises(StoreUnavailable, match="unable to open"):
        await SqliteStore(tmp_path / "none" / "store.sqlite").ping()


async def test_lost_table(tmp_path: Path) -> None:
    """Records that are damaged while the hub runs let nobody in."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    await store.add_login(LOGIN)
    db = sqlite3.connect(path)
    db.execute("UPDATE login SET person = X'7B'")
    db.commit()
    with pytest.raises(StoreUnavailable):
        await store.logins(150)
    db.execute("DROP TABLE login")
    db.commit()
    db.close()
    for call in (store.ping(), store.logins(150), store.add_login(LOGIN)):
        with pytest.raises(StoreUnavailable):
            await call
    store.close()


async def test_locked(tmp_path: Path) -> None:
    """A file that something else holds locked is said to be unusable; nothing hangs for ever."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.add_login(LOGIN)
    other.execute("ROLLBACK")
    other.close()
    await store.add_login(LOGIN)
    store.close()
