"""The administrators' pages of people: sessions and files of one, log-ins that are refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, ClassVar
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from controller.administration.users import People, User
from controller.core.errors import InvalidRequest, NotThrottled, Refused, Unavailable
from controller.core.model import UserId, canonical_uid, moment
from controller.core.sentence import Phrase
from controller.people.directory import uid_of
from controller.rules import sentences
from controller.settings.schema import Settings
from controller.web.answers import AnyRequest
from controller.web.caller import Caller
from controller.web.pages.admin.common import Pager, done, number_of, page_of, pager_of, said
from controller.web.pages.forms import Form, Screen
from controller.web.render import Viewer


class AdminUser(msgspec.Struct, frozen=True):
    """Somebody in the administrators' table of people."""

    user: str
    href: str  # where they are managed
    sessions: int
    most: int
    quota: int | None = None
    logged_in: bool = False
    files: str = ""  # such as "1.2 GB"; "": none


class AdminUsersView(msgspec.Struct, frozen=True):
    """The people who are here or have files here."""

    template: ClassVar[str] = "admin_users.html"

    viewer: Viewer
    now: datetime  # UTC
    users: tuple[AdminUser, ...]
    pager: Pager
    query: str = ""
    measured: datetime | None = None  # UTC
    measure: str = ""  # address that measures the files anew
    fault: str = ""
    said: str = ""


class AdminUserView(msgspec.Struct, frozen=True):
    """One person, and what may be done about them."""

    template: ClassVar[str] = "admin_user.html"

    viewer: Viewer
    user: AdminUser
    configured: int  # sessions that everybody may have
    volume: str = ""  # as the engine calls it
    error: str = ""
    said: str = ""


class AdminFilesView(msgspec.Struct, frozen=True):
    """The question before somebody's files are removed."""

    template: ClassVar[str] = "admin_files.html"

    viewer: Viewer
    user: AdminUser
    volume: str = ""
    error: str = ""


class ThrottledRow(msgspec.Struct, frozen=True):
    """Log-ins that are refused for a while."""

    id: str
    user: str  # "": of everybody from that address
    address: str
    failures: int
    until: datetime  # UTC


class AdminThrottledView(msgspec.Struct, frozen=True):
    """The log-ins that are refused now, and the limits."""

    template: ClassVar[str] = "admin_throttled.html"

    viewer: Viewer
    now: datetime  # UTC
    rows: tuple[ThrottledRow, ...]
    per_user: int  # failures of one name from one address that are allowed
    per_address: int
    window: timedelta  # for which they count
    said: str = ""


class ReleaseForm(msgspec.Struct, frozen=True):
    """The log-ins to release."""

    id: str = ""


class UserForm(msgspec.Struct, frozen=True):
    """Something about a person. ``typed``: their name once more."""

    user: str = ""
    sessions: str = ""
    typed: str = ""


# -- people --------------------------------------------------------------------------------


@get("/admin/users")
async def users(
    request: AnyRequest,
    people: NamedDependency[People],
    screen: NamedDependency[Screen],
) -> Response[str]:
    """Show the people."""
    asked = request.query_params
    query = asked.get("q", "")[:200]
    found = await people.users(
        query=query, page=page_of(asked.get("page", "")), fresh=asked.get("measure", "") == "1"
    )

    def address(number: int, **more: str) -> str:
        parts = ({"q": query} if query else {}) | ({"page": str(number)} if number > 1 else {})
        parts |= more
        return "/admin/users" + (f"?{urlencode(parts)}" if parts else "")

    measured = found.measured_at
    view = AdminUsersView(
        viewer=screen.viewer,
        now=screen.now,
        users=tuple(_user(one) for one in found.users),
        pager=pager_of(found.page, found.pages, found.found, address),
        query=query,
        measured=None if measured is None else moment(measured),
        measure=address(found.page, measure="1"),
        fault=str(found.fault or ""),
        said=said(request),
    )
    return screen.page(view)


def _user(user: User) -> AdminUser:
    files = ""
    if user.volume is not None:
        size = user.volume.size
        files = "size not known" if size is None else sentences.bytes_text(size)
        files += " reserved" if size is not None and user.volume.reserved else ""
    return AdminUser(
        user=user.uid,
        href=_user_address(user.uid),
        sessions=user.sessions,
        most=user.most,
        quota=user.quota,
        logged_in=user.logged_in,
        files=files,
    )


