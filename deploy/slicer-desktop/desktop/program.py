"""Which program this desktop is for: written into the image when it is built."""

from __future__ import annotations

from pathlib import Path

import msgspec

from desktop.errors import DesktopError


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``name`` for people, ``version`` for the folder of its settings, ``command`` to run.

    ``saves``: whether it can be asked to save (see `desktop.saving`).
    """

    name: str
    version: str
    command: tuple[str, ...]
    saves: bool = False


def read_program(path: Path) -> Program:
    """The program of this image. Raises DesktopError if its file is missing or wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Program)
    except (OSError, msgspec.DecodeError) as error:
        raise DesktopError(f"{path} names no program: {error}. Build the image again.") from error


def settings_folder(home: Path, program: Program) -> Path:
    """Where the program keeps settings and extensions: one folder per version, beside the data."""
    return home / ".slicer-desktop" / program.version
