"""The first process of the session: it answers at once, while the other one loads 3D Slicer.

Loading VTK and Slicer takes seconds and holds the interpreter's lock, so nobody in that process
could answer meanwhile. Therefore two processes share one listening socket. This one, standard
library only, answers with a page that says what is going on. When the other is ready it closes its
copy of the socket and says "go"; the other begins to accept. Who connects in between waits in the
socket's queue: no refused connection, and never "not ready" after "ready".

Afterwards this process only passes on the stop signal, brings the other's stray lines of text into
the log, and ends as the other ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import time
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from app import log
from app.errors import SettingsError
from app.roles import READY_PATH, may_request, parse_visitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.settings import Settings

# The engine kills after ten seconds; what is left of them is for the log.
STOP_SECONDS = 9.0
_HEAD_BYTES = 32 * 1024
_HEAD_SECONDS = 5.0
_BACKLOG = 256
_HANDOVER_SECONDS = 0.05

STAGES = {
    "start": "Starting",
    "import": "Loading 3D Slicer",
    "build": "Setting up the views",
    "open": "Opening your files",
    "render": "Drawing the first picture",
}


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


def run(settings: Settings, program: Callable[[socket.socket, socket.socket], int]) -> int:
    """Runs ``program(listener, channel)`` in a child process; returns what to exit with.

    On ``channel`` the program writes a line with a stage of STAGES whenever it begins one, then
    ``ready``; it reads ``go`` when it is the only one that accepts.
    """
    listener = listen(settings.port)
    ours, theirs = socket.socketpair()
    errors_read, errors_write = os.pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        os.close(errors_read)
        os.dup2(errors_write, 2)
        os.close(errors_write)
        # _exit: nothing of the parent's clean-up may run twice.
        os._exit(program(listener, theirs))
    theirs.close()
    os.close(errors_write)
    return asyncio.run(_Front(settings, child, listener, ours, errors_read).run())


class _Front:
    def __init__(
        self,
        settings: Settings,
        child: int,
        listener: socket.socket,
        channel: socket.socket,
        errors: int,
    ) -> None:
        self._settings = settings
        self._child = child
        self._listener = listener
        self._channel = channel
        self._errors = errors
        self._stage = "start"
        self._began = time.monotonic()
        self._ready = False
        self._stopping = False
        self._page = Path(__file__).with_name("loading.html").read_text(encoding="utf-8")

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        loop.add_signal_handler(signal.SIGCHLD, self._reap, ended)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, loop)
        self._reap(ended)
        server = await asyncio.start_server(self._answer, sock=self._listener, limit=_HEAD_BYTES)
        log.event("front.listening", port=self._settings.port)
        relay = asyncio.create_task(self._relay_errors(loop))
        stages = asyncio.create_task(self._follow(server))
        status = await ended
        for task in (relay, stages):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(task, 1)
        server.close()
        return self._verdict(status)

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

    async def _follow(self, server: asyncio.Server) -> None:
        reader, writer = await asyncio.open_connection(sock=self._channel)
        while line := (await reader.readline()).decode().strip():
            if line != "ready":
                self._stage = line
                log.event("stage", stage=line, seconds=self._seconds())
                continue
            self._ready = True
            # What was accepted a moment ago must be attached to the server before it is closed:
            # asyncio drops it unanswered otherwise.
            asyncio.get_running_loop().remove_reader(self._listener)
            await asyncio.sleep(_HANDOVER_SECONDS)
            server.close()
            self._listener.close()
            writer.write(b"go\n")
            await writer.drain()
            log.event("session.ready", seconds=self._seconds())
        writer.close()

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
            writer.write(self._response(head))
            await writer.drain()
        except (TimeoutError, ValueError, OSError, EOFError, asyncio.LimitOverrunError) as error:
            log.event("request.broken", level=logging.WARNING, error=type(error).__name__)
        finally:
            writer.close()

    def _response(self, head: bytes) -> bytes:
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = BytesHeaderParser().parsebytes(rest)
        known = {name.title(): str(value) for name, value in headers.items()}
        path = target.partition("?")[0]
        visitor = parse_visitor(known, standalone=self._settings.standalone)
        if not may_request(path, method, visitor):
            return _http(
                "403 Forbidden", "text/plain", "You are not invited to this session.\n", method
            )
        if path != READY_PATH and method == "GET" and "text/html" in known.get("Accept", ""):
            page = self._page.replace("STAGE", STAGES.get(self._stage, self._stage))
            return _http("503 Service Unavailable", "text/html", page, method)
        state = {
            "ready": False,
            "stage": self._stage,
            "message": STAGES.get(self._stage, self._stage),
            "seconds": self._seconds(),
        }
        return _http("503 Service Unavailable", "application/json", json.dumps(state), method)


def _http(status: str, kind: str, body: str, method: str) -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Cache-Control: no-store\r\n"
        "Retry-After: 1\r\n"
        "Connection: close\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline';"
        " script-src 'unsafe-inline'; connect-src 'self'; img-src data:\r\n"
        "\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else content)
