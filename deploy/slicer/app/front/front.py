"""The first process of the session: it takes every connection and answers what must not wait.

Loading VTK and Slicer takes seconds, a filter on a large volume minutes. Both block the process
that runs them, so it cannot answer meanwhile. Therefore there are two processes. This one accepts
connections, reads the head of the request without consuming it, and

- answers with a page that shows the progress while the other process loads;
- answers the hub's requests itself at all times: `/-/ready`, `/-/activity`, `/-/kick`;
- passes every other connection on to the program unchanged. A connection carries one request and is
  then closed, so that no request of the hub waits behind one of a page. No byte of a session passes
  through here.

It keeps a second handle of the pages' WebSockets, to carry out a kick if the program is busy and
does not do so in time. `process` starts and ends the other process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select as polling
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core import log
from app.front.answer import http_answer
from app.front.request import END, HEAD_BYTES, Request, parse_head, peek_head
from app.people.activity import BUSY_SECONDS, Client, Selection, select
from app.people.felt import WINDOW_SECONDS
from app.people.roles import (
    ACTIVITY_PATH,
    KICK_PATH,
    READY_PATH,
    SOCKET_PATH,
    STREAM_PATH,
    Visitor,
    may_request,
    parse_visitor,
    too_many_sentence,
)
from app.stream.channel import Channel, Closed, FromProgram, Handed, Kick, Ready, Stage, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.settings import Settings

_BODY_BYTES = 64 * 1024
_HEAD_SECONDS = 5.0
_MOST_WAITING = 512
# The program reports each half second: if it is silent for longer than this, it computes.
_SILENT_SECONDS = 0.5 + BUSY_SECONDS
# A kick takes at most a second, whatever the program does.
_KICK_SECONDS = 0.6
# Of each a page has one open.
_SOCKETS = frozenset({SOCKET_PATH, STREAM_PATH})
_OWN = frozenset({READY_PATH, ACTIVITY_PATH, KICK_PATH})

STAGES = {
    "start": "Starting",
    "import": "Loading 3D Slicer",
    "build": "Setting up the views",
    "open": "Opening your files",
    "render": "Drawing the first picture",
}


class _Page(NamedTuple):
    """A socket of an open page, and our handle of it. ``path``: one of `_SOCKETS`."""

    client: Client
    path: str
    connection: socket.socket


class Front:
    """Handles every connection until it is answered or passed on.

    ``end``: our end of the pair that `app.stream.channel` speaks over. ``clock``: monotonic
    seconds.
    """

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        end: socket.socket,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No connection is accepted before `open`."""
        self._settings = settings
        self._listener = listener
        self._channel: Channel[FromProgram] = Channel(end, FromProgram)
        self._clock = clock
        self._stage = "start"
        self._began = clock()
        self._ready = False
        self._page = Path(__file__).with_name("loading.html").read_text(encoding="utf-8")
        self._status = Status(last_input_at=None, busy=False, clients=[])
        self._heard_at = clock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0
        self._pages: dict[int, _Page] = {}
        self._closed = asyncio.Event()

    @property
    def stage(self) -> str:
        """The stage of the program's start, one of `STAGES`."""
        return self._stage

    @property
    def is_ready(self) -> bool:
        """Whether the program takes connections."""
        return self._ready

    def open(self) -> None:
        """Accepts connections from now on, and receives the program's messages."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener, self._accept)
        loop.add_reader(self._channel, self._hear)
        log.event("front.listening", port=self._settings.port)

    def close(self) -> None:
        """Accepts no more connections, and closes those that it keeps."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.remove_reader(self._channel)
        for page in self._pages.values():
            page.connection.close()

    def _hear(self) -> None:
        try:
            for message, _ in self._channel.received():
                self._heard_at = self._clock()
                self._note(message)
        except EOFError:  # it has ended; SIGCHLD has its exit code
            asyncio.get_running_loop().remove_reader(self._channel)

    def _note(self, message: FromProgram) -> None:
        if isinstance(message, Stage):
            self._stage = message.name
            log.event("stage", stage=message.name, seconds=self._seconds())
        elif isinstance(message, Ready):
            self._ready = True
            log.event("session.ready", seconds=self._seconds())
        elif isinstance(message, Closed):
            self._forget(message.number)
        else:
            self._status = message

    def _forget(self, number: int) -> None:
        if page := self._pages.pop(number, None):
            page.connection.close()
        closed, self._closed = self._closed, asyncio.Event()
        closed.set()

    # Connections.

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # gone again, or no descriptor is free
            return
        connection.settimeout(0)
        if len(self._tasks) >= _MOST_WAITING:
            connection.close()
            return
        task = asyncio.create_task(self._take(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as kept:
            kept.callback(connection.close)
            try:
                request = parse_head(await asyncio.wait_for(peek_head(connection), _HEAD_SECONDS))
                visitor = parse_visitor(request.headers, standalone=self._settings.standalone)
                if self._is_full(request, visitor):
                    await self._answer(connection, request, visitor)
                elif self._ready and request.path not in _OWN:
                    if self._hand_on(connection, request, visitor):
                        kept.pop_all()
                else:
                    await self._answer(connection, request, visitor)
            except (TimeoutError, ValueError, OSError, EOFError) as error:
                log.event("request.broken", level=logging.WARNING, error=type(error).__name__)

    def _is_full(self, request: Request, visitor: Visitor | None) -> bool:
        """Whether a person has too many sockets open for another one.

        A busy program may not have noticed closed ones yet: only open ones count.
        """
        if not self._ready or request.path not in _SOCKETS or visitor is None:
            return False
        own = [
            page.connection
            for page in self._pages.values()
            if page.client.visitor.user == visitor.user and page.path == request.path
        ]
        most = visitor.role.most_sockets
        return len(own) >= most and sum(map(_is_open, own)) >= most

    def _hand_on(
        self, connection: socket.socket, request: Request, visitor: Visitor | None
    ) -> bool:
        """Whether the handle was kept here, too."""
        self._next += 1
        if not self._channel.send(Handed(self._next), fd=connection.fileno()):
            log.event("program.full", level=logging.WARNING, path=request.path)
            return False
        if request.path not in _SOCKETS or visitor is None:
            return False
        client = Client(
            id=str(self._next), visitor=visitor, since=datetime.now(UTC), number=self._next
        )
        self._pages[self._next] = _Page(client, request.path, connection)
        return True

    async def _answer(
        self, connection: socket.socket, request: Request, visitor: Visitor | None
    ) -> None:
        reader, writer = await asyncio.open_connection(sock=connection.dup(), limit=HEAD_BYTES)
        try:
            await reader.readuntil(END)
            length = int(request.headers.get("Content-Length", "0"))
            if not 0 <= length <= _BODY_BYTES:
                raise ValueError("too long a body")
            body = await asyncio.wait_for(reader.readexactly(length), _HEAD_SECONDS)
            writer.write(await self._response(request, visitor, body))
            await writer.drain()
        finally:
            writer.close()

    async def _response(self, request: Request, visitor: Visitor | None, body: bytes) -> bytes:
        path, method = request.path, request.method
        if not may_request(path, method, visitor):
            return http_answer("403 Forbidden", "You are not invited to this session.\n", method)
        if self._ready:
            if path == READY_PATH:
                return http_answer("200 OK", {"ready": True}, method)
            if path == ACTIVITY_PATH and method in {"GET", "HEAD"}:
                return http_answer("200 OK", self._activity(), method)
            if path == KICK_PATH and method == "POST":
                return await self._kick(body)
            if path in _SOCKETS and visitor is not None:
                most = visitor.role.most_sockets
                log.event("client.refused", level=logging.WARNING, user=visitor.user, open=most)
                return http_answer("429 Too Many Requests", too_many_sentence(most), method)
            return http_answer(
                "405 Method Not Allowed", f"{path} does not accept {method}.\n", method
            )
        if (
            path not in _OWN
            and method == "GET"
            and "text/html" in request.headers.get("Accept", "")
        ):
            page = self._page.replace("STAGE", STAGES.get(self._stage, self._stage))
            return http_answer("503 Service Unavailable", page, method, kind="text/html")
        state = {
            "ready": False,
            "stage": self._stage,
            "message": STAGES.get(self._stage, self._stage),
            "seconds": self._seconds(),
        }
        return http_answer("503 Service Unavailable", state, method)

    def _activity(self) -> dict[str, object]:
        self._hear()  # what it said a moment ago counts
        silent = self._clock() - self._heard_at
        told: dict[str, object] = {
            "last_input_at": self._status.last_input_at,
            "busy": self._status.busy or silent >= _SILENT_SECONDS,
            "clients": [
                {"user": client.user, "role": client.role, "since": client.since}
                for client in self._status.clients
                if client.number in self._pages
            ],
        }
        # While the program is silent, no picture comes, and the last minute passes by.
        if self._status.felt is not None and silent < WINDOW_SECONDS:
            told["felt"] = self._status.felt
        return told

    async def _kick(self, body: bytes) -> bytes:
        try:
            selection = msgspec.json.decode(body or b"{}", type=Selection)
        except msgspec.DecodeError as error:
            return http_answer("400 Bad Request", f"{error}\n", "POST")
        if selection.is_empty:
            return http_answer(
                "400 Bad Request", "Name whom to disconnect: user, role or all.\n", "POST"
            )
        self._hear()
        chosen = select((page.client for page in self._pages.values()), selection)
        # A page has two sockets.
        closed = sum(self._pages[client.number].path == SOCKET_PATH for client in chosen)
        self._channel.send(Kick(selection))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until_closed(chosen), _KICK_SECONDS)
        for client in chosen:
            if page := self._pages.pop(client.number, None):
                with contextlib.suppress(OSError):
                    page.connection.shutdown(socket.SHUT_RDWR)
                page.connection.close()
                log.event("client.cut", user=client.visitor.user, busy=True)
        log.event("kick", users=sorted({client.visitor.user for client in chosen}))
        return http_answer("200 OK", {"closed": closed}, "POST")

    async def _until_closed(self, clients: list[Client]) -> None:
        while any(client.number in self._pages for client in clients):
            await self._closed.wait()

    def _seconds(self) -> float:
        return round(self._clock() - self._began, 3)


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has not said that it is done."""
    poll = polling.poll()
    poll.register(connection, polling.POLLRDHUP)
    return not poll.poll(0)
