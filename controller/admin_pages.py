"""The pages of administrators: all sessions, the people, and the end of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter
from litestar.response import Redirect

from controller import plots, render
from controller.admin import admin_only
from controller.administration.table import MESSAGE_MAX, Entry, Listing, Sample, Sort, User
from controller.core.errors import (
    HubError,
    InvalidRequest,
    NoSuchSession,
    NotThrottled,
    Refused,
    Unavailable,
)
from controller.core.model import Phase, SessionId, UserId, canonical_uid, moment
from controller.gate.answers import STARTING
from controller.pages import ActForm, Form, check_csrf, page, retry_after, viewer_of
from controller.people.directory import uid_of
from controller.rules import origins, sentences
from controller.web import AnyRequest, Caller, Hub, provide_caller

_DAY = 86_400

_HOURS = 24

_IDS_MAX = 100  # sessions in one act: two pages of the table

_MINUTES_MAX = 7 * 24 * 60

_Act = Literal["stop", "message", "extend", "look"]

_ACTS: tuple[_Act, ...] = ("stop", "message", "extend", "look")

_DONE: Mapping[str, tuple[str, str]] = {
    "stop": ("The session is being stopped.", "{} sessions are being stopped."),
    "message": ("The message was sent.", "The message was sent to {} sessions."),
    "extend": ("The session may run longer.", "{} sessions may run longer."),
    "undrain": ("Sessions can be started again.", ""),
    "drain": ("Nothing new can be started now.", ""),
    "quota": ("That counts from now on.", ""),
    "logout": ("They are logged out.", ""),
    "files": ("The files are removed.", ""),
    "none": ("Choose sessions first.", ""),
    "release": ("They can try again.", ""),
    "released": ("They could try again already.", ""),
}

_COLUMNS = (
    (Sort.OWNER, "Owner"),
    (Sort.TITLE, "Session"),
    (Sort.PHASE, "State"),
    (Sort.CPU, "CPU"),
    (Sort.MEMORY, "Memory"),
    (Sort.ACTIVITY, "Last used"),
    (Sort.STARTED, "Started"),
)


class SessionsForm(msgspec.Struct, frozen=True):
    """What is done to sessions; ``ids`` with commas between."""

    csrf: str = ""
    act: str = ""
    ids: str = ""
    back: str = ""
    text: str = ""
    hours: str = ""


class DrainForm(msgspec.Struct, frozen=True):
    """``minutes`` until all sessions are stopped, or the moment ``at`` (UTC); empty: never."""

    csrf: str = ""
    message: str = ""
    minutes: str = ""
    at: str = ""


class ReleaseForm(msgspec.Struct, frozen=True):
    """Who may try again."""

    csrf: str = ""
    id: str = ""


class UserForm(msgspec.Struct, frozen=True):
    """Something about a person. ``typed``: their name once more."""

    csrf: str = ""
    user: str = ""
    sessions: str = ""
    typed: str = ""


# -- sessions ------------------------------------------------------------------------------


@get("/admin", sync_to_thread=False)
def overview(
    request: AnyRequest, hub: NamedDependency[Hub], caller: NamedDependency[Caller]
) -> Response[str]:
    """Show all sessions."""
    asked = request.query_params
    query = asked.get("q", "")[:200]
    sort = _sort(asked.get("sort", ""))
    desc = asked.get("desc", "") == "1"
    found = hub.oversight.listing(
        query=query, sort=sort, desc=desc, page=_page(asked.get("page", ""))
    )
    now = _now(hub)
    history = hub.oversight.history
    view = render.AdminView(
        viewer=viewer_of(hub, caller),
        now=now,
        here=_address(query, sort, desc, found.page),
        rows=tuple(_row(one) for one in found.entries),
        columns=_columns(query, sort, desc),
        pager=_pager(found, lambda number: _address(query, sort, desc, number)),
        total=found.total,
        summary=_summary(hub),
        tiles=_tiles(history, now),
        hours=_hours(history, now),
        query=query,
        drain=_drain(hub),
        newer=len(hub.sessions.newer()),
        may_look=hub.settings.admin.may_look,
        said=_said(request),
    )
    return page(hub.renderer.page(view))


def _now(hub: Hub) -> datetime:
    return hub.oversight.now


def _address(query: str, sort: Sort, desc: bool, number: int) -> str:
    asked: dict[str, str] = {}
    if query:
        asked["q"] = query
    if sort is not Sort.STARTED:
        asked["sort"] = sort.value
    if desc:
        asked["desc"] = "1"
    if number > 1:
        asked["page"] = str(number)
    return "/admin" + (f"?{urlencode(asked)}" if asked else "")


def _sort(text: str) -> Sort:
    return Sort(text) if text in set(Sort) else Sort.STARTED


def _page(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < len("1000000") else 1


def _columns(query: str, sort: Sort, desc: bool) -> tuple[render.Column, ...]:
    return tuple(
        render.Column(
            key=key.value,
            title=title,
            href=_address(query, key, key is sort and not desc, 1),
            order="" if key is not sort else "descending" if desc else "ascending",
        )
        for key, title in _COLUMNS
    )


def _pager(found: Listing, address: Callable[[int], str]) -> render.Pager:
    return _pager_of(found.page, found.pages, found.found, address)


def _pager_of(number: int, pages: int, found: int, address: Callable[[int], str]) -> render.Pager:
    return render.Pager(
        page=number,
        pages=pages,
        found=found,
        before=address(number - 1) if number > 1 else "",
        after=address(number + 1) if number < pages else "",
    )


def _row(entry: Entry) -> render.AdminRow:
    usage = entry.usage
    cpu = memory = None
    if usage is not None:
        cores = max(0.0, usage.cpu_percent) / 100
        cpu = render.Bar(f"{cores:.1f} of {entry.cpus:g}", 100 * cores / entry.cpus)
        used = sentences.bytes_text(usage.memory_bytes)
        most = sentences.bytes_text(entry.memory_bytes)
        share = 100 * usage.memory_bytes / max(1, entry.memory_bytes)
        memory = render.Bar(f"{used} of {most}", share)
    session = entry.seen.session
    return render.AdminRow(
        id=session.id,
        owner=session.owner,
        title=entry.title,
        phase=entry.phase,
        started=session.created_at,
        last_active=entry.active_at,
        why=entry.why,
        why_at=entry.why_at,
        ends=entry.ends_at,
        extra=timedelta(seconds=entry.extra),
        cpu=cpu,
        memory=memory,
    )


def _summary(hub: Hub) -> str:
    counts = hub.oversight.counts()
    total = sum(counts.values())
    if not total:
        return "No sessions"
    parts = ", ".join(
        f"{number} {'waiting' if phase is Phase.PENDING else phase.value}"
        for phase, number in sorted(counts.items())
    )
    return f"{total} session{'' if total == 1 else 's'}: {parts}"


def _drain(hub: Hub) -> render.DrainState | None:
    drain = hub.sessions.drain
    if drain is None:
        return None
    return render.DrainState(
        by=drain.by,
        since=moment(drain.since),
        message=drain.message,
        stop_at=None if drain.stop_at is None else moment(drain.stop_at),
    )


class _Measure(msgspec.Struct, frozen=True):
    """Something of which there is a plot."""

    title: str
    of: Callable[[Sample], float]
    words: Callable[[float], str]
    whole: bool = False


_MEASURES = (
    _Measure("Sessions", lambda one: one.sessions, lambda value: f"{value:.0f}", whole=True),
    _Measure("CPU", lambda one: one.cores, lambda value: f"{value:.1f} cores"),
    _Measure("Memory", lambda one: one.memory_bytes, sentences.bytes_text),
    _Measure(
        "Longest wait",
        lambda one: one.wait,
        lambda value: sentences.duration_text(timedelta(seconds=value)),
    ),
)


def _values(history: Sequence[Sample], measure: _Measure) -> list[plots.Value]:
    return [plots.Value(one.at, measure.of(one)) for one in history]


def _tiles(history: Sequence[Sample], now: datetime) -> tuple[render.Tile, ...]:
    tiles: list[render.Tile] = []
    for measure in _MEASURES:
        drawn = plots.plot(
            _values(history, measure), now=now.timestamp(), span=_DAY, whole=measure.whole
        )
        last, most = drawn.now, drawn.most
        tiles.append(
            render.Tile(
                title=measure.title,
                now=measure.words(last.value) if last else "",
                most=measure.words(most.value) if most else "",
                plot=drawn,
                most_at=moment(most.at) if most else None,
            )
        )
    return tuple(tiles)


def _hours(
    history: Sequence[Sample], now: datetime
) -> tuple[tuple[datetime, tuple[str, ...]], ...]:
    """Return the greatest values of each hour, the newest first, as far as any are known."""
    columns = [
        plots.hourly(_values(history, one), now=now.timestamp(), hours=_HOURS) for one in _MEASURES
    ]
    return tuple(
        (
            moment(cells[0][0]),
            tuple(
                measure.words(value)
                for measure, (_, value) in zip(_MEASURES, cells, strict=True)
                if value is not None
            ),
        )
        for cells in zip(*columns, strict=True)
        if cells[0][1] is not None
    )


def _said(request: AnyRequest) -> str:
    """Say what came of an act that led here."""
    one, many = _DONE.get(request.query_params.get("done", ""), ("", ""))
    number = _page(request.query_params.get("n", ""))
    return many.format(number) if many and number > 1 else one


def _done(back: str, what: str, number: int = 1) -> Response[str]:
    more = {"done": what} | ({"n": str(number)} if number > 1 else {})
    return Redirect(f"{back}{'&' if '?' in back else '?'}{urlencode(more)}", status_code=303)


def _back(text: str) -> str:
    """Return the page of the table to go back to, and nothing else that a form may name."""
    target = origins.safe_next(text)
    return target if target == "/admin" or target.startswith("/admin?") else "/admin"


@get("/admin/act", sync_to_thread=False)
def ask(
    request: AnyRequest, hub: NamedDependency[Hub], caller: NamedDependency[Caller]
) -> Response[str]:
    """Ask before something is done to sessions: name them, and what is lost."""
    act = _act(request.query_params.get("act", ""))
    back = _back(request.query_params.get("back", ""))
    ids = request.query_params.getall("id", [])
    entries = _entries(hub, ids)
    if not entries:
        return _done(back, "none")
    return page(hub.renderer.page(_act_view(hub, caller, act, entries, back)))


def _act(text: str) -> _Act:
    if text not in _ACTS:
        raise InvalidRequest("There is no such act.")
    return text


def _entries(hub: Hub, ids: Iterable[str]) -> list[Entry]:
    """Return those sessions that are still there."""
    found: list[Entry] = []
    for one in list(dict.fromkeys(ids))[:_IDS_MAX]:
        try:
            found.append(hub.oversight.entry(one))
        except NoSuchSession:
            continue  # it has ended meanwhile
    return found


def _act_view(
    hub: Hub, caller: Caller, act: _Act, entries: Sequence[Entry], back: str
) -> render.AdminActView:
    return render.AdminActView(
        viewer=viewer_of(hub, caller),
        now=_now(hub),
        act=act,
        rows=tuple(_row(one) for one in entries),
        back=back,
        most_hours=hub.settings.admin.extend_hours,
        most_characters=MESSAGE_MAX,
        look_minutes=hub.settings.admin.look_minutes,
    )


@post("/admin/act", status_code=303)
async def act(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    data: Annotated[SessionsForm, Form],
) -> Response[str]:
    """Do something to sessions, after it was asked about."""
    check_csrf(hub, caller, data.csrf)
    chosen, back = _act(data.act), _back(data.back)
    entries = _entries(hub, data.ids.split(","))
    if not entries:
        return _done(back, "none")
    if chosen == "look" and len(entries) > 1:
        return _refused(
            hub, caller, data, entries, InvalidRequest("Look into one session at a time.")
        )
    for number, entry in enumerate(entries):
        try:
            await _do(hub, caller, chosen, entry.seen.session.id, data)
        except NoSuchSession:
            continue  # it has ended meanwhile
        except (Refused, Unavailable) as error:
            return _refused(hub, caller, data, entries[number:], error)
    if chosen == "look":
        return Redirect(f"{STARTING}{entries[0].seen.session.id}", status_code=303)
    return _done(back, chosen, len(entries))


async def _do(
    hub: Hub, caller: Caller, chosen: _Act, session_id: SessionId, data: SessionsForm
) -> None:
    match chosen:
        case "stop":
            await hub.oversight.stop(session_id, caller.actor)
        case "message":
            await hub.oversight.message(session_id, data.text, caller.actor)
        case "extend":
            hours = _number(data.hours, "for how many hours")
            await hub.oversight.extend(session_id, hours, caller.actor)
        case "look":
            await hub.oversight.look(session_id, caller.person, caller.actor)


def _refused(
    hub: Hub, caller: Caller, data: SessionsForm, entries: Sequence[Entry], error: HubError
) -> Response[str]:
    """Show the question once more, for those sessions to which it was not done."""
    view = msgspec.structs.replace(
        _act_view(hub, caller, _act(data.act), entries, _back(data.back)),
        error=str(error),
        typed=data.text[: 4 * MESSAGE_MAX] or (data.hours if data.hours.isdigit() else ""),
    )
    return page(hub.renderer.page(view), error.status, retry_after(error))


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len("1000000"):
        raise InvalidRequest(f"Say {what} as a number.")
    return int(text)


# -- the end of all ------------------------------------------------------------------------


@get("/admin/drain", sync_to_thread=False)
def ask_drain(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> Response[str]:
    """Ask before nothing starts any more."""
    return page(hub.renderer.page(_drain_view(hub, caller)))


def _drain_view(hub: Hub, caller: Caller) -> render.AdminDrainView:
    everything = hub.sessions.everything()
    return render.AdminDrainView(
        viewer=viewer_of(hub, caller),
        now=_now(hub),
        sessions=len(everything),
        owners=len({one.session.owner for one in everything}),
        most_characters=MESSAGE_MAX,
    )


@post("/admin/drain", status_code=303)
async def drain(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    data: Annotated[DrainForm, Form],
) -> Response[str]:
    """Let nothing start any more."""
    check_csrf(hub, caller, data.csrf)
    try:
        await hub.oversight.drain(data.message, _stop_at(hub, data), caller.actor)
    except (Refused, Unavailable) as error:
        view = msgspec.structs.replace(
            _drain_view(hub, caller), error=str(error), message=data.message[: 4 * MESSAGE_MAX]
        )
        return page(hub.renderer.page(view), error.status, retry_after(error))
    return _done("/admin", "drain")


def _stop_at(hub: Hub, data: DrainForm) -> float | None:
    if data.at:
        try:
            return datetime.fromisoformat(data.at[:32]).replace(tzinfo=UTC).timestamp()
        except ValueError as error:
            raise InvalidRequest("Say the moment as a date and a time, in UTC.") from error
    if not data.minutes:
        return None
    minutes = _number(data.minutes, "in how many minutes")
    if minutes > _MINUTES_MAX:
        raise InvalidRequest("That is more than a week ahead.")
    return (_now(hub) + timedelta(minutes=minutes)).timestamp()


@post("/admin/drain/end", status_code=303)
async def undrain(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: Annotated[ActForm, Form]
) -> Response[str]:
    """Let things start again."""
    check_csrf(hub, caller, data.csrf)
    await hub.oversight.undrain(caller.actor)
    return _done("/admin", "undrain")


# -- people --------------------------------------------------------------------------------


@get("/admin/users")
async def users(
    request: AnyRequest, hub: NamedDependency[Hub], caller: NamedDependency[Caller]
) -> Response[str]:
    """Show the people."""
    asked = request.query_params
    query = asked.get("q", "")[:200]
    found = await hub.oversight.users(
        query=query, page=_page(asked.get("page", "")), fresh=asked.get("measure", "") == "1"
    )

    def address(number: int, **more: str) -> str:
        parts = ({"q": query} if query else {}) | ({"page": str(number)} if number > 1 else {})
        parts |= more
        return "/admin/users" + (f"?{urlencode(parts)}" if parts else "")

    measured = found.measured_at
    view = render.AdminUsersView(
        viewer=viewer_of(hub, caller),
        now=_now(hub),
        users=tuple(_user(one) for one in found.users),
        pager=_pager_of(found.page, found.pages, found.found, address),
        query=query,
        measured=None if measured is None else moment(measured),
        measure=address(found.page, measure="1"),
        fault=found.fault,
        said=_said(request),
    )
    return page(hub.renderer.page(view))


def _user(user: User) -> render.AdminUser:
    files = ""
    if user.volume is not None:
        size = user.volume.size
        files = "size not known" if size is None else sentences.bytes_text(size)
        files += " set aside" if size is not None and user.volume.reserved else ""
    return render.AdminUser(
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
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    user: Annotated[str, QueryParameter(max_length=256)],
) -> Response[str]:
    """Show one person."""
    view = await _user_view(hub, caller, canonical_uid(user))
    return page(hub.renderer.page(msgspec.structs.replace(view, said=_said(request))))


async def _user_view(hub: Hub, caller: Caller, uid: UserId) -> render.AdminUserView:
    found = await hub.oversight.user(uid)
    return render.AdminUserView(
        viewer=viewer_of(hub, caller),
        user=_user(found),
        configured=hub.settings.limits.people.get(uid, hub.settings.limits.sessions_per_user),
        volume=found.volume.name if found.volume else "",
    )


@post("/admin/user/quota", status_code=303)
async def quota(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: Annotated[UserForm, Form]
) -> Response[str]:
    """Give somebody a number of sessions of their own."""
    check_csrf(hub, caller, data.csrf)
    uid = uid_of(data.user)
    try:
        most = _number(data.sessions, "how many sessions") if data.sessions else None
        await hub.oversight.set_quota(uid, most, caller.actor)
    except (Refused, Unavailable) as error:
        view = msgspec.structs.replace(await _user_view(hub, caller, uid), error=str(error))
        return page(hub.renderer.page(view), error.status, retry_after(error))
    return _done(_user_address(uid), "quota")


@post("/admin/user/logout", status_code=303)
async def log_out(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: Annotated[UserForm, Form]
) -> Response[str]:
    """End somebody's log-ins."""
    check_csrf(hub, caller, data.csrf)
    uid = uid_of(data.user)
    await hub.oversight.log_out(uid, caller.actor)
    return _done(_user_address(uid), "logout")


