"""The storage of the key ring, and its changes: a file here, on a cluster a Secret.

A rotation is one change of the ring: a new key for each use. They are in it for a while before they
sign, so that every controller knows them by then. Earlier keys stay in it as long as something that
they signed may be valid. So nobody is logged out, and no controller refuses what another signs.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import anyio.to_thread
import msgspec
from typing_extensions import override

from controller.core.errors import ConfigError
from controller.people.tokens import LEEWAY, KeyRing, new_key_ring, new_keys, parse_key_ring
from controller.store.data_folder import sync

SIGNS_AFTER = 30.0
"""Seconds from a rotation until the new keys sign: several times what controllers need to learn of
them, plus the difference between their clocks."""

Change = Callable[[KeyRing], KeyRing]


class KeyStorage(Protocol):
    """The storage of the key ring. If it cannot be read or written, it raises a HubError."""

    async def key_ring(self, *, make: bool = True) -> KeyRing:
        """Return the key ring; ``make``: the first call of all makes it.

        Raises ConfigError if it is not safe, or is not there.
        """
        ...

    async def change_key_ring(self, change: Change) -> KeyRing:
        """Replace the key ring by what ``change`` returns, completely or not at all; return it.

        Raises ConfigError as ``key_ring``.
        """
        ...


class KeyFile(KeyStorage):
    """The key ring in a file that its owner alone can read."""

    def __init__(self, path: Path, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch. Nothing is read yet."""
        self._path = path
        self._wall = wall

    @override
    async def key_ring(self, *, make: bool = True) -> KeyRing:
        return await anyio.to_thread.run_sync(self._read, make)

    @override
    async def change_key_ring(self, change: Change) -> KeyRing:
        def work() -> KeyRing:
            with self._mapped(), self._alone():
                ring = change(self._read(make=False))
                _write(self._path, ring)
                return ring

        return await anyio.to_thread.run_sync(work)

    def _read(self, make: bool) -> KeyRing:
        with self._mapped():
            if make and not self._path.exists():
                with self._alone():
                    if not self._path.exists():
                        _write(self._path, new_key_ring(self._wall()))
            return parse_key_ring(self._path.read_bytes(), str(self._path))

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        """Lock the folder, so that other programs do not change the file meanwhile."""
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _mapped(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                [f"{self._path}: the key ring cannot be read or made ({error}). Check its folder."]
            ) from error


def _write(path: Path, ring: KeyRing) -> None:
    """Write completely or not at all: a crash must not leave half a key."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if path.exists() and (there := path.stat()).st_uid != os.geteuid():
            # The command may be run by root: the controller must still be able to read it.
            os.fchown(descriptor, there.st_uid, there.st_gid)
        file.write(msgspec.json.encode(ring))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync(path.parent)


async def rotate(
    storage: KeyStorage, *, now: float, seconds: float, expiries: Iterable[float]
) -> KeyRing:
    """Add keys that sign soon; the others verify as long as what they signed is valid.

    ``now``: seconds since the epoch; ``seconds``: how long tokens signed from now on are valid;
    ``expiries``: when earlier tokens end (seconds since the epoch). Raises as KeyStorage.
    """
    return await storage.change_key_ring(_rotation(now, seconds, expiries))


async def complete(
    storage: KeyStorage, *, now: float, seconds: float, expiries: Iterable[float]
) -> KeyRing:
    """Rotate a ring of an earlier hub, which has not a key for each use; any other stays.

    See ``rotate``.
    """
    rotation = _rotation(now, seconds, expiries)
    return await storage.change_key_ring(lambda ring: ring if ring.complete else rotation(ring))


def _rotation(now: float, seconds: float, expiries: Iterable[float]) -> Change:
    signs = now + SIGNS_AFTER
    ends = max([signs + seconds, *expiries]) + LEEWAY
    keys = new_keys(made=now, signs=signs)
    return lambda ring: ring.rotated(keys, ends=ends)


async def replace_all(storage: KeyStorage, *, now: float) -> KeyRing:
    """Replace all keys by new ones: everything that was signed before becomes invalid.

    Raises as KeyStorage.
    """
    ring = new_key_ring(now)
    return await storage.change_key_ring(lambda _: ring)
