"""What the pages share: their answers, their forms, and who looks at them."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from litestar import Response
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.params import Body

from controller.core.errors import Forged, HubError, NotReadyYet, NotWrittenDown
from controller.gate.answers import HTML, NO_STORE
from controller.web.answers import AnyRequest
from controller.web.caller import Caller, Hub, client_address
from controller.web.render import Viewer


class ErrorView(msgspec.Struct, frozen=True):
    """Any page that says that something cannot be had."""

    template: ClassVar[str] = "error.html"

    status: int
    title: str
    sentence: str
    viewer: Viewer | None = None
    retry_after: int | None = None  # seconds; the page tries again by itself. Only after a GET.


def error_view(error: HubError, viewer: Viewer | None = None, *, again: bool = False) -> ErrorView:
    """Return an error as a page shows it; ``again``: the page may try again by itself."""
    return ErrorView(
        status=error.status,
        title=error.title,
        sentence=str(error),
        viewer=viewer,
        retry_after=error.retry_after if again else None,
    )


class ActForm(msgspec.Struct, frozen=True):
    """What a button without further fields sends."""

    csrf: str = ""


Form = Body(media_type=RequestEncodingType.URL_ENCODED)


def page(html: str, status: int = 200, headers: dict[str, str] | None = None) -> Response[str]:
    """Return a private page."""
    return Response(html, status_code=status, media_type=HTML, headers=NO_STORE | (headers or {}))


def check_csrf(hub: Hub, caller: Caller, given: str) -> None:
    """Raise Forged unless the form was made for this log-in."""
    if not hub.logins.csrf_matches(caller.login, given):
        raise Forged


def viewer_of(hub: Hub, caller: Caller) -> Viewer:
    """Return the person as the pages show them."""
    return Viewer(
        user=caller.person.uid,
        display_name=caller.person.display_name,
        csrf=hub.logins.csrf(caller.login),
        admin=caller.person.admin,
    )


def refresh(url: str, *, seconds: int = 0) -> dict[str, str]:
    """Return the header that lets a browser go on from a page by itself."""
    return {"Refresh": f"{seconds}; url={url}"}


def cookie_with(hub: Hub, token: str) -> Cookie:
    """Return the log-in cookie with this token; an empty one ends it."""
    return Cookie(
        key=hub.logins.cookie,
        value=token,
        path="/",
        max_age=hub.settings.login.hours * 3600 if token else 0,
        httponly=True,
        secure=hub.settings.secure,
        samesite="lax",
    )


def retry_after(error: HubError) -> dict[str, str]:
    """Return the header that tells when to try again, if the error knows it."""
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}


def error_page(hub: Hub, request: AnyRequest, error: HubError) -> Response[str]:
    """Return an error as a page, with the way home."""
    viewer = None
    try:
        login = hub.logins.by_cookie(request.headers.get("cookie", ""))
    except NotReadyYet:
        login = None  # that may be the very error that is shown
    if login is not None:
        viewer = viewer_of(hub, Caller(login, hub.settings.public_url, client_address(request)))
    view = error_view(error, viewer, again=request.method == "GET")
    answer = page(hub.renderer.page(view), error.status, retry_after(error))
    if isinstance(error, NotWrittenDown) and login is None:
        answer.set_cookie(
            cookie_with(hub, "")
        )  # they have logged out: this browser must not come back
    return answer
