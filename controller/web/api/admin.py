"""The API under ``/api/v1/admin``: what administrators see and do, for scripts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import Body, FromPath, FromQuery, JSONBody

from controller.administration.acts import Acts
from controller.administration.users import People, User
from controller.core.model import moment
from controller.core.records import Drain
from controller.people.directory import uid_of
from controller.sessions.sessions import Sessions
from controller.web.api.admin_sessions import AdminSessionsController, Page, Query, Text
from controller.web.caller import Caller, Callers


class UserOut(msgspec.Struct, frozen=True):
    """A user of the hub. ``quota``: their own number of sessions, if they have one.

    ``files_bytes`` is null where the engine does not know it; ``files_reserved``: it is the
    reserved size, not the used one.
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
    """One page of the users. ``fault``: why the files are not known, or empty."""

    items: list[UserOut]
    found: int
    page: int
    pages: int
    measured_at: datetime | None
    fault: str


class QuotaIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sessions a user may have; null: as configured."""

    sessions: int | None


class LoggedOutOut(msgspec.Struct, frozen=True):
    """How many log-ins were ended."""

    ended: int


class ThrottledOut(msgspec.Struct, frozen=True):
    """Log-ins that are refused until a time. ``user`` is null: all from that address.

    For IPv6, ``address`` is a network.
    """

    id: str
    user: str | None
    address: str
    failures: int
    until: datetime


class ThrottledListOut(msgspec.Struct, frozen=True):
    """All log-ins that are refused now, the longest first."""

    items: list[ThrottledOut]


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


class AdminPeopleController(Controller):
    """What administrators may do about people."""

    path = "/"

    @get("/users", summary="Users, their quotas and files")
    async def users(
        self,
        people: NamedDependency[People],
        q: Query = "",
        page: Page = 1,
        measure: FromQuery[bool] = False,
    ) -> UsersOut:
        """Return fifty people who are logged in, have sessions, files or a quota of their own.

        The engine is asked for the files' sizes every few minutes at most; ``measure``: now.
        """
        found = await people.users(query=q, page=page, fresh=measure)
        measured = found.measured_at
        return UsersOut(
            [_user_out(one) for one in found.users],
            found=found.found,
            page=found.page,
            pages=found.pages,
            measured_at=None if measured is None else moment(measured),
            fault=str(found.fault or ""),
        )

    @put("/users/{user:str}/quota", status_code=204, summary="Set a user's number of sessions")
    async def set_quota(
        self,
        people: NamedDependency[People],
        caller: NamedDependency[Caller],
        user: FromPath[str],
        data: JSONBody[QuotaIn],
    ) -> None:
        """Give somebody a number of sessions of their own, or take it back."""
        await people.set_quota(uid_of(user), data.sessions, caller.actor)

    @post("/users/{user:str}/logout", status_code=200, summary="Log a user out")
    async def log_out(
        self,
        people: NamedDependency[People],
        caller: NamedDependency[Caller],
        user: FromPath[str],
    ) -> Annotated[LoggedOutOut, Body(schema_component_key="admin_LoggedOutOut")]:
        """End somebody's log-ins, and close what they have open; sessions go on."""
        return LoggedOutOut(await people.log_out(uid_of(user), caller.actor))

    @delete("/users/{user:str}/files", status_code=204, summary="Remove a user's files")
    async def remove_files(
        self,
        people: NamedDependency[People],
        caller: NamedDependency[Caller],
        user: FromPath[str],
    ) -> None:
        """Remove somebody's files for good; 409 while they have a session."""
        await people.remove_files(uid_of(user), caller.actor)

    @get("/throttled", summary="Refused log-ins")
    async def throttled(self, people: NamedDependency[People]) -> ThrottledListOut:
        """Return the log-ins that are refused for a while after too many failures."""
        return ThrottledListOut(
            [
                ThrottledOut(
                    id=one.id,
                    user=one.user or None,
                    address=one.address,
                    failures=one.failures,
                    until=moment(one.until),
                )
                for one in await people.throttled()
            ]
        )

    @delete("/throttled/{throttled:str}", status_code=204, summary="Release refused log-ins")
    async def release(
        self,
        people: NamedDependency[People],
        caller: NamedDependency[Caller],
        throttled: FromPath[str],
    ) -> None:
        """Forget the failures, so that log-ins are checked again."""
        await people.release(throttled, caller.actor)


class DrainIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to everybody, and when all sessions are stopped (null: they go on)."""

    message: Text = ""
    stop_at: datetime | None = None


class DrainOut(msgspec.Struct, frozen=True):
    """Whether new sessions are blocked."""

    draining: bool
    by: str | None = None
    since: datetime | None = None
    message: str = ""
    stop_at: datetime | None = None


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


class AdminDrainController(Controller):
    """Whether anything starts."""

    path = "/"

    @get("/drain", summary="Whether new sessions are blocked", sync_to_thread=False)
    def get_drain(self, sessions: NamedDependency[Sessions]) -> DrainOut:
        """Return whether new sessions are blocked, and why."""
        return _drain_out(sessions.drain)

    @post("/drain", status_code=200, summary="Block new sessions")
    async def drain(
        self,
        acts: NamedDependency[Acts],
        caller: NamedDependency[Caller],
        data: JSONBody[DrainIn],
    ) -> DrainOut:
        """Refuse new sessions and tell everybody; stop all sessions at ``stop_at``, if given."""
        stop_at = None if data.stop_at is None else data.stop_at.timestamp()
        return _drain_out(await acts.drain(data.message, stop_at, caller.actor))

    @delete("/drain", status_code=204, summary="Let sessions start again")
    async def undrain(self, acts: NamedDependency[Acts], caller: NamedDependency[Caller]) -> None:
        """End a drain."""
        await acts.undrain(caller.actor)


def admin_router(callers: Callers) -> Router:
    """Return the administrators' API; all of it is refused to others."""
    return Router(
        "/api/v1/admin",
        route_handlers=[AdminSessionsController, AdminPeopleController, AdminDrainController],
        guards=[callers.refuse_all_but_admins],
    )
