"""The API under ``/api/v1``: everything that the pages do, for scripts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Response, Router, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from controller import web
from controller.core.errors import NoSuchSession, NotAllowed
from controller.core.model import NAME_MAX, Observed, Phase, Role, moment
from controller.core.records import Link, Reason
from controller.gate.answers import NO_STORE
from controller.people.directory import uid_of
from controller.people.logins import login_id
from controller.people.tokens import Audience
from controller.people.user_agent import agent_words
from controller.rules import access, routes
from controller.rules.sentences import Step
from controller.sessions.sharing import Guest
from controller.web import AnyRequest, Caller, Hub, provide_caller

_DAY = 86_400  # seconds

_HEARTBEAT_SECONDS = 15.0  # so that proxies on the way keep a quiet stream open

_HEARTBEAT = ServerSentEventMessage(data=None, comment="still here")


class LoginIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user name and password of the directory."""

    username: Annotated[str, msgspec.Meta(max_length=256)]
    password: Annotated[str, msgspec.Meta(max_length=1024)]


class LoginOut(msgspec.Struct, frozen=True):
    """Send ``token`` as ``Authorization: Bearer`` until ``expires_at``."""

    token: str
    expires_at: datetime


class Me(msgspec.Struct, frozen=True):
    """Who you are to the hub."""

    user: str
    display_name: str
    groups: list[str]
    admin: bool


class LoginSeenOut(msgspec.Struct, frozen=True):
    """One of your log-ins. ``current``: it is the one that asks.

    ``client``: the browser in plain words, or "Script"; ``last_seen_at`` is right to a few minutes.
    """

    id: str
    client: str
    user_agent: str
    address: str
    since: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool


class LoginsOut(msgspec.Struct, frozen=True):
    """All your log-ins, the last used first."""

    items: list[LoginSeenOut]


class LoggedOutOut(msgspec.Struct, frozen=True):
    """How many of your log-ins were ended."""

    ended: int


class ProfileOut(msgspec.Struct, frozen=True):
    """Something that you may launch."""

    id: str
    title: str
    description: str
    default: bool
    cpus: float
    memory_mib: int


class ProfilesOut(msgspec.Struct, frozen=True):
    """All that you may launch."""

    items: list[ProfileOut]


class CompanionOut(msgspec.Struct, frozen=True):
    """Another service of the site that you may use with the hub's log-in."""

    name: str
    title: str
    url: str


class CompanionsOut(msgspec.Struct, frozen=True):
    """All that you may use."""

    items: list[CompanionOut]


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


class AheadIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a profile is started for you when you log in."""

    on: bool


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
        last_activity_at=hub.sessions.last_activity(seen),
        expires_at=hub.sessions.expires(seen),
        role=role,
        place=place_out(hub, seen),
        stops_at=warned[1] if (warned := hub.sessions.warned(seen)) else None,
    )


def place_out(hub: Hub, seen: Observed) -> PlaceOut | None:
    """Return where a session stands in line; None: it does not wait."""
    place = hub.sessions.place(seen)
    return PlaceOut(place.position, place.waits_for) if place else None


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


def progress_out(hub: Hub, seen: Observed) -> ProgressOut:
    """Return how far a session's start has got."""
    return ProgressOut(
        phase=hub.sessions.phase(seen),
        message=hub.sessions.message(seen),
        url=routes.session_url(seen.session.id, hub.settings),
        steps=hub.sessions.progress(seen),
        elapsed=round(hub.sessions.elapsed(seen), 1),
        place=place_out(hub, seen),
    )


@post("/login", status_code=200, summary="Log in", security=[])
async def log_in(
    request: AnyRequest, hub: NamedDependency[Hub], data: JSONBody[LoginIn]
) -> LoginOut:
    """Exchange user name and password for a token."""
    entry = await web.log_in(hub, request, data.username, data.password, Audience.API)
    return LoginOut(entry.token, moment(entry.login.expires))


