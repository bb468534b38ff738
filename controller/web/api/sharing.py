"""The API: what is sent and answered about sharing."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from controller.core.model import Role, moment
from controller.core.records import Link
from controller.sessions.sharing import Guest
from controller.web.caller import Caller, Hub

_DAY = 86_400  # seconds


_GuestRole = Literal["view", "control"]

_Seconds = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class ShareIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody may do; ``expires_in``: seconds, null means while the session runs."""

    role: _GuestRole
    expires_in: _Seconds | None = None


class ShareOut(msgspec.Struct, frozen=True):
    """Somebody who is invited. ``asks``: they would like to control."""

    user: str
    display_name: str
    role: Role
    expires_at: datetime | None
    connected: bool
    asks: bool


class SharesOut(msgspec.Struct, frozen=True):
    """Everybody who is invited."""

    items: list[ShareOut]


class UnsharedOut(msgspec.Struct, frozen=True):
    """An invitation was taken back.

    ``cut``: what was open is closed; if not, it stays open until the session is restarted.
    """

    cut: bool


class LinkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link for whoever has it, for ``expires_in`` seconds (a day if nothing is said)."""

    role: _GuestRole
    expires_in: _Seconds = _DAY
    max_uses: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


class LinkOut(msgspec.Struct, frozen=True):
    """A link. ``url`` is there only in the answer that made it."""

    id: str
    role: Role
    expires_at: datetime
    uses: int
    max_uses: int | None
    url: str | None = None


class LinksOut(msgspec.Struct, frozen=True):
    """The links that still let somebody in."""

    items: list[LinkOut]


class JoinIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last part of a link's address."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class PersonOut(msgspec.Struct, frozen=True):
    """Somebody whom you could invite."""

    user: str
    display_name: str


class PeopleOut(msgspec.Struct, frozen=True):
    """At most five people."""

    items: list[PersonOut]


def share_out(guest: Guest) -> ShareOut:
    """Return somebody who is invited."""
    share = guest.share
    return ShareOut(
        user=share.uid,
        display_name=share.display_name,
        role=share.role,
        expires_at=None if share.expires is None else moment(share.expires),
        connected=guest.connected,
        asks=share.asks,
    )


def link_out(link: Link, url: str | None = None) -> LinkOut:
    """Return a link, with its address if it was made just now."""
    expires = moment(link.expires)
    return LinkOut(link.id, link.role, expires, link.uses, link.max_uses, url)


@get("/people", summary="Whom could I invite")
async def people(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    q: Annotated[str, QueryParameter(max_length=64)] = "",
) -> PeopleOut:
    """Return a few people whose names begin with ``q`` (three characters at least)."""
    found = await hub.sharing.suggest(caller.person, q)
    return PeopleOut([PersonOut(one.uid, one.display_name) for one in found])
