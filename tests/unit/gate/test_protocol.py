"""HTTP as Traefik speaks it, and as nobody should: answered in order, bounded, never fatal."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from controller.core.errors import Unavailable
from controller.gate.answers import Answer, Headers, answer, problem_answer
from controller.gate.contract import AskFirst
from controller.gate.protocol import Connection, Listener

pytestmark = pytest.mark.anyio

SECONDS = 10.0  # until something that must happen counts as not happening
ASK = b"GET /verify/%b HTTP/1.1\r\nHost: gate\r\n\r\n"


class Echo:
    """Answers with what was asked; ``slow/…`` only once ``heard`` is set."""

    def __init__(self) -> None:
        """Nothing was heard of yet."""
        self.heard = asyncio.Event()
        self.known = False

    def answer(self, path: str, headers: Headers) -> Answer:
        """See Verifying."""
        if path.startswith("/verify/slow") and not self.known:
            raise AskFirst(self.heard.wait)
        told = {name.decode(): value.decode("latin-1") for name, value in headers}
        return answer(200, {"X-Path": path} | {f"X-{name}": told[name] for name in sorted(told)})

    async def answer_after(self, asked: AskFirst, path: str, headers: Headers) -> Answer:
        """See Verifying."""
        await asked.ask()
        self.known = True
        return self.answer(path, headers)


def broken() -> Answer:
    """Fail."""
    raise RuntimeError("secret")


def away() -> Answer:
    """Be refused."""
    raise Unavailable("The directory does not answer.")


PAGES: dict[str, Callable[[], Answer]] = {
    "/healthz": lambda: answer(200, {"Content-Type": "text/plain"}, b"alive"),
    "/broken": broken,
    "/away": away,
}


class Wire:
    """A connection to the listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use these ends."""
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        """Send."""
        self._writer.write(data)

    def close(self) -> None:
        """Leave."""
        self._writer.close()

    async def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Return the next answer: status, headers, body."""
        with anyio.fail_after(SECONDS):
            first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if line)
            body = b"" if head else await self._reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, body

    async def rest(self) -> bytes:
        """Return what comes until the connection is closed."""
        with anyio.fail_after(SECONDS):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def listening(
    verify: Echo | None = None,
    *,
    most: int = 4096,
    idle: float = 120.0,
    age: float = 60.0,
    incomplete: float = 10.0,
) -> AsyncGenerator[tuple[Listener, Callable[[], Awaitable[Wire]]]]:
    """Listen; gives the listener, and what connects to it."""
    listener = Listener(
        verify or Echo(),
        PAGES,
        connections_max=most,
        idle_seconds=idle,
        age_seconds=age,
        incomplete_seconds=incomplete,
        sweep_seconds=0.01,
    )
    writers: list[asyncio.StreamWriter] = []
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        await listener.start(sock)

        async def connect() -> Wire:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            return Wire(reader, writer)

        yield listener, connect
        for writer in writers:
            writer.close()
        await listener.stop(0)


async def test_questions_on_one_connection() -> None:
    """One question after the other is answered on a connection that stays open."""
    async with listening() as (_, connect):
        wire = await connect()
        for name in (b"a", b"b%20c?x=/y", b"d"):
            wire.send(ASK % name)
            status, headers, body = await wire.answer()
            assert (status, body) == (200, b"")
            path = name.partition(b"?")[0].replace(b"%20", b" ")
            assert headers["x-path"] == f"/verify/{path.decode()}"
            assert headers["x-host"] == "gate"


async def test_pipelined() -> None:
    """Questions that come at once are answered in their order."""
    async with listening() as (_, connect):
        wire = await connect()
        wire.send(b"".join(ASK % b"%d" % number for number in range(100)))
        paths = [(await wire.answer())[1]["x-path"] for _ in range(100)]
        assert paths == [f"/verify/{number}" for number in range(100)]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, b"alive"),
        ("/healthz?x=y", 200, b"alive"),
        ("http://gate/healthz", 200, b"alive"),
        ("/nothing", 404, b"There is nothing at this address."),
        ("/", 404, b"There is nothing at this address."),
        ("/broken", 503, b"detail"),
        ("/away", 503, b"The directory does not answer."),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "BREW"])
