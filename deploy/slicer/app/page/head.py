"""The head of a page: values that its scripts need before they run."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.settings import Settings


def page_with(index: str, settings: Settings, *scripts: str) -> str:
    """The page with the values about the hub, and with these scripts before its own."""
    known = {"home": settings.home_url, "share": settings.share_url}
    tags = [
        f'<meta name="slicerhub-{name}" content="{html.escape(value)}">'
        for name, value in known.items()
    ]
    tags += [f'<script src="{html.escape(path)}"></script>' for path in scripts]
    return index.replace("<title>", "".join(tags) + "<title>", 1)
