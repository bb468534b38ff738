"""Tells gates what they need to know, in a thread of its own.

The thread has an event loop of its own: it answers "are you there?" however busy the hub's pages
are, and a gate that does not read delays nobody. What it tells are frozen values that the hub's
loop has handed over; what gates say is handed back there.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

import anyio
import structlog
from anyio.abc import ByteStream
from anyio.from_thread import start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener
from msgspec.msgpack import Decoder

from controller.gate.facts import (
    PROTOCOL,
    Ask,
    Beat,
    Change,
    Confirm,
    Facts,
    FromGate,
    Goodbye,
    Hello,
    Prove,
    Proven,
    Site,
    Used,
    snapshot_of,
)
from controller.gate.framing import BrokenMessage, Messages, StreamLost, framed, until_lost
from controller.gate.freshness import SILENCE_SECONDS

_FOLLOWERS_MOST = 64

_HELLO_SECONDS = 5.0  # from a connection to the first message

_MESSAGE_MOST = 16 * 1024 * 1024  # bytes of a gate's message

_WAITING_MOST = 64 * 1024 * 1024
"""Bytes that wait for a gate. One that does not read for so long begins anew with a snapshot."""

_SILENT_SECONDS = SILENCE_SECONDS + 0.5
"""Without a question of a gate, or without an answer to it, after which its stream is closed. Not
earlier: a gate whose stream is closed while what it knows is fresh takes its controller for gone,
and goes on alone."""

_log = structlog.get_logger("feed")


class Heard(Protocol):
    """Who hears what gates say. Everything is called in the hub's loop."""

    def joined(self, name: str, boot: str, admit: Callable[[], None]) -> None:
        """A gate has begun to follow; it is told nothing until ``admit`` is called."""
        ...

    def confirmed(self, name: str, boot: str, number: int) -> None:
        """Everything up to this number counts there."""
        ...

    def used(self, used: Used) -> None:
        """A gate reports what was used."""
        ...

    def left(self, name: str, boot: str, *, for_good: bool, silent: bool) -> None:
        """A gate follows no more; ``for_good``: it has said that it answers no more.

        ``silent``: it had confirmed something here, and was given up after it had asked nothing for
        so long that it denies.
        """
        ...


class _Follower:
    """One connection."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.admitted = False  # it may be told
        self.fed = False  # it has its snapshot
        self.confirmed = False  # the snapshot, or more
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._news = anyio.Event()
        self._muted: float | None = None  # since when it is told nothing any more; monotonic

    def put(self, data: bytes) -> None:
        """Send this, after all that waits; nothing any more to a gate that does not read."""
        if self._muted is not None:
            return
        self._size += len(data)
        if self._size > _WAITING_MOST:
            self._muted = time.monotonic()
            return
        self._waiting.append(data)
        self._news.set()

    @property
    def given_up(self) -> bool:
        """Whether it has been told nothing for so long that it denies."""
        return self._muted is not None and time.monotonic() - self._muted > _SILENT_SECONDS

    async def write(self, stream: ByteStream) -> None:
        """Send what waits, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            data = b"".join(self._waiting)
            self._waiting.clear()
            await stream.send(data)
            self._size -= len(data)


