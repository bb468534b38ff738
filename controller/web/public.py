"""What Traefik routes people to: the pages and the API."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.datastructures import CacheControlHeader
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.serialization import encode_json
from litestar.static_files import (
    create_static_files_router,  # pyright: ignore[reportUnknownVariableType] - one loose Any
)
from litestar.status_codes import HTTP_404_NOT_FOUND
from litestar.types import ASGIApp

from controller import __version__
from controller.core.errors import HttpError
from controller.gate.answers import NO_STORE, PROBLEM, SECURITY_HEADERS, problem
from controller.gate.refusals import Closed
from controller.rules import routes
from controller.web import apidoc
from controller.web.answers import STRICT_TRANSPORT
from controller.web.api.admin import admin_router
from controller.web.api.routes import api_router
from controller.web.caller import Callers
from controller.web.errors import Errors
from controller.web.framework import MsgspecApp
from controller.web.pages.admin.routes import admin_pages_router
from controller.web.pages.forms import provide_screen
from controller.web.pages.home import home_router
from controller.web.pages.login import entrance_router, logins_router
from controller.web.pages.session import session_router
from controller.web.pages.sharing import share_router
from controller.web.pages.waiting import Waiting, host_of
from controller.web.render import STATIC_FOLDER, Renderer
from controller.web.services import Services, provided

_BODY_MAX = 64 * 1024  # bytes of a form or an API request


def public_app(services: Services, closed: Closed) -> ASGIApp:
    """Return the application to which Traefik routes people."""
    settings = services.settings
    waiting = Waiting(
        settings,
        services.sessions,
        services.logins,
        services.handoffs,
        renderer=services.renderer,
        closed=closed,
    )
    rest = pages_and_api(services)

    async def dispatch(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        # A session's host first: nothing of the hub is served there, whatever the path.
        # Litestar would match a mount at /s with /starting and /static, too.
        ours = routes.session_label(host_of(scope), settings) is None and (
            scope["path"] != "/s" and not scope["path"].startswith("/s/")
        )
        await (rest if ours else waiting)(scope, receive, send)

    return dispatch


def pages_and_api(services: Services) -> Litestar:
    """Return the application for all addresses of the hub except those of sessions."""
    callers = Callers(services.settings, services.logins, services.sessions)
    renderer = services.renderer
    return MsgspecApp(
        route_handlers=[
            entrance_router(callers),
            _signed_pages(services, callers),
            api_router(),
            admin_router(callers),
            create_static_files_router(
                path=renderer.static,
                directories=[STATIC_FOLDER],
                # The address changes with the content, so browsers need never ask again.
                cache_control=CacheControlHeader(max_age=31_536_000, immutable=True, public=True),
            ),
        ],
        dependencies=provided(services) | callers.provided(),
        exception_handlers=Errors(services.settings, services.logins, renderer).handlers,
        request_max_body_size=_BODY_MAX,
        openapi_config=OpenAPIConfig(
            title="3D Slicer Hub",
            version=__version__,
            openapi_router=Router(
                "/api", route_handlers=[], include_in_schema=False, after_request=_not_found
            ),
            render_plugins=[_Document(path="/openapi.json"), _DocsPage(renderer)],
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


def _signed_pages(services: Services, callers: Callers) -> Router:
    """Return the pages of those who are logged in: each form carries a sign of its log-in."""
    return Router(
        "/",
        route_handlers=[
            home_router(services),
            session_router(),
            share_router(services),
            logins_router(),
            admin_pages_router(services, callers),
        ],
        guards=[callers.refuse_unsigned_forms],
        dependencies={"screen": Provide(provide_screen, sync_to_thread=False)},
        include_in_schema=False,
    )


def _not_found(response: Response[Any]) -> Response[Any]:
    """Answer unknown addresses of the API with the hub's own error instead of Litestar's page."""
    if response.status_code != HTTP_404_NOT_FOUND:
        return response
    error = HttpError(HTTP_404_NOT_FOUND)
    return Response(
        problem(error.status, error.title, str(error)),
        status_code=error.status,
        media_type=PROBLEM,
    )


class _Document(JsonRenderPlugin):
    """Return the API's document, with the refusals that Litestar does not know. Made once."""

    _made = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request
        self._made = self._made or encode_json(apidoc.with_refusals(openapi_schema))
        return self._made


class _DocsPage(OpenAPIRenderPlugin):
    """Return the API's page, from its document; the usual ones load scripts from other servers.

    Made once: anybody may request it, and making it takes as long as many answers of verify.
    """

    _made = b""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__(path="/docs")
        self._renderer = renderer

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request
        self._made = self._made or self._renderer.docs(openapi_schema).encode()
        return self._made


def secured(app: ASGIApp, *, https: bool) -> ASGIApp:
    """Add the hub's headers to every answer of ``app``, also to errors and files.

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
