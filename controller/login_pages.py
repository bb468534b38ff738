"""Where a person is logged in, and how to end that from afar."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.response import Redirect

from controller import render, web
from controller.core.errors import NoSuchLogin
from controller.core.model import moment
from controller.pages import Form, check_csrf, logged_out, page, viewer_of
from controller.people.logins import login_id
from controller.people.user_agent import agent_words
from controller.web import AnyRequest, Caller, Hub, provide_caller

_DONE = {
    "one": "That log-in has ended.",
    "gone": "That log-in had ended already.",
    "others": "You are logged out everywhere else.",
}


class EndForm(msgspec.Struct, frozen=True):
    """Which log-in is to end."""

    csrf: str = ""
    id: str = ""


class EndAllForm(msgspec.Struct, frozen=True):
    """Whether this one stays."""

    csrf: str = ""
    but_here: str = ""


@get("/logins", sync_to_thread=False)
def logins(
    request: AnyRequest, hub: NamedDependency[Hub], caller: NamedDependency[Caller]
) -> Response[str]:
    """Show where a person is logged in, this one first."""
    found = sorted(
        hub.logins.of_person(caller.person.uid), key=lambda one: one.sid != caller.login.sid
    )
    view = render.LoginsView(
        viewer=viewer_of(hub, caller),
        now=hub.oversight.now,
        rows=tuple(
            render.LoginRow(
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
    return page(hub.renderer.page(view))


@post("/logins/end", status_code=303)
async def end_one(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: Annotated[EndForm, Form]
) -> Response[str]:
    """End one log-in; sessions go on."""
    check_csrf(hub, caller, data.csrf)
    try:
        ended = await web.end_login(hub, caller, data.id)
    except NoSuchLogin:
        return _done("gone")
    return logged_out(hub) if ended.sid == caller.login.sid else _done("one")


@post("/logins/all", status_code=303)
async def end_all(
    hub: NamedDependency[Hub], caller: NamedDependency[Caller], data: Annotated[EndAllForm, Form]
) -> Response[str]:
    """End all log-ins, or all but this one; sessions go on."""
    check_csrf(hub, caller, data.csrf)
    await web.log_out_everywhere(hub, caller, but_here=bool(data.but_here))
    return _done("others") if data.but_here else logged_out(hub)


def _done(what: str) -> Response[str]:
    return Redirect(f"/logins?done={what}", status_code=303)


def login_pages_router() -> Router:
    """Return the routes of these pages."""
    return Router(
        "/",
        route_handlers=[logins, end_one, end_all],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
        include_in_schema=False,
    )
