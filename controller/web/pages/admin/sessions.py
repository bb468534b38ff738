"""The administrators' page of all sessions, and what they do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.response import Redirect

from controller.administration.acts import MESSAGE_MAX
from controller.administration.history import Sample
from controller.administration.table import Entry, Listing, Sort
from controller.core.errors import HubError, InvalidRequest, NoSuchSession, Refused, Unavailable
from controller.core.model import Phase, SessionId, moment
from controller.gate.answers import STARTING
from controller.rules import origins, sentences
from controller.rules.sentences import KeepReason
from controller.web import sparkline
from controller.web.answers import AnyRequest
from controller.web.caller import Caller, Hub, admin_only, provide_caller
from controller.web.pages.admin.common import (
    Pager,
    done,
    now_of,
    number_of,
    page_of,
    pager_of,
    said,
)
from controller.web.pages.admin.drain import DrainState, ask_drain, drain, drain_state, undrain
from controller.web.pages.admin.users import (
    ask_files,
    log_out,
    quota,
    release,
    remove_files,
    throttled,
    user,
    users,
)
from controller.web.pages.forms import Form, check_csrf, page, retry_after, viewer_of
from controller.web.render import Viewer


class Bar(msgspec.Struct, frozen=True):
    """How much of something is taken, as digits and as a bar."""

    text: str
    percent: float  # of what may be taken; over 100 is drawn as 100


class AdminRow(msgspec.Struct, frozen=True):
    """Anybody's session in the administrators' table."""

    id: str
    owner: str
    title: str
    phase: Phase
    started: datetime  # UTC
    last_active: datetime  # UTC
    why: KeepReason
    why_at: datetime | None = None  # UTC; the moment in ``why``
    ends: datetime | None = None  # UTC; None: never
    extra: timedelta = timedelta(0)  # by which its lifetime was extended
    cpu: Bar | None = None  # None: not known
    memory: Bar | None = None


class Column(msgspec.Struct, frozen=True):
    """A column of a table by which it can be sorted."""

    key: str
    title: str
    href: str  # the table sorted by it, or the other way round if it is so already
    order: Literal["", "ascending", "descending"] = ""


class Tile(msgspec.Struct, frozen=True):
    """One plot of the last day."""

    title: str
    now: str  # the last value, in words
    most: str  # the greatest value, in words
    plot: sparkline.Plot
    most_at: datetime | None = None  # UTC


class AdminView(msgspec.Struct, frozen=True):
    """All sessions, and how full the hub is."""

    template: ClassVar[str] = "admin.html"

    viewer: Viewer
    now: datetime  # UTC
    here: str  # this page's own address
    rows: tuple[AdminRow, ...]
    columns: tuple[Column, ...]
    pager: Pager
    total: int
    summary: str  # such as "37 sessions: 35 ready, 2 starting"
    tiles: tuple[Tile, ...] = ()
    hours: tuple[tuple[datetime, tuple[str, ...]], ...] = ()  # the same as a table
    query: str = ""
    drain: DrainState | None = None
    newer: int = 0  # sessions of a newer hub
    may_look: bool = False
    said: str = ""  # what came of the last act


class AdminActView(msgspec.Struct, frozen=True):
    """The question before something is done to sessions."""

    template: ClassVar[str] = "admin_act.html"

    viewer: Viewer
    now: datetime  # UTC
    act: Literal["stop", "message", "extend", "look"]
    rows: tuple[AdminRow, ...]
    back: str
    most_hours: int
    most_characters: int
    look_minutes: int
    error: str = ""
    typed: str = ""  # the message, or the hours, as typed before


_DAY = 86_400

_HOURS = 24

_IDS_MAX = 100  # sessions in one act: two pages of the table

_Act = Literal["stop", "message", "extend", "look"]

_ACTS: tuple[_Act, ...] = ("stop", "message", "extend", "look")

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
    found = hub.table.listing(
        query=query, sort=sort, desc=desc, page=page_of(asked.get("page", ""))
    )
    now = now_of(hub)
    history = hub.history.samples
    view = AdminView(
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
        drain=drain_state(hub),
        newer=len(hub.sessions.registry.newer),
        may_look=hub.settings.admin.may_look,
        said=said(request),
    )
    return page(hub.renderer.page(view))


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


def _columns(query: str, sort: Sort, desc: bool) -> tuple[Column, ...]:
    return tuple(
        Column(
            key=key.value,
            title=title,
            href=_address(query, key, key is sort and not desc, 1),
            order="" if key is not sort else "descending" if desc else "ascending",
        )
        for key, title in _COLUMNS
    )


def _pager(found: Listing, address: Callable[[int], str]) -> Pager:
    return pager_of(found.page, found.pages, found.found, address)


def _row(entry: Entry) -> AdminRow:
    usage = entry.usage
    cpu = memory = None
    if usage is not None:
        cores = max(0.0, usage.cpu_percent) / 100
        cpu = Bar(f"{cores:.1f} of {entry.cpus:g}", 100 * cores / entry.cpus)
        used = sentences.bytes_text(usage.memory_bytes)
        most = sentences.bytes_text(entry.memory_bytes)
        share = 100 * usage.memory_bytes / max(1, entry.memory_bytes)
        memory = Bar(f"{used} of {most}", share)
    session = entry.seen.session
    return AdminRow(
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
    counts = hub.table.counts()
    total = sum(counts.values())
    if not total:
        return "No sessions"
    parts = ", ".join(
        f"{number} {'waiting' if phase is Phase.PENDING else phase.value}"
        for phase, number in sorted(counts.items())
    )
    return f"{total} session{'' if total == 1 else 's'}: {parts}"


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


def _values(history: Sequence[Sample], measure: _Measure) -> list[sparkline.Value]:
    return [sparkline.Value(one.at, measure.of(one)) for one in history]


def _tiles(history: Sequence[Sample], now: datetime) -> tuple[Tile, ...]:
    tiles: list[Tile] = []
    for measure in _MEASURES:
        drawn = sparkline.plot(
            _values(history, measure), now=now.timestamp(), span=_DAY, whole=measure.whole
        )
        last, most = drawn.now, drawn.most
        tiles.append(
            Tile(
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
        sparkline.hourly(_values(history, one), now=now.timestamp(), hours=_HOURS)
        for one in _MEASURES
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
        return done(back, "none")
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
            found.append(hub.table.entry(one))
        except NoSuchSession:
            continue  # it has ended meanwhile
    return found


def _act_view(
    hub: Hub, caller: Caller, act: _Act, entries: Sequence[Entry], back: str
) -> AdminActView:
    return AdminActView(
        viewer=viewer_of(hub, caller),
        now=now_of(hub),
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
        return done(back, "none")
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
    return done(back, chosen, len(entries))


async def _do(
    hub: Hub, caller: Caller, chosen: _Act, session_id: SessionId, data: SessionsForm
) -> None:
    match chosen:
        case "stop":
            await hub.acts.stop(session_id, caller.actor)
        case "message":
            await hub.acts.message(session_id, data.text, caller.actor)
        case "extend":
            hours = number_of(data.hours, "for how many hours")
            await hub.acts.extend(session_id, hours, caller.actor)
        case "look":
            await hub.acts.look(session_id, caller.person, caller.actor)


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
