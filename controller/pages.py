"""The pages: what people see, as plain forms that also work without script."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
import structlog
from litestar import Response, Router, get, post
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie
from litestar.di import NamedDependency, Provide
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, PathParameter
from litestar.response import Redirect
from litestar.status_codes import HTTP_404_NOT_FOUND

from controller import render, web
from controller.core.errors import (
    Forged,
    HubError,
    LoginRefused,
    NoSuchSession,
    NotInvited,
    NotReadyYet,
    NotWrittenDown,
    Refused,
    SessionExists,
    TooManyAttempts,
    Unavailable,
)
from controller.core.model import Observed, Person, Phase, Profile, Role, moment, parse_session_id
from controller.core.records import Actor, Notice, Reason, Share
from controller.gate.answers import ENTER, ENTER_PATH, HTML, NO_STORE
from controller.people.tokens import Audience
from controller.rules import access, origins, routes
from controller.rules.quotas import Lack, Shortage
from controller.web import (
    AnyRequest,
    Caller,
    HttpError,
    Hub,
    client_address,
    provide_caller,
    refuse_forged,
)

_MIB_PER_GB = 1024

_STATE = re.compile(r"[0-9a-f]{64}")  # the hash of one

# The accounts of the demo directory, whose passwords are their names; shown in the demo only.
_DEMO_ACCOUNTS = (
    render.DemoAccount("alice", "alice"),
    render.DemoAccount("bob", "bob"),
    render.DemoAccount("carol", "carol", "administrator"),
)


class LoginForm(msgspec.Struct, frozen=True):
    """What the log-in page sends."""

    username: str = ""
    password: str = ""
    next: str = "/"


class LaunchForm(msgspec.Struct, frozen=True):
    """What a launch button sends."""

    csrf: str = ""
    profile: str = ""
    name: str = ""


class AheadForm(msgspec.Struct, frozen=True):
    """Whether a profile is to be started at log-in."""

    csrf: str = ""
    profile: str = ""
    on: str = ""


class ActForm(msgspec.Struct, frozen=True):
    """What a button without further fields sends."""

    csrf: str = ""


class StopForm(msgspec.Struct, frozen=True):
    """What a button sends that stops a session."""

    csrf: str = ""
    save: Literal["yes", "no"] = "yes"  # first, what is in it


_log = structlog.get_logger("pages")

Form = Body(media_type=RequestEncodingType.URL_ENCODED)

_NoticeNumber = Annotated[int, PathParameter(ge=0, le=2**63 - 1)]  # what a record can hold


def page(html: str, status: int = 200, headers: dict[str, str] | None = None) -> Response[str]:
    """Return a private page."""
    return Response(html, status_code=status, media_type=HTML, headers=NO_STORE | (headers or {}))


def check_csrf(hub: Hub, caller: Caller, given: str) -> None:
    """Raise Forged unless the form was made for this log-in."""
    if not hub.logins.csrf_matches(caller.login, given):
        raise Forged


def viewer_of(hub: Hub, caller: Caller) -> render.Viewer:
    """Return the person as the pages show them."""
    return render.Viewer(
        user=caller.person.uid,
        display_name=caller.person.display_name,
        csrf=hub.logins.csrf(caller.login),
        admin=caller.person.admin,
    )


@get("/login", sync_to_thread=False)
def login_page(
    request: AnyRequest,
    hub: NamedDependency[Hub],
) -> Response[str]:
    """Show the log-in page, or go on if somebody is logged in already."""
    target = origins.safe_next(request.query_params.get("next", "/"))
    login = hub.logins.by_cookie(request.headers.get("cookie", ""))
    if login is None:
        return page(hub.renderer.page(_login_view(hub, target=target)))
    if login.revision and "next" in request.query_params:
        # Another controller may have heard before this one that the log-in has ended, and sends
        # them here: redirects would lead round and round until this one has heard, too.
        html = hub.renderer.onward(target, "You are logged in")
        return page(html, headers=_refresh(target, seconds=1))
    return Redirect(target)


def _login_view(hub: Hub, *, target: str, username: str = "", error: str = "") -> render.LoginView:
    return render.LoginView(
        organisation=hub.settings.organisation,
        help_line=hub.settings.help_line,
        error=error,
        username=username,
        next=target,
        demo=_DEMO_ACCOUNTS if hub.settings.demo else (),
    )


@post("/login", status_code=200)
async def log_in(
    request: AnyRequest, hub: NamedDependency[Hub], data: Annotated[LoginForm, Form]
) -> Response[str]:
    """Log in and go on to where the person wanted to be."""
    refuse_forged(request, hub)
    target = origins.safe_next(data.next)
    try:
        entry = await web.log_in(hub, request, data.username, data.password, Audience.LOGIN)
    except (LoginRefused, TooManyAttempts, Unavailable) as error:
        view = _login_view(hub, target=target, username=data.username[:64], error=str(error))
        return page(hub.renderer.page(view), error.status, retry_after(error))
    # A log-in that this browser had before is over: its id must not outlive a new one.
    before = hub.logins.by_cookie(request.headers.get("cookie", ""))
    if before is not None:
        by = Actor(before.person.uid, client_address(request))
        try:
            await hub.logins.leave(before, by=by, reason="replaced")
        except NotWrittenDown as error:
            _log.warning("replaced_login_stays", user=before.person.uid, error=str(error))
    work = BackgroundTask(
        _start_ahead,
        hub,
        entry.login.person,
        Actor(entry.login.person.uid, client_address(request)),
    )
    cookies = [_cookie(hub, entry.token)]
    if _leads_to_session(hub, target):
        return Response(
            hub.renderer.onward(target),
            media_type=HTML,
            cookies=cookies,
            headers=NO_STORE | _refresh(target),
            background=work,
        )
    return Redirect(target, status_code=303, cookies=cookies, headers=NO_STORE, background=work)


def _leads_to_session(hub: Hub, target: str) -> bool:
    """Tell whether a path ends at a session's own host, where no form may lead (form-action)."""
    return bool(hub.settings.sessions_at) and target.startswith((ENTER, "/s/"))


