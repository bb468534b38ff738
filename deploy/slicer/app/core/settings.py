"""Settings from the environment. The defaults are right inside the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from app.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


_WORD = re.compile(r"[a-z0-9-]{1,64}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one session.

    ``port``: TCP port on all addresses. ``home``: where the user's volume is mounted.
    ``groups``: folder whose subfolders are the group volumes. ``samples``: the samples in the
    image.
    ``standalone``: without the hub in front, everybody who reaches the port is the owner.
    ``autosave_seconds``: how often a changed scene is saved by itself; 0 turns the timer off (the
    scene is saved at the end all the same).
    ``session``: the hub's id of this session, empty without a hub. ``slug``: the hub's word for the
    name that its owner gave it, the same each time; empty for the session without a name.
    ``hub_url``: the hub's address without a slash at its end; empty where the hub has this
    session's own origin.
    """

    port: int = 8080
    home: Path = Path("/home/slicer")
    groups: Path = Path("/groups")
    samples: Path = Path("/opt/slicer/share/samples")
    standalone: bool = False
    autosave_seconds: int = 300
    session: str = ""
    slug: str = ""
    hub_url: str = ""

    @property
    def files(self) -> Path:
        """The folder that the page shows as "My files"."""
        return self.home / "files"

    @property
    def home_url(self) -> str:
        """The address of the hub's home page, for a browser in the session."""
        return f"{self.hub_url}/"

    @property
    def share_url(self) -> str:
        """The hub's page where the owner invites people; empty without a hub."""
        return f"{self.hub_url}/sessions/{self.session}/share" if self.session else ""


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the variables that the hub sets, or the person who runs the image alone.

    ``SLICERHUB_STANDALONE`` (0 or 1), ``SLICERHUB_AUTOSAVE_SEC`` (whole seconds),
    ``SLICERHUB_SESSION`` (the hub's id), ``SLICERHUB_SESSION_SLUG`` (its word for the name),
    ``SLICERHUB_HUB_URL`` (http or https).
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
    session = environ.get("SLICERHUB_SESSION", "")
    slug = environ.get("SLICERHUB_SESSION_SLUG", "")
    for name, value in (("SLICERHUB_SESSION", session), ("SLICERHUB_SESSION_SLUG", slug)):
        if value and not _WORD.fullmatch(value):
            faults.append(f"{name} is {value!r}: set it to small letters, digits and hyphens")
    hub_url = environ.get("SLICERHUB_HUB_URL", "").rstrip("/")
    if hub_url and not _is_address(hub_url):
        faults.append(
            f"SLICERHUB_HUB_URL is {hub_url!r}: set it to an address like https://hub.example.org"
        )
    if faults:
        raise SettingsError("; ".join(faults))
    return Settings(
        standalone=standalone == "1",
        autosave_seconds=int(autosave),
        session=session,
        slug=slug,
        hub_url=hub_url,
    )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
    return known and not parts.query and not parts.fragment and text.isprintable()
