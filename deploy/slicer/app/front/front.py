"""The first process of the session: it takes every connection and answers what must not wait.

Loading VTK and Slicer takes seconds, a filter on a large volume minutes, and all of it holds the
interpreter, so nobody in that process could answer meanwhile. Therefore there are two. This one
accepts, looks at the head of the request without taking it, and

- while the other one loads, answers with a page that says what is going on;
- answers the hub's questions by itself at all times: `/-/ready`, `/-/activity`, `/-/kick`;
- hands every other connection on to the program, as it is. It carries one request and is closed
  then, so that none of the hub's ends up behind a page's. No byte of a session passes through here.

Of the pages' WebSockets it keeps a second handle: a kick is carried out here if the program, being
busy, does not do it politely in time. It passes on the stop signal, brings the other's stray lines
of text into the log, and ends as the other ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select as polling
import signal
import socket
import time
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.core import log
from app.core.errors import SettingsError
from app.people.activity import BUSY_SECONDS, Client, Selection, select
from app.people.roles import (
    ACTIVITY_PATH,
    KICK_PATH,
    READY_PATH,
    SOCKET_PATH,
    Visitor,
    may_request,
    parse_visitor,
    too_many_sentence,
)
from app.stream.channel import Channel, Closed, FromProgram, Handed, Kick, Ready, Stage, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.settings import Settings

# The engine kills after ten seconds; what is left of them is for the log.
STOP_SECONDS = 9.0
_HEAD_BYTES = 32 * 1024
_BODY_BYTES = 64 * 1024
_HEAD_SECONDS = 5.0
_PEEK_SECONDS = 0.01
_BACKLOG = 256
_MOST_WAITING = 512
# The program reports each half second: silent for longer than this it computes.
_SILENT_SECONDS = 0.5 + BUSY_SECONDS
# A kick takes at most a second, whatever the program does.
_KICK_SECONDS = 0.6
_END = b"\r\n\r\n"
_OWN = frozenset({READY_PATH, ACTIVITY_PATH, KICK_PATH})

STAGES = {
    "start": "Starting",
    "import": "Loading 3D Slicer",
    "build": "Setting up the views",
    "open": "Opening your files",
    "render": "Drawing the first picture",
}


class Request(msgspec.Struct, frozen=True):
    """The head of a request. ``headers`` by names as in ``Content-Length``."""

    method: str
    path: str
    headers: Mapping[str, str]


def parse_head(head: bytes) -> Request:
    """The head of an HTTP request, from its first line to the empty one. Raises ValueError."""
    line, _, rest = head.partition(b"\r\n")
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = BytesHeaderParser().parsebytes(rest)
    known = {name.title(): str(value) for name, value in headers.items()}
    return Request(method=method, path=target.partition("?")[0], headers=known)


def listen(port: int) -> socket.socket:
    """A listening TCP socket on all addresses, IPv6 too where the kernel has it.

    Raises SettingsError if the port is taken.
    """
    try:
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):
                return socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
                )
        return socket.create_server(("", port), backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(f"Port {port} cannot be used: {error.strerror}.") from error


def run(settings: Settings, program: Callable[[socket.socket], int]) -> int:
    """Runs ``program(end)`` in a child process; returns what to exit with.

    ``end`` is the program's end of the pair that `app.stream.channel` speaks over.
    """
    listener = listen(settings.port)
    listener.settimeout(0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    errors_read, errors_write = os.pipe()
    child = os.fork()
    if child == 0:
        listener.close()
        ours.close()
        os.close(errors_read)
        os.dup2(errors_write, 2)
        os.close(errors_write)
        # _exit: nothing of the parent's clean-up may run twice.
        os._exit(program(theirs))
    theirs.close()
    os.close(errors_write)
    return asyncio.run(Front(settings, child, listener, ours, errors_read).run())


class Front:
    """Every connection from its first byte on, and the process that does the rest.

    ``child``: its id. ``end``: our end of the pair. ``errors``: what it writes past the log.
    """

    def __init__(
        self,
        settings: Settings,
        child: int,
        listener: socket.socket,
        end: socket.socket,
        errors: int,
    ) -> None:
        """Takes its parts; nobody is let in before `open`."""
        self._settings = settings
        self._child = child
        self._listener = listener
        self._channel: Channel[FromProgram] = Channel(end, FromProgram)
        self._errors = errors
        self._stage = "start"
        self._began = time.monotonic()
        self._ready = False
        self._stopping = False
        self._page = Path(__file__).with_name("loading.html").read_text(encoding="utf-8")
        self._status = Status(last_input_at=None, busy=False, clients=[])
        self._heard_at = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0
        self._pages: dict[int, tuple[Client, socket.socket]] = {}
        self._closed = asyncio.Event()

    def open(self) -> None:
        """Takes connections from now on, and hears what the program says."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener, self._accept)
        loop.add_reader(self._channel, self._hear)
        log.event("front.listening", port=self._settings.port)

    def close(self) -> None:
        """Takes none any more, and lets go of those that it keeps."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.remove_reader(self._channel)
        for _, connection in self._pages.values():
            connection.close()

    async def run(self) -> int:
        """Until the program has ended; returns what to exit with."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        loop.add_signal_handler(signal.SIGCHLD, self._reap, ended)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, loop)
        self._reap(ended)
        self.open()
        relay = asyncio.create_task(self._relay_errors(loop))
        status = await ended
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(relay, 1)
        return self._verdict(status)

    # The other process.

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._stopping:
            return
        self._stopping = True
        log.event("session.stopping")
        self._signal(signal.SIGTERM)
        loop.call_later(STOP_SECONDS, self._signal, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _reap(self, ended: asyncio.Future[int]) -> None:
        """As process 1 of its container it also inherits orphans; they must not stay zombies."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child and not ended.done():
                ended.set_result(status)

    def _verdict(self, status: int) -> int:
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            log.event("session.ended", exit_code=code)
            return code
        name = signal.Signals(-code).name
        if self._stopping and not self._ready and -code == signal.SIGTERM:
            log.event("session.ended", exit_code=0, stage=self._stage)
            return 0
        if self._stopping and -code == signal.SIGKILL:
            log.event(
                "session.killed",
                level=logging.ERROR,
                message=f"Saving took more than {STOP_SECONDS:.0f} s; the last autosave is kept.",
            )
        else:
            log.event(
                "session.crashed",
                level=logging.ERROR,
                signal=name,
                stage=self._stage,
                message="3D Slicer's core crashed. If it was killed, the memory limit is too low"
                " for the data that was opened.",
            )
        return 128 - code

    async def _relay_errors(self, loop: asyncio.AbstractEventLoop) -> None:
        """Lines that C++ code writes past `logging` go into the log as events."""
        reader = asyncio.StreamReader(limit=_HEAD_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._errors, "rb")
        )
        with contextlib.closing(transport):
            while chunk := await self._line(reader):
                if text := chunk.decode(errors="replace").strip():
                    log.event("core.message", level=logging.WARNING, text=text)

    @staticmethod
    async def _line(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readline()
        except ValueError:  # a line longer than the limit; what is left of it comes as the next
            return b"(a line too long to show)"

    def _hear(self) -> None:
        try:
            for message, _ in self._channel.received():
                self._heard_at = time.monotonic()
                self._note(message)
        except EOFError:  # it has ended; SIGCHLD tells how
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
            page[1].close()
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
                request = parse_head(await asyncio.wait_for(_peek(connection), _HEAD_SECONDS))
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
        """Whether this would be one socket too many of one person.

        Of those that the program, being busy, has not noticed the end of, only the open ones count.
        """
        if not self._ready or request.path != SOCKET_PATH or visitor is None:
            return False
        own = [page for client, page in self._pages.values() if client.visitor.user == visitor.user]
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
        if request.path != SOCKET_PATH or visitor is None:
            return False
        client = Client(
            id=str(self._next), visitor=visitor, since=datetime.now(UTC), number=self._next
        )
        self._pages[self._next] = (client, connection)
        return True

    async def _answer(
        self, connection: socket.socket, request: Request, visitor: Visitor | None
    ) -> None:
        reader, writer = await asyncio.open_connection(sock=connection.dup(), limit=_HEAD_BYTES)
        try:
            await reader.readuntil(_END)
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
            return _http("403 Forbidden", "You are not invited to this session.\n", method)
        if self._ready:
            if path == READY_PATH:
                return _http("200 OK", {"ready": True}, method)
            if path == ACTIVITY_PATH and method in {"GET", "HEAD"}:
                return _http("200 OK", self._activity(), method)
            if path == KICK_PATH and method == "POST":
                return await self._kick(body)
            if path == SOCKET_PATH and visitor is not None:
                most = visitor.role.most_sockets
                log.event("client.refused", level=logging.WARNING, user=visitor.user, open=most)
                return _http("429 Too Many Requests", too_many_sentence(most), method)
            return _http("405 Method Not Allowed", f"{method} is not for {path}.\n", method)
        if (
            path not in _OWN
            and method == "GET"
            and "text/html" in request.headers.get("Accept", "")
        ):
            page = self._page.replace("STAGE", STAGES.get(self._stage, self._stage))
            return _http("503 Service Unavailable", page, method, kind="text/html")
        state = {
            "ready": False,
            "stage": self._stage,
            "message": STAGES.get(self._stage, self._stage),
            "seconds": self._seconds(),
        }
        return _http("503 Service Unavailable", state, method)

    def _activity(self) -> dict[str, object]:
        self._hear()  # what it said a moment ago counts
        silent = time.monotonic() - self._heard_at
        return {
            "last_input_at": self._status.last_input_at,
            "busy": self._status.busy or silent >= _SILENT_SECONDS,
            "clients": [
                {"user": client.user, "role": client.role, "since": client.since}
                for client in self._status.clients
                if client.number in self._pages
            ],
        }

    async def _kick(self, body: bytes) -> bytes:
        try:
            selection = msgspec.json.decode(body or b"{}", type=Selection)
        except msgspec.DecodeError as error:
            return _http("400 Bad Request", f"{error}\n", "POST")
        if selection.is_empty:
            return _http("400 Bad Request", "Name whom to let go: user, role or all.\n", "POST")
        self._hear()
        chosen = select((client for client, _ in self._pages.values()), selection)
        self._channel.send(Kick(selection))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until_closed(chosen), _KICK_SECONDS)
        for client in chosen:
            if page := self._pages.pop(client.number, None):
                with contextlib.suppress(OSError):
                    page[1].shutdown(socket.SHUT_RDWR)
                page[1].close()
                log.event("client.cut", user=client.visitor.user, busy=True)
        log.event("kick", users=[client.visitor.user for client in chosen])
        return _http("200 OK", {"closed": len(chosen)}, "POST")

    async def _until_closed(self, clients: list[Client]) -> None:
        while any(client.number in self._pages for client in clients):
            await self._closed.wait()

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has not said that it is done."""
    poll = polling.poll()
    poll.register(connection, polling.POLLRDHUP)
    return not poll.poll(0)


async def _peek(connection: socket.socket) -> bytes:
    """The head of a request, which stays in the socket for whoever reads it.

    Raises EOFError if it ends before, ValueError if it is too long.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            seen = connection.recv(_HEAD_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(connection, _wake, readable)
            try:
                await readable
            finally:
                loop.remove_reader(connection)
            continue
        if _END in seen:
            return seen[: seen.index(_END) + len(_END)]
        if not seen:
            raise EOFError
        if len(seen) == _HEAD_BYTES:
            raise ValueError("too long a head")
        # What is there keeps the socket readable: waiting for more has no better way.
        await asyncio.sleep(_PEEK_SECONDS)


def _wake(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


def _http(status: str, body: object, method: str, *, kind: str = "text/plain") -> bytes:
    """A whole response. ``body``: text of that kind, or a value that becomes JSON."""
    if isinstance(body, str):
        content = body.encode()
    else:
        content, kind = msgspec.json.encode(body), "application/json"
    retry = "Retry-After: 1\r\n" if status.startswith("503") else ""
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Cache-Control: no-store\r\n"
        f"{retry}"
        "Connection: close\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline';"
        " script-src 'unsafe-inline'; connect-src 'self'; img-src data:\r\n"
        "\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else content)
