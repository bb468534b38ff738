"""Follows a controller: what it tells counts here, and it hears what was used.

It connects again and again, for ever, and asks twice a second whether the controller is there. Of
several controllers it follows one, and another one as soon as that one is silent or gone.
``freshness`` says what may be judged by meanwhile.
"""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio
import msgspec
import structlog
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec.msgpack import Decoder
from typing_extensions import override

from controller.core.errors import ConfigError
from controller.gate.addresses import Address, hosts_of, next_host
from controller.gate.facts import (
    PROTOCOL,
    Ask,
    Beat,
    Change,
    Confirm,
    FromController,
    Goodbye,
    Hello,
    Prove,
    Proven,
    Snapshot,
    Used,
)
from controller.gate.framing import BrokenMessage, Messages, StreamLost, framed, until_lost
from controller.gate.freshness import SILENCE_SECONDS, Freshness
from controller.gate.link import CONTROLLER_NAME

_ASK_SECONDS = 0.5

_AGAIN_SECONDS = 0.1  # between two connections: a controller that restarts is followed at once

_CONNECT_SECONDS = 2.0

_NEXT_SECONDS = 1.25
"""Without a message, after which another controller is followed if there is one, and for which a
connection is tried. So another one has answered before what is known is too old to judge by."""

_CUT_OFF_SECONDS = 20.0
"""For which a controller that is named does not answer, after which there may be one nevertheless.
Names of controllers that have gone are remembered for some seconds."""

_REPORT_SECONDS = 0.25

_PROVE_MOST = 32  # questions at once about tokens that only a controller can read

_log = structlog.get_logger("gate")


class Memory(Protocol):
    """Where what is told is kept."""

    def replace(self, snapshot: Snapshot) -> None:
        """Know this, and nothing else."""
        ...

    def apply(self, change: Change) -> None:
        """Know this, too."""
        ...

    def report(self) -> Used | None:
        """Return what was used since the last time; None: nothing."""
        ...


class Keeper(Protocol):
    """What the gate keeps for its next start, see ``keeping``."""

    async def load(self) -> None:
        """Look what an earlier start has kept."""
        ...

    def resume(self) -> bool:
        """Go on by that, since no controller is there; False: there is nothing."""
        ...

    def leave(self) -> None:
        """Do not go on by it in this start: there is a controller."""
        ...

    async def keep(self) -> None:
        """Keep what is known: from now on the gate goes on alone."""
        ...

    async def forget(self) -> None:
        """Keep nothing any more. Raises OSError unless that is sure."""
        ...


class KeepsNothing(Keeper):
    """A gate whose next start knows nothing."""

    @override
    async def load(self) -> None:
        return

    @override
    def resume(self) -> bool:
        return False

    @override
    def leave(self) -> None:
        return

    @override
    async def keep(self) -> None:
        return

    @override
    async def forget(self) -> None:
        return


NOTHING_KEPT = KeepsNothing()


