"""How all that is refused or fails is answered: a page for people, a problem for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import structlog
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_500_INTERNAL_SERVER_ERROR

from controller.core.errors import HalfDone, HttpError, HubError, NotLoggedIn, NotReadyYet
from controller.gate.answers import PROBLEM, login_url, problem
from controller.people.logins import Logins
from controller.settings.schema import Settings
from controller.web.answers import JOIN_PATH, AnyRequest, wants_page
from controller.web.caller import Caller, client_address, credentials_of, viewer_of
from controller.web.pages.forms import cookie_with, error_view, page, retry_after
from controller.web.render import Renderer, Viewer

_Handler = Callable[[AnyRequest, Any], Response[Any]]

_log = structlog.get_logger("app")


class Errors:
    """Answers to every error of the pages and of the API."""

    def __init__(self, settings: Settings, logins: Logins, renderer: Renderer) -> None:
        self._settings = settings
        self._logins = logins
        self._renderer = renderer

    @property
    def handlers(self) -> dict[int | type[Exception], _Handler]:
        """Return what answers, by the kind of error."""
        return {
            HubError: self._on_hub_error,
            HTTPException: self._on_http_error,
            RecursionError: self._on_nesting,
            Exception: self._on_fault,
        }

    def _on_hub_error(self, request: AnyRequest, error: HubError) -> Response[Any]:
        if error.status >= HTTP_500_INTERNAL_SERVER_ERROR:
            notes: list[str] = getattr(error, "__notes__", [])
            _log.warning("unavailable", path=_logged(request), why=str(error), notes=notes)
        return self._answer(request, error)

    def _on_http_error(self, request: AnyRequest, error: HTTPException) -> Response[Any]:
        return self._answer(request, HttpError(error.status_code, _detail(error)))

    def _on_nesting(self, request: AnyRequest, error: RecursionError) -> Response[Any]:
        # JSON with thousands of brackets: the reader gives up in time. It is no error of the hub.
        del error
        return self._answer(request, HttpError(HTTP_400_BAD_REQUEST))

    def _on_fault(self, request: AnyRequest, error: Exception) -> Response[Any]:
        _log.error("fault", path=_logged(request), exc_info=error)
        return self._answer(request, HttpError(500))

    def _answer(self, request: AnyRequest, error: HubError) -> Response[Any]:
        path = request.url.path
        if path.startswith("/api/") or not wants_page(request):
            return _problem(error)
        if isinstance(error, NotLoggedIn):
            # A form that was sent too late cannot be sent again by itself: go back to the start.
            query = f"?{request.url.query}" if request.url.query else ""
            target = path + query if request.method == "GET" else "/"
            where = {"Location": login_url("", target)}
            return Response(b"", status_code=302 if request.method == "GET" else 303, headers=where)
        return self._page(request, error)

    def _page(self, request: AnyRequest, error: HubError) -> Response[str]:
        """Return an error as a page, with the way home."""
        viewer = self._viewer(request)
        view = error_view(error, viewer, again=request.method == "GET")
        answer = page(self._renderer.page(view), error.status, retry_after(error))
        if isinstance(error, HalfDone) and viewer is None:
            # They have logged out: this browser must not come back.
            answer.set_cookie(cookie_with(self._settings, self._logins, ""))
        return answer

    def _viewer(self, request: AnyRequest) -> Viewer | None:
        try:
            login = self._logins.proofs.by_cookie(credentials_of(request, self._logins))
        except NotReadyYet:
            return None  # that may be the very error that is shown
        if login is None:
            return None
        caller = Caller(login, self._settings.public_url, client_address(request))
        return viewer_of(self._logins, caller)


def _problem(error: HubError) -> Response[Any]:
    headers = retry_after(error)
    if isinstance(error, NotLoggedIn):
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        problem(error.status, error.title, str(error), **error.extra()),
        status_code=error.status,
        media_type=PROBLEM,
        headers=headers,
    )


def _logged(request: AnyRequest) -> str:
    """Return the path of a request for a log, without the code of a link, which is a secret."""
    path = request.url.path
    return f"{JOIN_PATH}***" if path.startswith(JOIN_PATH) else path


def _detail(error: HTTPException) -> str:
    """Name the field of a request that is wrong, if Litestar knows it."""
    extra: Any = error.extra
    if error.status_code != HTTP_400_BAD_REQUEST or not isinstance(extra, list):
        return ""
    faults = [cast("dict[str, str]", one) for one in cast("list[object]", extra)]
    return " ".join(
        f"{one.get('key', '')}: {one.get('message', '')}.".lstrip(": ") for one in faults
    )