def _refresh(url: str, *, seconds: int = 0) -> dict[str, str]:
    """Return the header that lets a browser go on from a page by itself."""
    return {"Refresh": f"{seconds}; url={url}"}


async def _start_ahead(hub: Hub, person: Person, by: Actor) -> None:
    """Start what this person wants to find running; their log-in never waits for it."""
    try:
        wanted = await hub.store.ahead(person.uid)
    except HubError as error:
        _log.info("not_started_ahead", user=person.uid, why=error.in_full)
        return
    there = [one.session for one in hub.sessions.owned_by(person.uid)]
    for profile in hub.settings.profiles:
        if profile.id not in wanted or any(one.profile == profile.id for one in there):
            continue
        if not (profile.start_ahead and access.may_launch(person, profile)):
            continue
        # One of them goes without a name, as it does at a press.
        name = profile.title if any(not one.name for one in there) else ""
        try:
            seen = await hub.sessions.launch(person, profile, name, by=by, ahead=True)
        except HubError as error:
            _log.info("not_started_ahead", user=person.uid, why=error.in_full)
        else:
            there.append(seen.session)


def _cookie(hub: Hub, token: str) -> Cookie:
    return Cookie(
        key=hub.logins.cookie,
        value=token,
        path="/",
        max_age=hub.settings.login.hours * 3600 if token else 0,
        httponly=True,
        secure=hub.settings.secure,
        samesite="lax",
    )


@post("/logout", status_code=303)
async def log_out(
    request: AnyRequest,
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    data: Annotated[ActForm, Form],
) -> Response[str]:
    """End this log-in; sessions go on."""
    del request
    check_csrf(hub, caller, data.csrf)
    await web.log_out(hub, caller)
    return logged_out(hub)


def logged_out(hub: Hub) -> Response[str]:
    """Lead to the log-in page without the cookie of before."""
    return Redirect("/login", status_code=303, cookies=[_cookie(hub, "")], headers=NO_STORE)


@get("/")
async def home(hub: NamedDependency[Hub], caller: NamedDependency[Caller]) -> Response[str]:
    """Show a person's sessions and what they may start."""
    return page(hub.renderer.page(await _home_view(hub, caller)))


async def _home_view(
    hub: Hub, caller: Caller, *, name: str = "", error: str = ""
) -> render.HomeView:
    uid = caller.person.uid
    own = hub.sessions.owned_by(uid)
    notices = await hub.store.notices(uid)
    ahead = await hub.store.ahead(uid)
    return render.HomeView(
        viewer=viewer_of(hub, caller),
        now=datetime.now(UTC),
        profiles=tuple(
            _choice(hub, caller, one, ahead=one.id in ahead)
            for one in hub.settings.profiles
            if access.may_launch(caller.person, one)
        ),
        sessions=tuple([await _card(hub, seen) for seen in own]),
        shared=tuple(_shared(hub, seen, one) for seen, one in hub.sessions.shared_with(uid)),
        companions=tuple(
            render.CompanionLink(one.app, one.title, one.path)
            for one in hub.companions.open_to(caller.person)
        ),
        notices=(*_drain_notice(hub), *(_notice(one) for one in notices)),
        blocked=_blocked(hub, caller),
        launch_name=name,
        launch_error=error,
    )


