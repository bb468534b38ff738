"""The pages of showing a session to others: the owner's, and the one behind a link."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from controller.core.errors import (
    HalfDone,
    InvalidRequest,
    NoSuchSession,
    Refused,
    SharingOff,
    Unavailable,
)
from controller.core.model import Observed, Role, moment
from controller.core.records import Link
from controller.core.sentence import Phrase
from controller.gate.answers import STARTING
from controller.people.directory import Directory, uid_of
from controller.rules.sentences import awaited, session_title
from controller.sessions.invitations import Guest
from controller.sessions.link_records import FreshLink
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.web.caller import Caller, join_url
from controller.web.pages.forms import Form, Screen
from controller.web.render import Viewer
from controller.web.services import Services, constant


class GuestRow(msgspec.Struct, frozen=True):
    """Somebody who is invited to a session."""

    user: str
    display_name: str
    role: Role  # VIEW or CONTROL
    until: datetime | None = None  # UTC; None: while the session runs
    connected: bool = False
    asks: bool = False  # for control


class LinkRow(msgspec.Struct, frozen=True):
    """A link that invites anybody who has it; its code is not kept."""

    id: str
    role: Role  # VIEW or CONTROL
    until: datetime  # UTC
    uses: int = 0
    max_uses: int | None = None  # None: any number


class ShownLink(msgspec.Struct, frozen=True):
    """A link just made: the only time that it is shown."""

    url: str
    role: Role  # VIEW or CONTROL
    until: datetime  # UTC
    max_uses: int | None = None  # None: any number
    qr: tuple[str, ...] = ()  # its QR code: rows of "0" and "1", without the quiet zone


class ShareView(msgspec.Struct, frozen=True):
    """Whom a session is shown to: the owner's page, and a dialog over the first page."""

    template: ClassVar[str] = "share.html"

    viewer: Viewer
    now: datetime  # UTC
    id: str
    profile_title: str
    name: str = ""
    people: tuple[GuestRow, ...] = ()
    links: tuple[LinkRow, ...] = ()
    connected: tuple[str, ...] = ()  # who is there now, the owner included
    fresh: ShownLink | None = None
    can_suggest: bool = False  # names may be looked up while they are typed
    kickable: bool = True  # what somebody has open can be cut
    error: str = ""  # a sentence, if what was asked for was refused
    typed_user: str = ""  # as typed before, if it was refused
    ask: tuple[str, ...] = ()  # users who asked for control

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class JoinView(msgspec.Struct, frozen=True):
    """The question to somebody who followed a link: who shows what, before anything is joined."""

    template: ClassVar[str] = "join.html"

    viewer: Viewer
    code: str
    owner: str  # display name
    title: str
    role: Role  # VIEW or CONTROL
    until: datetime | None = None  # UTC; None: while the session runs
    now: datetime | None = None  # UTC; None: times are said with their day
    waits_for: str = ""  # what it stands in the queue for


class ShareForm(msgspec.Struct, frozen=True):
    """What the fields of an invitation by name send; ``expires``: seconds, or empty."""

    user: str = ""
    role: str = ""
    expires: str = ""


class LinkForm(msgspec.Struct, frozen=True):
    """What the fields of an invitation by link send; ``max_uses`` may be empty."""

    role: str = ""
    expires: str = ""
    max_uses: str = ""
    link: str = ""


class ShareViews(msgspec.Struct, frozen=True):
    """What the owner's page is made of."""

    sessions: Sessions
    sharing: Sharing
    poller: Poller
    directory: Directory

    async def view(
        self, viewer: Viewer, own: Observed, now: datetime, *, error: str = ""
    ) -> ShareView:
        """Return the page of a session of the viewer's own."""
        guests = self.sharing.invitations.guests(own)
        names = {one.share.uid: one.share.display_name for one in guests}
        names[own.session.owner] = viewer.display_name
        connected = dict.fromkeys(one.user for one in self.poller.clients(own.session.id))
        return ShareView(
            viewer=viewer,
            now=now,
            id=own.session.id,
            profile_title=self.sessions.profile_of(own).title,
            name=own.session.name,
            people=tuple(_guest(one) for one in guests),
            links=tuple(_link(one) for one in await self.sharing.links.of_session(own)),
            connected=tuple(names.get(user, user) for user in connected),
            can_suggest=self.directory.can_find,
            kickable=self.sharing.cutting.can_cut(own),
            error=error,
            ask=tuple(one.share.uid for one in guests if one.share.asks),
        )


@get("/sessions/{session_id:str}/share")
async def share(
    settings: NamedDependency[Settings],
    poller: NamedDependency[Poller],
    views: NamedDependency[ShareViews],
    screen: NamedDependency[Screen],
    own: NamedDependency[Observed],
) -> Response[str]:
    """Show to whom a session is shown."""
    if not settings.sharing:
        raise SharingOff
    await poller.refresh(own)
    return screen.page(await views.view(screen.viewer, own, screen.now))


@post("/sessions/{session_id:str}/share", status_code=303)
async def invite(
    *,
    sharing: NamedDependency[Sharing],
    views: NamedDependency[ShareViews],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
    own: NamedDependency[Observed],
    data: Annotated[ShareForm, Form],
) -> Response[str]:
    """Invite somebody by name."""
    try:
        seconds = _number(data.expires, Phrase("how long it lasts")) if data.expires else None
        await sharing.invitations.invite(
            own, data.user, _role(data.role), seconds=seconds, by=caller.actor
        )
    except HalfDone:
        raise  # this page cannot be had either without the records
    except (Refused, Unavailable) as error:
        view = await views.view(screen.viewer, own, screen.now, error=str(error))
        refused = msgspec.structs.replace(view, typed_user=data.user[:64])
        return screen.refusal(refused, error)
    return _back(own)


