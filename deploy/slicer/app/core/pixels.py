"""What was drawn: the pixels of a view."""

from __future__ import annotations

import msgspec


class Pixels(msgspec.Struct, frozen=True):
    """``rgb``: three bytes of each pixel (red, green, blue), row by row from the top."""

    width: int
    height: int
    rgb: bytes
