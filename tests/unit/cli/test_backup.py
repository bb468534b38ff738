"""Keys, records and the list of files: there and back, and what is refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from controller.cli import backup
from controller.cli.archive import KEYS, STORE, make_backup, missing, read_backup, restore
from controller.cli.main import main
from controller.core.errors import ConfigError, StoreUnavailable
from controller.core.model import Role, UserId, Volume
from controller.core.records import Share
from controller.engines.memory import MemoryOrchestrator
from controller.people.keys import KeyFile
from controller.people.tokens import new_key_ring
from controller.store import data_folder
from controller.store.sqlite.store import SqliteStore
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

ALICE = UserId("alice")
SHARE = Share(session_id(1), UserId("bob"), Role.VIEW, "Bob Baker", created=100.0)
LATER = replace(SHARE, uid=UserId("carol"))
VOLUMES = [Volume(ALICE, "clinic-home-alice-2bd806c9"), Volume(UserId("bob"), "clinic-home-bob")]
MADE_AT = "2026-11-23T12:00:00+00:00"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give the data folder of the hub "clinic", with keys and an invitation."""
    made = tmp_path / "data"
    made.mkdir()

    async def fill() -> None:
        await KeyFile(made / KEYS, lambda: 100.0).key_ring()
        store = SqliteStore(made / STORE)
        await store.add_share(SHARE)
        await store.aclose()

    anyio.run(fill)
    with data_folder.held(made, "clinic"):
        pass
    return made


def backup_of(data: Path) -> bytes:
    """Return a backup as it would stand in a file."""
    out = io.BytesIO()
    make_backup(data, "clinic", VOLUMES, MADE_AT, out)
    return out.getvalue()


