"""The pages of one session: its start, and the questions before it is stopped or restarted."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_404_NOT_FOUND

from controller.core.errors import NoSuchSession, NotInvited, NotReadyYet
from controller.core.model import Observed, Phase, QueuePosition, parse_session_id
from controller.core.records import Reason
from controller.gate.answers import ENTER_PATH, NO_STORE
from controller.rules import origins, routes
from controller.rules.sentences import Step, session_title
from controller.web.answers import AnyRequest, HttpError
from controller.web.caller import Caller, Hub
from controller.web.pages.forms import ActForm, Form, check_csrf, page, refresh, viewer_of
from controller.web.render import Viewer


class Failure(msgspec.Struct, frozen=True):
    """Why a session failed."""

    reason: str  # a sentence
    log: tuple[str, ...] = ()  # the last lines, oldest first
    code: str = ""  # to be given to the administrator


class StartingView(msgspec.Struct, frozen=True):
    """The page that stands in a session's place until it is ready."""

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
    place: QueuePosition | None = None  # waiting in line: shown instead of the steps
    can_cancel: bool = True  # guests only look on

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class ConfirmStopView(msgspec.Struct, frozen=True):
    """The question before a session is stopped."""

    template: ClassVar[str] = "confirm_stop.html"

    viewer: Viewer
    id: str
    profile_title: str
    name: str = ""

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


class RestartView(msgspec.Struct, frozen=True):
    """The question before a session is stopped and started anew."""

    template: ClassVar[str] = "confirm_restart.html"

    viewer: Viewer
    id: str
    profile_title: str
    name: str = ""

    @property
    def title(self) -> str:
        """What people call it: profile and, if given, name."""
        return session_title(self.profile_title, self.name)


_STATE = re.compile(r"[0-9a-f]{64}")  # the hash of one


class StopForm(msgspec.Struct, frozen=True):
    """What a button sends that stops a session."""

    csrf: str = ""
    save: Literal["yes", "no"] = "yes"  # first, what is in it


async def failure_view(hub: Hub, seen: Observed, *, log: bool) -> Failure | None:
    """Say why a session has failed. ``log``: with its last lines, for its owner's eyes alone."""
    if hub.sessions.phase(seen) is not Phase.FAILED:
        return None
    return Failure(
        reason=hub.sessions.message(seen),
        log=tuple(await hub.sessions.last_lines(seen)) if log else (),
        code=seen.session.id[:8],
    )


@get("/starting/{session_id:str}")
async def starting(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
) -> Response[str]:
    """Show how far a session's start has got; one that is ready opens."""
    seen = hub.sessions.find(session_id, caller.person.uid)
    match hub.sessions.phase(seen):
        case Phase.READY if hub.settings.sessions_at:
            # Not a redirect: a form may have led here, and what a form leads to has to stay on
            # this origin (form-action). The page goes on by itself, without script, too.
            url = routes.session_url(seen.session.id, hub.settings)
            return page(await starting_page(hub, caller, seen), headers=refresh(url))
        case Phase.READY:
            return Redirect(routes.session_path(seen.session.id), status_code=303)
        case Phase.STOPPING:
            return Redirect("/", status_code=303)
        case _:
            return page(await starting_page(hub, caller, seen))


@get("/enter/{session_id:str}", sync_to_thread=False)
def enter(
    request: AnyRequest,
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    session_id: FromPath[str],
) -> Response[str]:
    """Send somebody who may enter to the session's own host, with a code (``people.handoff``)."""
    if not hub.settings.sessions_at:
        raise HttpError(HTTP_404_NOT_FOUND)
    if not hub.sessions.ready:
        raise NotReadyYet
    found = parse_session_id(session_id)
    access = hub.sessions.access(found, caller.person.uid) if found else None
    if found is None or access is None or access.role is None or access.phase is Phase.STOPPING:
        raise NotInvited
    state = request.query_params.get("state", "")
    url = routes.session_url(found, hub.settings).rstrip("/")
    target = origins.safe_next(request.query_params.get("next", "/"))
    if not _STATE.fullmatch(state):
        return Redirect(url + target)  # nobody has begun there: they begin now
    asked = {"code": hub.handoffs.code(caller.login, found, state), "next": target}
    if "again" in request.query_params:
        asked["again"] = "1"
    return Redirect(f"{url}{ENTER_PATH}?{urlencode(asked)}", headers=NO_STORE)


