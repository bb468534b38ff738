"""What Traefik routes people to: the pages and the API, and one's own answer to every error."""

from __future__ import annotations

from typing import Any, cast

import structlog
from litestar import Litestar, Request, Response, Router
from litestar.datastructures import CacheControlHeader
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.serialization import encode_json
from litestar.static_files import (
    create_static_files_router,  # pyright: ignore[reportUnknownVariableType] - one loose Any
)
from litestar.status_codes import (
    HTTP_400_BAD_REQUEST,
    HTTP_404_NOT_FOUND,
    HTTP_500_INTERNAL_SERVER_ERROR,
)
from litestar.types import ASGIApp

from controller import __version__
from controller.core.errors import HubError, NotLoggedIn
from controller.gate.answers import NO_STORE, PROBLEM, SECURITY_HEADERS, login_url, problem
from controller.gate.refusals import Closed
from controller.rules import routes
from controller.web import apidoc
from controller.web.answers import JOIN_PATH, STRICT_TRANSPORT, AnyRequest, HttpError, wants_page
from controller.web.api.account import api_router
from controller.web.api.admin import admin_router
from controller.web.caller import Hub
from controller.web.pages.admin.sessions import admin_pages_router
from controller.web.pages.forms import error_page
from controller.web.pages.home import pages_router
from controller.web.pages.login import login_pages_router
from controller.web.pages.sharing import share_router
from controller.web.pages.waiting import Waiting, host_of
from controller.web.render import STATIC_FOLDER, Renderer

_log = structlog.get_logger("app")

_BODY_MAX = 64 * 1024  # bytes of a form or an API request


def public_app(hub: Hub, closed: Closed) -> ASGIApp:
    """Return what Traefik routes people to."""
    waiting = Waiting(hub, closed)
    rest = pages_and_api(hub)

    async def dispatch(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        # A session's host first: whatever its path, nothing of the hub's own is served there.
        # Litestar would match a mount at /s with /starting and /static, too.
        ours = routes.session_label(host_of(scope), hub.settings) is None and (
            scope["path"] != "/s" and not scope["path"].startswith("/s/")
        )
        await (rest if ours else waiting)(scope, receive, send)

    return dispatch


def pages_and_api(hub: Hub) -> Litestar:
    """Return what answers at every address of the hub but those of sessions."""

    def on_hub_error(request: AnyRequest, error: HubError) -> Response[Any]:
        if error.status >= HTTP_500_INTERNAL_SERVER_ERROR:
            notes: list[str] = getattr(error, "__notes__", [])
            _log.warning("unavailable", path=_logged(request), why=str(error), notes=notes)
        return _error_response(hub, request, error)

    def on_http_error(request: AnyRequest, error: HTTPException) -> Response[Any]:
        return _error_response(hub, request, HttpError(error.status_code, _detail(error)))

    def on_nesting(request: AnyRequest, error: RecursionError) -> Response[Any]:
        # JSON of thousands of brackets; the reader gives up in time, and nothing is wrong with us.
        del error
        return _error_response(hub, request, HttpError(HTTP_400_BAD_REQUEST))

    def on_fault(request: AnyRequest, error: Exception) -> Response[Any]:
        _log.error("fault", path=_logged(request), exc_info=error)
        return _error_response(hub, request, HttpError(500))

    return Litestar(
        route_handlers=[
            pages_router(),
            share_router(),
            admin_pages_router(hub),
            login_pages_router(),
            api_router(),
            admin_router(hub),
            create_static_files_router(
                path=hub.renderer.static,
                directories=[STATIC_FOLDER],
                # The address changes with the content, so browsers need never ask again.
                cache_control=CacheControlHeader(max_age=31_536_000, immutable=True, public=True),
            ),
        ],
        dependencies={"hub": Provide(lambda: hub, sync_to_thread=False)},
        exception_handlers={
            HubError: on_hub_error,
            HTTPException: on_http_error,
            RecursionError: on_nesting,
            Exception: on_fault,
        },
        request_max_body_size=_BODY_MAX,
        openapi_config=OpenAPIConfig(
            title="3D Slicer Hub",
            version=__version__,
            openapi_router=Router(
                "/api", route_handlers=[], include_in_schema=False, after_request=_not_found
            ),
            render_plugins=[_Document(path="/openapi.json"), _DocsPage(hub.renderer)],
            security=[{"bearer": []}],
            use_handler_docstrings=True,
            components=Components(
                security_schemes={
                    "bearer": SecurityScheme(
                        type="http", scheme="bearer", description="From POST /api/v1/login"
                    )
                }
            ),
        ),
        logging_config=None,
    )


def _logged(request: AnyRequest) -> str:
    """Return the path of a request as it may stand in a log: a link's code is a secret."""
    path = request.url.path
    return f"{JOIN_PATH}***" if path.startswith(JOIN_PATH) else path


def _not_found(response: Response[Any]) -> Response[Any]:
    """Put our answer for addresses that the API does not know in place of Litestar's page."""
    if response.status_code != HTTP_404_NOT_FOUND:
        return response
    error = HttpError(HTTP_404_NOT_FOUND)
    return Response(
        problem(error.status, error.title, str(error)),
        status_code=error.status,
        media_type=PROBLEM,
    )


class _Document(JsonRenderPlugin):
    """The API's document, with what Litestar does not know: our refusals. Made once."""

    _made = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request
        self._made = self._made or encode_json(apidoc.with_refusals(openapi_schema))
        return self._made


class _DocsPage(OpenAPIRenderPlugin):
    """The API's own page, from its document; the usual ones ask other servers for scripts.

    Made once: strangers may ask for it, and to work it out takes as long as many answers of verify.
    """

    _made = b""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__(path="/docs")
        self._renderer = renderer

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request
        self._made = self._made or self._renderer.docs(openapi_schema).encode()
        return self._made


def _detail(error: HTTPException) -> str:
    """Say which field of a request is wrong, as far as Litestar knows."""
    extra: Any = error.extra
    if error.status_code != HTTP_400_BAD_REQUEST or not isinstance(extra, list):
        return ""
    faults = [cast("dict[str, str]", one) for one in cast("list[object]", extra)]
    return " ".join(
        f"{one.get('key', '')}: {one.get('message', '')}.".lstrip(": ") for one in faults
    )


def _error_response(hub: Hub, request: AnyRequest, error: HubError) -> Response[Any]:
    path = request.url.path
    if not path.startswith("/api/") and wants_page(request):
        if isinstance(error, NotLoggedIn):
            # A form that was sent too late cannot be sent again by itself: back to the start.
            query = f"?{request.url.query}" if request.url.query else ""
            target = path + query if request.method == "GET" else "/"
            where = {"Location": login_url("", target)}
            return Response(b"", status_code=302 if request.method == "GET" else 303, headers=where)
        return error_page(hub, request, error)
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotLoggedIn):
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        problem(error.status, error.title, str(error), **error.extra()),
        status_code=error.status,
        media_type=PROBLEM,
        headers=headers,
    )


def secured(app: ASGIApp, *, https: bool) -> ASGIApp:
    """Add the hub's headers to whatever ``app`` answers, errors and files included.

    ``https``: whether people come by HTTPS, and have to from then on.
    """
    headers = SECURITY_HEADERS | NO_STORE  # static files say themselves how long they keep
    if https:
        headers |= STRICT_TRANSPORT
    wanted = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def with_headers(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        async def send_more(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [pair for pair in wanted if pair[0] not in given]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await app(scope, receive, send_more)

    return with_headers
