"""The pages of one session: its start, and the questions before it is stopped or restarted."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_404_NOT_FOUND

from controller.core.errors import HttpError, NoSuchSession, NotInvited
from controller.core.model import Observed, Phase, parse_session_id
from controller.core.records import Reason
from controller.gate.answers import ENTER_PATH, NO_STORE
from controller.people.handoff import Handoffs
from controller.rules import origins, routes
from controller.rules.queue import QueuePosition
from controller.rules.sentences import Step, session_title
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.web.answers import AnyRequest
from controller.web.caller import Caller
from controller.web.pages.forms import Form, Screen, refresh
from controller.web.render import Viewer


class Failure(msgspec.Struct, frozen=True):
    """Why a session failed."""

    reason: str  # a sentence
    log: tuple[str, ...] = ()  # the last lines, oldest first
    code: str = ""  # to be given to the administrator


class StartingView(msgspec.Struct, frozen=True):
    """The page that is shown until a session is ready."""

    template: ClassVar[str] = "starting.html"

    viewer: Viewer
    id: str
    profile: str
    profile_title: str
    url: str
    elapsed: float  # seconds
    steps: tuple[Step, ...]
    name: str = ""
    message: str = ""
    failure: Failure | None = None
    place: QueuePosition | None = None  # waiting in the queue: shown instead of the steps
    can_cancel: bool = True  # guests cannot stop it

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class QuestionView(msgspec.Struct, frozen=True):
    """A question about a session before something is done to it."""

    template: ClassVar[str]

    viewer: Viewer
    id: str
    profile_title: str
    name: str = ""

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class ConfirmStopView(QuestionView, frozen=True):
    """The question before a session is stopped."""

    template: ClassVar[str] = "confirm_stop.html"


class RestartView(QuestionView, frozen=True):
    """The question before a session is stopped and started anew."""

    template: ClassVar[str] = "confirm_restart.html"


_STATE = re.compile(r"[0-9a-f]{64}")  # the hash of one


class StopForm(msgspec.Struct, frozen=True):
    """What a button sends that stops a session."""

    save: Literal["yes", "no"] = "yes"  # first, what is in it


async def failure_view(sessions: Sessions, seen: Observed, *, log: bool) -> Failure | None:
    """Say why a session has failed. ``log``: with its last lines, for its owner's eyes alone."""
    if sessions.phase(seen) is not Phase.FAILED:
        return None
    return Failure(
        reason=str(sessions.message(seen)),
        log=tuple(await sessions.last_lines(seen)) if log else (),
        code=seen.session.id[:8],
    )


async def starting_view(
    settings: Settings, sessions: Sessions, viewer: Viewer, seen: Observed
) -> StartingView:
    """Return the page that is shown until a session is ready."""
    is_owner = seen.session.owner == viewer.user
    return StartingView(
        viewer=viewer,
        id=seen.session.id,
        profile=seen.session.profile,
        profile_title=sessions.profile_of(seen).title,
        url=routes.session_url(seen.session.id, settings),
        elapsed=sessions.usage.elapsed(seen),
        steps=tuple(sessions.readiness.progress(seen)),
        name=seen.session.name,
        message=str(sessions.message(seen)),
        failure=await failure_view(sessions, seen, log=is_owner),
        place=sessions.queue.place(seen),
        can_cancel=is_owner,
    )


@get("/starting/{session_id:str}")
async def starting(
    settings: NamedDependency[Settings],
    sessions: NamedDependency[Sessions],
    screen: NamedDependency[Screen],
    seen: NamedDependency[Observed],
) -> Response[str]:
    """Show how far a session's start has got; one that is ready opens."""
    phase = sessions.phase(seen)
    if phase is Phase.STOPPING:
        return Redirect("/", status_code=303)
    if phase is Phase.READY and not settings.sessions_at:
        return Redirect(routes.session_path(seen.session.id), status_code=303)
    # Not a redirect when it is ready: a form may have led here, and what a form leads to has to
    # stay on this origin (form-action). The page goes on by itself, without script, too.
    url = routes.session_url(seen.session.id, settings)
    view = await starting_view(settings, sessions, screen.viewer, seen)
    return screen.page(view, refresh(url) if phase is Phase.READY else None)


