"""The API under ``/api/v1``: everything that the pages do, for scripts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage

from controller import policy, routing
from controller.errors import NoSuchSession
from controller.lifecycle import Reason, Step
from controller.model import NAME_MAX, Observed, Phase, Role
from controller.tokens import Audience
from controller.web import AnyRequest, Caller, Hub, client_address, provide_caller

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


class LaunchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Launch ``profile`` ("" is the default one), named so that you can have several."""

    profile: Annotated[str, msgspec.Meta(max_length=64)] = ""
    name: Annotated[str, msgspec.Meta(max_length=4 * NAME_MAX)] = ""


class SessionOut(msgspec.Struct, frozen=True):
    """A session."""

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


class SessionsOut(msgspec.Struct, frozen=True):
    """Your sessions, the oldest first."""

    items: list[SessionOut]


class ProgressOut(msgspec.Struct, frozen=True):
    """One event of a starting session."""

    phase: Phase
    message: str
    url: str
    steps: Sequence[Step]
    elapsed: float  # seconds since the launch


def session_out(hub: Hub, caller: Caller, seen: Observed) -> SessionOut:
    """Return a session as this caller sees it. Raises NoSuchSession if they have no role in it."""
    role = policy.role_in(seen.session, caller.person.uid)
    if role is None:
        raise NoSuchSession
    return SessionOut(
        id=seen.session.id,
        name=seen.session.name,
        owner=seen.session.owner,
        profile=seen.session.profile,
        phase=hub.sessions.phase(seen),
        message=hub.sessions.message(seen),
        url=caller.public_url + routing.session_path(seen.session.id),
        created_at=seen.session.created_at,
        last_activity_at=hub.sessions.last_activity(seen),
        expires_at=hub.sessions.expires(seen),
        role=role,
    )


def progress_out(hub: Hub, seen: Observed) -> ProgressOut:
    """Return how far a session's start has got."""
    return ProgressOut(
        phase=hub.sessions.phase(seen),
        message=hub.sessions.message(seen),
        url=routing.session_path(seen.session.id),
        steps=hub.sessions.progress(seen),
        elapsed=round(hub.sessions.elapsed(seen), 1),
    )


@post("/login", status_code=200, summary="Log in", security=[])
async def log_in(
    request: AnyRequest, hub: NamedDependency[Hub], data: JSONBody[LoginIn]
) -> LoginOut:
    """Exchange user name and password for a token."""
    entry = await hub.logins.enter(
        data.username, data.password, address=client_address(request), audience=Audience.API
    )
    return LoginOut(entry.token, datetime.fromtimestamp(entry.login.expires, UTC))


@get("/me", summary="Who am I")
async def me(caller: NamedDependency[Caller]) -> Me:
    """Return what the directory said of you at log-in."""
    person = caller.person
    return Me(person.uid, person.display_name, sorted(person.groups), person.admin)


@get("/profiles", summary="What may I launch")
async def profiles(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> ProfilesOut:
    """Return the profiles that are open to you."""
    return ProfilesOut(
        [
            ProfileOut(one.id, one.title, one.description, one.default, one.cpus, one.memory_mib)
            for one in hub.settings.profiles
            if policy.may_launch(caller.person, one)
        ]
    )


@get("/events", summary="Changes of my sessions")
async def events(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> ServerSentEvent:
    """Send an event ``sessions`` whenever a session of yours changes."""
    return ServerSentEvent(_session_events(hub, caller))


class SessionsController(Controller):
    """Sessions."""

    path = "/sessions"

    @get(summary="My sessions")
    async def list_sessions(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller]
    ) -> SessionsOut:
        """Return your own sessions."""
        own = hub.sessions.owned_by(caller.person.uid)
        return SessionsOut([session_out(hub, caller, seen) for seen in own])

    @post(status_code=202, summary="Launch")
    async def launch(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: JSONBody[LaunchIn]
    ) -> Response[SessionOut]:
        """Launch a session; follow its events until it is ready."""
        profile = policy.choose_profile(hub.settings, caller.person, data.profile)
        seen = await hub.sessions.launch(caller.person, profile, data.name)
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
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> SessionOut:
        """Stop a session; its files stay. It answers 404 once it is gone."""
        seen = hub.sessions.find(session_id, caller.person.uid)
        await hub.sessions.stop(seen.session.id, Reason.STOPPED)
        return session_out(hub, caller, hub.sessions.find(session_id, caller.person.uid))

    @get("/{session_id:str}/events", summary="Progress of a start")
    async def progress(
        self, hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
    ) -> ServerSentEvent:
        """Send events ``progress`` until the session is ready, has failed or is gone."""
        hub.sessions.find(session_id, caller.person.uid)
        return ServerSentEvent(_progress_events(hub, caller, session_id))


async def _progress_events(
    hub: Hub, caller: Caller, session_id: str
) -> AsyncGenerator[ServerSentEventMessage, None]:
    last: Any = None
    async for changed in hub.sessions.changes(at_least_every=_HEARTBEAT_SECONDS):
        try:
            seen = hub.sessions.find(session_id, caller.person.uid)
        except NoSuchSession:
            yield ServerSentEventMessage(event="gone", data="{}")
            return
        news = progress_out(hub, seen)
        facts = (news.phase, news.message, news.steps)
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
    async for changed in hub.sessions.changes(at_least_every=_HEARTBEAT_SECONDS):
        own = hub.sessions.owned_by(caller.person.uid)
        facts = [(seen.session.id, hub.sessions.phase(seen)) for seen in own]
        if facts != last:
            last = facts
            yield ServerSentEventMessage(event="sessions", data="{}")
        elif not changed:
            yield _HEARTBEAT


def api_router() -> Router:
    """Return the API's routes."""
    return Router(
        "/api/v1",
        route_handlers=[log_in, me, profiles, events, SessionsController],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
    )
