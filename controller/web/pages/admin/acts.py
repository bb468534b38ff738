"""The pages by which administrators do something to sessions: the question, and the act."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from controller.administration.acts import MESSAGE_MAX, Acts
from controller.administration.table import Entry, Table
from controller.core.errors import HubError, InvalidRequest, NoSuchSession, Refused, Unavailable
from controller.core.model import SessionId
from controller.core.sentence import Phrase
from controller.gate.answers import STARTING
from controller.rules import origins
from controller.settings.schema import Settings
from controller.web.answers import AnyRequest
from controller.web.caller import Caller
from controller.web.pages.admin.common import done, number_of
from controller.web.pages.admin.rows import AdminRow, row_of
from controller.web.pages.forms import Form, Screen
from controller.web.render import Viewer

_Act = Literal["stop", "message", "extend", "look"]

_ACTS: tuple[_Act, ...] = ("stop", "message", "extend", "look")

_IDS_MAX = 100  # sessions in one act: two pages of the table


class AdminActView(msgspec.Struct, frozen=True):
    """The question before something is done to sessions."""

    template: ClassVar[str] = "admin_act.html"

    viewer: Viewer
    now: datetime  # UTC
    act: _Act
    rows: tuple[AdminRow, ...]
    back: str
    most_hours: int
    most_characters: int
    look_minutes: int
    error: str = ""
    typed: str = ""  # the message, or the hours, as typed before


class SessionsForm(msgspec.Struct, frozen=True):
    """What is done to sessions; ``ids`` with commas between."""

    act: str = ""
    ids: str = ""
    back: str = ""
    text: str = ""
    hours: str = ""


@get("/admin/act", sync_to_thread=False)
def ask(
    request: AnyRequest,
    settings: NamedDependency[Settings],
    table: NamedDependency[Table],
    screen: NamedDependency[Screen],
) -> Response[str]:
    """Ask before something is done to sessions: name them, and what is lost."""
    asked = request.query_params
    chosen, back = _act(asked.get("act", "")), _back(asked.get("back", ""))
    entries = _entries(table, asked.getall("id", []))
    if not entries:
        return done(back, "none")
    return screen.page(_view(settings, screen, chosen, entries, back))


@post("/admin/act", status_code=303)
async def act(
    *,
    settings: NamedDependency[Settings],
    table: NamedDependency[Table],
    acts: NamedDependency[Acts],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
    data: Annotated[SessionsForm, Form],
) -> Response[str]:
    """Do something to sessions, after it was asked about."""
    chosen, back = _act(data.act), _back(data.back)
    entries = _entries(table, data.ids.split(","))

    def refused(left: Sequence[Entry], error: HubError) -> Response[str]:
        """Show the question once more, for those sessions to which it was not done."""
        view = msgspec.structs.replace(
            _view(settings, screen, chosen, left, back),
            error=str(error),
            typed=data.text[: 4 * MESSAGE_MAX] or (data.hours if data.hours.isdigit() else ""),
        )
        return screen.refusal(view, error)

    if not entries:
        return done(back, "none")
    if chosen == "look" and len(entries) > 1:
        return refused(entries, InvalidRequest("Look into one session at a time."))
    for number, entry in enumerate(entries):
        try:
            await _do(acts, caller, chosen, entry.seen.session.id, data)
        except NoSuchSession:
            continue  # it has ended meanwhile
        except (Refused, Unavailable) as error:
            return refused(entries[number:], error)
    if chosen == "look":
        return Redirect(f"{STARTING}{entries[0].seen.session.id}", status_code=303)
    return done(back, chosen, len(entries))


def _act(text: str) -> _Act:
    if text not in _ACTS:
        raise InvalidRequest("There is no such action.")
    return text


def _back(text: str) -> str:
    """Return the page of the table to go back to, and nothing else that a form may name."""
    target = origins.safe_next(text)
    return target if target == "/admin" or target.startswith("/admin?") else "/admin"


def _entries(table: Table, ids: Iterable[str]) -> list[Entry]:
    """Return those sessions that are still there."""
    found: list[Entry] = []
    for one in list(dict.fromkeys(ids))[:_IDS_MAX]:
        try:
            found.append(table.entry(one))
        except NoSuchSession:
            continue  # it has ended meanwhile
    return found


def _view(
    settings: Settings,
    screen: Screen,
    chosen: _Act,
    entries: Sequence[Entry],
    back: str,
) -> AdminActView:
    return AdminActView(
        viewer=screen.viewer,
        now=screen.now,
        act=chosen,
        rows=tuple(row_of(one) for one in entries),
        back=back,
        most_hours=settings.admin.extend_hours,
        most_characters=MESSAGE_MAX,
        look_minutes=settings.admin.look_minutes,
    )


async def _do(
    acts: Acts, caller: Caller, chosen: _Act, session_id: SessionId, data: SessionsForm
) -> None:
    match chosen:
        case "stop":
            await acts.stop(session_id, caller.actor)
        case "message":
            await acts.message(session_id, data.text, caller.actor)
        case "extend":
            hours = number_of(data.hours, Phrase("for how many hours"))
            await acts.extend(session_id, hours, caller.actor)
        case "look":
            await acts.look(session_id, caller.person, caller.actor)
