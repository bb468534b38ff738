"""The data folder: it belongs to one instance, and one controller at a time uses it.

It contains records of sessions and people of that instance. A hub of another name would find
nothing of its own there, and remove all of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from controller.core.errors import ConfigError

_NAME = "instance"  # file with the instance's name; a running controller holds its lock

_NAME_MAX = 64  # bytes of it that are read


@contextmanager
def held(folder: Path, instance: str) -> Generator[None, None, None]:
    """Hold the folder for this process; the kernel releases it when the process ends.

    Raises ConfigError if it belongs to another instance, or is in use.
    """
    with _mapped(folder):
        descriptor = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with _mapped(folder):
            give(descriptor, folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.pread(descriptor, _NAME_MAX, 0)
        _check(found, folder, instance)
        if not found:
            with _mapped(folder):
                os.pwrite(descriptor, f"{instance}\n".encode(), 0)
                os.fsync(descriptor)
                sync(folder)
        yield
    finally:
        os.close(descriptor)


def check_owner(folder: Path, instance: str) -> None:
    """Raise ConfigError if the folder belongs to another instance. Nothing is changed."""
    with _mapped(folder):
        path = folder / _NAME
        found = path.read_bytes()[:_NAME_MAX] if path.exists() else b""
    _check(found, folder, instance)


def sync(folder: Path) -> None:
    """Write a folder's changes to disk, so that they survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot do this
            raise
    finally:
        os.close(descriptor)


def give(descriptor: int, folder: Path) -> None:
    """Give a file to the folder's owner, because root may run the command."""
    if os.geteuid() == 0:
        there = folder.stat()
        os.fchown(descriptor, there.st_uid, there.st_gid)


def _check(found: bytes, folder: Path, instance: str) -> None:
    theirs = found.decode("ascii", errors="replace").strip()
    if theirs not in {"", instance}:
        fault = (
            f"instance: {folder} belongs to the hub {theirs!r}, but this one is called "
            f"{instance!r} and would see neither that hub's sessions nor its files. Set "
            f"SLICERHUB_INSTANCE to {theirs!r}; or give this hub a folder of its own (data_dir, "
            "SLICERHUB_DATA_DIR)."
        )
        raise ConfigError([fault])


@contextmanager
def _mapped(folder: Path) -> Generator[None, None, None]:
    try:
        yield
    except BlockingIOError as error:
        raise ConfigError(
            [f"{folder}: a running hub uses this folder. Stop that hub first."]
        ) from error
    except OSError as error:
        raise ConfigError(
            [f"{folder}: the data folder cannot be used ({error}). Check it."]
        ) from error