class FeedServer:
    """The listener for gates."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        site: Site,
        heard: Heard,
        prove: Callable[[str, str], bytes],
    ) -> None:
        """``prove``: see ``facts.Proven``; it is called in the thread of the server."""
        self._host = host
        self._port = port
        self._site = site
        self._heard = heard
        self._prove = prove
        self._followers: set[_Follower] = set()
        self._present: dict[str, _Follower] = {}  # the last connection of each start of a gate
        self._facts: Facts | None = None
        self._number = 0
        self._snapshot = b""  # of the number, once somebody needed it
        self._listener: TLSListener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hub: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    @contextmanager
    def running(self, context: ssl.SSLContext) -> Generator[None]:
        """Serve gates meanwhile. Raises OSError if the port is taken."""
        hub = self._hub = asyncio.get_running_loop()
        with start_blocking_portal("asyncio", {"use_uvloop": True}, name="feed") as portal:
            serving, _ = portal.start_task(self._serve, context)
            serving.add_done_callback(lambda _: hub.call_soon_threadsafe(self._ended.set))
            try:
                yield
            finally:
                self._loop = None
                serving.cancel()

    def renew(self, context: ssl.SSLContext) -> None:
        """Serve gates that come from now on by this; streams that are open stay."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._use, context)

    async def ended(self) -> None:
        """Wait until gates are served no more, though nobody has asked for that."""
        await self._ended.wait()

    def tell(self, facts: Facts, change: Change | None, number: int) -> None:
        """Tell all gates what is new; called in the hub's loop."""
        if self._loop is None:
            self._facts, self._number = facts, number  # gates that come later begin with these
        else:
            self._loop.call_soon_threadsafe(self._take, facts, change, number)

    # -- in the thread ---------------------------------------------------------------------

    async def _serve(
        self,
        context: ssl.SSLContext,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        async with await anyio.create_tcp_listener(
            local_host=self._host, local_port=self._port
        ) as listener:
            self._loop = asyncio.get_running_loop()
            self._listener = TLSListener(
                listener, context, standard_compatible=False, handshake_timeout=_HELLO_SECONDS
            )
            task_status.started()
            await self._listener.serve(self._follow)

    def _use(self, context: ssl.SSLContext) -> None:
        if self._listener is not None:
            self._listener.ssl_context = context  # it is read for each connection

    def _take(self, facts: Facts, change: Change | None, number: int) -> None:
        self._facts, self._number, self._snapshot = facts, number, b""
        data = framed(change) if change is not None else b""
        for one in self._followers:
            if one.fed:
                one.put(data)
            else:
                self._feed(one)

    def _admit(self, follower: _Follower) -> None:
        follower.admitted = True
        self._feed(follower)

    def _feed(self, follower: _Follower) -> None:
        """Send everything, if it is known, to a gate that may be told."""
        if self._facts is None or not follower.admitted:
            return
        if not self._snapshot:
            self._snapshot = framed(snapshot_of(self._facts, number=self._number, site=self._site))
        follower.fed = True
        follower.put(self._snapshot)

    async def _follow(self, stream: ByteStream) -> None:
        """Serve one gate to the end of its connection; nothing that it sends ends anything else."""
        reader = BufferedByteReceiveStream(stream)
        decoder: Decoder[FromGate] = Decoder(FromGate)
        messages = Messages(decoder, most=_MESSAGE_MOST)
        try:
            with until_lost():
                async with stream:
                    with anyio.fail_after(_HELLO_SECONDS):
                        hello = await messages.read(reader)
                    follower = self._greet(hello)
                    await self._converse(follower, stream, reader, messages)
        except StreamLost as error:
            _log.info("gate_lost", error=str(error))
        except Exception:  # noqa: BLE001 - a fault with one gate must not end the others' streams
            _log.exception("feed_fault")

    def _greet(self, hello: FromGate) -> _Follower:
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
            raise BrokenMessage("it speaks another protocol")
        if len(self._followers) >= _FOLLOWERS_MOST:
            raise BrokenMessage("there are too many gates")
        return _Follower(hello)

    async def _converse(
        self,
        follower: _Follower,
        stream: ByteStream,
        reader: BufferedByteReceiveStream,
        messages: Messages[FromGate],
    ) -> None:
        name, boot = follower.hello.name, follower.hello.boot
        for_good = silent = False
        _log.info("gate_follows", gate=name)
        loop = asyncio.get_running_loop()
        self._followers.add(follower)
        self._present[boot] = follower
        self._tell_hub(
            self._heard.joined,
            name,
            boot,
            lambda: loop.call_soon_threadsafe(self._admit, follower),
        )
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(follower.write, stream)
                while not (for_good or silent):
                    message = None
                    with anyio.move_on_after(_SILENT_SECONDS):
                        message = await messages.read(reader)
                    if message is None or follower.given_up:
                        silent = True
                    else:
                        for_good = self._hear(follower, message)
                group.cancel_scope.cancel()
        finally:
            self._followers.discard(follower)
            # Else it has come again before this was noticed.
            if self._present.get(boot) is follower:
                del self._present[boot]
                # Until it has confirmed something it may go on by what an earlier controller told.
                denies = silent and follower.confirmed
                self._tell_hub(
                    lambda: self._heard.left(name, boot, for_good=for_good, silent=denies)
                )

    def _hear(self, follower: _Follower, message: FromGate) -> bool:
        """Take a message; True: it is the last one."""
        match message:
            case Ask():
                follower.put(framed(Beat(message.at)))
            case Confirm():
                hello = follower.hello
                follower.confirmed = True
                if self._present.get(hello.boot) is follower:
                    self._tell_hub(self._heard.confirmed, hello.name, hello.boot, message.number)
            case Used():
                self._tell_hub(self._heard.used, message)
            case Prove():
                claims = self._prove(message.token, message.audience)
                follower.put(framed(Proven(message.number, claims)))
            case Goodbye():
                return True
            case Hello():
                raise BrokenMessage("it greets twice")
        return False

    def _tell_hub(self, call: Callable[..., None], *values: object) -> None:
        if self._hub is not None and not self._hub.is_closed():
            self._hub.call_soon_threadsafe(call, *values)
