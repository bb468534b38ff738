"""The administrators' page of all sessions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from controller.administration.history import History
from controller.administration.table import Sort, Table
from controller.core.model import Phase
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.web.answers import AnyRequest
from controller.web.pages.admin.common import Pager, page_of, pager_of, said
from controller.web.pages.admin.drain import DrainState, drain_state
from controller.web.pages.admin.plots import Tile, hours, tiles
from controller.web.pages.admin.rows import AdminRow, row_of
from controller.web.pages.forms import Screen
from controller.web.render import Viewer


class Column(msgspec.Struct, frozen=True):
    """A column of a table by which it can be sorted."""

    key: str
    title: str
    href: str  # the table sorted by it, or the other way round if it is so already
    order: Literal["", "ascending", "descending"] = ""


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


_COLUMNS = (
    (Sort.OWNER, "Owner"),
    (Sort.TITLE, "Session"),
    (Sort.PHASE, "State"),
    (Sort.CPU, "CPU"),
    (Sort.MEMORY, "Memory"),
    (Sort.FELT, "Felt"),
    (Sort.ACTIVITY, "Last used"),
    (Sort.STARTED, "Started"),
)


class Overview(msgspec.Struct, frozen=True):
    """What the page is made of."""

    settings: Settings
    sessions: Sessions
    table: Table
    history: History

    def view(
        self,
        viewer: Viewer,
        now: datetime,
        *,
        query: str,
        sort: Sort,
        desc: bool,
        number: int,
    ) -> AdminView:
        """Return one page of the table, that of this number."""
        found = self.table.listing(query=query, sort=sort, desc=desc, page=number)
        history = self.history.samples
        return AdminView(
            viewer=viewer,
            now=now,
            here=_address(query, sort, desc, found.page),
            rows=tuple(row_of(one) for one in found.entries),
            columns=_columns(query, sort, desc),
            pager=pager_of(
                found.page,
                found.pages,
                found.found,
                lambda number: _address(query, sort, desc, number),
            ),
            total=found.total,
            summary=_summary(self.table.counts()),
            tiles=tiles(history, now),
            hours=hours(history, now),
            query=query,
            drain=drain_state(self.sessions.drain),
            newer=len(self.sessions.registry.newer),
            may_look=self.settings.admin.may_look,
        )


@get("/admin", sync_to_thread=False)
def overview(
    request: AnyRequest,
    views: NamedDependency[Overview],
    screen: NamedDependency[Screen],
) -> Response[str]:
    """Show all sessions."""
    asked = request.query_params
    view = views.view(
        screen.viewer,
        screen.now,
        query=asked.get("q", "")[:200],
        sort=_sort(asked.get("sort", "")),
        desc=asked.get("desc", "") == "1",
        number=page_of(asked.get("page", "")),
    )
    return screen.page(msgspec.structs.replace(view, said=said(request)))


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


def _summary(counts: Mapping[Phase, int]) -> str:
    total = sum(counts.values())
    if not total:
        return "No sessions"
    parts = ", ".join(
        f"{number} {'waiting' if phase is Phase.PENDING else phase.value}"
        for phase, number in sorted(counts.items())
    )
    return f"{total} session{'' if total == 1 else 's'}: {parts}"
