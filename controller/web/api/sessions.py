"""The API: sessions, and the stream of what happens to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage

from controller.core.errors import NoSuchSession
from controller.core.model import NAME_MAX, Observed, Person, Phase, Role, SessionId, UserId
from controller.core.records import Reason
from controller.gate.answers import NO_STORE
from controller.rules import access, routes
from controller.rules.queue import QueuePosition
from controller.rules.sentences import STOPPING, Step, awaited, message_of
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.web.caller import Caller
from controller.web.companions import Companions
from controller.web.news import Overview, Sight
from controller.web.streams import HEARTBEAT, HEARTBEAT_SECONDS, Streams


class LaunchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Launch ``profile`` ("" is the default one). With names you can have several sessions."""

    profile: Annotated[str, msgspec.Meta(max_length=64)] = ""
    name: Annotated[str, msgspec.Meta(max_length=4 * NAME_MAX)] = ""


class PlaceOut(msgspec.Struct, frozen=True):
    """A session's position in the queue; 1 is next."""

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


def session_out(
    settings: Settings, sessions: Sessions, caller: Caller, seen: Observed
) -> SessionOut:
    """Return a session as this caller sees it. Raises NoSuchSession if they have no role in it."""
    role = sessions.role(seen, caller.person.uid)
    if role is None:
        raise NoSuchSession
    return SessionOut(
        id=seen.session.id,
        name=seen.session.name,
        owner=seen.session.owner,
        profile=seen.session.profile,
        phase=sessions.phase(seen),
        message=str(sessions.message(seen)),
        url=routes.session_url(seen.session.id, settings, caller.public_url),
        created_at=seen.session.created_at,
        last_activity_at=sessions.usage.last_activity(seen),
        expires_at=sessions.usage.expires(seen),
        role=role,
        place=_place_out(sessions.queue.place(seen)),
        stops_at=warned[1] if (warned := sessions.usage.warned(seen)) else None,
    )


def _place_out(place: QueuePosition | None) -> PlaceOut | None:
    """Return where a session stands in the queue; None: it does not wait."""
    return PlaceOut(place.position, str(awaited(place.waits_for))) if place else None


@get("/events", summary="Changes of my sessions")
async def events(
    *,
    sessions: NamedDependency[Sessions],
    sharing: NamedDependency[Sharing],
    poller: NamedDependency[Poller],
    companions: NamedDependency[Companions],
    streams: NamedDependency[Streams],
    caller: NamedDependency[Caller],
) -> ServerSentEvent:
    """Send an event ``sessions`` when your sessions, or your other services, change.

    An event ``heartbeat`` follows whenever there was no other for six seconds.
    """
    shown = _Shown(caller.person, sessions, poller, companions)
    followed = streams.follow(
        caller.login,
        ("sessions", caller.person),
        shown.sight,
        sharing.invitations.guests,
        at_least_every=HEARTBEAT_SECONDS,
    )
    return ServerSentEvent(_events(followed), headers=NO_STORE)