class Follower:
    """A gate's side of the stream."""

    def __init__(
        self,
        address: Address,
        memory: Memory,
        freshness: Freshness,
        *,
        name: str,
        boot: str,
        connect_by: Callable[[], ssl.SSLContext],
        clock: Callable[[], float],
        find: Callable[[Address], Awaitable[Sequence[str]]] = hosts_of,
        keeping: Keeper = NOTHING_KEPT,
    ) -> None:
        """``name``: the gate's for good; ``boot``: of this start of it.

        ``connect_by`` is asked for each connection, and may raise ConfigError; ``clock`` is the one
        that ``freshness`` has; ``find``: see ``hosts_of``.
        """
        self._address = address
        self._memory = memory
        self._freshness = freshness
        self._keeping = keeping
        self._hello = Hello(PROTOCOL, name, boot)
        self._connect_by = connect_by
        self._clock = clock
        self._find = find
        self._stream: ByteStream | None = None
        self.sending = anyio.Lock()
        self._number = 0
        self._fed = False  # this connection has brought a snapshot
        self._answered = 0.0  # when the last question was sent that this connection has answered
        self.known = anyio.Event()  # something to judge by, for the first time
        self._ending = False  # it answers no more
        self._met = False  # a controller was connected to in this start
        self._refused: set[str] = set()  # hosts that did so when they were last tried
        self._fault = ""
        self._host = ""  # that was tried last
        self._several = False
        self._unanswered: float | None = None  # since when a named controller does not answer
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[anyio.Event, list[bytes]]] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._keeping.load()
        while True:
            try:
                await self._follow_once()
            except ConfigError as error:
                self._note(str(error))
            except StreamLost as error:
                if self._fed and error.closed and self._freshness.close() and not self._ending:
                    await self._keeping.keep()
                self._note(str(error))
            await anyio.sleep(_AGAIN_SECONDS)

    def _note(self, fault: str) -> None:
        if fault != self._fault:
            _log.warning("controller_not_followed", error=fault, alone=self._freshness.alone)
        self._fault = fault

    async def _follow_once(self) -> None:
        """Follow until the stream ends. Raises StreamLost, or ConfigError without a proof."""
        self._fed = False
        context = self._connect_by()
        with until_lost():
            stream = await self._connect(context)
            async with stream:
                self._stream = stream
                try:
                    await self._converse(stream)
                finally:
                    self._stream = None

    async def _connect(self, context: ssl.SSLContext) -> ByteStream:
        """Connect to a controller; raises what ends a stream."""
        hosts = await self._hosts()
        self._several = len(hosts) > 1
        self._host = next_host(hosts, self._host, self._hello.name)
        try:
            with anyio.fail_after(_NEXT_SECONDS if self._several else _CONNECT_SECONDS):
                stream = await anyio.connect_tcp(
                    self._host,
                    self._address.port,
                    ssl_context=context,
                    tls_hostname=CONTROLLER_NAME,
                    tls_standard_compatible=False,
                )
        except TimeoutError:
            self._refused.discard(self._host)
            now = self._clock()
            if self._unanswered is None:
                self._unanswered = now
            elif now - self._unanswered > _CUT_OFF_SECONDS:
                self._freshness.doubt()
                await self._keeping.forget()
            raise
        except OSError as error:
            self._unanswered = None  # nobody is there, for sure
            self._note_refusal(error, hosts)
            raise
        self._unanswered = None
        self._met = True
        self._keeping.leave()
        return stream

    async def _hosts(self) -> Sequence[str]:
        """Return where controllers are. Raises OSError if their name is not known."""
        begun = self._clock()
        try:
            return await self._find(self._address)
        except socket.gaierror:
            # Who is asked for names and does not answer proves nothing; Docker's own server, asked
            # for what does not run, says at once that it cannot tell.
            if self._clock() - begun < _CONNECT_SECONDS:
                self._go_on_without()
            raise

    def _note_refusal(self, error: OSError, hosts: Sequence[str]) -> None:
        """Note that nobody could be connected to; whoever is there but is not understood is."""
        if isinstance(error.__cause__ or error, ConnectionRefusedError):
            self._refused.add(self._host)
        else:
            self._refused.discard(self._host)
        if self._refused.issuperset(hosts):
            self._go_on_without()

    def _go_on_without(self) -> None:
        """Go on by what an earlier start has kept: no controller is there for sure."""
        if not self._met and self._keeping.resume():
            self.known.set()

    async def _converse(self, stream: ByteStream) -> None:
        reader = BufferedByteReceiveStream(stream)
        decoder: Decoder[FromController] = Decoder(FromController)
        messages = Messages(decoder)
        self._answered = self._clock()
        await self._send(self._hello)
        async with anyio.create_task_group() as group:
            group.start_soon(self._ask)
            group.start_soon(self._report)
            if self._several:
                group.start_soon(self._insist)
            while True:
                # A stream that is silent is of no use: another controller may answer.
                patience = _NEXT_SECONDS if self._several and self._fed else 2 * SILENCE_SECONDS
                with anyio.fail_after(patience):
                    message = await messages.read(reader)
                await self._hear(message)

    async def _hear(self, message: FromController) -> None:
        match message:
            case Snapshot():
                await self._keeping.forget()
                self._memory.replace(message)
                self._number, self._fed = message.number, True
                self._fault = ""
                # Before it confirms: from then on it must deny if it hears nothing.
                self._freshness.hear(self._answered)
                _log.info("controller_followed", sessions=len(message.sessions))
                await self._send(Confirm(message.number))
            case Change():
                if not self._fed or message.number != self._number + 1:
                    raise BrokenMessage("a change is missing")
                self._memory.apply(message)
                self._number = message.number
                await self._send(Confirm(message.number))
            case Beat():
                # Before its snapshot a controller that starts tells only that it is there.
                self._answered = message.asked
                if self._fed:
                    self._freshness.hear(message.asked)
                    self.known.set()
            case Proven():
                if asked := self._asked.get(message.number):
                    asked[1].append(message.claims)
                    asked[0].set()

    async def _ask(self) -> None:
        while True:
            await self._send(Ask(self._clock()))
            await anyio.sleep(_ASK_SECONDS)

    async def _insist(self) -> None:
        """Leave a controller that tells nothing: it may not know what others have written."""
        await anyio.sleep(2 * _NEXT_SECONDS)
        if not self._fed:
            raise BrokenMessage("it has told nothing yet")

    async def _report(self) -> None:
        while True:
            await anyio.sleep(_REPORT_SECONDS)
            if self._fed and (used := self._memory.report()) is not None:
                await self._send(used)

    async def _send(self, message: msgspec.Struct) -> None:
        stream = self._stream
        if stream is None:
            raise anyio.ClosedResourceError
        async with self.sending:
            await stream.send(framed(message))

    async def prove(self, token: str, audience: str) -> bytes:
        """Return the claims of a token that only a controller can read; b"": it proves nothing.

        Raises TimeoutError if it cannot be asked. Who asks says how long an answer is waited for.
        """
        if len(self._asked) >= _PROVE_MOST:
            raise TimeoutError
        number = next(self._numbers)
        answered = self._asked[number] = (anyio.Event(), [])
        try:
            await self._send(Prove(number, token, audience))
            await answered[0].wait()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise TimeoutError from error
        finally:
            del self._asked[number]
        return answered[1][0]

    async def say_goodbye(self) -> None:
        """Tell the controller that this gate answers no more; it is not waited for."""
        self._ending = True
        if self._stream is None:
            _log.info("no_goodbye")  # there is nobody to hear it
            return
        with anyio.move_on_after(0.5):
            try:
                await self._keeping.forget()  # else its next start might answer nevertheless
                if self._fed and (used := self._memory.report()) is not None:
                    await self._send(used)
                await self._send(Goodbye())
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                _log.info("no_goodbye")  # there is nobody to hear it
