"""The pages that watch: a WebSocket each, with its person's role, its line and its pictures.

Each page gets the newest picture of a view, never an older one first, and as much as its own line
carries: one that is slow, stalls or vanishes holds up nobody, and keeps one picture of each view.
"""

from __future__ import annotations

import asyncio
import contextlib
import select as polling
import time
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from app.core import log
from app.core.errors import StreamError
from app.people.activity import Client, Selection, select
from app.people.roles import parse_visitor
from app.stream.flow import Flow
from app.stream.picture import FINAL, FORMAT
from app.stream.wire import (
    LIMIT_BYTES,
    FromPage,
    Head,
    Input,
    Seen,
    Size,
    Unwatch,
    Visible,
    Watch,
    may_send,
    parse_message,
    picture_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from app.people.felt import Sample
    from app.people.roles import Visitor
    from app.stream.drawing import Drawing
    from app.stream.picture import Picture

KICKED = 4403  # private range of RFC 6455
_HEARTBEAT_SECONDS = 30.0  # as on the socket of the library beside it
_CLOSE_SECONDS = 0.4
_MOST_VIEWS = 32  # of a page; the largest layout has some ten


class Page:
    """One page's stream."""

    def __init__(
        self,
        number: int,
        visitor: Visitor,
        socket: web.WebSocketResponse,
        transport: asyncio.WriteTransport,
    ) -> None:
        """Nothing is sent before `send`."""
        self.number = number
        self.visitor = visitor
        self.socket = socket
        self.transport = transport
        self.watched: set[str] = set()
        self.is_shown = True
        self.flow = Flow()
        self.waiting: dict[str, Picture] = {}
        self._more = asyncio.Event()
        self._sent = 0

    def wants(self, view: str) -> bool:
        """Whether a picture of the view would be sent at once."""
        return (
            self.is_shown
            and view in self.watched
            and view not in self.waiting
            and self.flow.may_send()
        )

    def offer(self, picture: Picture) -> None:
        """Takes a picture in place of an older one of the same view."""
        if picture.view in self.watched:
            self.waiting[picture.view] = picture
            self._more.set()

    def wake(self) -> None:
        """Something has changed that may let it send."""
        self._more.set()

    async def send(self, pool: Executor, sent: Callable[[], None]) -> None:
        """Sends until it is cancelled or the page is gone; ``sent()`` after each picture."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self.is_shown and self.waiting and self.flow.may_send():
                await self._send_one(pool)
                sent()

    async def _send_one(self, pool: Executor) -> None:
        picture = self.waiting.pop(next(iter(self.waiting)))
        shape = picture.pixels
        pixels = shape.width * shape.height
        level = FINAL if picture.final else self.flow.level(pixels)
        content = await asyncio.get_running_loop().run_in_executor(pool, picture.encode, level)
        if not picture.final:
            self.flow.encoded(pixels, level, len(content))
        number, since = picture.inputs.get(self.number, (0, picture.began))
        self._sent += 1
        now = time.monotonic()
        head = Head(
            number=self._sent,
            view=picture.view,
            format=FORMAT,
            final=picture.final,
            width=shape.width,
            height=shape.height,
            input=number,
            waited=_ms(picture.began - since),
            render=_ms(picture.drawn - picture.began),
            encode=_ms(now - picture.drawn),
            trip=_ms(self.flow.trip(now)),
        )
        message = picture_message(head, content)
        self.flow.sent(self._sent, len(message), now)
        await self.socket.send_bytes(message)


class Pages:
    """All pages with a stream. Only the event loop's thread uses it."""

    def __init__(
        self,
        drawing: Drawing,
        pool: Executor,
        *,
        standalone: bool,
        touched: Callable[[], None],
        felt: Callable[[Sample], None],
    ) -> None:
        """``pool`` encodes; ``touched()``: somebody did something; ``felt(sample)``: it was felt.

        ``standalone``: see `app.people.roles.parse_visitor`.
        """
        self._drawing = drawing
        self._pool = pool
        self._standalone = standalone
        self._touched = touched
        self._felt = felt
        self._pages: dict[int, Page] = {}
        self._numbers = count(1)
        self._spoken = polling.poll()
        self._fds: dict[int, int] = {}

    # What the drawing asks.

    def wants(self, view: str) -> bool:
        """Whether any page would be sent a picture of this view at once."""
        return any(page.wants(view) for page in self._pages.values())

    def offer(self, picture: Picture) -> None:
        """Gives a new picture to all who watch its view."""
        for page in self._pages.values():
            page.offer(picture)

    def has_spoken(self) -> bool:
        """Whether something has arrived that was not read yet."""
        return bool(self._spoken.poll(0))

    # The sockets.

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One page's stream, from its handshake to its end."""
        visitor = parse_visitor(request.headers, standalone=self._standalone)
        if visitor is None:
            raise web.HTTPForbidden(text="You are not invited to this session.\n")
        socket = web.WebSocketResponse(
            max_msg_size=LIMIT_BYTES, compress=False, heartbeat=_HEARTBEAT_SECONDS
        )
        await socket.prepare(request)
        transport = request.transport
        if transport is None or transport.is_closing():  # gone again
            return socket
        page = Page(next(self._numbers), visitor, socket, transport)
        self._join(page)
        sending = asyncio.create_task(self._send(page))
        try:
            await self._listen(page)
        except StreamError as error:
            log.event("stream.malformed", user=visitor.user, error=str(error))
            self._leave(page)  # nothing is drawn for it while it is told so
            await socket.close(code=WSCloseCode.POLICY_VIOLATION)
        finally:
            self._leave(page)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        return socket

    async def kick(self, selection: Selection) -> None:
        """Closes the streams of the selection, within half a second."""
        by_id = {str(page.number): page for page in self._pages.values()}
        now = datetime.now(UTC)
        clients = [Client(id=name, visitor=page.visitor, since=now) for name, page in by_id.items()]
        chosen = [by_id[client.id] for client in select(clients, selection)]
        for page in chosen:
            self._leave(page)  # nothing it still sends is heard
        await asyncio.gather(*(_close(page) for page in chosen))

    async def _listen(self, page: Page) -> None:
        async for message in page.socket:
            if page.number not in self._pages:  # kicked
                return
            if message.type is not WSMsgType.TEXT:
                raise StreamError("A page sends text only.")
            self._hear(page, parse_message(message.data))

    def _hear(self, page: Page, message: FromPage) -> None:
        if not may_send(message, may_change=page.visitor.role.may_change):
            return  # a viewer's page never sends it; it would change nothing
        if isinstance(message, Input):
            self._drawing.put(page.number, message)
            self._touched()
        elif isinstance(message, Seen):
            page.flow.seen(message.number, message.took / 1000, time.monotonic())
            self._go_on(page)
        elif isinstance(message, Size):
            self._drawing.resize(message)
        elif isinstance(message, Watch):
            self._watch(page, message.view)
        elif isinstance(message, Unwatch):
            page.watched.discard(message.view)
            page.waiting.pop(message.view, None)
        elif isinstance(message, Visible):
            page.is_shown = message.shown
            self._go_on(page)
        else:
            self._felt(message.sample)

    def _watch(self, page: Page, view: str) -> None:
        if len(page.watched) >= _MOST_VIEWS:
            raise StreamError("The page watches more views than a layout has.")
        page.watched.add(view)
        if (picture := self._drawing.newest(view)) is not None:
            page.offer(picture)
        self._go_on(page)

    def _go_on(self, page: Page) -> None:
        page.wake()
        self._drawing.wake()

    def _join(self, page: Page) -> None:
        self._pages[page.number] = page
        if page.visitor.role.may_change:
            fd = page.transport.get_extra_info("socket").fileno()
            self._fds[page.number] = fd
            self._spoken.register(fd, polling.POLLIN)
        log.event("stream.opened", user=page.visitor.user, role=page.visitor.role)

    def _leave(self, page: Page) -> None:
        if self._pages.pop(page.number, None) is None:
            return
        if (fd := self._fds.pop(page.number, None)) is not None:
            with contextlib.suppress(KeyError):
                self._spoken.unregister(fd)
        self._drawing.forget(page.number)
        log.event("stream.closed", user=page.visitor.user)

    async def _send(self, page: Page) -> None:
        try:
            await page.send(self._pool, self._drawing.wake)
        except (ConnectionError, RuntimeError) as error:
            # aiohttp: the page closed meanwhile; what listens to it sees that, too.
            log.event("stream.lost", user=page.visitor.user, error=type(error).__name__)


async def _close(page: Page) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(
            page.socket.close(code=KICKED, message=b"closed by the hub"), _CLOSE_SECONDS
        )
    page.transport.abort()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
