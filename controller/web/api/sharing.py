"""The API: to whom sessions are shown, by name and by link."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from controller.core.model import Observed, Role, moment
from controller.core.records import Link
from controller.people.directory import uid_of
from controller.sessions.invitations import Guest
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.web.api.sessions import SessionOut, session_out
from controller.web.caller import Caller, join_url

_DAY = 86_400  # seconds


_GuestRole = Literal["view", "control"]

_Seconds = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class ShareIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody may do; ``expires_in``: seconds, null means while the session runs."""

    role: _GuestRole
    expires_in: _Seconds | None = None


class ShareOut(msgspec.Struct, frozen=True):
    """Somebody who is invited. ``asks``: they ask for control."""

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

    ``cut``: their open connections are closed; if not, they stay open until the session restarts.
    """

    cut: bool


class LinkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link for anybody who has it, valid for ``expires_in`` seconds (default: a day)."""

    role: _GuestRole
    expires_in: _Seconds = _DAY
    max_uses: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


class LinkOut(msgspec.Struct, frozen=True):
    """A link. Only the answer that made it has a ``url``."""

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
    """Somebody whom you can invite."""

    user: str
    display_name: str


class PeopleOut(msgspec.Struct, frozen=True):
    """At most five people."""

    items: list[PersonOut]


def _share_out(guest: Guest) -> ShareOut:
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


def _link_out(link: Link, url: str | None = None) -> LinkOut:
    """Return a link, with its address if it was made just now."""
    expires = moment(link.expires)
    return LinkOut(link.id, link.role, expires, link.uses, link.max_uses, url)


@get("/people", summary="People whom I can invite")
async def people(
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    q: Annotated[str, QueryParameter(max_length=64)] = "",
) -> PeopleOut:
    """Return a few people whose names begin with ``q`` (three characters at least)."""
    found = await sharing.suggestions.suggest(caller.person, q)
    return PeopleOut([PersonOut(one.uid, one.display_name) for one in found])


@post("/join", status_code=200, summary="Join by a link")
async def join(
    settings: NamedDependency[Settings],
    sessions: NamedDependency[Sessions],
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    data: JSONBody[JoinIn],
) -> SessionOut:
    """Join the session that a link invites to."""
    seen = await sharing.links.join(data.code, caller.person, caller.actor)
    return session_out(settings, sessions, caller, seen)


class SharingController(Controller):
    """To whom a session is shown."""

    path = "/sessions"

    @get("/{session_id:str}/shares", summary="Who is invited")
    async def shares(
        self,
        sharing: NamedDependency[Sharing],
        poller: NamedDependency[Poller],
        own: NamedDependency[Observed],
    ) -> SharesOut:
        """Return everybody who is invited to a session of yours, and who is connected."""
        await poller.refresh(own)
        return SharesOut([_share_out(guest) for guest in sharing.invitations.guests(own)])

    @put("/{session_id:str}/shares/{user:str}", status_code=200, summary="Invite by name")
    async def invite(
        self,
        sharing: NamedDependency[Sharing],
        caller: NamedDependency[Caller],
        own: NamedDependency[Observed],
        user: FromPath[str],
        data: JSONBody[ShareIn],
    ) -> ShareOut:
        """Invite somebody to a session of yours, or change what they may do."""
        share = await sharing.invitations.invite(
            own, user, Role(data.role), seconds=data.expires_in, by=caller.actor
        )
        return _share_out(Guest(share, connected=False))

    @delete(
        "/{session_id:str}/shares/{user:str}", status_code=200, summary="Take an invitation back"
    )
    async def unshare(
        self,
        sessions: NamedDependency[Sessions],
        sharing: NamedDependency[Sharing],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        user: FromPath[str],
    ) -> UnsharedOut:
        """Take an invitation back, or leave a session yourself; open connections are closed."""
        uid = uid_of(user)
        if uid == caller.person.uid:
            seen = sessions.find(session_id, uid)
            return UnsharedOut(cut=await sharing.revoking.leave(seen, uid, by=caller.actor))
        own = sessions.find_own(session_id, caller.person.uid)
        return UnsharedOut(cut=await sharing.revoking.withdraw(own, uid, by=caller.actor))

    @post("/{session_id:str}/ask", status_code=204, summary="Ask for control")
    async def ask(
        self,
        sharing: NamedDependency[Sharing],
        caller: NamedDependency[Caller],
        seen: NamedDependency[Observed],
    ) -> None:
        """Ask the owner for control."""
        await sharing.control.ask(seen, caller.person)

    @get("/{session_id:str}/links", summary="Links")
    async def links(
        self, sharing: NamedDependency[Sharing], own: NamedDependency[Observed]
    ) -> LinksOut:
        """Return the links to a session of yours that still let somebody in."""
        return LinksOut([_link_out(link) for link in await sharing.links.of_session(own)])

    @post("/{session_id:str}/links", status_code=201, summary="Invite by link")
    async def make_link(
        self,
        sharing: NamedDependency[Sharing],
        caller: NamedDependency[Caller],
        own: NamedDependency[Observed],
        data: JSONBody[LinkIn],
    ) -> LinkOut:
        """Make a link. Only this answer contains its address."""
        fresh = await sharing.links.make(
            own,
            Role(data.role),
            seconds=data.expires_in,
            max_uses=data.max_uses,
            by=caller.actor,
        )
        return _link_out(fresh.link, join_url(caller, fresh.code))

    @delete("/{session_id:str}/links/{link:str}", status_code=204, summary="End a link")
    async def end_link(
        self,
        sharing: NamedDependency[Sharing],
        caller: NamedDependency[Caller],
        own: NamedDependency[Observed],
        link: FromPath[str],
    ) -> None:
        """End a link. People who used it stay invited."""
        await sharing.links.end(own, link, by=caller.actor)
