"""Autosaves: numbered scenes in one folder for each name of a session, of which the newest stay.

Numbers give the order: a clock may be wrong, and two programs may save into one folder at the same
time, if a session is started again before the earlier one has ended. A program takes a number by
making a file that must not exist yet. Sessions of one person with different names have different
folders, so that none removes the work of another.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from app.core import log
from app.core.errors import FileError, SlicerError
from app.files.bundles import Thing, picture_in, things_in
from app.files.folders import DRAFTS, Draft, Folder, Opener, open_folder, told

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator

KEPT_AUTOSAVES = 3
AUTOSAVE_FOLDER = "autosave"
# Folder of the session without a name. The hub's slugs end in a hash, so none is this word.
UNNAMED = "unnamed"

_NAME = re.compile(r"scene-([0-9]{6,})-([0-9]{8}T[0-9]{6}Z)\.mrb")
_OLD_NAME = re.compile(r"scene-([0-9]{8}T[0-9]{6}Z)\.mrb")
_TIME = "%Y%m%dT%H%M%SZ"
_TAKEN = re.compile(r"\.scene-([0-9]{6,})\.taken")
_OFFERED = re.compile(r"\.scene-([0-9]{6,})\.offered")


class Offer(msgspec.Struct, frozen=True):
    """A saved scene that is offered.

    ``things`` is None if it cannot be told what is in it. ``picture``: how it looked, as PNG; empty
    if there is none.
    """

    path: Path
    saved_at: datetime
    size: int
    things: tuple[Thing, ...] | None
    picture: bytes = b""


def autosave_name(number: int, when: datetime) -> str:
    """``scene-000012-20260131T094100Z.mrb``: sorts by number, and shows the time."""
    return f"scene-{number:06}-{when.astimezone(UTC):{_TIME}}.mrb"


def parse_autosave(name: str) -> tuple[int, datetime] | None:
    """Number and time of an autosave, None for any other file.

    Old autosaves without a number have the number 0.
    """
    if found := _NAME.fullmatch(name):
        number, time = int(found[1]), found[2]
    elif found := _OLD_NAME.fullmatch(name):
        number, time = 0, found[1]
    else:
        return None
    try:
        return number, datetime.strptime(time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def in_order(names: Iterable[str]) -> list[str]:
    """The autosaves among the names, the newest first."""
    known = {name: parsed for name in names if (parsed := parse_autosave(name))}
    return sorted(known, key=lambda name: known[name], reverse=True)


def number_of(name: str) -> int:
    """The number of an autosave, 0 for anything else."""
    return parsed[0] if (parsed := parse_autosave(name)) else 0


def next_number(names: Iterable[str]) -> int:
    """One more than every number that is used, or taken but not used yet."""
    names = list(names)
    marks = [int(found[1]) for name in names if (found := _TAKEN.fullmatch(name))]
    return 1 + max([*map(number_of, names), *marks], default=0)


def surplus_autosaves(names: Iterable[str], keep: Collection[str] = ()) -> list[str]:
    """All autosaves except the newest three and ``keep``; other files are never deleted."""
    numbered = [name for name in in_order(names) if number_of(name)]
    return [name for name in numbered[KEPT_AUTOSAVES:] if name not in keep]


class Autosaves:
    """The autosaves of a person's sessions of one name.

    ``home``: the person's volume. ``files``: the folder of their files in it. ``session``: the
    hub's word for the name, empty for the unnamed one.
    """

    def __init__(
        self, home: Path, files: Path, session: str, *, opener: Opener = open_folder
    ) -> None:
        self._home = home
        self._files = files
        self._folder = PurePosixPath(AUTOSAVE_FOLDER, session or UNNAMED)
        self._open = opener
        self._offered: set[str] = set()

    @contextlib.contextmanager
    def draft(self) -> Generator[Draft]:
        """A file into which the scene is written; it is removed afterwards, unless `keep` kept it.

        Raises FileError for errors of the file system.
        """
        with (
            told("Your scene"),
            self._open(self._home, DRAFTS, make=True) as drafts,
            drafts.draft(".mrb", hidden=False) as draft,
        ):
            yield draft

    def keep(self, draft: Draft, now: datetime) -> str | None:
        """Makes the draft the newest autosave and removes old ones; returns its name.

        Returns None, without a new autosave, if the scene is empty. Raises FileError.
        """
        if draft.is_empty:
            raise FileError("3D Slicer wrote nothing. Save your scene under a name of your own.")
        if things_in(draft.path) == ():
            return None
        with told("Your scene"), self._open(self._files, self._folder, make=True) as folder:
            number = _take_number(folder)
            name = autosave_name(number, now)
            draft.put(folder, name)
            self._tidy(folder, name)
        return name

    def newest(self) -> str | None:
        """The name of the newest autosave, None if there is none. Raises FileError."""
        with told("Your scene", "read"):
            return next(iter(in_order(self._names(self._folder))), None)

    def offers(self) -> list[Offer]:
        """Returns what a new session offers to open: the newest autosave, and unanswered offers.

        Until `answered`, none of them is removed, also not by a later session. If there is none of
        this name, it returns the newest from the time before names had folders: nobody knows to
        which name they belong, so they stay, and are offered to each name that has none.
        Raises FileError.
        """
        with told("Your scenes", "read"):
            names = self._names(self._folder)
            waiting = _marked(names)
            offers = list(self._looks(self._folder, in_order(names)))
            newest = [offer for offer in offers if offer.things != ()][:1]
            chosen = [
                each for each in offers if each in newest or number_of(each.path.name) in waiting
            ]
            above = self._folder.parent
            old = [name for name in in_order(self._names(above)) if not number_of(name)]
            if not chosen:
                before = [each for each in self._looks(above, old) if each.things != ()]
                return _with_pictures(before[:1])
        self._offered = {offer.path.name for offer in chosen}
        self._mark(names)
        return _with_pictures(chosen)

    def answered(self) -> None:
        """Notes that the person has chosen one of the offers, or none. Raises FileError."""
        self._offered = set()
        with (
            told("Your choice"),
            contextlib.suppress(FileNotFoundError),
            self._open(self._files, self._folder, make=False) as folder,
        ):
            for name in filter(_OFFERED.fullmatch, folder.names()):
                folder.remove(name)

    def _names(self, relative: PurePosixPath) -> list[str]:
        try:
            with self._open(self._files, relative, make=False) as folder:
                return folder.names()
        except FileNotFoundError:
            return []

    def _looks(self, relative: PurePosixPath, names: Iterable[str]) -> Iterator[Offer]:
        for name in names:
            path, parsed = self._files / relative / name, parse_autosave(name)
            # Another session may have dropped it meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if parsed:
                    size = path.stat().st_size
                    yield Offer(path, saved_at=parsed[1], size=size, things=things_in(path))

    def _mark(self, names: Collection[str]) -> None:
        marks = {f".scene-{number_of(name):06}.offered" for name in self._offered} - {*names}
        try:
            with self._open(self._files, self._folder, make=False) as folder:
                for mark in marks:
                    os.close(folder.create(mark))
        except OSError as error:  # then this session remembers it
            log.failure("autosave.unmarked", error)

    def _tidy(self, folder: Folder, newest: str) -> None:
        """The scene has been saved, so an error in tidying up is not an error of saving."""
        try:
            names = folder.names()
            waiting = _marked(names)
            keep = {newest} | self._offered
            keep |= {name for name in names if number_of(name) in waiting}
            surplus = surplus_autosaves(names, keep)
            if surplus:
                filled = (name for name in in_order(names) if things_in(folder.path / name))
                keep.add(next(filled, ""))
            for name in surplus:
                if name not in keep:
                    folder.remove(name)
            for name in names:
                found = _TAKEN.fullmatch(name)
                if found and int(found[1]) <= number_of(newest):
                    folder.remove(name)
            folder.sync()
        except OSError as error:
            log.failure("autosave.untidy", error)


def _take_number(folder: Folder) -> int:
    """A number that no other program gets. Raises OSError."""
    while True:
        number = next_number(folder.names())
        mark = f".scene-{number:06}.taken"
        try:
            os.close(folder.create(mark))
        except FileExistsError:
            continue
        # Somebody may have taken it, used it and let go of it between those two steps.
        if max(map(number_of, folder.names()), default=0) < number:
            return number
        folder.remove(mark)


def _with_pictures(offers: Iterable[Offer]) -> list[Offer]:
    return [msgspec.structs.replace(each, picture=picture_in(each.path)) for each in offers]


def _marked(names: Iterable[str]) -> set[int]:
    return {int(found[1]) for name in names if (found := _OFFERED.fullmatch(name))}


class Keeper:
    """Saves if there was input since the last time, and reports trouble.

    ``inputs()``: the number of inputs so far. ``write(path)`` saves the scene there, and
    ``is_empty()`` tells whether it is empty. ``trouble(text)`` tells everybody once that their work
    is not saved; an empty text, that it is saved again.
    """

    def __init__(
        self,
        autosaves: Autosaves,
        *,
        inputs: Callable[[], int],
        is_empty: Callable[[], bool],
        write: Callable[[Path], None],
        now: Callable[[], datetime],
        trouble: Callable[[str], None],
    ) -> None:
        self._autosaves = autosaves
        self._inputs = inputs
        self._is_empty = is_empty
        self._write = write
        self._now = now
        self._trouble = trouble
        self._saved = inputs()
        self._failing = False

    @property
    def is_due(self) -> bool:
        """Whether there was input since the last save."""
        return self._inputs() != self._saved

    def save(self) -> str | None:
        """Saves if there is something new; returns the name of the newest autosave, or None.

        Raises FileError.
        """
        try:
            name = self._save() if self.is_due and not self._is_empty() else None
        except SlicerError as error:
            if not self._failing:
                self._failing = True
                self._trouble(f"Your scene was not saved. {error}")
            raise
        if name and self._failing:
            self._failing = False
            self._trouble("")
        return name or self._autosaves.newest()

    def try_save(self) -> None:
        """Like `save`, but nobody waits for an answer."""
        try:
            self.save()
        except SlicerError as error:
            log.failure("save.failed", error)

    def _save(self) -> str | None:
        inputs = self._inputs()
        with self._autosaves.draft() as draft:
            self._write(draft.path)
            name = self._autosaves.keep(draft, self._now())
        self._saved = inputs
        if name:
            log.event("scene.saved", name=name)
        return name
