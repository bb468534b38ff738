"""What the environment may set. Everything has a default that is right inside the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one session.

    ``port``: TCP port on all addresses. ``home``: where the user's volume is mounted.
    ``groups``: folder whose subfolders are the group volumes. ``samples``: the samples in the
    image.
    ``standalone``: without the hub in front, everybody who reaches the port is the owner.
    ``autosave_seconds``: how often a changed scene is saved by itself; 0 turns the timer off (the
    scene is saved at the end all the same).
    """

    port: int = 8080
    home: Path = Path("/home/slicer")
    groups: Path = Path("/groups")
    samples: Path = Path("/opt/slicer/share/samples")
    standalone: bool = False
    autosave_seconds: int = 300

    @property
    def files(self) -> Path:
        """The folder that the user sees as "Files"."""
        return self.home / "files"


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Reads ``SLICERHUB_STANDALONE`` (0 or 1) and ``SLICERHUB_AUTOSAVE_SEC`` (whole seconds).

    Raises SettingsError that names every wrong variable and what it may be.
    """
    faults: list[str] = []
    standalone = environ.get("SLICERHUB_STANDALONE", "0")
    if standalone not in {"0", "1"}:
        faults.append(f"SLICERHUB_STANDALONE is {standalone!r}: set it to 0 or 1")
    autosave = environ.get("SLICERHUB_AUTOSAVE_SEC", "300")
    if not (autosave.isascii() and autosave.isdigit() and int(autosave) <= 86400):  # noqa: PLR2004 - one day
        faults.append(
            f"SLICERHUB_AUTOSAVE_SEC is {autosave!r}: set it to whole seconds from 0 (off) to 86400"
        )
    if faults:
        raise SettingsError("; ".join(faults))
    return Settings(standalone=standalone == "1", autosave_seconds=int(autosave))
