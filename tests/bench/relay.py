"""A line of a wished distance and width to a server, by a relay (``python -m bench.relay``).

A small TCP relay of the bench's own, for not every kernel can delay packets. Each direction of a
line delays what goes through it, sends no faster than its rate, and queues a bounded number of
bytes; when the queue is full it reads no more, and TCP lets the sender wait. Nothing is ever lost,
and headers of packets do not count. All connections of a line share it, as those of one household
do. A new connection needs one round trip before the client's first bytes leave, as TCP's does.

The relay is a process of its own and comes before others where it may say so (root), so that what
the bench does meanwhile does not delay it. Run as a program it measures itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from selectors import SelectSelector
from statistics import median
from typing import NamedTuple

import click
from bench.measure import machine, table

_PACKET = 1448  # bytes of the usual TCP packet
_MOST_READ = 1 << 16  # bytes at once
_PIECE_SECONDS = 0.002  # how long one piece occupies the line at most, unless a packet is longer
_KERNEL = 1 << 16  # bytes of receive buffer: what waits there waits in no queue of the line's
_WINDOW = 1 << 22  # bytes of one connection that its receiver has not taken


class Line(NamedTuple):
    """What lies between two programs: the same in both directions.

    ``rtt``: seconds of a round trip. ``mbit``: 10^6 bits per second, None for no limit.
    ``jitter``: seconds by which a direction is late at most, evenly distributed; the order stays.
    ``queue``: bytes that wait for their turn in one direction at most.
    """

    rtt: float = 0.0
    mbit: float | None = None
    jitter: float = 0.0
    queue: int = 1 << 16


class Link:
    """One direction of a line: it tells when bytes arrive, and is told the time (seconds)."""

    def __init__(self, line: Line, chance: Callable[[], float] = random.random) -> None:
        """``chance`` returns how much of the jitter comes next, from 0 to 1."""
        self._line = line
        self._chance = chance
        self._per_byte = 8 / (line.mbit * 1e6) if line.mbit else 0.0
        self._free = 0.0  # when the last byte so far will have left
        self._arrival = 0.0  # of that byte
        piece = int(_PIECE_SECONDS / self._per_byte) if self._per_byte else _MOST_READ
        self.piece = max(1, min(max(piece, _PACKET), _MOST_READ, line.queue))
        """How many bytes to take at once."""

    def wait(self, size: int, now: float) -> float:
        """Return how many seconds it takes until the queue has room for so many bytes."""
        return max(0.0, self._free - now + (size - self._line.queue) * self._per_byte)

    def take(self, size: int, now: float) -> float:
        """Queue so many bytes and return when they arrive."""
        self._free = max(now, self._free) + size * self._per_byte
        late = self._line.rtt / 2 + self._line.jitter * self._chance()
        self._arrival = max(self._arrival, self._free + late)
        return self._arrival


class _Shared:
    """A link and whose turn it is."""

    def __init__(self, line: Line) -> None:
        self.link = Link(line)
        self.turn = asyncio.Lock()  # first come, first served


class _Way:
    """One direction of one connection."""

    def __init__(self, shared: _Shared, source: socket.socket, target: socket.socket) -> None:
        self._shared = shared
        self._source = source
        self._target = target
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._change = asyncio.Event()

    async def read(self, pause: float) -> None:
        """Take what the source sends, from ``pause`` seconds on. An empty piece is its end."""
        loop, link = asyncio.get_running_loop(), self._shared.link
        await asyncio.sleep(pause)
        piece = b"-"
        while piece:
            piece = await loop.sock_recv(self._source, link.piece)
            async with self._shared.turn:
                await asyncio.sleep(link.wait(len(piece), loop.time()))
                self._pieces.append((link.take(len(piece), loop.time()), piece))
            self._bytes += len(piece)
            self._change.set()
            while self._bytes > _WINDOW:
                await self._changed()

    async def write(self) -> None:
        """Hand each piece over when it arrives."""
        loop = asyncio.get_running_loop()
        piece = b"-"
        while piece:
            while not self._pieces:
                await self._changed()
            arrival, piece = self._pieces.popleft()
            if (left := arrival - loop.time()) > 0:
                await asyncio.sleep(left)
            await loop.sock_sendall(self._target, piece)
            self._bytes -= len(piece)
            self._change.set()
        self._target.shutdown(socket.SHUT_WR)

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()


class _Relay:
    """Carries each connection to one address."""

    def __init__(self, host: str, port: int, line: Line) -> None:
        self._address = (host, port)
        self._rtt = line.rtt
        self._up, self._down = _Shared(line), _Shared(line)
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._carry(client))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _carry(self, client: socket.socket) -> None:
        """Carry one connection until both sides have ended, or one has failed."""
        half = self._rtt / 2
        with client, socket.socket() as server:
            _prepare(client)
            _prepare(server)
            try:
                await asyncio.sleep(half)
                await asyncio.get_running_loop().sock_connect(server, self._address)
                up, down = _Way(self._up, client, server), _Way(self._down, server, client)
                async with asyncio.TaskGroup() as group:
                    for work in (up.read(half), up.write(), down.read(0), down.write()):
                        group.create_task(work)
            except* OSError:
                pass  # the other side sees that the connection is closed


def _prepare(side: socket.socket) -> None:
    """Let a socket hold little and hold nothing back."""
    side.setblocking(False)  # noqa: FBT003 - takes no names
    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    side.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL)


def _serve(host: str, port: int, line: Line, tells: Connection) -> None:
    """Relay until the process is ended; the port is told first."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        # Inherited by what is accepted, whose first bytes come before it could be said.
        _prepare(listener)
        tells.send(listener.getsockname()[1])
        # By select: the default selector rounds each delay up to the next millisecond.
        with asyncio.Runner(
            loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())
        ) as runner:
            runner.run(_Relay(host, port, line).serve(listener))