def _drain_notice(hub: Hub) -> tuple[render.Notice, ...]:
    """Return what everybody is told while nothing starts any more."""
    drain = hub.sessions.drain
    if drain is None:
        return ()
    kind = render.NoticeKind.WARNING
    words = drain.message or "The hub is being prepared for maintenance."
    if drain.stop_at is None:
        return (render.Notice("drain", words, kind=kind, dismissable=False),)
    at = moment(drain.stop_at)
    words = f"{words} All sessions are stopped at"
    more = ". Save your work before."
    return (render.Notice("drain", words, at=at, more=more, kind=kind, dismissable=False),)


def _blocked(hub: Hub, caller: Caller) -> str:
    """Say why nothing at all can be started, if so."""
    if hub.sessions.drain is not None:
        return "Nothing new can be started at present. Running sessions go on."
    offered = [one for one in hub.settings.profiles if access.may_launch(caller.person, one)]
    lacks = [_refusal(hub, caller, one) for one in offered]
    reasons = {lack.sentence for lack in lacks if lack is not None}
    return reasons.pop() if offered and None not in lacks and len(reasons) == 1 else ""


def _refusal(hub: Hub, caller: Caller, profile: Profile) -> Lack | None:
    """Return why a press on the button would be refused; None: it starts, or waits in line."""
    lack = hub.sessions.lack(caller.person, profile)
    if lack is not None and profile.queue and lack.shortage is not Shortage.OWN:
        return None
    return lack


def _choice(hub: Hub, caller: Caller, profile: Profile, *, ahead: bool) -> render.ProfileChoice:
    whole = profile.memory_mib / _MIB_PER_GB
    memory = f"{whole:.3g} GB" if whole >= 1 else f"{profile.memory_mib} MB"
    cores = f"{profile.cpus:g} core{'' if profile.cpus == 1 else 's'}"
    lack = _refusal(hub, caller, profile)
    gpus = hub.sessions.free_gpus() if profile.gpus else None
    return render.ProfileChoice(
        id=profile.id,
        title=profile.title,
        description=profile.description,
        resources=f"{cores} · {memory}",
        default=profile.default,
        available=lack is None,
        why_not=lack.sentence if lack else "",
        ahead=ahead if profile.start_ahead else None,
        queue=hub.sessions.waiting_for(profile.id) if profile.queue else None,
        gpus="" if gpus is None else f"GPU: {gpus} free",
    )


def _notice(notice: Notice) -> render.Notice:
    at = moment(notice.at)
    return render.Notice(id=str(notice.number), text=notice.text, at=at, more=notice.more)


async def _card(hub: Hub, seen: Observed) -> render.SessionCard:
    profile = hub.sessions.profile_of(seen)
    phase = hub.sessions.phase(seen)
    return render.SessionCard(
        id=seen.session.id,
        profile=seen.session.profile,
        profile_title=profile.title,
        phase=phase,
        url=routes.session_url(seen.session.id, hub.settings),
        started=seen.session.created_at,
        name=seen.session.name,
        message=hub.sessions.message(seen),
        last_used=hub.sessions.last_activity(seen) if phase is Phase.READY else None,
        stops_after=timedelta(seconds=profile.idle_seconds) if profile.idle_seconds else None,
        ends=hub.sessions.expires(seen),
        failure=await _failure(hub, seen, log=True),
        watching=_watching(hub, seen),
        shared_with=len(hub.sharing.guests(seen)),
        warning=_warning(hub, seen),
        ahead=hub.sessions.is_ahead(seen),
        place=hub.sessions.place(seen),
        can_share=hub.settings.sharing and phase in {Phase.READY, Phase.STARTING},
        saves_long=hub.sessions.saves_long(seen),
    )


def _watching(hub: Hub, seen: Observed) -> tuple[str, ...]:
    """Say who else is connected."""
    names = {one.share.uid: one.share.display_name for one in hub.sharing.guests(seen)}
    others = {
        one.user: one.role
        for one in hub.looks.clients(seen.session.id)
        if one.user != seen.session.owner
    }
    return tuple(
        f"{names.get(user, user)} {'has control' if role is Role.CONTROL else 'is watching'}"
        for user, role in others.items()
    )


def _warning(hub: Hub, seen: Observed) -> render.StopWarning | None:
    warned = hub.sessions.warned(seen)
    if warned is None:
        return None
    reason, at = warned
    return render.StopWarning(at=at, why="lifetime" if reason is Reason.LIFETIME else "unused")


