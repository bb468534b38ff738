"""The API of administrators: everybody's sessions, and who has which graphics card."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import anyio
import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from controller.administration.acts import MESSAGE_MAX, Acts
from controller.administration.table import Entry, Sort, Table
from controller.core.model import Phase, moment
from controller.gate.answers import NO_STORE
from controller.people.logins import Logins
from controller.rules import routes, sentences
from controller.rules.felt import Speed
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.web.caller import Caller
from controller.web.streams import HEARTBEAT, HEARTBEAT_SECONDS, Streams

_AGAIN_SECONDS = 30.0  # numbers change without an event

_QUIET_SECONDS = 2.0  # between two events

Text = Annotated[str, msgspec.Meta(max_length=4 * MESSAGE_MAX)]
"""What an administrator says to people."""

Query = Annotated[str, QueryParameter(max_length=200)]
"""Words that a table is searched for."""

Page = Annotated[int, QueryParameter(ge=1, le=100_000)]
"""Which page of a table, from 1."""


class LeaseOut(msgspec.Struct, frozen=True):
    """A graphics card, and the session that has had it since then; null: it is free."""

    gpu: str
    session: str | None
    user: str | None
    since: datetime | None


class WaitingOut(msgspec.Struct, frozen=True):
    """A session that waits in the queue for a graphics card."""

    session: str
    user: str
    since: datetime


class LeaseBookOut(msgspec.Struct, frozen=True):
    """All configured graphics cards, and who waits for one, the next first."""

    items: list[LeaseOut]
    line: list[WaitingOut]


class FeltPartsOut(msgspec.Struct, frozen=True):
    """Where the time of a picture goes, in ms: what follows each other, each as a mean."""

    network: float
    waiting: float
    render: float
    encode: float
    paint: float


class FeltOut(msgspec.Struct, frozen=True):
    """How quick a session felt in the last minute, from the pointer to the picture, in ms.

    Half of the pictures came within ``p50_ms``, 95 % of them within ``p95_ms``.
    """

    p50_ms: float
    p95_ms: float
    parts_ms: FeltPartsOut


class AdminSessionOut(msgspec.Struct, frozen=True):
    """Anybody's session. ``why``: why it has not been removed.

    ``cpu_percent`` is of one core (null: not known), ``extended_hours`` what an administrator has
    added to its lifetime. ``felt`` is null where nobody moved anything in the last minute, or the
    image does not measure it.
    """

    id: str
    name: str
    owner: str
    profile: str
    phase: Phase
    message: str
    why: str
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime | None
    extended_hours: float
    cpu_percent: float | None
    cpus: float
    memory_bytes: int | None
    memory_limit_bytes: int
    felt: FeltOut | None


class AdminSessionsOut(msgspec.Struct, frozen=True):
    """One page of all sessions. ``found``: all that match; ``total``: all there are."""

    items: list[AdminSessionOut]
    found: int
    total: int
    page: int
    pages: int


class MessageIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text of the message."""

    text: Text


class ShownOut(msgspec.Struct, frozen=True):
    """A message was left on the owner's page; ``shown``: in the session, too."""

    shown: bool


class ExtendIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By how many hours."""

    hours: float


class ExtendedOut(msgspec.Struct, frozen=True):
    """By how many hours the lifetime is extended now, all in all."""

    extended_hours: float


class LookOut(msgspec.Struct, frozen=True):
    """Where and until when you may view the session."""

    url: str
    until: datetime


def session_out(entry: Entry, message: str, now: datetime) -> AdminSessionOut:
    """Return a session with all that is known of it. ``message``: where it stands, in words."""
    one = entry.seen.session
    return AdminSessionOut(
        id=one.id,
        name=one.name,
        owner=one.owner,
        profile=one.profile,
        phase=entry.phase,
        message=message,
        why=sentences.keep_text(entry.why, entry.why_at, now),
        created_at=one.created_at,
        last_activity_at=entry.active_at,
        expires_at=entry.ends_at,
        extended_hours=entry.extra / 3600,
        cpu_percent=entry.usage.cpu_percent if entry.usage else None,
        cpus=entry.cpus,
        memory_bytes=entry.usage.memory_bytes if entry.usage else None,
        memory_limit_bytes=entry.memory_bytes,
        felt=_felt_out(entry.felt) if entry.felt else None,
    )


def _felt_out(felt: Speed) -> FeltOut:
    return FeltOut(
        p50_ms=round(felt.p50_ms, 1),
        p95_ms=round(felt.p95_ms, 1),
        parts_ms=FeltPartsOut(**msgspec.structs.asdict(felt.parts_ms)),
    )


class AdminSessionsController(Controller):
    """What administrators may do to sessions."""

    path = "/"

    @get("/sessions", summary="All sessions", sync_to_thread=False)
    def list_sessions(
        self,
        *,
        sessions: NamedDependency[Sessions],
        table: NamedDependency[Table],
        now: NamedDependency[datetime],
        q: Query = "",
        sort: FromQuery[Sort] = Sort.STARTED,
        desc: FromQuery[bool] = False,
        page: Page = 1,
    ) -> AdminSessionsOut:
        """Return fifty sessions of all people that match ``q``, sorted; ``page`` counts from 1."""
        found = table.listing(query=q, sort=sort, desc=desc, page=page)
        return AdminSessionsOut(
            [session_out(one, str(sessions.message(one.seen)), now) for one in found.entries],
            found=found.found,
            total=found.total,
            page=found.page,
            pages=found.pages,
        )

    @delete("/sessions/{session_id:str}", status_code=202, summary="Stop a session")
    async def stop(
        self,
        *,
        sessions: NamedDependency[Sessions],
        table: NamedDependency[Table],
        acts: NamedDependency[Acts],
        caller: NamedDependency[Caller],
        now: NamedDependency[datetime],
        session_id: FromPath[str],
    ) -> AdminSessionOut:
        """Stop a session; the files stay, and its owner is told who did it."""
        # As it was: who waits in the queue is gone at once.
        entry = table.entry(session_id)
        out = session_out(entry, str(sessions.message(entry.seen)), now)
        await acts.stop(session_id, caller.actor)
        return msgspec.structs.replace(
            out, phase=Phase.STOPPING, message="It is stopping. The files stay."
        )

    @post(
        "/sessions/{session_id:str}/message", status_code=200, summary="Send a message to a session"
    )
    async def message(
        self,
        acts: NamedDependency[Acts],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        data: JSONBody[MessageIn],
    ) -> ShownOut:
        """Show a banner in a session, and leave it on its owner's page."""
        return ShownOut(await acts.message(session_id, data.text, caller.actor))

    @post("/sessions/{session_id:str}/extend", status_code=200, summary="Extend a session")
    async def extend(
        self,
        acts: NamedDependency[Acts],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
        data: JSONBody[ExtendIn],
    ) -> ExtendedOut:
        """Add hours to a session's lifetime. If nobody uses it, it is still stopped."""
        return ExtendedOut(await acts.extend(session_id, data.hours, caller.actor))

    @post("/sessions/{session_id:str}/look", status_code=200, summary="Look into a session")
    async def look(
        self,
        settings: NamedDependency[Settings],
        sessions: NamedDependency[Sessions],
        acts: NamedDependency[Acts],
        caller: NamedDependency[Caller],
        session_id: FromPath[str],
    ) -> LookOut:
        """View a session for a while, if the configuration allows it. Its owner is always told."""
        until = await acts.look(session_id, caller.person, caller.actor)
        found = sessions.any(session_id).session.id
        return LookOut(routes.session_url(found, settings, caller.public_url), until)

    @get("/events", summary="Changes of all sessions")
    async def events(
        self,
        streams: NamedDependency[Streams],
        logins: NamedDependency[Logins],
        caller: NamedDependency[Caller],
    ) -> ServerSentEvent:
        """Send an event ``sessions`` when anybody's session changes, and every half minute.

        An event ``heartbeat`` follows whenever there was no other for six seconds.
        """
        return ServerSentEvent(admin_events(streams, logins, caller), headers=NO_STORE)

    @get("/gpus", summary="Graphics cards", sync_to_thread=False)
    def gpus(self, sessions: NamedDependency[Sessions]) -> LeaseBookOut:
        """Return which session has which of the configured graphics cards, and who is next."""
        book = sessions.queue.lease_book()
        return LeaseBookOut(
            [
                LeaseOut(gpu, one.id, one.owner, one.created_at)
                if one
                else LeaseOut(gpu, None, None, None)
                for gpu, one in book.held.items()
            ],
            [WaitingOut(one.session.id, one.session.owner, moment(one.since)) for one in book.line],
        )


async def admin_events(
    streams: Streams, logins: Logins, caller: Caller
) -> AsyncGenerator[ServerSentEventMessage, None]:
    """Yield an event whenever anybody's session may have changed, at intervals, and heartbeats.

    It ends with the log-in, or when its person is no longer an administrator.
    """
    told = 0.0
    async for happened in streams.changes(caller.login, at_least_every=HEARTBEAT_SECONDS):
        if not logins.standing.person_of(caller.login).admin:
            return
        if not happened and anyio.current_time() - told < _AGAIN_SECONDS:
            yield HEARTBEAT
            continue
        told = anyio.current_time()
        yield ServerSentEventMessage(event="sessions", data="{}")
        # Hundreds of sessions change all the time; nobody can read a table that jumps.
        await anyio.sleep(_QUIET_SECONDS)