async def starting_page(hub: Hub, caller: Caller, seen: Observed) -> str:
    """Return the page that stands in a session's place until it is ready."""
    view = StartingView(
        viewer=viewer_of(hub, caller),
        id=seen.session.id,
        profile=seen.session.profile,
        profile_title=hub.sessions.profile_of(seen).title,
        url=routes.session_url(seen.session.id, hub.settings),
        elapsed=hub.sessions.usage.elapsed(seen),
        steps=tuple(hub.sessions.readiness.progress(seen)),
        name=seen.session.name,
        message=hub.sessions.message(seen),
        failure=await failure_view(hub, seen, log=seen.session.owner == caller.person.uid),
        place=hub.sessions.queue.place(seen),
        can_cancel=seen.session.owner == caller.person.uid,
    )
    return hub.renderer.page(view)


@get("/sessions/{session_id:str}/stop", sync_to_thread=False)
def confirm_stop(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
) -> Response[str]:
    """Ask once more, for browsers without script."""
    seen = hub.sessions.find_own(session_id, caller.person.uid)
    view = ConfirmStopView(
        viewer=viewer_of(hub, caller),
        id=seen.session.id,
        profile_title=hub.sessions.profile_of(seen).title,
        name=seen.session.name,
    )
    return page(hub.renderer.page(view))


@post("/sessions/{session_id:str}/stop", status_code=303)
async def stop(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    session_id: FromPath[str],
    data: Annotated[StopForm, Form],
) -> Response[str]:
    """Stop a session; the files stay."""
    check_csrf(hub, caller, data.csrf)
    try:
        seen = hub.sessions.find_own(session_id, caller.person.uid)
    except NoSuchSession:
        return Redirect("/", status_code=303)  # it has stopped meanwhile: what was wanted
    save = data.save == "yes"
    await hub.sessions.stop(seen.session.id, Reason.STOPPED, by=caller.actor, save=save)
    return Redirect("/", status_code=303)


@get("/sessions/{session_id:str}/restart", sync_to_thread=False)
def confirm_restart(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
) -> Response[str]:
    """Ask before a session is stopped and started anew."""
    seen = hub.sessions.find_own(session_id, caller.person.uid)
    view = RestartView(
        viewer=viewer_of(hub, caller),
        id=seen.session.id,
        profile_title=hub.sessions.profile_of(seen).title,
        name=seen.session.name,
    )
    return page(hub.renderer.page(view))


@post("/sessions/{session_id:str}/restart", status_code=303)
async def restart(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    session_id: FromPath[str],
    data: Annotated[ActForm, Form],
) -> Response[str]:
    """Stop a session and start it anew: whatever was open on it is closed."""
    check_csrf(hub, caller, data.csrf)
    seen = hub.sessions.find_own(session_id, caller.person.uid)
    await hub.sessions.launching.restart(seen, caller.person, by=caller.actor)
    return Redirect("/", status_code=303)


@post("/sessions/{session_id:str}/keep", status_code=303)
async def keep(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    session_id: FromPath[str],
    data: Annotated[ActForm, Form],
) -> Response[str]:
    """Count a session as used just now."""
    check_csrf(hub, caller, data.csrf)
    seen = hub.sessions.find(session_id, caller.person.uid)
    await hub.sessions.keep(seen, caller.person.uid)
    return Redirect("/", status_code=303)
