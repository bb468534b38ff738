"""The file of each earlier hub is brought to the present form."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from controller.core.model import UserId
from controller.core.records import Gate
from controller.store.sqlite.database import MIGRATIONS, store_version
from controller.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

GATE = Gate("gate-1", "boot-a", 100.0)

NOTICE = "INSERT INTO notice (uid, at, text, more) VALUES ('alice', 1.0, 'Hello', '')"


def tables(path: Path) -> list[tuple[str, str]]:
    """Return what the file consists of."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_from_an_earlier_version(tmp_path: Path, version: int) -> None:
    """A file of any earlier version keeps its records, gets the roster, and equals a new file."""
    path, new = tmp_path / "store.sqlite", tmp_path / "new.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for script in MIGRATIONS[:version]:
            db.executescript(script)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute(NOTICE)
    for there in (path, new):
        store = SqliteStore(there)
        assert await store.gates() == ()
        await store.put_gate(GATE)
        assert await store.gates() == (GATE,)
        assert len(await store.notices(UserId("alice"))) == (there == path)
        await store.aclose()
    assert store_version(path) == len(MIGRATIONS)
    assert tables(path) == tables(new)
