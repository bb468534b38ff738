"""HTTP of the program: the check of every request, the hub's endpoints, upload and download.

The first process answers what must not wait for a computation, see `app.front.front`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
from aiohttp import web

from app.core import log
from app.core.errors import FileError, SlicerError
from app.files.folders import open_folder, told
from app.files.paths import parse_relative, resolve_inside, target_of
from app.people.notices import Notice
from app.people.roles import ASK_PATH, is_own_page, may_request, parse_visitor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path, PurePosixPath

    from app.people.activity import Activity

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_T = TypeVar("_T")
_COPY_BYTES = 1024 * 1024
# The page compiles its templates in the browser (unsafe-eval) and styles elements inline. All else
# comes from this server: the browser refuses requests of libraries to the internet.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
    " connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; object-src 'none';"
    " base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_NAMED_BY_CONTENT = ("/assets/", "/__trame_", "/trame_slicer_")


class Endpoints:
    """The routes of a session besides those of the page.

    ``roots``: the folders of files by the name the page shows; ``page``: the page itself (HTML).

    ``save()`` returns the name of the newest autosave, once the scene is in it, None for none;
    ``notify(notice)`` shows a banner; ``ask(user)`` tells the others who asks for control.
    """

    def __init__(
        self,
        activity: Activity,
        roots: dict[str, Path],
        page: str,
        *,
        standalone: bool,
        save: Callable[[], str | None],
        notify: Callable[[Notice], None],
        ask: Callable[[str], None],
    ) -> None:
        """Routes are added by `mount`."""
        self._activity = activity
        self._roots = roots
        self._html = page
        self._standalone = standalone
        self._save = save
        self._notify = notify
        self._ask = ask

    def mount(self, app: web.Application) -> None:
        """Must be called before the application is frozen: adds the check, then the routes."""
        app.middlewares.append(self._door)
        app.on_response_prepare.append(_close_afterwards)
        app.add_routes(
            [
                web.get("/", self._page),
                web.post("/paraview/", self._no_launcher),
                web.post(ASK_PATH, self._ask_for_control),
                web.post("/-/save", self._save_now),
                web.post("/-/notice", self._show_notice),
                web.get("/files/{root}/{path:.+}", self._download),
                web.put("/files/{root}/{path:.+}", self._upload),
            ]
        )

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        visitor = parse_visitor(request.headers, standalone=self._standalone)
        if not may_request(request.path, request.method, visitor) or not is_own_page(
            request.headers.get("Origin"), request.host
        ):
            return web.Response(
                status=403, text="You are not invited to this session.\n", headers=_HEADERS
            )
        response = await handler(request)
        if not response.prepared:
            response.headers["Server"] = "slicerhub"
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
            immutable = response.status == 200 and request.path.startswith(_NAMED_BY_CONTENT)  # noqa: PLR2004
            response.headers.setdefault(
                "Cache-Control",
                "private, max-age=31536000, immutable" if immutable else "private, no-cache",
            )
        return response

    async def _page(self, _request: web.Request) -> web.Response:
        """The page itself; the library would send the browser to index.html first."""
        return web.Response(text=self._html, content_type="text/html")

    async def _no_launcher(self, _request: web.Request) -> web.Response:
        """Answers the page's request to start its program, which already runs."""
        return web.Response(status=204)

    async def _ask_for_control(self, request: web.Request) -> web.Response:
        visitor = parse_visitor(request.headers, standalone=self._standalone)
        if visitor is not None:
            self._ask(visitor.user)
        return web.Response(status=204)

    async def _save_now(self, _request: web.Request) -> web.Response:
        try:
            name = self._save()
        except SlicerError as error:
            log.failure("save.failed", error)
            return _json({"saved": None, "message": str(error)}, status=507)
        return _json({"saved": name})

    async def _show_notice(self, request: web.Request) -> web.Response:
        self._notify(await _decode(request, Notice))
        return web.Response(status=204)

    def _find(self, request: web.Request, find: Callable[[Path, PurePosixPath], _T]) -> _T:
        root = self._roots.get(request.match_info["root"])
        if root is None:
            raise web.HTTPNotFound(text="There is no such folder.\n")
        try:
            return find(root, parse_relative(request.match_info["path"]))
        except FileError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = self._find(request, resolve_inside)
        if not path.is_file():
            raise web.HTTPNotFound(text=f"There is no file {path.name}.\n")
        return web.FileResponse(
            path,
            headers={
                # Never shown as a page: a user's HTML file would run with this origin.
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name, safe='')}",
                "Content-Type": "application/octet-stream",
            },
        )

    async def _upload(self, request: web.Request) -> web.Response:
        target = self._find(request, target_of)
        if (target.root / target.folder / target.name).is_dir():
            raise web.HTTPConflict(text=f"{target.name} is a folder.\n")
        number = self._activity.begun(time.monotonic())
        size = 0
        try:
            with (
                told(target.name),
                open_folder(target.root, target.folder, make=True) as folder,
                folder.draft() as draft,
            ):
                async for chunk in request.content.iter_chunked(_COPY_BYTES):
                    draft.write(chunk)
                    size += len(chunk)
                draft.put(folder, target.name)
        except FileError as error:
            raise web.HTTPInsufficientStorage(text=f"{error}\n") from error
        finally:
            self._activity.ended(number)
        log.event("file.uploaded", name=target.name, size=size)
        return web.Response(status=201)


async def _close_afterwards(_request: web.Request, response: web.StreamResponse) -> None:
    """One request a connection: the next one may be the hub's, which is not answered here."""
    if not isinstance(response, web.WebSocketResponse):
        response.force_close()
        response.headers["Connection"] = "close"


def _json(value: Any, status: int = 200) -> web.Response:  # noqa: ANN401
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


async def _decode(request: web.Request, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
