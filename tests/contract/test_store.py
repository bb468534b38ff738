"""What the hub remembers, and what it does when it can remember nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from pathlib import Path

import pytest
from msgspec.structs import replace

from controller.errors import StoreUnavailable
from controller.model import UserId
from controller.store import Login, SqliteStore
from tests.fakes.directory import PEOPLE

pytestmark = pytest.mark.anyio

ALICE, BOB = UserId("alice"), UserId("bob")
LOGIN = Login("sid-1", PEOPLE["carol"], created=100.0, expires=200.0)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[SqliteStore, None, None]:
    """Give a new store of each kind."""
    made = SqliteStore(tmp_path / "store.sqlite" if request.param == "file" else ":memory:")
    yield made
    made.close()


async def test_logins(store: SqliteStore) -> None:
    """A log-in is kept whole until it is over or ended."""
    other = replace(LOGIN, sid="sid-2", expires=300.0)
    await store.add_login(LOGIN)
    await store.add_login(other)
    assert sorted(await store.logins(150), key=lambda one: one.sid) == [LOGIN, other]
    assert await store.logins(200) == [other]
    await store.remove_login("sid-2")
    await store.remove_login("sid-2")
    assert await store.logins(0) == []


async def test_one_login_of_an_id(store: SqliteStore) -> None:
    """A second log-in of the same id is a fault, not another person's log-in."""
    await store.add_login(LOGIN)
    with pytest.raises(StoreUnavailable):
        await store.add_login(replace(LOGIN, person=PEOPLE["bob"]))
    assert await store.logins(150) == [LOGIN]


async def test_failures(store: SqliteStore) -> None:
    """Failures are counted for each key, for a while, until they are forgiven."""
    for at in (30.0, 10.0, 20.0):
        await store.add_failure("user:alice@a", at)
    await store.add_failure("address:a", 15.0)
    assert await store.failures("user:alice@a", 10.0) == [20.0, 30.0]
    assert await store.failures("address:a", 0.0) == [15.0]
    assert await store.failures("user:ALICE@a", 0.0) == []
    await store.clear_failures("user:alice@a")
    assert await store.failures("user:alice@a", 0.0) == []
    assert await store.failures("address:a", 0.0) == [15.0]


async def test_notices(store: SqliteStore) -> None:
    """A person's newest notices are kept until they put them away; others cannot."""
    for number in range(8):
        await store.add_notice(ALICE, f"notice {number}", "more", float(number))
    await store.add_notice(BOB, "for bob", "", 9.0)
    found = await store.notices(ALICE)
    assert [one.text for one in found] == [f"notice {number}" for number in (7, 6, 5, 4, 3)]
    assert [one.at for one in found] == [7.0, 6.0, 5.0, 4.0, 3.0]
    await store.remove_notice(BOB, found[0].number)
    assert await store.notices(ALICE) == found
    await store.remove_notice(ALICE, found[0].number)
    assert await store.notices(ALICE) == found[1:]
    assert [one.text for one in await store.notices(BOB)] == ["for bob"]


async def test_starts(store: SqliteStore) -> None:
    """How long the last starts of a profile took is remembered, older ones are not."""
    for number in range(30):
        await store.add_start("slicer", float(number), 1000.0 + number)
    await store.add_start("other", 5.0, 1.0)
    assert sorted(await store.starts("slicer")) == [float(number) for number in range(10, 30)]
    assert await store.starts("other") == [5.0]
    assert await store.starts("none") == []


async def test_hostile_text(store: SqliteStore) -> None:
    """What people type is data and never SQL."""
    name = "'); DROP TABLE login; --\x00"
    await store.add_failure(name, 1.0)
    await store.add_login(replace(LOGIN, sid=name))
    assert await store.failures(name, 0.0) == [1.0]
    assert [one.sid for one in await store.logins(150)] == [name]


async def test_reopened(tmp_path: Path) -> None:
    """Everything is there after a restart, and after a kill: it was on disk before."""
    path = tmp_path / "store.sqlite"
    killed = SqliteStore(path)
    await killed.add_login(LOGIN)
    again = SqliteStore(path)
    assert await again.logins(150) == [LOGIN]
    await again.ping()
    again.close()
    killed.close()


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


def test_newer_hub(tmp_path: Path) -> None:
    """A file of a newer hub is not touched; the message says what to do."""
    path = tmp_path / "store.sqlite"
    SqliteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"newer hub \(version 99"):
        SqliteStore(path)
    assert before == path.read_bytes()


def test_interrupted_migration(tmp_path: Path) -> None:
    """A file that was begun and not finished is brought to its form at the next start."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"")
    SqliteStore(path).close()
    db = sqlite3.connect(path)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    assert version >= 1


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 50])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    """A damaged file is not written over: the hub says that it cannot use its records."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="the administrator must see to the data folder"):
        SqliteStore(path)
    assert content == path.read_bytes()


def test_no_folder(tmp_path: Path) -> None:
    """A data folder that is not there is named as the cause."""
    with pytest.raises(StoreUnavailable, match="unable to open"):
        SqliteStore(tmp_path / "none" / "store.sqlite")


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