@post("/logout", status_code=204, summary="Log out")
async def log_out(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> None:
    """End this log-in; sessions go on."""
    await web.log_out(hub, caller)


@get("/people", summary="Whom could I invite")
async def people(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    q: Annotated[str, QueryParameter(max_length=64)] = "",
) -> PeopleOut:
    """Return a few people whose names begin with ``q`` (three characters at least)."""
    found = await hub.sharing.suggest(caller.person, q)
    return PeopleOut([PersonOut(one.uid, one.display_name) for one in found])


@post("/join", status_code=200, summary="Join by a link")
async def join(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: JSONBody[JoinIn]
) -> SessionOut:
    """Join the session that a link invites to."""
    return session_out(hub, caller, await hub.sharing.join(data.code, caller.person, caller.actor))


@put("/profiles/{profile_id:str}/ahead", status_code=204, summary="Start it when I log in")
async def set_ahead(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    profile_id: FromPath[str],
    data: JSONBody[AheadIn],
) -> None:
    """Choose whether a profile is started for you when you log in, where it offers that."""
    profile = access.choose_profile(hub.settings, caller.person, profile_id)
    if not profile.start_ahead:
        raise NotAllowed("This profile is not started ahead. Ask the administrator.")
    await hub.store.set_ahead(caller.person.uid, profile.id, on=data.on)


@get("/me", summary="Who am I")
async def me(caller: NamedDependency[Caller]) -> Me:
    """Return what the directory said of you at log-in."""
    person = caller.person
    return Me(person.uid, person.display_name, sorted(person.groups), person.admin)


@get("/me/logins", summary="Where am I logged in", sync_to_thread=False)
def my_logins(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> LoginsOut:
    """Return all your log-ins, of browsers and of scripts."""
    return LoginsOut(
        [
            LoginSeenOut(
                id=login_id(one),
                client=agent_words(one.agent, script=one.script),
                user_agent=one.agent,
                address=one.address,
                since=moment(one.created),
                last_seen_at=moment(one.seen),
                expires_at=moment(one.expires),
                current=one.sid == caller.login.sid,
            )
            for one in hub.logins.of_person(caller.person.uid)
        ]
    )


@delete("/me/logins/{login:str}", status_code=204, summary="End one of my log-ins")
async def end_login(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], login: FromPath[str]
) -> None:
    """End one of your log-ins; what it has open is closed, sessions go on."""
    await web.end_login(hub, caller, login)


@delete("/me/logins", status_code=200, summary="Log me out everywhere")
async def end_logins(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    but_here: FromQuery[bool] = False,
) -> LoggedOutOut:
    """End all your log-ins, those of scripts too; ``but_here``: all but the one that asks."""
    return LoggedOutOut(await web.log_out_everywhere(hub, caller, but_here=but_here))


@get("/profiles", summary="What may I launch")
async def profiles(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> ProfilesOut:
    """Return the profiles that are open to you."""
    return ProfilesOut(
        [
            ProfileOut(one.id, one.title, one.description, one.default, one.cpus, one.memory_mib)
            for one in hub.settings.profiles
            if access.may_launch(caller.person, one)
        ]
    )


@get("/apps", summary="What else may I use")
async def apps(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> CompanionsOut:
    """Return the other services of the site that are open to you."""
    found = hub.companions.open_to(caller.person)
    return CompanionsOut(
        [CompanionOut(one.app, one.title, caller.public_url + one.path) for one in found]
    )


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
        seen = await hub.sessions.launch(caller.person, profile, data.name, by=caller.actor)
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
        await hub.sessions.restart(seen, caller.person, by=caller.actor)

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
        await hub.looks.refresh(seen)
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
        return link_out(fresh.link, web.join_url(caller, fresh.code))

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
            sessions.place(seen),
            sessions.warned(seen) is not None,
            hub.looks.clients(seen.session.id),
            hub.sharing.guests(seen),
        )
        for seen in sessions.owned_by(uid)
    ]
    shared = [
        (seen.session.id, sessions.phase(seen), one) for seen, one in sessions.shared_with(uid)
    ]
    return [*own, *shared, *hub.companions.open_to(caller.person)]


def api_router() -> Router:
    """Return the API's routes."""
    return Router(
        "/api/v1",
        route_handlers=[
            log_in,
            log_out,
            me,
            my_logins,
            end_login,
            end_logins,
            profiles,
            apps,
            set_ahead,
            people,
            join,
            events,
            SessionsController,
        ],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
    )