@get("/admin/user/files")
async def ask_files(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    user: Annotated[str, QueryParameter(max_length=256)],
) -> Response[str]:
    """Ask before somebody's files are removed."""
    return page(hub.renderer.page(await _files_view(hub, caller, canonical_uid(user))))


async def _files_view(hub: Hub, caller: Caller, uid: UserId) -> render.AdminFilesView:
    view = await _user_view(hub, caller, uid)
    return render.AdminFilesView(viewer=view.viewer, user=view.user, volume=view.volume)


@post("/admin/user/files", status_code=303)
async def remove_files(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: Annotated[UserForm, Form]
) -> Response[str]:
    """Remove somebody's files, if their name was typed once more."""
    check_csrf(hub, caller, data.csrf)
    uid = uid_of(data.user)
    try:
        if canonical_uid(data.typed[:256].strip()) != uid:
            raise InvalidRequest("That is not their user name. Nothing was removed.")
        await hub.oversight.remove_files(uid, caller.actor)
    except (Refused, Unavailable) as error:
        view = msgspec.structs.replace(await _files_view(hub, caller, uid), error=str(error))
        return page(hub.renderer.page(view), error.status, retry_after(error))
    return _done("/admin/users", "files")


# -- refused log-ins -----------------------------------------------------------------------


