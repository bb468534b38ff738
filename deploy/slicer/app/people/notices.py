"""Notices of the hub to everybody who is connected."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A banner for everyone connected; an empty text removes it.

    ``until``: RFC 3339 time of the announced event, unless somebody keeps the session.
    """

    text: str
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
