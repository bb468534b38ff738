"""Reads what is in a saved scene: 3D Slicer's bundle (.mrb) is a ZIP file of one folder.

It contains the scene (``Scene/Scene.mrml``), its files (``Scene/Data/Brain.nrrd``) and perhaps a
picture (``Scene/Scene.png``). Bundles are only read here.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from app.core.kinds import Kind, ending_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# Endings of markups, which cannot be opened by themselves and therefore are not a `Kind`.
_MARKUPS = (".mrk.json", ".fcsv")
_MOST_NAMED = 6
_MOST_PICTURE = 512 * 1024  # bytes; ours have a tenth of it
# Errors of a damaged or hostile file; RuntimeError: it needs a password.
_SPOILT = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
_PNG = b"\x89PNG\r\n\x1a\n"


class Thing(msgspec.Struct, frozen=True):
    """A part of a saved scene, with its name there. ``kind``: volume, model, ..."""

    name: str
    kind: str


def things_of(members: Iterable[str]) -> tuple[Thing, ...]:
    """The parts of a saved scene, by the names of the files in it: ``Scene/Data/Brain.nrrd``."""
    things: list[Thing] = []
    for member in members:
        path = PurePosixPath(member)
        if path.parent.name != "Data":
            continue
        lower = path.name.lower()
        markups = next((ending for ending in _MARKUPS if lower.endswith(ending)), "")
        kind = kind_of(path.name)
        if markups or kind in {Kind.VOLUME, Kind.SEGMENTATION, Kind.MODEL}:
            ending = markups or ending_of(path.name)
            name = unquote(path.name[: -len(ending)])
            things.append(Thing(name=name, kind="markups" if markups else kind.value))
    return tuple(things)


def things_in(path: Path) -> tuple[Thing, ...] | None:
    """The parts of the saved scene at ``path``, None if they cannot be read."""
    try:
        with zipfile.ZipFile(path) as bundle:
            return things_of(bundle.namelist())
    except _SPOILT:
        return None


def describe(things: tuple[Thing, ...] | None) -> str:
    """The words about a saved scene before its size: ``Brain (volume), Tumour (model), ``."""
    if things is None:
        return ""
    named = [f"{thing.name} ({thing.kind})" for thing in things[:_MOST_NAMED]]
    if more := len(things) - len(named):
        named.append(f"{more} more")
    return "".join(f"{each}, " for each in named)


def picture_in(path: Path) -> bytes:
    """The picture in the saved scene at ``path``, as PNG; empty if there is none of a fair size."""
    try:
        with zipfile.ZipFile(path) as bundle:
            name = next(filter(_is_picture, bundle.namelist()), None)
            if name is None:
                return b""
            with bundle.open(name) as file:
                picture = file.read(_MOST_PICTURE + 1)
    except _SPOILT:
        return b""
    return picture if picture.startswith(_PNG) and len(picture) <= _MOST_PICTURE else b""


def _is_picture(member: str) -> bool:
    path = PurePosixPath(member)
    return path.suffix.lower() == ".png" and len(path.parts) == 2  # noqa: PLR2004 - folder, name
