"""A parent process whose workers share one listening socket: one that hangs is replaced.

All modules are imported, and settings read, before the first worker is forked: so the next one
answers milliseconds after it. Until then the parent must have neither threads nor an event loop.
A worker reports by a pipe that its event loop runs (``Heartbeat``). If the parent is gone, the pipe
tells the worker, which ends then.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

from controller.gate.workers import BEAT_SECONDS, STALLED_SECONDS, Slot, Turns

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

_READ_MAX = 65_536  # bytes: all that a pipe holds

_log = structlog.get_logger("gate")


class Heartbeat:
    """By which a worker tells its parent that its event loop runs."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    async def run(self) -> None:
        """Beat until cancelled, or until the parent is gone: then this process gets SIGTERM."""
        try:
            while True:
                self.beat()
                await asyncio.sleep(BEAT_SECONDS)
        except BrokenPipeError:
            _log.error("parent_gone", pid=os.getpid())
            signal.raise_signal(signal.SIGTERM)

    def beat(self) -> None:
        """Tell it once. Raises BrokenPipeError if the parent is gone."""
        try:
            os.write(self._pipe, b".")
        except BlockingIOError:
            return  # the parent was stopped for hours: as soon as it reads, there is enough to read


Run = Callable[[int, socket.socket, Heartbeat], None]
"""What a worker does, until SIGTERM or SIGINT. It gets the number of its place, from 0."""


def bind(host: str, port: int) -> socket.socket:
    """Return a socket for the workers to share. Raises OSError.

    It does not listen yet: until a worker does, who connects is refused at once.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class Parent:
    """Begins workers, listens to them, and ends them."""

    def __init__(
        self, run: Run, sock: socket.socket, *, workers: int, stop_seconds: float = 20.0
    ) -> None:
        """``stop_seconds``: until workers that do not end are killed."""
        self._run = run
        self._sock = sock
        self._slots = [Slot() for _ in range(workers)]
        self._pipes: dict[int, int] = {}  # by the worker's pid
        self._stop_seconds = stop_seconds

    def serve(self) -> None:
        """Keep the workers running until SIGTERM or SIGINT, which they get, too, and have ended."""
        # A blocked signal waits until it is looked for: none comes between a fork and its notice.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        gc.collect()
        gc.freeze()  # memory that no worker's collector writes to stays shared by all
        stop_at: float | None = None
        looked = time.monotonic()
        while stop_at is None or self._pipes:
            # The pipe of a worker that ends can be read at once.
            select.select([*self._pipes.values()], (), (), BEAT_SECONDS / 2)
            now = time.monotonic()
            self._listen(now)
            self._bury(now)
            if waiting := _SIGNALS & signal.sigpending():
                number = signal.Signals(signal.sigwait(waiting))
                _log.info("stopping", signal=number.name)
                self._sock.close()  # otherwise it would listen on, and nobody accept
                self._send(number)
                stop_at = stop_at or now + self._stop_seconds
            if stop_at is None:
                self._judge(now, stalled=now - looked > STALLED_SECONDS)
            elif now >= stop_at:
                self._send(signal.SIGKILL)
            looked = now

    def _listen(self, now: float) -> None:
        """Read the heartbeats."""
        for index, slot in enumerate(self._slots):
            if slot.pid and _has_beaten(self._pipes[slot.pid]):
                self._slots[index] = slot.heard(now, turns_of(slot.pid))

    def _bury(self, now: float) -> None:
        """Note which workers have ended."""
        for index, slot in enumerate(self._slots):
            if not slot.pid:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid:
                os.close(self._pipes.pop(pid))
                self._slots[index] = slot.ended(now)
                _log.info("worker_ended", pid=pid, code=os.waitstatus_to_exitcode(status))

    def _judge(self, now: float, *, stalled: bool) -> None:
        """Kill the workers that hang, and begin those that are due."""
        for index, slot in enumerate(self._slots):
            if stalled:
                self._slots[index] = slot.excused(now, turns_of(slot.pid))
            elif slot.is_late(now) and slot.hangs(now, turns_of(slot.pid)):
                _log.error("worker_silent", pid=slot.pid)
                os.kill(slot.pid, signal.SIGKILL)
        for index, slot in enumerate(self._slots):
            if slot.is_due(now):
                self._slots[index] = slot.started(self._fork(index), now)

    def _send(self, number: int) -> None:
        for slot in self._slots:
            if slot.pid:
                os.kill(slot.pid, number)

    def _fork(self, index: int) -> int:
        """Begin a worker in this place. Return its pid."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        pid = os.fork()
        if not pid:
            for pipe in (reading, *self._pipes.values()):
                os.close(pipe)  # a pipe is broken only once nobody else can read it
            self._work(index, writing)
        os.close(writing)
        self._pipes[pid] = reading
        return pid

    def _work(self, index: int, pipe: int) -> NoReturn:
        """Be a worker. Nothing of the parent's own may happen in this process afterwards."""
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._run(index, self._sock, Heartbeat(pipe))
            code = 0
        except Exception:  # noqa: BLE001 - it is told here, or nowhere
            _log.exception("worker_failed")
        finally:
            os._exit(code)


def turns_of(pid: int) -> Turns:
    """Return what a process has had of the processor; nothing if that is not known.

    ``/proc/<pid>/schedstat`` has nanoseconds that it ran and waited (Linux,
    Documentation/scheduler/sched-stats.rst), and of a wait nothing before its end. So the state in
    ``/proc/<pid>/stat`` (proc(5)) says whether it waits now. Both are of the first thread, in which
    the event loop is.
    """
    try:
        ran, waited, _ = _read(f"/proc/{pid}/schedstat").split()
        state = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0]
        return Turns(int(ran) / 1e9, int(waited) / 1e9, waiting=state == b"R")
    except (OSError, ValueError, IndexError):
        return Turns()  # it is gone, or this kernel does not count


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - ten times a second
        return file.read()


def _has_beaten(pipe: int) -> bool:
    """Read a worker's pipe, and tell whether there was a heartbeat."""
    try:
        return bool(os.read(pipe, _READ_MAX))
    except BlockingIOError:
        return False
