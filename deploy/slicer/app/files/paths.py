"""Names and paths of files. No file is opened here."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import FileError
from app.core.kinds import ENDINGS, Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME_BYTES = 255  # of one path component on every file system in use
_MOST_LISTED = 2000
_NO_NAME = frozenset('/\\:*?"<>|')
# Of at most four bytes each, with a number and an ending: still a name.
_TITLE_LETTERS = 50


class Entry(msgspec.Struct, frozen=True):
    """An entry of a folder. ``path`` is relative to its root, ``size`` in bytes, 0 for a folder."""

    path: str
    name: str
    kind: Kind
    size: int


class Target(msgspec.Struct, frozen=True):
    """Where a file is written: ``folder`` below ``root``, without links, and the ``name``."""

    root: Path
    folder: PurePosixPath
    name: str


def parse_relative(text: str) -> PurePosixPath:
    """A relative path of plain components, e.g. ``scans/head.nrrd``.

    Raises FileError for an empty path, an absolute one, ``.`` and ``..``, control characters,
    backslashes, and names that no file system takes.
    """
    parts = text.split("/")
    for part in parts:
        if part in {"", ".", ".."} or "\\" in part:
            raise FileError(f"{text!r} is not a name inside this folder. Choose another name.")
        if any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in part):
            raise FileError(f"{text!r} holds characters that a name cannot have. Rename the file.")
        if len(part.encode()) > _NAME_BYTES:
            raise FileError(f"{part[:40]!r}... is too long a name. Shorten it.")
    return PurePosixPath(*parts)


def resolve_inside(root: Path, relative: PurePosixPath) -> Path:
    """The real path below ``root``, after following every link.

    Raises FileError if a link leads outside: the session may open only what it shows.
    """
    base = root.resolve()
    path = (base / relative).resolve()
    if path == base or not path.is_relative_to(base):
        raise FileError(f"{relative} leads outside this folder.")
    return path


def target_of(root: Path, relative: PurePosixPath) -> Target:
    """The target of a file with this path: a link of that name is replaced, not followed.

    Raises FileError if a link on the way leads outside.
    """
    base = root.resolve()
    above = relative.parent
    folder = resolve_inside(root, above).relative_to(base) if above.parts else above
    return Target(root=base, folder=PurePosixPath(folder), name=relative.name)


def free_name(title: str, ending: str, taken: Iterable[str]) -> str:
    """A file's name for something called ``title``: ``Brain.nrrd``, or ``Brain 2.nrrd``, ...

    Characters that a name cannot have become ``_``. ``taken`` are the names that exist already.
    """
    plain = "".join(
        "_" if letter in _NO_NAME or not letter.isprintable() else letter for letter in title
    )
    base = plain.strip(" .")[:_TITLE_LETTERS] or "unnamed"
    for known, _ in ENDINGS:
        base = base.removesuffix(known) or base
    names = {name.casefold() for name in taken}
    number = 1
    while (name := f"{base}{f' {number}' if number > 1 else ''}{ending}").casefold() in names:
        number += 1
    return name


def find_roots(files: Path, groups: Path) -> dict[str, Path]:
    """The folders that the session shows: the user's own files, then each group volume."""
    roots = {"My files": files}
    if groups.is_dir():
        roots |= {path.name: path for path in sorted(groups.iterdir()) if path.is_dir()}
    return roots


def list_folder(root: Path, folder: Path) -> list[Entry]:
    """The folder's entries: folders first, then files, by name, without hidden ones; 2,000 at most.

    Raises FileError if the folder cannot be read.
    """
    entries: list[Entry] = []
    try:
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            kind = Kind.FOLDER if path.is_dir() else kind_of(path.name)
            size = path.stat().st_size if path.is_file() else 0
            relative = path.relative_to(root).as_posix()
            entries.append(Entry(path=relative, name=path.name, kind=kind, size=size))
    except OSError as error:
        raise FileError(f"The folder {folder.name} cannot be read: {error.strerror}.") from error
    entries.sort(key=lambda entry: (entry.kind is not Kind.FOLDER, entry.name.casefold()))
    return entries[:_MOST_LISTED]