@post("/sessions/{session_id:str}/share/change", status_code=303)
async def change(
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    own: NamedDependency[Observed],
    data: Annotated[ShareForm, Form],
) -> Response[str]:
    """Give control to somebody who is invited, or take it back."""
    await sharing.control.change(own, uid_of(data.user), _role(data.role), by=caller.actor)
    return _back(own)


@post("/sessions/{session_id:str}/share/remove", status_code=303)
async def remove(
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    own: NamedDependency[Observed],
    data: Annotated[ShareForm, Form],
) -> Response[str]:
    """Take an invitation back."""
    await sharing.revoking.withdraw(own, uid_of(data.user), by=caller.actor)
    return _back(own)


@post("/sessions/{session_id:str}/links", status_code=200)
async def make_link(
    *,
    sharing: NamedDependency[Sharing],
    views: NamedDependency[ShareViews],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
    own: NamedDependency[Observed],
    data: Annotated[LinkForm, Form],
) -> Response[str]:
    """Make a link, and show it: this once."""
    try:
        fresh = await sharing.links.make(
            own,
            _role(data.role),
            seconds=_number(data.expires, Phrase("how long it lasts")),
            max_uses=_number(data.max_uses, Phrase("how often it can be used"))
            if data.max_uses
            else None,
            by=caller.actor,
        )
    except (Refused, Unavailable) as error:
        view = await views.view(screen.viewer, own, screen.now, error=str(error))
        return screen.refusal(view, error)
    view = await views.view(screen.viewer, own, screen.now)
    return screen.page(msgspec.structs.replace(view, fresh=_fresh(caller, fresh)))


@post("/sessions/{session_id:str}/links/end", status_code=303)
async def end_link(
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    own: NamedDependency[Observed],
    data: Annotated[LinkForm, Form],
) -> Response[str]:
    """End a link."""
    await sharing.links.end(own, data.link, by=caller.actor)
    return _back(own)


@post("/sessions/{session_id:str}/leave", status_code=303)
async def leave(
    sessions: NamedDependency[Sessions],
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    session_id: FromPath[str],
) -> Response[str]:
    """Give an invitation back."""
    try:
        seen = sessions.find(session_id, caller.person.uid)
    except NoSuchSession:
        return Redirect("/", status_code=303)  # it has ended meanwhile: what was wanted
    await sharing.revoking.leave(seen, caller.person.uid, by=caller.actor)
    return Redirect("/", status_code=303)


@post("/sessions/{session_id:str}/ask", status_code=303)
async def ask(
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    seen: NamedDependency[Observed],
) -> Response[str]:
    """Tell the owner that a guest would like to control."""
    await sharing.control.ask(seen, caller.person)
    return Redirect("/", status_code=303)


@get("/join/{code:str}")
async def offer(
    sessions: NamedDependency[Sessions],
    sharing: NamedDependency[Sharing],
    screen: NamedDependency[Screen],
    code: FromPath[str],
) -> Response[str]:
    """Show who shows what, before anything is joined."""
    found = await sharing.links.peek(code)
    owner = found.seen.session.owner
    if owner == screen.viewer.user:
        # The page of its start goes on to it, whatever led here.
        return Redirect(f"{STARTING}{found.seen.session.id}", status_code=303)
    place = sessions.queue.place(found.seen)
    view = JoinView(
        viewer=screen.viewer,
        code=code,
        owner=owner,
        title=session_title(sessions.profile_of(found.seen).title, found.seen.session.name),
        role=found.link.role,
        until=moment(found.link.expires),
        now=screen.now,
        waits_for=str(awaited(place.waits_for)) if place else "",
    )
    return screen.page(view)


@post("/join/{code:str}", status_code=303)
async def join(
    sharing: NamedDependency[Sharing],
    caller: NamedDependency[Caller],
    code: FromPath[str],
) -> Response[str]:
    """Join the session, and open it."""
    seen = await sharing.links.join(code, caller.person, caller.actor)
    return Redirect(f"/starting/{seen.session.id}", status_code=303)


def _back(seen: Observed) -> Response[str]:
    return Redirect(f"/sessions/{seen.session.id}/share", status_code=303)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        raise InvalidRequest('A guest may "view" or "control".') from error


def _number(text: str, what: Phrase) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(2**31)):
        raise InvalidRequest("Write {what} as a number.", what=what)
    return int(text)


def _guest(guest: Guest) -> GuestRow:
    share = guest.share
    return GuestRow(
        user=share.uid,
        display_name=share.display_name,
        role=share.role,
        until=None if share.expires is None else moment(share.expires),
        connected=guest.connected,
        asks=share.asks,
    )


def _link(link: Link) -> LinkRow:
    until = moment(link.expires)
    return LinkRow(link.id, link.role, until, link.uses, link.max_uses)


def _fresh(caller: Caller, fresh: FreshLink) -> ShownLink:
    import segno  # 0.8 MiB, and only a new link has a QR code

    url = join_url(caller, fresh.code)
    matrix = segno.make(url, error="m", micro=False).matrix
    return ShownLink(
        url=url,
        role=fresh.link.role,
        until=moment(fresh.link.expires),
        max_uses=fresh.link.max_uses,
        qr=tuple("".join("1" if module else "0" for module in row) for row in matrix),
    )


def share_router(services: Services) -> Router:
    """Return the pages of showing a session to others."""
    views = ShareViews(services.sessions, services.sharing, services.poller, services.directory)
    return Router(
        "/",
        route_handlers=[
            share,
            invite,
            change,
            remove,
            make_link,
            end_link,
            leave,
            ask,
            offer,
            join,
        ],
        dependencies={"views": constant(views)},
    )