def changed(whole: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """Return a backup whose parts were changed."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        parts: dict[str, bytes] = {}
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            parts[member.name] = content.read()
    change(parts)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in parts.items():
            made = tarfile.TarInfo(name)
            made.size = len(content)
            tar.addfile(made, io.BytesIO(content))
    return out.getvalue()


def with_manifest(**values: object) -> Callable[[dict[str, bytes]], None]:
    """Return what changes what a backup says of itself."""

    def change(parts: dict[str, bytes]) -> None:
        manifest: dict[str, Any] = json.loads(parts["manifest.json"])
        parts["manifest.json"] = json.dumps(manifest | values).encode()

    return change


def with_part(name: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
    """Return what puts a part into a backup."""

    def change(parts: dict[str, bytes]) -> None:
        parts[name] = content

    return change


def without_records(parts: dict[str, bytes]) -> None:
    """Leave a part out."""
    del parts[STORE]


def names(data: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in data.iterdir())


async def test_there_and_back(data: Path, tmp_path: Path) -> None:
    """What was kept is there again in an empty folder, for the hub alone to read."""
    keys = (data / KEYS).read_bytes()
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    empty = tmp_path / "empty"
    empty.mkdir()
    restore(backup, empty, force=False)
    assert (empty / KEYS).read_bytes() == keys
    assert {stat.S_IMODE((empty / name).stat().st_mode) for name in names(empty)} == {0o600}
    store = SqliteStore(empty / STORE)
    assert await store.shares() == [SHARE]
    await store.aclose()
    data_folder.check_owner(empty, "clinic")
    assert backup.manifest.made_at == MADE_AT


async def test_while_the_hub_runs(data: Path, tmp_path: Path) -> None:
    """A backup of records in use is whole, with what was written a moment before."""
    store = SqliteStore(data / STORE)
    await store.add_share(LATER)
    with data_folder.held(data, "clinic"):
        backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
        with pytest.raises(ConfigError, match="a running hub uses this folder"):
            restore(backup, data, force=True)
    assert sorted(await store.shares(), key=lambda one: one.uid) == [SHARE, LATER]
    await store.aclose()
    empty = tmp_path / "empty"
    empty.mkdir()
    restore(backup, empty, force=False)
    again = SqliteStore(empty / STORE)
    assert len(await again.shares()) == 2
    await again.aclose()
    assert not [name for name in names(data) if name.startswith("backup-")]


async def test_what_is_there_is_kept(data: Path) -> None:
    """Nothing is overwritten unless that is said, and even then it is kept beside."""
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    store = SqliteStore(data / STORE)
    await store.remove_share(SHARE.session, SHARE.uid, bar=False)
    await store.aclose()
    with pytest.raises(ConfigError, match="Use --force"):
        restore(backup, data, force=False)
    restore(backup, data, force=True)
    for name, expected in ((STORE, [SHARE]), (f"{STORE}.replaced", [])):
        found = SqliteStore(data / name)
        assert await found.shares() == expected
        await found.aclose()


async def after_a_crash(data: Path, tmp_path: Path) -> Path:
    """Return the folder of a hub that was killed a moment after Carol was invited."""
    store = SqliteStore(data / STORE)
    await store.add_share(LATER)
    crashed = tmp_path / "crashed"
    shutil.copytree(data, crashed)
    await store.aclose()
    assert (crashed / f"{STORE}-wal").stat().st_size
    return crashed


async def invited(path: Path) -> list[Share]:
    """Return the invitations in a file of records."""
    store = SqliteStore(path)
    found = await store.shares()
    await store.aclose()
    return sorted(found, key=lambda one: one.uid)


async def test_what_a_crash_left_is_kept_whole(data: Path, tmp_path: Path) -> None:
    """What SQLite had not put into its file yet is kept beside the backup, too."""
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    crashed = await after_a_crash(data, tmp_path)
    restore(backup, crashed, force=True)
    assert await invited(crashed / STORE) == [SHARE]
    assert await invited(crashed / f"{STORE}.replaced") == [SHARE, LATER]


async def test_cut_short_while_it_puts_aside(data: Path, tmp_path: Path) -> None:
    """A restore that was cut short between two renames is begun anew, and keeps what was there."""
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    crashed = await after_a_crash(data, tmp_path)
    (crashed / f"{STORE}-wal").rename(crashed / f"{STORE}.replaced-wal")
    restore(backup, crashed, force=True)
    assert await invited(crashed / f"{STORE}.replaced") == [SHARE, LATER]


async def test_cut_short_between_its_parts(data: Path, tmp_path: Path) -> None:
    """Records that are back already are not taken for what was there before."""
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    crashed = await after_a_crash(data, tmp_path)
    await KeyFile(crashed / KEYS, lambda: 200.0).change_key_ring(lambda _: new_key_ring(200.0))
    keys = (crashed / KEYS).read_bytes()
    restore(backup, crashed, force=True)
    (crashed / f"{KEYS}.replaced").rename(crashed / KEYS)
    restore(backup, crashed, force=True)
    assert await invited(crashed / f"{STORE}.replaced") == [SHARE, LATER]
    assert (crashed / KEYS).read_bytes() == backup.parts[KEYS]
    assert (crashed / f"{KEYS}.replaced").read_bytes() == keys
    assert not [name for name in names(crashed) if name.endswith(".restored")]


async def test_restored_again(data: Path, tmp_path: Path) -> None:
    """A second restore keeps what the first one has made, and no journal of what was before."""
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    crashed = await after_a_crash(data, tmp_path)
    restore(backup, crashed, force=True)
    store = SqliteStore(crashed / STORE)
    await store.remove_share(SHARE.session, SHARE.uid, bar=False)
    await store.aclose()
    restore(backup, crashed, force=True)
    assert await invited(crashed / f"{STORE}.replaced") == []
    assert await invited(crashed / STORE) == [SHARE]


async def test_there_after_a_loss_of_power(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last that is written to the disk of the folder is what the restore has made of it."""
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    crashed = await after_a_crash(data, tmp_path)
    kept: list[list[str]] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        really(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            kept.append(names(crashed))

    monkeypatch.setattr(os, "fsync", fsync)
    restore(backup, crashed, force=True)
    assert kept[-1] == names(crashed)
    # Whatever was kept in between, the records of before were there, under one name or the other.
    for one in kept:
        assert {STORE, f"{STORE}.replaced"} & set(one)
        assert {f"{STORE}-wal", f"{STORE}.replaced-wal"} & set(one)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (with_manifest(instance="other"), "The backup is from the hub 'other'"),
        (with_manifest(format=2, instance=5), "from a newer hub"),
        (with_manifest(schema=99), "from a newer hub"),
        (with_manifest(files="?"), "damaged"),
        (with_part(KEYS, b"{}"), "keys.json does not match its checksum"),
        (with_part("../evil", b"x"), "does not belong in a backup"),
        (without_records, "parts are missing"),
        (with_part("manifest.json", b"?"), "damaged"),
    ],
)
async def test_refused(data: Path, damage: Callable[[dict[str, bytes]], None], words: str) -> None:
    """What is damaged, of another hub or of a newer one is refused in words."""
    with pytest.raises(ConfigError, match=words):
        read_backup(io.BytesIO(changed(backup_of(data), damage)), "clinic")


