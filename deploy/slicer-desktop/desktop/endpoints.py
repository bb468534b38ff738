"""HTTP on the session's port: what both session images share, the socket, and the saving."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web
from app.core import log
from app.core.errors import SlicerError
from app.front.endpoints import Endpoints
from app.people.activity import Activity, Selection
from app.people.roles import ACTIVITY_PATH, KICK_PATH, READY_PATH, SOCKET_PATH

from desktop.errors import CannotSave
from desktop.relay import Relay

if TYPE_CHECKING:
    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DesktopEndpoints(Endpoints):
    """The shared routes and the desktop's own.

    ``page``: the page itself; ``assets``: the folder of its parts. ``starting``: the page while the
    program starts, with the word STAGE in it. ``stage()``: what is going on, None once it is ready.
    ``save()`` gives the name of the newest autosave or None, and raises SlicerError.
    """

    def __init__(
        self,
        activity: Activity,
        relay: Relay,
        roots: dict[str, Path],
        page: str,
        *,
        assets: Path,
        starting: str,
        standalone: bool,
        stage: Callable[[], str | None],
        save: Callable[[], Awaitable[str | None]],
    ) -> None:
        """Routes are added by `mount`."""
        super().__init__(
            activity,
            roots,
            page,
            standalone=standalone,
            save=lambda: None,  # see `_save_now`
            notify=relay.notify,
            ask=relay.ask,
        )
        self._doings = activity
        self._relay = relay
        self._assets = assets
        self._starting = starting
        self._stage = stage
        self._save_desktop = save

    def mount(self, app: web.Application) -> None:
        """The shared check and routes first; nothing else is served before it is ready."""
        super().mount(app)
        app.middlewares.append(self._wait)
        app.add_routes(
            [
                web.get(SOCKET_PATH, self._relay.serve),
                web.get(READY_PATH, self._ready),
                web.get(ACTIVITY_PATH, self._report),
                web.post(KICK_PATH, self._kick),
                web.static("/assets", self._assets),
            ]
        )

    @web.middleware
    async def _wait(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        stage = self._stage()
        if stage is None:
            return await handler(request)
        headers = {"Retry-After": "1", "Cache-Control": "no-store"}
        if request.path != READY_PATH and "text/html" in request.headers.get("Accept", ""):
            page = self._starting.replace("STAGE", stage)
            return web.Response(status=503, text=page, content_type="text/html", headers=headers)
        state = {"ready": False, "message": stage}
        return web.json_response(state, status=503, headers=headers)

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def _report(self, _request: web.Request) -> web.Response:
        clients = [
            {"user": client.visitor.user, "role": client.visitor.role, "since": client.since}
            for client in self._doings.clients
        ]
        report = {
            "last_input_at": self._doings.last_input_at,
            "busy": self._doings.is_busy(time.monotonic()),
            "clients": clients,
        }
        return web.Response(body=msgspec.json.encode(report), content_type="application/json")

    async def _kick(self, request: web.Request) -> web.Response:
        try:
            selection = msgspec.json.decode(await request.read() or b"{}", type=Selection)
        except msgspec.DecodeError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        if selection.is_empty:
            raise web.HTTPBadRequest(text="Name whom to disconnect: user, role or all.\n")
        gone = await self._relay.kick(selection)
        log.event("kick", users=[client.visitor.user for client in gone])
        return web.json_response({"closed": len(gone)})

    async def _save_now(self, _request: web.Request) -> web.Response:
        try:
            name = await self._save_desktop()
        except CannotSave as error:  # nothing failed: it was never to be had
            return web.json_response({"saved": None, "message": str(error)})
        except SlicerError as error:
            log.failure("save.failed", error)
            return web.json_response({"saved": None, "message": str(error)}, status=507)
        return web.json_response({"saved": name})
