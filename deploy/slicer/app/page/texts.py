"""Formats a size for people, and a picture as an address inside the page."""

from __future__ import annotations

import base64


def data_url(content: bytes, kind: str) -> str:
    """An address that carries the content itself; ``kind``: its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def human(size: int) -> str:
    """A number of bytes in the unit that suits it."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:  # noqa: PLR2004
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