def _user_address(uid: str) -> str:
    return f"/admin/user?{urlencode({'user': uid})}"


@get("/admin/user")
async def user(
    request: AnyRequest,
    settings: NamedDependency[Settings],
    people: NamedDependency[People],
    screen: NamedDependency[Screen],
    user: Annotated[str, QueryParameter(max_length=256)],
) -> Response[str]:
    """Show one person."""
    view = await _user_view(settings, people, screen.viewer, canonical_uid(user))
    return screen.page(msgspec.structs.replace(view, said=said(request)))


async def _user_view(
    settings: Settings, people: People, viewer: Viewer, uid: UserId
) -> AdminUserView:
    found = await people.user(uid)
    limits = settings.limits
    return AdminUserView(
        viewer=viewer,
        user=_user(found),
        configured=limits.people.get(uid, limits.sessions_per_user),
        volume=found.volume.name if found.volume else "",
    )


@post("/admin/user/quota", status_code=303)
async def quota(
    settings: NamedDependency[Settings],
    people: NamedDependency[People],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
    data: Annotated[UserForm, Form],
) -> Response[str]:
    """Give somebody a number of sessions of their own."""
    uid = uid_of(data.user)
    try:
        most = number_of(data.sessions, Phrase("how many sessions")) if data.sessions else None
        await people.set_quota(uid, most, caller.actor)
    except (Refused, Unavailable) as error:
        view = await _user_view(settings, people, screen.viewer, uid)
        refused = msgspec.structs.replace(view, error=str(error))
        return screen.refusal(refused, error)
    return done(_user_address(uid), "quota")


@post("/admin/user/logout", status_code=303)
async def log_out(
    people: NamedDependency[People],
    caller: NamedDependency[Caller],
    data: Annotated[UserForm, Form],
) -> Response[str]:
    """End somebody's log-ins."""
    uid = uid_of(data.user)
    await people.log_out(uid, caller.actor)
    return done(_user_address(uid), "logout")


@get("/admin/user/files")
async def ask_files(
    people: NamedDependency[People],
    screen: NamedDependency[Screen],
    user: Annotated[str, QueryParameter(max_length=256)],
) -> Response[str]:
    """Ask before somebody's files are removed."""
    return screen.page(await _files_view(people, screen.viewer, canonical_uid(user)))


async def _files_view(people: People, viewer: Viewer, uid: UserId) -> AdminFilesView:
    found = await people.user(uid)
    volume = found.volume.name if found.volume else ""
    return AdminFilesView(viewer=viewer, user=_user(found), volume=volume)


@post("/admin/user/files", status_code=303)
async def remove_files(
    people: NamedDependency[People],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
    data: Annotated[UserForm, Form],
) -> Response[str]:
    """Remove somebody's files, if their name was typed once more."""
    uid = uid_of(data.user)
    try:
        if canonical_uid(data.typed[:256].strip()) != uid:
            raise InvalidRequest("That is not their user name. Nothing was removed.")
        await people.remove_files(uid, caller.actor)
    except (Refused, Unavailable) as error:
        view = msgspec.structs.replace(
            await _files_view(people, screen.viewer, uid), error=str(error)
        )
        return screen.refusal(view, error)
    return done("/admin/users", "files")


# -- refused log-ins -----------------------------------------------------------------------


@get("/admin/throttled")
async def throttled(
    request: AnyRequest,
    settings: NamedDependency[Settings],
    people: NamedDependency[People],
    screen: NamedDependency[Screen],
) -> Response[str]:
    """Show whose log-ins are refused for a while."""
    limits = settings.login
    view = AdminThrottledView(
        viewer=screen.viewer,
        now=screen.now,
        rows=tuple(
            ThrottledRow(
                id=one.id,
                user=one.user,
                address=one.address,
                failures=one.failures,
                until=moment(one.until),
            )
            for one in await people.throttled()
        ),
        per_user=limits.attempts_per_user,
        per_address=limits.attempts_per_address,
        window=timedelta(seconds=limits.attempts_seconds),
        said=said(request),
    )
    return screen.page(view)


@post("/admin/throttled/release", status_code=303)
async def release(
    people: NamedDependency[People],
    caller: NamedDependency[Caller],
    data: Annotated[ReleaseForm, Form],
) -> Response[str]:
    """Release refused log-ins."""
    try:
        await people.release(data.id, caller.actor)
    except NotThrottled:
        return done("/admin/throttled", "released")
    return done("/admin/throttled", "release")
