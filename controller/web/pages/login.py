"""Pages to log in and out, and those of where somebody is logged in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
import structlog
from litestar import Response, Router, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.response import Redirect

from controller.core.errors import (
    HalfDone,
    LoginRefused,
    NoSuchLogin,
    TooManyAttempts,
    Unavailable,
)
from controller.core.model import moment
from controller.core.records import Actor
from controller.gate.answers import ENTER, NO_STORE
from controller.people.logins import Logins
from controller.people.standing import login_id
from controller.people.tokens import Audience
from controller.people.user_agent import agent_words
from controller.rules import origins
from controller.sessions.ahead import StartAhead
from controller.settings.schema import Settings
from controller.web import logins as web_logins
from controller.web.answers import AnyRequest
from controller.web.caller import Caller, Callers, client_address, credentials_of
from controller.web.pages.forms import Form, Screen, cookie_with, page, refresh, retry_after
from controller.web.render import Renderer, Viewer

_log = structlog.get_logger("pages")


class DemoAccount(msgspec.Struct, frozen=True):
    """An account of the demo directory, shown to everybody: only ever in the demo."""

    user: str
    password: str
    note: str = ""  # such as "administrator"


class LoginView(msgspec.Struct, frozen=True):
    """The log-in page."""

    template: ClassVar[str] = "login.html"

    organisation: str = ""
    help_line: str = ""  # whom to ask; addresses in it become links
    error: str = ""  # one sentence, never which of the two was wrong
    username: str = ""  # as typed before
    next: str = ""  # path to go to afterwards
    demo: tuple[DemoAccount, ...] = ()
    viewer: None = None


class LoginRow(msgspec.Struct, frozen=True):
    """One of the viewer's log-ins."""

    id: str
    client: str  # such as "Firefox on Windows"
    address: str
    since: datetime  # UTC
    seen: datetime  # UTC; right to a few minutes
    ends: datetime  # UTC
    current: bool = False


class LoginsView(msgspec.Struct, frozen=True):
    """Where the viewer is logged in."""

    template: ClassVar[str] = "logins.html"

    viewer: Viewer
    now: datetime  # UTC
    rows: tuple[LoginRow, ...]
    said: str = ""  # what came of the last act

    @property
    def others(self) -> int:
        """How many there are besides this one."""
        return sum(not row.current for row in self.rows)


_DONE = {
    "one": "That log-in has ended.",
    "gone": "That log-in had ended already.",
    "others": "You are logged out everywhere else.",
}


class EndForm(msgspec.Struct, frozen=True):
    """Which log-in is to end."""

    id: str = ""


class EndAllForm(msgspec.Struct, frozen=True):
    """Whether this one stays."""

    but_here: str = ""


@get("/logins", sync_to_thread=False)
def logins_page(
    request: AnyRequest,
    logins: NamedDependency[Logins],
    screen: NamedDependency[Screen],
    caller: NamedDependency[Caller],
) -> Response[str]:
    """Show where a person is logged in, this one first."""
    found = sorted(
        logins.standing.of_person(caller.person.uid), key=lambda one: one.sid != caller.login.sid
    )
    view = LoginsView(
        viewer=screen.viewer,
        now=screen.now,
        rows=tuple(
            LoginRow(
                id=login_id(one),
                client=agent_words(one.agent, script=one.script),
                address=one.address,
                since=moment(one.created),
                seen=moment(one.seen),
                ends=moment(one.expires),
                current=one.sid == caller.login.sid,
            )
            for one in found
        ),
        said=_DONE.get(request.query_params.get("done", ""), ""),
    )
    return screen.page(view)


@post("/logins/end", status_code=303)
async def end_one(
    settings: NamedDependency[Settings],
    logins: NamedDependency[Logins],
    caller: NamedDependency[Caller],
    data: Annotated[EndForm, Form],
) -> Response[str]:
    """End one log-in; sessions go on."""
    try:
        ended = await web_logins.end_login(logins, caller, data.id)
    except NoSuchLogin:
        return _done("gone")
    return _logged_out(settings, logins) if ended.sid == caller.login.sid else _done("one")


@post("/logins/all", status_code=303)
async def end_all(
    settings: NamedDependency[Settings],
    logins: NamedDependency[Logins],
    caller: NamedDependency[Caller],
    data: Annotated[EndAllForm, Form],
) -> Response[str]:
    """End all log-ins, or all but this one; sessions go on."""
    await web_logins.log_out_everywhere(logins, caller, but_here=bool(data.but_here))
    return _done("others") if data.but_here else _logged_out(settings, logins)