def _shared(hub: Hub, seen: Observed, share: Share) -> render.SharedCard:
    return render.SharedCard(
        id=seen.session.id,
        owner=seen.session.owner,
        profile_title=hub.sessions.profile_of(seen).title,
        phase=hub.sessions.phase(seen),
        url=routes.session_url(seen.session.id, hub.settings),
        role=share.role,
        name=seen.session.name,
        can_ask=share.role is Role.VIEW,
        asked=share.asks,
        until=_time(share.expires),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


async def _failure(hub: Hub, seen: Observed, *, log: bool) -> render.Failure | None:
    """Say why a session has failed. ``log``: with its last lines, for its owner's eyes alone."""
    if hub.sessions.phase(seen) is not Phase.FAILED:
        return None
    return render.Failure(
        reason=hub.sessions.message(seen),
        log=tuple(await hub.sessions.last_lines(seen)) if log else (),
        code=seen.session.id[:8],
    )


@post("/launch", status_code=303)
async def launch(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    data: Annotated[LaunchForm, Form],
) -> Response[str]:
    """Start a session and show its progress."""
    check_csrf(hub, caller, data.csrf)
    try:
        profile = access.choose_profile(hub.settings, caller.person, data.profile)
        seen = await hub.sessions.launch(caller.person, profile, data.name, by=caller.actor)
    except SessionExists as error:
        return Redirect(f"/starting/{error.session_id}", status_code=303)
    except (Refused, Unavailable) as error:
        view = await _home_view(hub, caller, name=data.name[:200], error=str(error))
        return page(hub.renderer.page(view), error.status, retry_after(error))
    return Redirect(f"/starting/{seen.session.id}", status_code=303)


def retry_after(error: HubError) -> dict[str, str]:
    """Return the header that tells when to try again, if the error knows it."""
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}


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
            return page(await starting_page(hub, caller, seen), headers=_refresh(url))
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
    """Send somebody who may enter to the session's own host, with a code; see ``entries``."""
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
    asked = {"code": hub.entries.code(caller.login, found, state), "next": target}
    if "again" in request.query_params:
        asked["again"] = "1"
    return Redirect(f"{url}{ENTER_PATH}?{urlencode(asked)}", headers=NO_STORE)


async def starting_page(hub: Hub, caller: Caller, seen: Observed) -> str:
    """Return the page that stands in a session's place until it is ready."""
    view = render.StartingView(
        viewer=viewer_of(hub, caller),
        id=seen.session.id,
        profile=seen.session.profile,
        profile_title=hub.sessions.profile_of(seen).title,
        url=routes.session_url(seen.session.id, hub.settings),
        elapsed=hub.sessions.elapsed(seen),
        steps=tuple(hub.sessions.progress(seen)),
        name=seen.session.name,
        message=hub.sessions.message(seen),
        failure=await _failure(hub, seen, log=seen.session.owner == caller.person.uid),
        place=hub.sessions.place(seen),
        can_cancel=seen.session.owner == caller.person.uid,
    )
    return hub.renderer.page(view)


@get("/sessions/{session_id:str}/stop", sync_to_thread=False)
def confirm_stop(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], session_id: FromPath[str]
) -> Response[str]:
    """Ask once more, for browsers without script."""
    seen = hub.sessions.find_own(session_id, caller.person.uid)
    view = render.ConfirmStopView(
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
    view = render.RestartView(
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
    await hub.sessions.restart(seen, caller.person, by=caller.actor)
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


@post("/ahead", status_code=303)
async def set_ahead(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    data: Annotated[AheadForm, Form],
) -> Response[str]:
    """Choose whether a profile is started at log-in."""
    check_csrf(hub, caller, data.csrf)
    profile = access.choose_profile(hub.settings, caller.person, data.profile)
    if profile.start_ahead:
        await hub.store.set_ahead(caller.person.uid, profile.id, on=bool(data.on))
    return Redirect("/", status_code=303)


@post("/notices/{number:int}/dismiss", status_code=303)
async def dismiss(
    hub: NamedDependency[Hub],
    caller: NamedDependency[Caller],
    number: _NoticeNumber,
    data: Annotated[ActForm, Form],
) -> Response[str]:
    """Put a notice away."""
    check_csrf(hub, caller, data.csrf)
    await hub.store.remove_notice(caller.person.uid, number)
    return Redirect("/", status_code=303)


def error_page(hub: Hub, request: AnyRequest, error: HubError) -> Response[str]:
    """Return an error as a page, with the way home."""
    viewer = None
    try:
        login = hub.logins.by_cookie(request.headers.get("cookie", ""))
    except NotReadyYet:
        login = None  # that may be the very error that is shown
    if login is not None:
        viewer = viewer_of(hub, Caller(login, hub.settings.public_url, client_address(request)))
    view = render.error_view(error, viewer, again=request.method == "GET")
    answer = page(hub.renderer.page(view), error.status, retry_after(error))
    if isinstance(error, NotWrittenDown) and login is None:
        answer.set_cookie(_cookie(hub, ""))  # they have logged out: this browser must not come back
    return answer


def pages_router() -> Router:
    """Return the pages' routes."""
    return Router(
        "/",
        route_handlers=[
            login_page,
            log_in,
            log_out,
            home,
            launch,
            starting,
            enter,
            confirm_stop,
            stop,
            confirm_restart,
            restart,
            keep,
            set_ahead,
            dismiss,
        ],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
        include_in_schema=False,
    )
