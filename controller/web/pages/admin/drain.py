"""The pages of a drain: administrators block new sessions before maintenance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency

from controller.administration.acts import MESSAGE_MAX, Acts
from controller.core.errors import InvalidRequest, Refused, Unavailable
from controller.core.model import moment
from controller.core.records import Drain
from controller.core.sentence import Phrase
from controller.sessions.sessions import Sessions
from controller.web.caller import Caller
from controller.web.pages.admin.common import done, number_of
from controller.web.pages.forms import Form, Screen
from controller.web.render import Viewer


class DrainState(msgspec.Struct, frozen=True):
    """A drain: new sessions are blocked."""

    by: str
    since: datetime  # UTC
    message: str = ""
    stop_at: datetime | None = None  # UTC


class AdminDrainView(msgspec.Struct, frozen=True):
    """The question before a drain."""

    template: ClassVar[str] = "admin_drain.html"

    viewer: Viewer
    now: datetime  # UTC
    sessions: int
    owners: int
    most_characters: int
    error: str = ""
    message: str = ""  # as typed before


_MINUTES_MAX = 7 * 24 * 60


class DrainForm(msgspec.Struct, frozen=True):
    """``minutes`` until all sessions are stopped, or the moment ``at`` (UTC); empty: never."""

    message: str = ""
    minutes: str = ""
    at: str = ""


def drain_state(drain: Drain | None) -> DrainState | None:
    """Return the drain in force; None: there is none."""
    if drain is None:
        return None
    return DrainState(
        by=drain.by,
        since=moment(drain.since),
        message=drain.message,
        stop_at=None if drain.stop_at is None else moment(drain.stop_at),
    )


@get("/admin/drain", sync_to_thread=False)
def ask_drain(
    sessions: NamedDependency[Sessions],
    screen: NamedDependency[Screen],
) -> Response[str]:
    """Ask before new sessions are blocked."""
    return screen.page(_drain_view(sessions, screen.viewer, screen.now))


def _drain_view(sessions: Sessions, viewer: Viewer, now: datetime) -> AdminDrainView:
    everything = sessions.everything()
    return AdminDrainView(
        viewer=viewer,
        now=now,
        sessions=len(everything),
        owners=len({one.session.owner for one in everything}),
        most_characters=MESSAGE_MAX,
    )


@post("/admin/drain", status_code=303)
async def drain(
    sessions: NamedDependency[Sessions],
    acts: NamedDependency[Acts],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
    data: Annotated[DrainForm, Form],
) -> Response[str]:
    """Block new sessions."""
    try:
        await acts.drain(data.message, _stop_at(data, screen.now), caller.actor)
    except (Refused, Unavailable) as error:
        view = msgspec.structs.replace(
            _drain_view(sessions, screen.viewer, screen.now),
            error=str(error),
            message=data.message[: 4 * MESSAGE_MAX],
        )
        return screen.refusal(view, error)
    return done("/admin", "drain")


def _stop_at(data: DrainForm, now: datetime) -> float | None:
    if data.at:
        try:
            return datetime.fromisoformat(data.at[:32]).replace(tzinfo=UTC).timestamp()
        except ValueError as error:
            raise InvalidRequest("Write the time as a date and a time of day, in UTC.") from error
    if not data.minutes:
        return None
    minutes = number_of(data.minutes, Phrase("in how many minutes"))
    if minutes > _MINUTES_MAX:
        raise InvalidRequest("That is more than a week ahead. Choose an earlier time.")
    return (now + timedelta(minutes=minutes)).timestamp()


@post("/admin/drain/end", status_code=303)
async def undrain(acts: NamedDependency[Acts], caller: NamedDependency[Caller]) -> Response[str]:
    """Let sessions start again."""
    await acts.undrain(caller.actor)
    return done("/admin", "undrain")