def _done(what: str) -> Response[str]:
    return Redirect(f"/logins?done={what}", status_code=303)


@post("/logout", status_code=303)
async def log_out(
    settings: NamedDependency[Settings],
    logins: NamedDependency[Logins],
    caller: NamedDependency[Caller],
) -> Response[str]:
    """End this log-in; sessions go on."""
    await web_logins.log_out(logins, caller)
    return _logged_out(settings, logins)


def _logged_out(settings: Settings, logins: Logins) -> Response[str]:
    """Lead to the log-in page without the cookie of before."""
    cookies = [cookie_with(settings, logins, "")]
    return Redirect("/login", status_code=303, cookies=cookies, headers=NO_STORE)


def logins_router() -> Router:
    """Return the pages of the log-ins of somebody who is logged in."""
    return Router("/", route_handlers=[logins_page, end_one, end_all, log_out])


# The accounts of the demo directory, whose passwords are their names; shown in the demo only.
_DEMO_ACCOUNTS = (
    DemoAccount("alice", "alice"),
    DemoAccount("bob", "bob"),
    DemoAccount("carol", "carol", "administrator"),
)


class LoginForm(msgspec.Struct, frozen=True):
    """What the log-in page sends."""

    username: str = ""
    password: str = ""
    next: str = "/"


@get("/login", sync_to_thread=False)
def login_page(
    request: AnyRequest,
    settings: NamedDependency[Settings],
    logins: NamedDependency[Logins],
    renderer: NamedDependency[Renderer],
) -> Response[str]:
    """Show the log-in page, or go on if somebody is logged in already."""
    target = origins.safe_next(request.query_params.get("next", "/"))
    login = logins.proofs.by_cookie(credentials_of(request, logins))
    if login is None:
        return page(renderer.page(_login_view(settings, target=target)))
    if login.revision and "next" in request.query_params:
        # Another controller may have heard before this one that the log-in has ended, and sends
        # them here: redirects would lead round and round until this one has heard, too.
        html = renderer.onward(target, "You are logged in")
        return page(html, headers=refresh(target, seconds=1))
    return Redirect(target)


def _login_view(
    settings: Settings, *, target: str, username: str = "", error: str = ""
) -> LoginView:
    return LoginView(
        organisation=settings.organisation,
        help_line=settings.help_line,
        error=error,
        username=username,
        next=target,
        demo=_DEMO_ACCOUNTS if settings.demo else (),
    )


@post("/login", status_code=200)
async def log_in(
    *,
    request: AnyRequest,
    settings: NamedDependency[Settings],
    logins: NamedDependency[Logins],
    start_ahead: NamedDependency[StartAhead],
    renderer: NamedDependency[Renderer],
    data: Annotated[LoginForm, Form],
) -> Response[str]:
    """Log in and go on to where the person wanted to be."""
    target = origins.safe_next(data.next)
    try:
        entry = await web_logins.log_in(
            logins, request, data.username, data.password, Audience.LOGIN
        )
    except (LoginRefused, TooManyAttempts, Unavailable) as error:
        view = _login_view(settings, target=target, username=data.username[:64], error=str(error))
        return page(renderer.page(view), error.status, retry_after(error))
    # A log-in that this browser had before is over: its id must not outlive a new one.
    before = logins.proofs.by_cookie(credentials_of(request, logins))
    if before is not None:
        by = Actor(before.person.uid, client_address(request))
        try:
            await logins.leave(before, by=by, reason="replaced")
        except HalfDone as error:
            _log.warning("replaced_login_stays", user=before.person.uid, error=str(error))
    # Nobody's log-in waits for what is started with it.
    person = entry.login.person
    work = BackgroundTask(start_ahead.start, person, Actor(person.uid, client_address(request)))
    cookies = [cookie_with(settings, logins, entry.token)]
    if _leads_to_session(settings, target):
        return Response(
            renderer.onward(target),
            media_type=MediaType.HTML,
            cookies=cookies,
            headers=NO_STORE | refresh(target),
            background=work,
        )
    return Redirect(target, status_code=303, cookies=cookies, headers=NO_STORE, background=work)


def _leads_to_session(settings: Settings, target: str) -> bool:
    """Tell whether a path ends at a session's own host, where no form may lead (form-action)."""
    return bool(settings.sessions_at) and target.startswith((ENTER, "/s/"))


def entrance_router(callers: Callers) -> Router:
    """Return the way in: its form is of nobody yet, and only its origin tells that it is ours."""
    return Router(
        "/",
        route_handlers=[login_page, log_in],
        guards=[callers.refuse_foreign_forms],
        include_in_schema=False,
    )
