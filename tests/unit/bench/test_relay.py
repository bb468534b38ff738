"""The bench's relay: what goes through it, and when by its own reckoning; no clock is read."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue

import pytest
from bench.relay import Line, Link, relayed

PATIENCE = 30.0  # seconds
DATA = random.Random(1).randbytes(3_000_000)  # noqa: S311 - no secret
NARROW = Line(mbit=10.0, queue=10_000)  # 800 ns a byte
PACKET = 0.0012  # seconds that 1500 bytes take there

Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Generator[int]:
    """Serve each connection in a thread of its own; give the port."""

    def one(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(PATIENCE)
            serve(connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed
            pool.submit(one, connection)

    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        ThreadPoolExecutor(64) as pool,
    ):
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


@contextmanager
def through(serve: Serve, line: Line) -> Generator[int]:
    """Serve behind a line; give its port."""
    with server(serve) as port, relayed("127.0.0.1", port, line) as relay:
        yield relay


def connect(port: int) -> socket.socket:
    """Connect to the relay."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def everything(connection: socket.socket) -> bytes:
    """Return what comes until the end."""
    found = bytearray()
    while piece := connection.recv(1 << 16):
        found += piece
    return bytes(found)


def echo(connection: socket.socket) -> None:
    """Send back what comes, as it comes."""
    while piece := connection.recv(1 << 16):
        connection.sendall(piece)


def digest(connection: socket.socket) -> None:
    """Answer after the end: half of the connection is closed by then."""
    connection.sendall(hashlib.sha256(everything(connection)).digest())


def echoed(port: int, data: bytes) -> bytes:
    """Send and get at once, and return what came."""
    with connect(port) as connection, ThreadPoolExecutor(1) as pool:
        came = pool.submit(everything, connection)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return came.result(PATIENCE)


@pytest.mark.parametrize(
    "line",
    [
        Line(),
        Line(rtt=0.02),
        Line(rtt=0.01, jitter=0.02),
        Line(mbit=100.0, queue=3000),
        Line(rtt=0.01, mbit=100.0, jitter=0.01),
    ],
    ids=str,
)
def test_all_bytes_arrive_in_order(line: Line) -> None:
    """Both ways at once, whatever the line."""
    with through(echo, line) as port:
        assert echoed(port, DATA) == DATA


def test_one_side_ends_before_the_other() -> None:
    """The other one still sends."""
    with through(digest, Line(rtt=0.01)) as port, connect(port) as connection:
        connection.sendall(DATA)
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == hashlib.sha256(DATA).digest()


def test_the_server_ends_first() -> None:
    """The client has everything that was sent before."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(DATA)
        connection.shutdown(socket.SHUT_WR)
        heard.put(everything(connection))

    heard: SimpleQueue[bytes] = SimpleQueue()
    with through(speak, Line(rtt=0.01)) as port, connect(port) as connection:
        assert everything(connection) == DATA
        connection.sendall(b"thanks")
        connection.shutdown(socket.SHUT_WR)
        assert heard.get(timeout=PATIENCE) == b"thanks"


def test_a_refused_target_closes() -> None:
    """And the relay goes on."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with relayed("127.0.0.1", port, Line()) as relay:
        for _ in range(2):
            with connect(relay) as connection:
                assert not connection.recv(1)


def test_a_connection_that_breaks_harms_no_other() -> None:
    """It is closed on the other side."""

    def listen(connection: socket.socket) -> None:
        with suppress(ConnectionError):
            echo(connection)
        ended.set()

    ended = threading.Event()
    with through(listen, Line()) as port, connect(port) as other, connect(port) as broken:
        other.sendall(b"1")
        broken.sendall(b"2")
        assert other.recv(1) + broken.recv(1) == b"12"
        # A reset instead of an end.
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broken.close()
        assert ended.wait(PATIENCE)
        other.sendall(b"3")
        assert other.recv(1) == b"3"


def test_many_connections() -> None:
    """Each gets its own bytes."""

    def own(number: int) -> bool:
        message = f"{number} ".encode() * 2000
        return echoed(port, message) == message

    with (
        through(echo, Line(rtt=0.01, mbit=100.0, queue=20_000)) as port,
        ThreadPoolExecutor(50) as pool,
    ):
        assert all(pool.map(own, range(50)))


def test_a_receiver_that_does_not_take_stops_the_sender() -> None:
    """What is sent stays with the sender, but for bounded buffers."""
    took, go = [0], threading.Event()

    def stubborn(connection: socket.socket) -> None:
        assert go.wait(PATIENCE)
        took[0] = len(everything(connection))

    with through(stubborn, Line()) as port, connect(port) as connection:
        connection.settimeout(1)
        sent = 0
        with suppress(TimeoutError):
            while sent < 200_000_000:
                sent += connection.send(DATA[:100_000])
        assert sent < 200_000_000
        go.set()
        connection.settimeout(PATIENCE)
        connection.shutdown(socket.SHUT_WR)
        assert not everything(connection)
    assert took[0] == sent


def link(line: Line, *chances: float) -> Link:
    """Return a direction of a line whose jitter is known."""
    left = iter(chances)
    return Link(line, lambda: next(left, 0.0))


def test_distance() -> None:
    """Half of the round trip in each direction, and nothing waits."""
    far = link(Line(rtt=0.1))
    assert far.take(1_000_000, 5.0) == pytest.approx(5.05)
    assert far.take(1, 5.0) == pytest.approx(5.05)
    assert far.wait(1_000_000, 5.0) == 0


def test_rate() -> None:
    """Bytes leave one after the other; the line does not save up."""
    narrow = link(NARROW)
    assert narrow.take(1500, 1.0) == pytest.approx(1.0 + PACKET)
    assert narrow.take(1500, 1.0) == pytest.approx(1.0 + 2 * PACKET)
    assert narrow.take(1500, 9.0) == pytest.approx(9.0 + PACKET)


def test_jitter_keeps_the_order() -> None:
    """What is late delays what comes after it."""
    shaky = link(Line(rtt=0.02, jitter=0.04), 1.0, 0.0, 0.25)
    assert shaky.take(1, 1.0) == pytest.approx(1.05)
    assert shaky.take(1, 1.001) == pytest.approx(1.05)
    assert shaky.take(1, 1.041) == pytest.approx(1.061)


def test_the_queue_is_bounded() -> None:
    """There is room when enough has left."""
    narrow = link(NARROW)
    for _ in range(6):
        assert narrow.wait(1500, 1.0) == 0
        narrow.take(1500, 1.0)
    assert narrow.wait(1000, 1.0) == pytest.approx(0)
    assert narrow.wait(1500, 1.0) == pytest.approx(500 * 8e-7)
    assert narrow.wait(1500, 1.0 + PACKET) == 0


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (Line(), 65_536),
        (Line(mbit=0.5), 1448),
        (Line(mbit=10.0), 2500),
        (Line(mbit=1000.0), 65_536),
        (Line(mbit=10.0, queue=100), 100),
    ],
)
def test_pieces_are_small(line: Line, size: int) -> None:
    """Two milliseconds of the line, but no less than a packet and no more than the queue."""
    assert Link(line).piece == size