class SessionsController(Controller):
    """Sessions."""

    path = "/sessions"

    @get(summary="My sessions")
    async def list_sessions(
        self,
        settings: NamedDependency[Settings],
        sessions: NamedDependency[Sessions],
        caller: NamedDependency[Caller],
    ) -> SessionsOut:
        """Return your own sessions, and those that others show you."""
        uid = caller.person.uid
        shared = (seen for seen, _ in sessions.shared_with(uid))
        found = (*sessions.owned_by(uid), *shared)
        return SessionsOut([session_out(settings, sessions, caller, seen) for seen in found])

    @post(status_code=202, summary="Launch")
    async def launch(
        self,
        settings: NamedDependency[Settings],
        sessions: NamedDependency[Sessions],
        caller: NamedDependency[Caller],
        data: JSONBody[LaunchIn],
    ) -> Response[SessionOut]:
        """Launch a session; follow its events until it is ready."""
        profile = access.choose_profile(settings, caller.person, data.profile)
        seen = await sessions.launching.launch(caller.person, profile, data.name, by=caller.actor)
        out = session_out(settings, sessions, caller, seen)
        return Response(out, headers={"Location": f"/api/v1/sessions/{out.id}"})

    @get("/{session_id:str}", summary="One session")
    async def get_session(
        self,
        settings: NamedDependency[Settings],
        sessions: NamedDependency[Sessions],
        caller: NamedDependency[Caller],
        seen: NamedDependency[Observed],
    ) -> SessionOut:
        """Return one session."""
        return session_out(settings, sessions, caller, seen)

    @delete("/{session_id:str}", status_code=202, summary="Stop")
    async def stop(
        self,
        settings: NamedDependency[Settings],
        sessions: NamedDependency[Sessions],
        caller: NamedDependency[Caller],
        own: NamedDependency[Observed],
        save: FromQuery[bool] = True,
    ) -> SessionOut:
        """Stop a session; its files stay. It answers 404 once it has ended.

        `save=false` does not wait for its program to save, even if it is already saving.
        """
        out = session_out(settings, sessions, caller, own)
        await sessions.stop(own.session.id, Reason.STOPPED, by=caller.actor, save=save)
        return msgspec.structs.replace(out, phase=Phase.STOPPING, message=str(STOPPING))

    @post("/{session_id:str}/restart", status_code=202, summary="Restart")
    async def restart(
        self,
        sessions: NamedDependency[Sessions],
        caller: NamedDependency[Caller],
        own: NamedDependency[Observed],
    ) -> None:
        """Stop a session, then launch it again under its name.

        The new session has an id of its own, and nobody is invited to it.
        """
        await sessions.launching.restart(own, caller.person, by=caller.actor)

    @post("/{session_id:str}/keep", status_code=200, summary="Keep")
    async def keep(
        self,
        settings: NamedDependency[Settings],
        sessions: NamedDependency[Sessions],
        caller: NamedDependency[Caller],
        seen: NamedDependency[Observed],
    ) -> SessionOut:
        """Count a session as used just now."""
        await sessions.keep(seen, caller.person.uid)
        return session_out(settings, sessions, caller, seen)

    @get("/{session_id:str}/events", summary="Progress of a start")
    async def progress(
        self,
        *,
        settings: NamedDependency[Settings],
        sessions: NamedDependency[Sessions],
        sharing: NamedDependency[Sharing],
        streams: NamedDependency[Streams],
        caller: NamedDependency[Caller],
        seen: NamedDependency[Observed],
    ) -> ServerSentEvent:
        """Send events ``progress`` until the session is ready, has failed or is gone.

        An event ``heartbeat`` follows whenever there was no other for six seconds.
        """
        started = _Started(settings, sessions, seen.session.id, caller.person.uid)
        followed = streams.follow(
            caller.login,
            ("start", started.id, started.uid),
            started.sight,
            sharing.invitations.guests,
            at_least_every=HEARTBEAT_SECONDS,
        )
        return ServerSentEvent(_events(followed), headers=NO_STORE)


class _Started(msgspec.Struct, frozen=True):
    """A session whose start somebody follows."""

    settings: Settings
    sessions: Sessions
    id: SessionId
    uid: UserId  # who follows it

    def sight(self, overview: Overview) -> Sight:
        """Return how far it has got; it is gone for those to whom it was closed, too."""
        sessions = self.sessions
        try:
            seen = sessions.find(self.id, self.uid)
        except NoSuchSession:
            return Sight(None, ServerSentEventMessage(event="gone", data="{}"), last=True)
        phase, place = sessions.phase(seen), overview.places.get(self.id)
        limits = sessions.registry.limits(seen.session)
        news = ProgressOut(
            phase=phase,
            message=str(message_of(phase, seen, limits, place=place)),
            url=routes.session_url(self.id, self.settings),
            steps=sessions.readiness.progress(seen),
            elapsed=round(sessions.usage.elapsed(seen), 1),
            place=_place_out(place),
        )
        return Sight(
            (news.phase, news.message, news.steps, news.place),
            ServerSentEventMessage(event="progress", data=msgspec.json.encode(news).decode()),
            last=phase in {Phase.READY, Phase.FAILED},
        )


class _Shown(msgspec.Struct, frozen=True):
    """What a person's pages show and only an event can tell them of."""

    person: Person
    sessions: Sessions
    poller: Poller
    companions: Companions

    def sight(self, overview: Overview) -> Sight:
        """Return what it is now; what is new of it the page asks for itself."""
        uid, sessions = self.person.uid, self.sessions
        own = [
            (
                seen.session.id,
                sessions.phase(seen),
                overview.places.get(seen.session.id),
                sessions.usage.warned(seen) is not None,
                self.poller.clients(seen.session.id),
                overview.guests.get(seen.session.id),
            )
            for seen in overview.own.get(uid, ())
        ]
        shared = [
            (seen.session.id, sessions.phase(seen), share)
            for seen, share in overview.shared.get(uid, ())
        ]
        facts = (own, shared, self.companions.open_to(self.person))
        return Sight(facts, ServerSentEventMessage(event="sessions", data="{}"))


async def _events(
    followed: AsyncIterator[Sight | None],
) -> AsyncGenerator[ServerSentEventMessage, None]:
    async for sight in followed:
        yield HEARTBEAT if sight is None else sight.event
