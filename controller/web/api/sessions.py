"""The API: sessions, and the stream of what happens to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage

from controller.core.errors import NoSuchSession
from controller.core.model import NAME_MAX, Observed, Phase, Role
from controller.core.records import Reason
from controller.gate.answers import NO_STORE
from controller.people.directory import uid_of
from controller.rules import access, routes
from controller.rules.sentences import Step
from controller.sessions.sharing import Guest
from controller.web.api.sharing import (
    JoinIn,
    LinkIn,
    LinkOut,
    LinksOut,
    ShareIn,
    ShareOut,
    SharesOut,
    UnsharedOut,
    link_out,
    share_out,
)
from controller.web.caller import Caller, Hub, join_url

_HEARTBEAT_SECONDS = 15.0  # so that proxies on the way keep a quiet stream open

_HEARTBEAT = ServerSentEventMessage(data=None, comment="still here")


class LaunchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Launch ``profile`` ("" is the default one), named so that you can have several."""

    profile: Annotated[str, msgspec.Meta(max_length=64)] = ""
    name: Annotated[str, msgspec.Meta(max_length=4 * NAME_MAX)] = ""


class PlaceOut(msgspec.Struct, frozen=True):
    """Where a session stands in line; 1 is next."""

    position: int
    waits_for: str


class SessionOut(msgspec.Struct, frozen=True):
    """A session. ``stops_at``: when it will be stopped unless it is used, if that is near."""

    id: str
    name: str
    owner: str
    profile: str
    phase: Phase
    message: str
    url: str
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime | None
    role: Role
    place: PlaceOut | None
    stops_at: datetime | None


class SessionsOut(msgspec.Struct, frozen=True):
    """Your sessions, then those that others show you, the oldest first."""

    items: list[SessionOut]


class ProgressOut(msgspec.Struct, frozen=True):
    """One event of a starting session."""

    phase: Phase
    message: str
    url: str
    steps: Sequence[Step]
    elapsed: float  # seconds since the launch
    place: PlaceOut | None


def session_out(hub: Hub, caller: Caller, seen: Observed) -> SessionOut:
    """Return a session as this caller sees it. Raises NoSuchSession if they have no role in it."""
    role = hub.sessions.role(seen, caller.person.uid)
    if role is None:
        raise NoSuchSession
    return SessionOut(
        id=seen.session.id,
        name=seen.session.name,
        owner=seen.session.owner,
        profile=seen.session.profile,
        phase=hub.sessions.phase(seen),
        message=hub.sessions.message(seen),
        url=routes.session_url(seen.session.id, hub.settings, caller.public_url),
        created_at=seen.session.created_at,
        last_activity_at=hub.sessions.usage.last_activity(seen),
        expires_at=hub.sessions.usage.expires(seen),
        role=role,
        place=place_out(hub, seen),
        stops_at=warned[1] if (warned := hub.sessions.usage.warned(seen)) else None,
    )


def place_out(hub: Hub, seen: Observed) -> PlaceOut | None:
    """Return where a session stands in line; None: it does not wait."""
    place = hub.sessions.queue.place(seen)
    return PlaceOut(place.position, place.waits_for) if place else None


def progress_out(hub: Hub, seen: Observed) -> ProgressOut:
    """Return how far a session's start has got."""
    return ProgressOut(
        phase=hub.sessions.phase(seen),
        message=hub.sessions.message(seen),
        url=routes.session_url(seen.session.id, hub.settings),
        steps=hub.sessions.readiness.progress(seen),
        elapsed=round(hub.sessions.usage.elapsed(seen), 1),
        place=place_out(hub, seen),
    )


@post("/join", status_code=200, summary="Join by a link")
async def join(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: JSONBody[JoinIn]
) -> SessionOut:
    """Join the session that a link invites to."""
    return session_out(hub, caller, await hub.sharing.join(data.code, caller.person, caller.actor))


