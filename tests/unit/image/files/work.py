"""Sessions that save, and a disk that ends or fills up at any step of it."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from app.files.autosaves import UNNAMED, Autosaves, Keeper, in_order, number_of
from app.files.bundles import things_in
from app.files.folders import Folder, open_folder

from controller.core.model import slug

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
THESIS = slug("thesis")


class Killed(BaseException):
    """The program is no more: it does nothing else, not even tidy up."""


class Steps:
    """Opens folders that count what is done to the disk, and ``stop`` instead of step ``last``."""

    def __init__(self, last: int, stop: Callable[[], BaseException]) -> None:
        """Nothing has been done."""
        self.done = 0
        self.last = last
        self._stop = stop

    def take(self) -> None:
        """One step, or the end."""
        if self.done == self.last:
            raise self._stop()
        self.done += 1

    def open(self, root: Path, relative: PurePosixPath, *, make: bool) -> Folder:
        """In place of `open_folder`."""
        if make:
            self.take()
        opened = open_folder(root, relative, make=make)
        return Counted(opened.path, opened.handle, self)


class Counted(Folder):
    """A folder in which each change is a step."""

    def __init__(self, path: Path, handle: int, steps: Steps) -> None:
        """Takes over the handle."""
        super().__init__(path, handle)
        self._steps = steps

    def create(self, name: str) -> int:
        """A step."""
        self._steps.take()
        return super().create(name)

    def sync(self, name: str = ".") -> None:
        """A step."""
        self._steps.take()
        super().sync(name)

    def move(self, name: str, folder: Folder, new: str) -> None:
        """A step."""
        self._steps.take()
        super().move(name, folder, new)

    def remove(self, name: str) -> None:
        """A step."""
        self._steps.take()
        super().remove(name)


class Work:
    """What one session does: a scene with this in it, autosaved when ``save`` is called."""

    def __init__(self, home: Path, session: str = "", *, steps: Steps | None = None) -> None:
        """A session that has just started; nobody did anything."""
        self.autosaves = Autosaves(
            home, home / "files", session, opener=steps.open if steps else open_folder
        )
        self.things = ["Brain.nrrd"]
        self.inputs = 0
        self.now = NOON
        self.told: list[str] = []
        self.full = False
        self.written = 0
        self.keeper = Keeper(
            self.autosaves,
            inputs=lambda: self.inputs,
            is_empty=lambda: False,
            write=self._write,
            now=lambda: self.now,
            trouble=self.told.append,
        )

    def do(self) -> str | None:
        """Somebody does something, and it is saved."""
        self.inputs += 1
        return self.keeper.save()

    def _write(self, path: Path) -> None:
        self.written += 1
        if self.full:
            path.write_bytes(b"half a sc")
            raise OSError(errno.ENOSPC, "No space left on device")
        write_scene(path, *self.things)


def write_scene(path: Path, *things: str) -> None:
    """A saved scene with files of these names in it."""
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("Scene/Scene.mrml", "<MRML/>")
        for thing in things:
            bundle.writestr(f"Scene/Data/{thing}", "data")


def saved(home: Path, session: str = UNNAMED) -> list[str]:
    """The autosaves of a session's name, oldest first; fails if one is not whole."""
    folder = home / "files" / "autosave" / session
    names = in_order(each.name for each in folder.iterdir()) if folder.is_dir() else []
    for name in names:
        assert things_in(folder / name), f"{name} is not whole"
    return names[::-1]


def numbers(home: Path, session: str = UNNAMED) -> list[int]:
    """Their numbers."""
    return [number_of(name) for name in saved(home, session)]