async def test_cut_short(data: Path) -> None:
    """A file of which the end is missing, or that is something else, is called damaged."""
    whole = backup_of(data)
    for length in (0, 10, 600, 2000, len(whole) // 2):
        with pytest.raises(ConfigError, match="damaged"):
            read_backup(io.BytesIO(whole[:length]), "clinic")
    with pytest.raises(ConfigError, match="damaged"):
        read_backup(io.BytesIO(b"GIF89a" * 1000), "clinic")


async def test_newer_records(data: Path, tmp_path: Path) -> None:
    """Records from a newer hub are not put in place."""
    with closing(sqlite3.connect(data / STORE)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match="newer hub"):
        backup_of(data)
    with closing(sqlite3.connect(data / STORE)) as db:
        db.execute("PRAGMA user_version = 1")
    backup = read_backup(io.BytesIO(backup_of(data)), "clinic")
    with closing(sqlite3.connect(data / STORE)) as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("PRAGMA journal_mode = DELETE")
    newer = replace(backup, parts=backup.parts | {STORE: (data / STORE).read_bytes()})
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="newer hub"):
        restore(newer, empty, force=False)
    assert names(empty) == ["instance"]


async def test_missing_files(data: Path) -> None:
    """Whose files are not there any more is told."""
    manifest = read_backup(io.BytesIO(backup_of(data)), "clinic").manifest
    assert [one.owner for one in missing(manifest, VOLUMES[:1])] == ["bob"]
    assert missing(manifest, VOLUMES) == []


def run(data: Path, *words: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    """Run the command for the hub "clinic" on the memory engine."""
    # What names parts of the tests' own is no setting.
    unset: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("SLICERHUB_")
    }
    environment = unset | {
        "SLICERHUB_ORCHESTRATOR": "memory",
        "SLICERHUB_INSTANCE": "clinic",
        "SLICERHUB_DATA_DIR": str(data),
    }
    result = CliRunner().invoke(main, list(words), input=stdin, env=environment)
    return result.exit_code, result.stdout_bytes, result.stderr


def test_the_commands(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator writes a backup and restores it, and reads what is missing."""
    engine: list[MemoryOrchestrator] = []

    def make(settings: Any) -> MemoryOrchestrator:  # noqa: ANN401
        engine.append(MemoryOrchestrator(settings))
        engine[-1].files = {ALICE: 5} if len(engine) == 1 else {}
        return engine[-1]

    monkeypatch.setattr(backup, "make_orchestrator", make)
    file = tmp_path / "hub.tar"
    code, _, said = run(data, "backup", str(file))
    assert (code, said) == (0, "saved the keys, the records and a list of 1 volumes\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, out, _ = run(data, "backup", "-")
    assert code == 0
    assert read_backup(io.BytesIO(out), "clinic").parts.keys() == {KEYS, STORE}
    code, _, said = run(data, "restore", str(file))
    assert code == 1
    assert "Use --force" in said
    code, out, said = run(data, "restore", "-", "--force", stdin=file.read_bytes())
    assert code == 0, said
    assert b"missing: the files of alice; clinic-home-alice-" in out
    assert engine[-1].files == {ALICE: 0}
