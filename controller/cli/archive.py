"""Backups: the keys, the records, and a list of people's volumes, in one tar file.

People's files are not in it: they are large, and every site backs them up in its own way. The list
shows which of them are missing after a restore.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from controller import __version__
from controller.core import labels
from controller.core.errors import ConfigError, StoreUnavailable
from controller.core.model import UserId, Volume
from controller.people.tokens import parse_key_ring
from controller.store import data_folder
from controller.store.sqlite.database import copy_store, store_version

FORMAT = 1

KEYS = "keys.json"

STORE = "store.sqlite"

_MANIFEST = "manifest.json"

_PARTS = (_MANIFEST, KEYS, STORE)

_JOURNAL = "-wal"  # behind the name of SQLite's file

_PART_MAX = 2**30  # bytes of one part: anything larger is not a backup of the hub


class Files(msgspec.Struct, frozen=True):
    """A person's volume, as the engine names it."""

    owner: UserId
    volume: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup contains, and for which hub."""

    format: int
    instance: str
    made_at: str  # RFC 3339, UTC
    version: str  # of the hub
    schema: int  # of the labels of sessions
    store: int  # of the records
    digests: dict[str, str]  # SHA-256 of the parts, hexadecimal
    files: tuple[Files, ...]


class Backup(msgspec.Struct, frozen=True):
    """A backup that was read and is complete. Its records have not been opened yet."""

    manifest: Manifest
    parts: dict[str, bytes]


def make_backup(
    data: Path, instance: str, volumes: Iterable[Volume], made_at: str, out: BinaryIO
) -> Manifest:
    """Write a backup of a data folder, which may be in use. Returns its manifest.

    ``made_at``: now, RFC 3339. Raises ConfigError if there is nothing to back up, StoreUnavailable.
    """
    data_folder.check_owner(data, instance)
    try:
        keys = (data / KEYS).read_bytes()
        parse_key_ring(keys, str(data / KEYS))
        with tempfile.TemporaryDirectory(dir=data, prefix="backup-") as room:
            copy = Path(room) / STORE
            version = copy_store(data / STORE, copy)
            store = copy.read_bytes()
    except OSError as error:
        raise _unusable(data, "read or written", error) from error
    parts = {KEYS: keys, STORE: store}
    manifest = Manifest(
        format=FORMAT,
        instance=instance,
        made_at=made_at,
        version=__version__,
        schema=int(labels.SCHEMA_VERSION),
        store=version,
        digests={name: hashlib.sha256(content).hexdigest() for name, content in parts.items()},
        files=tuple(Files(one.owner, one.name) for one in volumes),
    )
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for name, content in ({_MANIFEST: msgspec.json.encode(manifest)} | parts).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o600
            tar.addfile(member, io.BytesIO(content))
    return manifest


def read_backup(source: BinaryIO, instance: str) -> Backup:
    """Read a backup of this instance. Raises ConfigError if it is damaged or cannot be used."""
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for member in tar:
                if member.name not in _PARTS or member.name in parts or not member.isfile():
                    raise _damaged(f"{member.name[:80]!r} does not belong in a backup")
                if member.size > _PART_MAX:
                    raise _damaged(f"{member.name} is too large")
                content = tar.extractfile(member)
                parts[member.name] = content.read() if content is not None else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _damaged(str(error)) from error
    if set(parts) != set(_PARTS):
        raise _damaged("parts are missing")
    manifest = _manifest(parts.pop(_MANIFEST), instance)
    for name, content in parts.items():
        if hashlib.sha256(content).hexdigest() != manifest.digests.get(name):
            raise _damaged(f"{name} does not match its checksum")
    parse_key_ring(parts[KEYS], KEYS)
    return Backup(manifest, parts)


def _manifest(content: bytes, instance: str) -> Manifest:
    try:
        number = msgspec.json.decode(content, type=_Numbered).format
        newer = number > FORMAT
        manifest = None if newer else msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise _damaged(str(error)) from error
    if manifest is None or manifest.schema > int(labels.SCHEMA_VERSION):
        raise ConfigError(
            ["The backup is from a newer hub. Restore it with that version or a later one."]
        )
    if manifest.instance != instance:
        fault = (
            f"The backup is from the hub {manifest.instance!r}, but this one is called "
            f"{instance!r}. Set SLICERHUB_INSTANCE to {manifest.instance!r}: sessions and files "
            "carry that name."
        )
        raise ConfigError([fault])
    return manifest


class _Numbered(msgspec.Struct):
    format: int


def _unusable(data: Path, what: str, error: OSError) -> ConfigError:
    return ConfigError([f"{data}: cannot be {what} ({error}). Check the folder."])


def _damaged(why: str) -> ConfigError:
    return ConfigError([f"The backup is damaged: {why}. Nothing was changed."])


def restore(backup: Backup, data: Path, *, force: bool) -> None:
    """Put keys and records back. The files that they replace are kept as ``….replaced``.

    Raises ConfigError if a hub is running, or if there are files and ``force`` is not set.
    """
    with data_folder.held(data, backup.manifest.instance):
        there = [name for name in (KEYS, STORE) if (data / name).exists()]
        if there and not force:
            fault = (
                f"{data} already has {' and '.join(there)}. Use --force to replace that with the "
                "backup; the old files are kept as ….replaced."
            )
            raise ConfigError([fault])
        try:
            _check_store(backup, data)
            for name in (STORE, KEYS):
                _write(data, f"{name}.restored", backup.parts[name])
            data_folder.sync(data)
            for name in (STORE, KEYS):
                restored = data / f"{name}.restored"
                if _is_there(data / name, backup.parts[name]):
                    restored.unlink()  # an interrupted restore did it, or it never changed
                else:
                    _put_aside(data, name)
                    restored.replace(data / name)
                data_folder.sync(data)
        except OSError as error:
            raise _unusable(data, "written", error) from error


def _check_store(backup: Backup, data: Path) -> None:
    with tempfile.TemporaryDirectory(dir=data, prefix="restore-") as room:
        copy = Path(room) / STORE
        copy.write_bytes(backup.parts[STORE])
        try:
            store_version(copy)
        except StoreUnavailable as error:
            raise ConfigError([error.in_full]) from error


def _is_there(path: Path, content: bytes) -> bool:
    journal = Path(f"{path}{_JOURNAL}")
    return path.exists() and not journal.exists() and path.read_bytes() == content


def _put_aside(data: Path, name: str) -> None:
    """Rename a file together with SQLite's journal, which holds what is not in the file yet.

    What an earlier restore kept is removed first, and the file itself is renamed last. So a restore
    that is interrupted can be run again and loses nothing.
    """
    there, kept = data / name, data / f"{name}.replaced"
    if not there.exists():
        return
    if kept.exists():
        Path(f"{kept}{_JOURNAL}").unlink(missing_ok=True)
        data_folder.sync(data)
        kept.unlink()
        data_folder.sync(data)
    Path(f"{there}-shm").unlink(missing_ok=True)  # SQLite makes it again from the journal
    journal = Path(f"{there}{_JOURNAL}")
    if journal.exists():
        journal.replace(f"{kept}{_JOURNAL}")
        data_folder.sync(data)
    there.replace(kept)
    data_folder.sync(data)


def _write(data: Path, name: str, content: bytes) -> None:
    path = data / name
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        data_folder.give(descriptor, data)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def missing(manifest: Manifest, volumes: Iterable[Volume]) -> Sequence[Files]:
    """Return the volumes that no longer exist."""
    there = {one.name for one in volumes}
    return [one for one in manifest.files if one.volume not in there]