async def test_pages(method: str, path: str, status: int, body: bytes) -> None:
    """Other pages answer, and a fault in one of them harms no connection and says nothing."""
    async with listening() as (_, connect):
        wire = await connect()
        known = method != "BREW"
        wire.send(f"{method} {path} HTTP/1.1\r\nHost: gate\r\n\r\n".encode())
        found = await wire.answer(head=method == "HEAD")
        assert found[0] == (status if known else 400)
        if known and method != "HEAD":
            assert body in found[2]
            assert b"secret" not in found[2]
        if known:
            wire.send(ASK % b"a")
            assert (await wire.answer())[0] == 200
        else:
            assert await wire.rest() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),  # somebody speaks TLS
        (b"GET /verify/a HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /verify/a HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
        (b"POST /verify/a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"GET /verify/a HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET /verify/a HTTP/1.1\r\nX: " + b"y" * 600_000, 431),
        (b"GET /" + b"y" * 600_000, 431),
        (b"POST /verify/a HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"y" * 800_000, 431),
    ],
)
async def test_refused(sent: bytes, status: int) -> None:
    """What cannot be read, or has no end, is refused, and the connection closed."""
    async with listening() as (_, connect):
        wire = await connect()
        wire.send(ASK % b"a" + sent)
        assert (await wire.answer())[0] == 200
        found = await wire.answer()
        assert (found[0], found[1]["connection"]) == (status, "close")
        assert found[1]["content-type"] == "application/problem+json"
        assert await wire.rest() == b""
        other = await connect()
        other.send(ASK % b"b")
        assert (await other.answer())[0] == 200


@pytest.mark.parametrize("body", [b"Content-Length: 3\r\n\r\nabc", b"Content-Length: 0\r\n\r\n"])
async def test_bodies_are_ignored(body: bytes) -> None:
    """A body changes nothing, and is not taken for the next request."""
    async with listening() as (_, connect):
        wire = await connect()
        wire.send(b"POST /verify/a HTTP/1.1\r\n" + body + ASK % b"b")
        assert (await wire.answer())[1]["x-path"] == "/verify/a"
        assert (await wire.answer())[1]["x-path"] == "/verify/b"


@pytest.mark.parametrize(
    "asked",
    [
        b"GET /verify/a HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /verify/a HTTP/1.0\r\n\r\n",
    ],
)
async def test_the_last_question(asked: bytes) -> None:
    """Who asks for the connection to be closed gets the answer first."""
    async with listening() as (_, connect):
        wire = await connect()
        wire.send(asked)
        assert (await wire.answer())[1]["connection"] == "close"
        assert await wire.rest() == b""


async def test_upgrade() -> None:
    """A handshake gets its answer like any question, and nothing else is spoken after it."""
    async with listening() as (_, connect):
        wire = await connect()
        wire.send(b"GET /verify/a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nxyz")
        assert (await wire.answer())[0] == 200
        assert await wire.rest() == b""


@pytest.mark.parametrize("begun", [b"G", b"GET /verify/a HTTP/1.1\r\nHost:", ASK % b"a" + b"GET"])
async def test_half_a_request(begun: bytes) -> None:
    """A request that never ends does not keep its connection; an idle one stays."""
    async with listening(incomplete=0.05) as (_, connect):
        idle, wire = await connect(), await connect()
        wire.send(begun)
        await wire.rest()
        idle.send(ASK % b"a")
        assert (await idle.answer())[0] == 200


async def test_idle() -> None:
    """A connection on which nothing is asked for long is closed."""
    async with listening(idle=0.05) as (_, connect):
        assert await (await connect()).rest() == b""


async def test_old() -> None:
    """A connection that has been used for long is closed after an answer, never instead of one."""
    async with listening(age=0.2) as (_, connect):
        wire = await connect()
        last = ""
        with anyio.fail_after(SECONDS):
            while last != "close":
                wire.send(ASK % b"a")
                status, headers, _body = await wire.answer()
                assert status == 200
                last = headers.get("connection", "")
        assert await wire.rest() == b""


async def test_too_many() -> None:
    """More connections than allowed are closed, and those that are open go on."""
    async with listening(most=2) as (_, connect):
        wires = [await connect(), await connect()]
        for wire in wires:
            wire.send(ASK % b"a")
            assert (await wire.answer())[0] == 200
        assert await (await connect()).rest() == b""
        for wire in wires:
            wire.send(ASK % b"b")
            assert (await wire.answer())[0] == 200


async def test_asked_first() -> None:
    """What the controller must be asked first waits, and all behind it on the same connection."""
    verify = Echo()
    async with listening(verify) as (_, connect):
        wire, other = await connect(), await connect()
        wire.send(ASK % b"a" + ASK % b"slow/1" + ASK % b"b" + ASK % b"slow/2" + b"nonsense\r\n")
        assert (await wire.answer())[1]["x-path"] == "/verify/a"
        other.send(ASK % b"c")
        assert (await other.answer())[1]["x-path"] == "/verify/c"
        verify.heard.set()
        for name in ("slow/1", "b", "slow/2"):
            assert (await wire.answer())[1]["x-path"] == f"/verify/{name}"
        assert (await wire.answer())[0] == 400
        assert await wire.rest() == b""


async def test_gone_while_asking() -> None:
    """Somebody who leaves while the controller is asked harms nobody."""
    verify = Echo()
    async with listening(verify) as (_, connect):
        wire, other = await connect(), await connect()
        wire.send(ASK % b"slow/1")
        other.send(ASK % b"a")
        await other.answer()
        wire.close()
        verify.heard.set()
        other.send(ASK % b"b")
        assert (await other.answer())[0] == 200


async def test_stopping() -> None:
    """At an orderly end each connection gets one more answer; those without a question close."""
    async with listening() as (listener, connect):
        wire, idle = await connect(), await connect()
        for one in (wire, idle):
            one.send(ASK % b"a")
            await one.answer()
        async with anyio.create_task_group() as group:
            group.start_soon(listener.stop, 0.5)
            await anyio.wait_all_tasks_blocked()
            wire.send(ASK % b"b")
            found = await wire.answer()
            assert (found[0], found[1]["connection"]) == (200, "close")
            assert await wire.rest() == b""
            with pytest.raises(OSError, match="Connect"):
                await connect()
        assert await idle.rest() == b""


class Sent(asyncio.Transport):
    """Keeps what is sent."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.data = b""
        self.closed = False

    @override
    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        assert not self.closed
        self.data += data

    @override
    def close(self) -> None:
        self.closed = True


def answered(pieces: list[bytes]) -> Sent:
    """Return what comes back for bytes that arrive in these pieces."""
    sent = Sent()
    connection = Connection(Listener(Echo(), PAGES))
    connection.connection_made(sent)
    for piece in pieces:
        if not sent.closed:
            connection.data_received(piece)
    return sent


REQUESTS = ASK % b"a" + b"POST /healthz HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" + ASK % b"b"


@given(st.lists(st.integers(0, len(REQUESTS))))
def test_in_pieces(cuts: list[int]) -> None:
    """However the network cuts them, requests are answered in the same way."""
    ends = [0, *sorted(cuts), len(REQUESTS)]
    pieces = [REQUESTS[begin:end] for begin, end in pairwise(ends)]
    assert answered(pieces).data == answered([REQUESTS]).data


@given(
    st.lists(st.binary() | st.sampled_from([ASK % b"a", ASK[:30], b"\r\n", b"POST / HTTP/1.1\r\n"]))
)
def test_anything(pieces: list[bytes]) -> None:
    """Whatever arrives is answered or refused: never a fault."""
    data = answered(pieces).data
    assert not data or data.startswith(b"HTTP/1.1 ")


def test_problem_on_the_wire() -> None:
    """An answer is written as HTTP/1.1 says."""
    found = problem_answer(Unavailable("Try again."))
    head, _, body = found.wire.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"HTTP/1.1 503 Service Unavailable"
    assert b"content-length: %d" % len(body) in lines
    assert body == found.body