@get("/events", summary="Changes of my sessions")
async def events(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> ServerSentEvent:
    """Send an event ``sessions`` whenever a session of yours changes, or what else you may use."""
    return ServerSentEvent(_session_events(hub, caller), headers=NO_STORE)


class SessionsController(Controller):
    """Sessions."""

    path = "/sessions"

    @get(summary="My sessions")
    async def list_sessions(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller]
    ) -> SessionsOut:
        """Return your own sessions, and those that others show you."""
        uid = caller.person.uid
        shared = (seen for seen, _ in hub.sessions.shared_with(uid))
        found = (*hub.sessions.owned_by(uid), *shared)
        return SessionsOut([session_out(hub, caller, seen) for seen in found])

    @post(status_code=202, summary="Launch")
    async def launch(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: JSONBody[LaunchIn]
    ) -> Response[SessionOut]:
        """Launch a session; follow its events until it is ready."""
        profile = access.choose_profile(hub.settings, caller.person, data.profile)
        seen = await hub.sessions.launching.launch(
            caller.person, profile, data.name, by=caller.actor
        )
        out = session_out(hub, caller, seen)
        return Response(out, headers={"Location": f"/api/v1/sessions/{out.id}"})

    @get("/{session_id:str}", summary="One session")
    async def get_session(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> SessionOut:
        """Return one session."""
        return session_out(hub, caller, hub.sessions.find(session_id, caller.person.uid))

    @delete("/{session_id:str}", status_code=202, summary="Stop")
    async def stop(
        self,
        hub: NamedDependency[Hub],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        save: FromQuery[bool] = True,
    ) -> SessionOut:
        """Stop a session; its files stay. It answers 404 once it is gone.

        `save=false` does not wait for its program to save first, also if it is at it already.
        """
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        out = session_out(hub, caller, seen)
        await hub.sessions.stop(seen.session.id, Reason.STOPPED, by=caller.actor, save=save)
        return msgspec.structs.replace(
            out, phase=Phase.STOPPING, message="It is stopping; the files stay."
        )

    @post("/{session_id:str}/restart", status_code=202, summary="Stop it and start anew")
    async def restart(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> None:
        """End whatever is open on a session, then launch it under its name again.

        The new one has an id of its own, and nobody is invited to it.
        """
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        await hub.sessions.launching.restart(seen, caller.person, by=caller.actor)

    @post("/{session_id:str}/keep", status_code=200, summary="I still need it")
    async def keep(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> SessionOut:
        """Count a session as used just now."""
        seen = hub.sessions.find(session_id, caller.person.uid)
        await hub.sessions.keep(seen, caller.person.uid)
        return session_out(hub, caller, seen)

    @get("/{session_id:str}/shares", summary="Who is invited")
    async def shares(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> SharesOut:
        """Return everybody who is invited to a session of yours, and who is connected."""
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        await hub.poller.refresh(seen)
        return SharesOut([share_out(guest) for guest in hub.sharing.guests(seen)])

    @put("/{session_id:str}/shares/{user:str}", status_code=200, summary="Invite by name")
    async def invite(
        self,
        hub: NamedDependency[Hub],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        user: FromPath[str],
        data: JSONBody[ShareIn],
    ) -> ShareOut:
        """Invite somebody to a session of yours, or change what they may do."""
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        share = await hub.sharing.invite(
            seen, user, Role(data.role), seconds=data.expires_in, by=caller.actor
        )
        return share_out(Guest(share, connected=False))

    @delete("/{session_id:str}/shares/{user:str}", status_code=200, summary="Take it back")
    async def unshare(
        self,
        hub: NamedDependency[Hub],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        user: FromPath[str],
    ) -> UnsharedOut:
        """Take an invitation back, or give your own back; what is open is closed."""
        uid = uid_of(user)
        if uid == caller.person.uid:
            seen = hub.sessions.find(session_id, uid)
            return UnsharedOut(cut=await hub.sharing.leave(seen, uid, by=caller.actor))
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        return UnsharedOut(cut=await hub.sharing.withdraw(seen, uid, by=caller.actor))

    @post("/{session_id:str}/ask", status_code=204, summary="Ask for control")
    async def ask(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> None:
        """Tell the owner that you would like to control."""
        seen = hub.sessions.find(session_id, caller.person.uid)
        await hub.sharing.ask(seen, caller.person)

    @get("/{session_id:str}/links", summary="Links")
    async def links(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> LinksOut:
        """Return the links to a session of yours that still let somebody in."""
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        return LinksOut([link_out(link) for link in await hub.sharing.links(seen)])

    @post("/{session_id:str}/links", status_code=201, summary="Invite by link")
    async def make_link(
        self,
        hub: NamedDependency[Hub],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        data: JSONBody[LinkIn],
    ) -> LinkOut:
        """Make a link; its address is in this answer and nowhere else."""
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        fresh = await hub.sharing.make_link(
            seen,
            Role(data.role),
            seconds=data.expires_in,
            max_uses=data.max_uses,
            by=caller.actor,
        )
        return link_out(fresh.link, join_url(caller, fresh.code))

    @delete("/{session_id:str}/links/{link:str}", status_code=204, summary="End a link")
    async def end_link(
        self,
        hub: NamedDependency[Hub],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        link: FromPath[str],
    ) -> None:
        """End a link; who came by it stays invited."""
        seen = hub.sessions.find_own(session_id, caller.person.uid)
        await hub.sharing.end_link(seen, link, by=caller.actor)

    @get("/{session_id:str}/events", summary="Progress of a start")
    async def progress(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> ServerSentEvent:
        """Send events ``progress`` until the session is ready, has failed or is gone."""
        hub.sessions.find(session_id, caller.person.uid)
        return ServerSentEvent(_progress_events(hub, caller, session_id), headers=NO_STORE)


async def _progress_events(
    hub: Hub, caller: Caller, session_id: str
) -> AsyncGenerator[ServerSentEventMessage, None]:
    last: Any = None
    async for changed in hub.streams.changes(caller.login, at_least_every=_HEARTBEAT_SECONDS):
        try:
            seen = hub.sessions.find(session_id, caller.person.uid)
        except NoSuchSession:
            yield ServerSentEventMessage(event="gone", data="{}")
            return
        news = progress_out(hub, seen)
        facts = (news.phase, news.message, news.steps, news.place)
        if facts == last:
            if not changed:
                yield _HEARTBEAT
            continue
        last = facts
        yield ServerSentEventMessage(event="progress", data=msgspec.json.encode(news).decode())
        if news.phase in {Phase.READY, Phase.FAILED}:
            return


async def _session_events(hub: Hub, caller: Caller) -> AsyncGenerator[ServerSentEventMessage, None]:
    last: Any = None
    async for changed in hub.streams.changes(caller.login, at_least_every=_HEARTBEAT_SECONDS):
        facts = _facts(hub, caller)
        if facts != last:
            last = facts
            yield ServerSentEventMessage(event="sessions", data="{}")
        elif not changed:
            yield _HEARTBEAT


def _facts(hub: Hub, caller: Caller) -> list[object]:
    """Return what the person's pages show and only an event can tell them of."""
    sessions, uid = hub.sessions, caller.person.uid
    own = [
        (
            seen.session.id,
            sessions.phase(seen),
            sessions.queue.place(seen),
            sessions.usage.warned(seen) is not None,
            hub.poller.clients(seen.session.id),
            hub.sharing.guests(seen),
        )
        for seen in sessions.owned_by(uid)
    ]
    shared = [
        (seen.session.id, sessions.phase(seen), one) for seen, one in sessions.shared_with(uid)
    ]
    return [*own, *shared, *hub.companions.open_to(caller.person)]