@contextmanager
def relayed(host: str, port: int, line: Line) -> Generator[int]:
    """Give a port of 127.0.0.1 that leads to a server through a line, until the end of the block.

    It carries up to 500 connections at once. One that the server refuses is closed. Raises EOFError
    if the relay does not start, as in a program that does not guard its ``__main__``.
    """
    context = get_context("spawn")
    hears, tells = context.Pipe(duplex=False)
    relay = context.Process(target=_serve, args=(host, port, line, tells), daemon=True)
    relay.start()
    tells.close()
    try:
        yield hears.recv()
    finally:
        relay.terminate()
        relay.join()
        hears.close()


_SIZES = struct.Struct("!QQ")  # how many bytes follow, and how many are wanted back
_MESSAGE = 64
_MESSAGES = 50
_REST_SECONDS = 0.02  # from one message to the next
_MBIT = 10.0
_PER_BYTE = 8e-3 / _MBIT  # ms
_RISE_SECONDS = 0.2  # until the queue is full
_TRANSFER = 2_500_000
_RTTS = (0.0, 0.02, 0.05, 0.1)


def exchange(connection: socket.socket, sent: int, wanted: int) -> float:
    """Send and get so many bytes; return how many seconds it took. Raises EOFError."""
    begun = time.perf_counter()
    connection.sendall(_SIZES.pack(sent, wanted) + bytes(sent))
    _skip(connection, wanted)
    return time.perf_counter() - begun


def _skip(connection: socket.socket, size: int) -> None:
    while size:
        got = len(connection.recv(min(size, _MOST_READ)))
        if not got:
            raise EOFError("The connection has ended.")
        size -= got


def _answer(connection: socket.socket) -> None:
    """Give back as many bytes as are asked for."""
    with connection, suppress(EOFError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            head = connection.recv(_SIZES.size, socket.MSG_WAITALL)
            if len(head) < _SIZES.size:
                return
            sent, wanted = _SIZES.unpack(head)
            _skip(connection, sent)
            connection.sendall(bytes(wanted))


@contextmanager
def _partner() -> Generator[int]:
    """Answer connections at this port until the end of the block."""

    def accept() -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=_answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _trips(connection: socket.socket) -> list[float]:
    """Return the milliseconds of some round trips."""
    found: list[float] = []
    for _ in range(_MESSAGES):
        found.append(exchange(connection, _MESSAGE, _MESSAGE) * 1000)
        time.sleep(_REST_SECONDS)
    return found


def _row(what: str, wanted: float, measured: Sequence[float]) -> list[str]:
    numbers = (wanted, median(measured), min(measured), max(measured))
    return [what, *(f"{number:.1f}" for number in numbers)]


def _distance(port: int, rtt: float) -> list[list[str]]:
    """Measure the round trip of a line without a limit, to the partner at this port."""
    with (
        relayed("127.0.0.1", port, Line(rtt)) as line,
        socket.create_connection(("127.0.0.1", line)) as connection,
    ):
        exchange(connection, 1, 1)  # both ends are there
        return [_row(f"round trip at {rtt * 1000:.0f} ms", rtt * 1000, _trips(connection))]


def _width(port: int, rtt: float) -> list[list[str]]:
    """Measure transfers on a narrow line, and the round trip beside one of them."""
    line = Line(rtt, _MBIT)
    wanted = rtt * 1000 + _TRANSFER * _PER_BYTE
    name = f"{_TRANSFER / 1e6:.1f} MB {{}} at {_MBIT:.0f} Mbit/s, {rtt * 1000:.0f} ms"
    with (
        relayed("127.0.0.1", port, line) as narrow,
        socket.create_connection(("127.0.0.1", narrow)) as big,
        socket.create_connection(("127.0.0.1", narrow)) as small,
        ThreadPoolExecutor(1) as pool,
    ):
        for connection in (big, small):
            exchange(connection, 1, 1)
        there = exchange(big, _TRANSFER, 1) * 1000
        transfer = pool.submit(exchange, big, 1, _TRANSFER)
        time.sleep(rtt + _RISE_SECONDS)
        beside: list[float] = []
        while not transfer.done():
            beside.append(exchange(small, _MESSAGE, _MESSAGE) * 1000)
        back = transfer.result() * 1000
    return [
        _row(name.format("there"), wanted, [there]),
        _row(name.format("back"), wanted, [back]),
        # The last one or two come after the transfer.
        _row("  round trips beside it", rtt * 1000 + line.queue * _PER_BYTE, beside[:-2]),
    ]


@click.command()
def main() -> None:
    """Measure the relay itself."""
    with _partner() as port:
        rows = [row for rtt in _RTTS for row in _distance(port, rtt)]
        rows += [row for rtt in _RTTS for row in _width(port, rtt)]
    table(
        f"What was wanted of the relay, and what it did, in ms ({machine()})",
        ["", "wanted", "median", "least", "most"],
        rows,
    )


if __name__ == "__main__":
    main()
