"""Folders by their handles, and files that are complete or do not exist.

Acts through a handle happen in that folder, even if its path leads elsewhere meanwhile, and links
are not followed: on a group's volume anybody can put a link where a colleague writes next. A file
is written as a draft under a random name, and renamed when it is on the disk. A draft is locked
while it is written, so that a draft of a program that was killed can be recognised and removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, Self

from app.core.errors import FileError
from app.core.kinds import ending_of
from app.files.paths import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

# Folder of the person's volume for files that 3D Slicer writes itself, by a path.
DRAFTS = PurePosixPath(".drafts")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
# Without waiting for the other end of a pipe.
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
_DRAFT = re.compile(r"\.?draft-[0-9a-f]{16}[.a-z]*")
_COPY_BYTES = 1024 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Folder:
    """One open folder. Everything here may raise OSError."""

    def __init__(self, path: Path, handle: int) -> None:
        """Takes over the handle. ``path`` is for programs that cannot use a handle."""
        self.path = path
        self.handle = handle

    def __enter__(self) -> Self:
        """Is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the handle."""
        os.close(self.handle)

    def names(self) -> list[str]:
        """Everything in it, hidden files too."""
        return os.listdir(self.handle)  # noqa: PTH208 - a handle has no path

    def create(self, name: str) -> int:
        """A handle of a new file. Raises FileExistsError if there is anything of that name."""
        return os.open(name, _NEW, 0o666, dir_fd=self.handle)

    def write(self, handle: int, content: bytes) -> None:
        """Writes all data at the handle's position."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def look(self, name: str) -> os.stat_result:
        """What the name is: for a link the link itself."""
        return os.stat(name, dir_fd=self.handle, follow_symlinks=False)

    def sync(self, name: str = ".") -> None:
        """Brings a file to the disk, or the folder's own list of names."""
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.handle)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def move(self, name: str, folder: Folder, new: str) -> None:
        """Renames a file in one step; a file or link of that name is replaced."""
        os.replace(name, new, src_dir_fd=self.handle, dst_dir_fd=folder.handle)

    def remove(self, name: str) -> None:
        """Removes a name; a missing one is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.handle)

    @contextlib.contextmanager
    def draft(self, ending: str = "", *, hidden: bool = True) -> Generator[Draft]:
        """A new file that is removed at the end, unless `Draft.put` has renamed it."""
        self._sweep()
        name, handle = self._begin(ending, hidden=hidden)
        try:
            yield Draft(self, name, handle)
        finally:
            os.close(handle)
            with contextlib.suppress(OSError):  # the next draft's sweep takes it
                self.remove(name)

    def _begin(self, ending: str, *, hidden: bool) -> tuple[str, int]:
        while True:
            name = f"{'.' if hidden else ''}draft-{secrets.token_hex(8)}{ending}"
            handle = self.create(name)
            # A sweep may have come between the two steps.
            if _hold(handle) and os.fstat(handle).st_nlink:
                return name, handle
            os.close(handle)

    def _sweep(self) -> None:
        for name in self.names():
            if not _DRAFT.fullmatch(name):
                continue
            try:
                handle = os.open(name, _OLD, dir_fd=self.handle)
            except OSError:  # gone, or none of ours
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.remove(name)
            except OSError:  # somebody writes it, or it cannot be known here
                continue
            finally:
                os.close(handle)


class Opener(Protocol):
    """How folders are opened."""

    def __call__(self, root: Path, relative: PurePosixPath, *, make: bool) -> Folder:
        """See `open_folder`."""
        ...


class Draft:
    """A file that does not have its final name yet."""

    def __init__(self, folder: Folder, name: str, handle: int) -> None:
        """Made by `Folder.draft`."""
        self._folder = folder
        self._handle = handle
        self.name = name

    @property
    def path(self) -> Path:
        """The path, for programs that write by themselves; they may replace the file."""
        return self._folder.path / self.name

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return self._folder.look(self.name).st_size == 0

    def write(self, content: bytes) -> None:
        """Appends."""
        self._folder.write(self._handle, content)

    def put(self, folder: Folder, name: str) -> None:
        """Gives it its final name, in this folder or another one, once it is on the disk."""
        self._folder.sync(self.name)
        try:
            self._folder.move(self.name, folder, name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(folder, name)
            return
        folder.sync()

    def _copy(self, folder: Folder, name: str) -> None:
        """To another file system."""
        source = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._folder.handle)
        with os.fdopen(source, "rb") as stream, folder.draft() as copy:
            while content := stream.read(_COPY_BYTES):
                copy.write(content)
            copy.put(folder, name)


def open_folder(root: Path, relative: PurePosixPath, *, make: bool) -> Folder:
    """Opens a folder below ``root``; a link on the way is refused.

    ``make``: whether to make what is missing. Raises OSError.
    """
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in relative.parts:
        above = handle
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=above)
                    os.fsync(above)
            handle = os.open(part, _FOLDER, dir_fd=above)
        finally:
            os.close(above)
    return Folder(root / relative, handle)


def write_whole(home: Path, target: Target, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a file in the person's own volume, then moves it to ``target``.

    So nobody else can touch a file that is written by its path. Raises FileError.
    """
    with (
        told(target.name),
        open_folder(home, DRAFTS, make=True) as drafts,
        drafts.draft(ending_of(target.name), hidden=False) as draft,
    ):
        write(draft.path)
        if draft.is_empty:
            raise FileError(f"3D Slicer wrote nothing into {target.name}. Save it once more.")
        with open_folder(target.root, target.folder, make=True) as folder:
            draft.put(folder, target.name)


@contextlib.contextmanager
def told(what: str, done: str = "written") -> Generator[None]:
    """Turns errors of the file system into a FileError: what failed, and why."""
    try:
        yield
    except OSError as error:
        advice = (
            "The disk is full. Remove files that you do not need any more"
            if error.errno in _FULL
            else error.strerror or type(error).__name__
        )
        raise FileError(f"{what} could not be {done}: {advice}.") from error


def _hold(handle: int) -> bool:
    """False if somebody else has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: then nobody can remove it, either
        return True
    return True
