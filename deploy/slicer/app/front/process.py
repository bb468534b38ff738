"""The program's process: its start, its stop, and the meaning of its exit code.

The first process passes on the stop signal, puts the other's plain lines of text into the log, and
ends with the same exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from app.core import log
from app.core.errors import SettingsError
from app.front.front import Front

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.settings import Settings

# The engine kills after ten seconds; the rest of that time is for the log.
STOP_SECONDS = 9.0
_LINE_BYTES = 32 * 1024
_BACKLOG = 256


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
    """Runs ``program(end)`` in a child process; returns the exit code.

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
        # _exit: the parent's clean-up must not run twice.
        os._exit(program(theirs))
    theirs.close()
    os.close(errors_write)
    return asyncio.run(Process(child, errors_read, Front(settings, listener, ours)).run())


class Process:
    """The program's process, and the front that accepts connections.

    ``pid``: its id. ``errors``: the output that it writes outside the log.
    """

    def __init__(self, pid: int, errors: int, front: Front) -> None:
        """No connection is accepted before `run`."""
        self._pid = pid
        self._errors = errors
        self._front = front
        self._stopping = False

    async def run(self) -> int:
        """Runs until the program has ended; returns the exit code."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        loop.add_signal_handler(signal.SIGCHLD, self._reap, ended)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, loop)
        self._reap(ended)
        self._front.open()
        relay = asyncio.create_task(self._relay_errors(loop))
        status = await ended
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(relay, 1)
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
            os.kill(self._pid, number)

    def _reap(self, ended: asyncio.Future[int]) -> None:
        """Reaps orphans, which process 1 of a container inherits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid and not ended.done():
                ended.set_result(status)

    def _verdict(self, status: int) -> int:
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            log.event("session.ended", exit_code=code)
            return code
        name = signal.Signals(-code).name
        if self._stopping and not self._front.is_ready and -code == signal.SIGTERM:
            log.event("session.ended", exit_code=0, stage=self._front.stage)
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
                stage=self._front.stage,
                message="3D Slicer's core crashed. If it was killed, the memory limit is too low"
                " for the data that was opened.",
            )
        return 128 - code

    async def _relay_errors(self, loop: asyncio.AbstractEventLoop) -> None:
        """Logs lines that C++ code writes outside `logging`."""
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
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
