"""The API under ``/api/v1/admin``: what administrators see and do, for scripts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import anyio
import msgspec
from litestar import Controller, Router, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from controller.administration.acts import MESSAGE_MAX
from controller.administration.table import Entry, Listing, Sort
from controller.administration.users import User
from controller.core.model import Phase, moment
from controller.core.records import Drain
from controller.gate.answers import NO_STORE
from controller.people.directory import uid_of
from controller.rules import routes, sentences
from controller.web.caller import Caller, Hub, admin_only, provide_caller

_AGAIN_SECONDS = 30.0  # numbers change without an event

_QUIET_SECONDS = 2.0  # between two events

_Message = Annotated[str, msgspec.Meta(max_length=4 * MESSAGE_MAX)]

_Query = Annotated[str, QueryParameter(max_length=200)]

_Page = Annotated[int, QueryParameter(ge=1, le=100_000)]


class LeaseOut(msgspec.Struct, frozen=True):
    """A graphics card, and the session that has it since then; null: it is free."""

    gpu: str
    session: str | None
    user: str | None
    since: datetime | None


class WaitingOut(msgspec.Struct, frozen=True):
    """Somebody in line for a graphics card."""

    session: str
    user: str
    since: datetime


class LeaseBookOut(msgspec.Struct, frozen=True):
    """All configured graphics cards, and who waits for one, the next first."""

    items: list[LeaseOut]
    line: list[WaitingOut]


class AdminSessionOut(msgspec.Struct, frozen=True):
    """Anybody's session. ``why``: why it has not been removed.

    ``cpu_percent`` is of one core (null: not known), ``extended_hours`` what an administrator has
    added to its lifetime.
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


class AdminSessionsOut(msgspec.Struct, frozen=True):
    """One page of all sessions. ``found``: all that match; ``total``: all there are."""

    items: list[AdminSessionOut]
    found: int
    total: int
    page: int
    pages: int


class MessageIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be said."""

    text: _Message


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
    """Where and until when you may look on."""

    url: str
    until: datetime


class UserOut(msgspec.Struct, frozen=True):
    """Somebody who is here. ``quota``: their own number of sessions, if they have one.

    ``files_bytes`` is null where the engine cannot say; ``files_reserved``: it is what was set
    aside, not what is used.
    """

    user: str
    sessions: int
    sessions_limit: int
    quota: int | None
    logged_in: bool
    volume: str | None
    files_bytes: int | None
    files_reserved: bool


class UsersOut(msgspec.Struct, frozen=True):
    """One page of the people. ``fault``: why the files are not known, or empty."""

    items: list[UserOut]
    found: int
    page: int
    pages: int
    measured_at: datetime | None
    fault: str


class QuotaIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sessions somebody may have; null: as many as everybody."""

    sessions: int | None


class DrainIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words for everybody, and when all sessions are stopped (null: they run on)."""

    message: _Message = ""
    stop_at: datetime | None = None


class DrainOut(msgspec.Struct, frozen=True):
    """Whether the hub takes nothing new."""

    draining: bool
    by: str | None = None
    since: datetime | None = None
    message: str = ""
    stop_at: datetime | None = None


class LoggedOutOut(msgspec.Struct, frozen=True):
    """How many log-ins were ended."""

    ended: int


class ThrottledOut(msgspec.Struct, frozen=True):
    """Log-ins that are refused until then. ``user`` is null: of everybody from that address.

    ``address`` is a network where it is IPv6.
    """

    id: str
    user: str | None
    address: str
    failures: int
    until: datetime


class ThrottledListOut(msgspec.Struct, frozen=True):
    """All log-ins that are refused now, those first that are refused longest."""

    items: list[ThrottledOut]


def session_out(hub: Hub, entry: Entry) -> AdminSessionOut:
    """Return a session with all that is known of it."""
    one = entry.seen.session
    return AdminSessionOut(
        id=one.id,
        name=one.name,
        owner=one.owner,
        profile=one.profile,
        phase=entry.phase,
        message=hub.sessions.message(entry.seen),
        why=sentences.why_text(entry.why, entry.why_at, hub.acts.now),
        created_at=one.created_at,
        last_activity_at=entry.active_at,
        expires_at=entry.ends_at,
        extended_hours=entry.extra / 3600,
        cpu_percent=entry.usage.cpu_percent if entry.usage else None,
        cpus=entry.cpus,
        memory_bytes=entry.usage.memory_bytes if entry.usage else None,
        memory_limit_bytes=entry.memory_bytes,
    )


def _sessions_out(hub: Hub, found: Listing) -> AdminSessionsOut:
    return AdminSessionsOut(
        [session_out(hub, one) for one in found.entries],
        found=found.found,
        total=found.total,
        page=found.page,
        pages=found.pages,
    )


def _user_out(user: User) -> UserOut:
    volume = user.volume
    return UserOut(
        user=user.uid,
        sessions=user.sessions,
        sessions_limit=user.most,
        quota=user.quota,
        logged_in=user.logged_in,
        volume=volume.name if volume else None,
        files_bytes=volume.size if volume else None,
        files_reserved=volume is not None and volume.reserved,
    )


def _drain_out(drain: Drain | None) -> DrainOut:
    if drain is None:
        return DrainOut(draining=False)
    return DrainOut(
        draining=True,
        by=drain.by,
        since=moment(drain.since),
        message=drain.message,
        stop_at=None if drain.stop_at is None else moment(drain.stop_at),
    )


class AdminController(Controller):
    """What administrators may do."""

    path = "/"

    @get("/sessions", summary="All sessions", sync_to_thread=False)
    def list_sessions(
        self,
        hub: NamedDependency[Hub],
        q: _Query = "",
        sort: FromQuery[Sort] = Sort.STARTED,
        desc: FromQuery[bool] = False,
        page: _Page = 1,
    ) -> AdminSessionsOut:
        """Return fifty sessions of all people that match ``q``, sorted; ``page`` counts from 1."""
        return _sessions_out(hub, hub.table.listing(query=q, sort=sort, desc=desc, page=page))

    @delete("/sessions/{session_id:str}", status_code=202, summary="Stop anybody's session")
    async def stop(
        self, hub: NamedDependency[Hub], admin: NamedDependency[Caller], session_id: FromPath[str]
    ) -> AdminSessionOut:
        """Stop a session; the files stay, and its owner is told who did it."""
        # As it was: who waits in line is gone at once.
        out = session_out(hub, hub.table.entry(session_id))
        await hub.acts.stop(session_id, admin.actor)
        return msgspec.structs.replace(
            out, phase=Phase.STOPPING, message="It is stopping; the files stay."
        )

    @post("/sessions/{session_id:str}/message", status_code=200, summary="Say something in one")
    async def message(
        self,
        hub: NamedDependency[Hub],
        admin: NamedDependency[Caller],
        session_id: FromPath[str],
        data: JSONBody[MessageIn],
    ) -> ShownOut:
        """Show a banner in a session, and leave it on its owner's page."""
        return ShownOut(await hub.acts.message(session_id, data.text, admin.actor))

    @post("/sessions/{session_id:str}/extend", status_code=200, summary="Let one run longer")
    async def extend(
        self,
        hub: NamedDependency[Hub],
        admin: NamedDependency[Caller],
        session_id: FromPath[str],
        data: JSONBody[ExtendIn],
    ) -> ExtendedOut:
        """Add hours to a session's lifetime; unused, it is stopped all the same."""
        return ExtendedOut(await hub.acts.extend(session_id, data.hours, admin.actor))

    @post("/sessions/{session_id:str}/look", status_code=200, summary="Look into one")
    async def look(
        self, hub: NamedDependency[Hub], admin: NamedDependency[Caller], session_id: FromPath[str]
    ) -> LookOut:
        """Look on for a while, if the configuration allows it. Its owner is told, always."""
        until = await hub.acts.look(session_id, admin.person, admin.actor)
        found = hub.sessions.any(session_id).session.id
        return LookOut(routes.session_url(found, hub.settings, admin.public_url), until)

    @get("/events", summary="Changes of all sessions")
    async def events(
        self, hub: NamedDependency[Hub], admin: NamedDependency[Caller]
    ) -> ServerSentEvent:
        """Send an event ``sessions`` when anybody's session changes, and every half minute."""
        return ServerSentEvent(admin_events(hub, admin), headers=NO_STORE)

    @get("/gpus", summary="Who has which graphics card", sync_to_thread=False)
    def gpus(self, hub: NamedDependency[Hub]) -> LeaseBookOut:
        """Return which session has which of the configured graphics cards, and who is next."""
        book = hub.sessions.queue.lease_book()
        return LeaseBookOut(
            [
                LeaseOut(gpu, one.id, one.owner, one.created_at)
                if one
                else LeaseOut(gpu, None, None, None)
                for gpu, one in book.held.items()
            ],
            [WaitingOut(one.session.id, one.session.owner, moment(one.since)) for one in book.line],
        )

    @get("/users", summary="People, their quotas and files")
    async def users(
        self,
        hub: NamedDependency[Hub],
        q: _Query = "",
        page: _Page = 1,
        measure: FromQuery[bool] = False,
    ) -> UsersOut:
        """Return fifty people who are logged in, have sessions, files or a quota of their own.

        The engine is asked for the files' sizes every few minutes at most; ``measure``: now.
        """
        found = await hub.people.users(query=q, page=page, fresh=measure)
        measured = found.measured_at
        return UsersOut(
            [_user_out(one) for one in found.users],
            found=found.found,
            page=found.page,
            pages=found.pages,
            measured_at=None if measured is None else moment(measured),
            fault=found.fault,
        )

    @put("/users/{user:str}/quota", status_code=204, summary="How many sessions somebody may have")
    async def set_quota(
        self,
        hub: NamedDependency[Hub],
        admin: NamedDependency[Caller],
        user: FromPath[str],
        data: JSONBody[QuotaIn],
    ) -> None:
        """Give somebody a number of sessions of their own, or take it back."""
        await hub.people.set_quota(uid_of(user), data.sessions, admin.actor)

    @post("/users/{user:str}/logout", status_code=200, summary="Log somebody out")
    async def log_out(
        self, hub: NamedDependency[Hub], admin: NamedDependency[Caller], user: FromPath[str]
    ) -> LoggedOutOut:
        """End somebody's log-ins, and close what they have open; sessions go on."""
        return LoggedOutOut(await hub.people.log_out(uid_of(user), admin.actor))

    @delete("/users/{user:str}/files", status_code=204, summary="Remove somebody's files")
    async def remove_files(
        self, hub: NamedDependency[Hub], admin: NamedDependency[Caller], user: FromPath[str]
    ) -> None:
        """Remove somebody's files for good; 409 while they have a session."""
        await hub.people.remove_files(uid_of(user), admin.actor)

    @get("/throttled", summary="Whose log-ins are refused")
    async def throttled(self, hub: NamedDependency[Hub]) -> ThrottledListOut:
        """Return whose log-ins are refused for a while, after too many failures."""
        return ThrottledListOut(
            [
                ThrottledOut(
                    id=one.id,
                    user=one.user or None,
                    address=one.address,
                    failures=one.failures,
                    until=moment(one.until),
                )
                for one in await hub.people.throttled()
            ]
        )

    @delete("/throttled/{throttled:str}", status_code=204, summary="Let somebody try again")
    async def release(
        self, hub: NamedDependency[Hub], admin: NamedDependency[Caller], throttled: FromPath[str]
    ) -> None:
        """Forget the failures, so that log-ins are looked at again."""
        await hub.people.release(throttled, admin.actor)

    @get("/drain", summary="Does anything start", sync_to_thread=False)
    def get_drain(self, hub: NamedDependency[Hub]) -> DrainOut:
        """Return whether the hub takes nothing new, and why."""
        return _drain_out(hub.sessions.drain)

    @post("/drain", status_code=200, summary="Let nothing start any more")
    async def drain(
        self,
        hub: NamedDependency[Hub],
        admin: NamedDependency[Caller],
        data: JSONBody[DrainIn],
    ) -> DrainOut:
        """Refuse what is new and tell everybody; stop all at ``stop_at``, if that is given."""
        stop_at = None if data.stop_at is None else data.stop_at.timestamp()
        return _drain_out(await hub.acts.drain(data.message, stop_at, admin.actor))

    @delete("/drain", status_code=204, summary="Let things start again")
    async def undrain(self, hub: NamedDependency[Hub], admin: NamedDependency[Caller]) -> None:
        """Take a drain back."""
        await hub.acts.undrain(admin.actor)


async def admin_events(hub: Hub, admin: Caller) -> AsyncGenerator[ServerSentEventMessage, None]:
    """Yield an event whenever anybody's session may have changed, but not one after the other.

    It ends with the log-in, or when whoever it belongs to is no administrator any more.
    """
    async for _ in hub.streams.changes(admin.login, at_least_every=_AGAIN_SECONDS):
        if not hub.logins.person_of(admin.login).admin:
            return
        yield ServerSentEventMessage(event="sessions", data="{}")
        # Hundreds of sessions change all the time; a table that jumps helps nobody.
        await anyio.sleep(_QUIET_SECONDS)


def admin_router(hub: Hub) -> Router:
    """Return the routes of this API; all of them are for administrators."""
    return Router(
        "/api/v1/admin",
        route_handlers=[AdminController],
        guards=[admin_only(hub)],
        dependencies={"admin": Provide(provide_caller, sync_to_thread=False)},
    )