@get("/admin/throttled")
async def throttled(
    request: AnyRequest, hub: NamedDependency[Hub], caller: NamedDependency[Caller]
) -> Response[str]:
    """Show whose log-ins are refused for a while."""
    limits = hub.settings.login
    view = render.AdminThrottledView(
        viewer=viewer_of(hub, caller),
        now=_now(hub),
        rows=tuple(
            render.ThrottledRow(
                id=one.id,
                user=one.user,
                address=one.address,
                failures=one.failures,
                until=moment(one.until),
            )
            for one in await hub.oversight.throttled()
        ),
        per_user=limits.attempts_per_user,
        per_address=limits.attempts_per_address,
        window=timedelta(seconds=limits.attempts_seconds),
        said=_said(request),
    )
    return page(hub.renderer.page(view))


@post("/admin/throttled/release", status_code=303)
async def release(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: Annotated[ReleaseForm, Form]
) -> Response[str]:
    """Let somebody try again."""
    check_csrf(hub, caller, data.csrf)
    try:
        await hub.oversight.release(data.id, caller.actor)
    except NotThrottled:
        return _done("/admin/throttled", "released")
    return _done("/admin/throttled", "release")


def admin_pages_router(hub: Hub) -> Router:
    """Return the routes of these pages; all of them are for administrators."""
    return Router(
        "/",
        route_handlers=[
            overview,
            ask,
            act,
            ask_drain,
            drain,
            undrain,
            users,
            user,
            quota,
            log_out,
            ask_files,
            remove_files,
            throttled,
            release,
        ],
        guards=[admin_only(hub)],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
        include_in_schema=False,
    )