@get("/enter/{session_id:str}", sync_to_thread=False)
def enter(
    *,
    request: AnyRequest,
    settings: NamedDependency[Settings],
    sessions: NamedDependency[Sessions],
    handoffs: NamedDependency[Handoffs],
    caller: NamedDependency[Caller],
    session_id: FromPath[str],
) -> Response[str]:
    """Send somebody who may enter to the session's own host, with a code (``people.handoff``)."""
    if not settings.sessions_at:
        raise HttpError(HTTP_404_NOT_FOUND)
    found = parse_session_id(session_id)
    access = sessions.access(found, caller.person.uid) if found else None
    if found is None or access is None or access.role is None or access.phase is Phase.STOPPING:
        raise NotInvited
    state = request.query_params.get("state", "")
    url = routes.session_url(found, settings).rstrip("/")
    target = origins.safe_next(request.query_params.get("next", "/"))
    if not _STATE.fullmatch(state):
        return Redirect(url + target)  # nobody has begun there: they begin now
    asked = {"code": handoffs.code(caller.login, found, state), "next": target}
    if "again" in request.query_params:
        asked["again"] = "1"
    return Redirect(f"{url}{ENTER_PATH}?{urlencode(asked)}", headers=NO_STORE)


def _question(
    view: type[QuestionView], sessions: Sessions, screen: Screen, own: Observed
) -> Response[str]:
    """Return the page that asks about somebody's own session."""
    return screen.page(
        view(
            viewer=screen.viewer,
            id=own.session.id,
            profile_title=sessions.profile_of(own).title,
            name=own.session.name,
        )
    )


@get("/sessions/{session_id:str}/stop", sync_to_thread=False)
def confirm_stop(
    sessions: NamedDependency[Sessions],
    screen: NamedDependency[Screen],
    own: NamedDependency[Observed],
) -> Response[str]:
    """Ask once more, for browsers without script."""
    return _question(ConfirmStopView, sessions, screen, own)


@post("/sessions/{session_id:str}/stop", status_code=303)
async def stop(
    sessions: NamedDependency[Sessions],
    caller: NamedDependency[Caller],
    session_id: FromPath[str],
    data: Annotated[StopForm, Form],
) -> Response[str]:
    """Stop a session; the files stay."""
    try:
        own = sessions.find_own(session_id, caller.person.uid)
    except NoSuchSession:
        return Redirect("/", status_code=303)  # it has stopped meanwhile: what was wanted
    save = data.save == "yes"
    await sessions.stop(own.session.id, Reason.STOPPED, by=caller.actor, save=save)
    return Redirect("/", status_code=303)


@get("/sessions/{session_id:str}/restart", sync_to_thread=False)
def confirm_restart(
    sessions: NamedDependency[Sessions],
    screen: NamedDependency[Screen],
    own: NamedDependency[Observed],
) -> Response[str]:
    """Ask before a session is stopped and started anew."""
    return _question(RestartView, sessions, screen, own)


@post("/sessions/{session_id:str}/restart", status_code=303)
async def restart(
    sessions: NamedDependency[Sessions],
    caller: NamedDependency[Caller],
    own: NamedDependency[Observed],
) -> Response[str]:
    """Stop a session and start it anew: whatever was open on it is closed."""
    await sessions.launching.restart(own, caller.person, by=caller.actor)
    return Redirect("/", status_code=303)


@post("/sessions/{session_id:str}/keep", status_code=303)
async def keep(
    sessions: NamedDependency[Sessions],
    caller: NamedDependency[Caller],
    seen: NamedDependency[Observed],
) -> Response[str]:
    """Count a session as used just now."""
    await sessions.keep(seen, caller.person.uid)
    return Redirect("/", status_code=303)


def session_router() -> Router:
    """Return the pages of one session."""
    return Router(
        "/",
        route_handlers=[starting, enter, confirm_stop, stop, confirm_restart, restart, keep],
    )
