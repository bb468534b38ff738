"""HTTP for Traefik's questions: a protocol of asyncio's, without any framework.

Requests are GETs without a body on a few connections that stay open, so all that a server usually
does for others is left out. A connection's requests are answered in their order, each by one write
of bytes that were made before (``Answer.wire``).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, cast
from urllib.parse import unquote

import httptools
import structlog
from typing_extensions import override

from controller.core.errors import HttpError, HubError, NotReadyYet
from controller.core.sentence import Sentence
from controller.gate.answers import Answer, Headers, problem_answer
from controller.gate.contract import AskFirst

_VERIFY = "/verify/"

_REQUEST_MAX = 262_144  # bytes of a request, with its body: more than verify accepts of headers

_HEADERS_MAX = 100

_IDLE_SECONDS = 120.0
"""Longer than Traefik keeps an idle connection (90 s), so that it is never closed under a question
that is on its way."""

_AGE_SECONDS = 60.0
"""Of a connection, after which its next answer is the last: so who asks finds gates that have come
since, and the nearest one again that was away."""

_INCOMPLETE_SECONDS = 10.0  # for one request to arrive

_SWEEP_SECONDS = 1.0  # between two looks at all connections: one timer for all of them

_BACKLOG = 1024  # connections that the kernel keeps until they are accepted

_log = structlog.get_logger("gate")


_NOT_FOUND = problem_answer(HttpError(404, Sentence("There is nothing at this address.")))

_MALFORMED = problem_answer(HttpError(400, Sentence("The request cannot be read.")))

_TOO_LARGE = problem_answer(HttpError(431))

_FAULT = problem_answer(NotReadyYet())


class Verifying(Protocol):
    """What answers Traefik's question."""

    def answer(self, path: str, headers: Headers) -> Answer:
        """Return the answer. Raises AskFirst."""
        ...

    async def answer_after(self, asked: AskFirst, path: str, headers: Headers) -> Answer:
        """Return the answer once what must be asked first has been answered; it is bounded."""
        ...


class Listener:
    """Answers on a listening socket, and knows the connections that are open."""

    def __init__(
        self,
        verify: Verifying,
        others: Mapping[str, Callable[[], Answer]],
        *,
        connections_max: int = 4096,
        idle_seconds: float = _IDLE_SECONDS,
        age_seconds: float = _AGE_SECONDS,
        incomplete_seconds: float = _INCOMPLETE_SECONDS,
        sweep_seconds: float = _SWEEP_SECONDS,
    ) -> None:
        """``others``: what answers at paths besides verify's. Further connections are closed."""
        self.verify = verify
        self.leaving = False  # each answer is the last one of its connection
        self.now = 0.0  # of the loop's clock, as of the last look at all connections
        self._others = others
        self._connections: set[Connection] = set()
        self._connections_max = connections_max
        self._idle_seconds = idle_seconds
        self._age_seconds = age_seconds
        self._incomplete_seconds = incomplete_seconds
        self._sweep_seconds = sweep_seconds
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    async def start(self, sock: socket.socket) -> None:
        """Accept connections from now on."""
        self._sweep()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), sock=sock, backlog=_BACKLOG
        )

    async def stop(self, seconds: float) -> None:
        """Accept no more connections, and close each after its next answer, or when it is time.

        ``seconds``: until those that are idle are closed. Traefik asks again on another connection
        if one is closed before an answer has begun.
        """
        self.leaving = True
        if self._server is not None:
            self._server.close()
        if self._connections:
            self._empty.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                for one in [*self._connections]:
                    one.close()
        if self._timer is not None:
            self._timer.cancel()

    def find(self, path: str, headers: Headers) -> Answer:
        """Return the answer to a request. Raises AskFirst, but no fault."""
        if path.startswith(_VERIFY):
            return self.verify.answer(path, headers)
        other = self._others.get(path)
        if other is None:
            return _NOT_FOUND
        try:
            return other()
        except HubError as error:
            return problem_answer(error)
        except Exception:  # noqa: BLE001 - one page's fault must not end the others' connections
            _log.exception("page_fault", path=path)
            return _FAULT

    def may_stay(self, connection: Connection) -> bool:
        """Tell whether a connection is kept after its next answer."""
        return not self.leaving and self.now - connection.begun < self._age_seconds

    def admit(self, connection: Connection) -> bool:
        """Count a connection; False: there are too many."""
        if len(self._connections) >= self._connections_max:
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        """Count a connection no more."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        """Drop connections on which nothing was asked for long, or on which a request hangs."""
        loop = asyncio.get_running_loop()
        self.now = now = loop.time()
        for one in [*self._connections]:
            bound = self._incomplete_seconds if one.reading else self._idle_seconds
            if now - one.since > bound:
                one.close()
        self._timer = loop.call_later(self._sweep_seconds, self._sweep)


class _Request:
    """A request that waits until those before it have been answered."""

    __slots__ = ("head", "headers", "keep", "path")

    def __init__(self, path: str, headers: Headers, *, keep: bool, head: bool) -> None:
        self.path = path
        self.headers = headers
        self.keep = keep  # the connection stays open
        self.head = head  # without the body


class Connection(asyncio.Protocol):
    """One connection: the parser calls the methods ``on_…`` as it reads."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._url = b""
        self._size = 0  # bytes of a request that has not arrived wholly
        self._asking: asyncio.Task[None] | None = None  # for the request that is to be answered
        self._queue: deque[_Request] = deque()  # behind that one
        self._refusal: Answer | None = None  # behind all of them, and the last
        self.reading = False  # a request has begun to arrive
        self.since = listener.now  # when it has, or when the last one had arrived
        self.begun = listener.now

    # -- what the loop calls -----------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._listener.admit(self):
            self._transport = cast("asyncio.Transport", transport)
        else:
            transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.forget(self)
        if self._asking is not None:
            self._asking.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.close()  # the request itself is answered: nothing else is spoken here
        except httptools.HttpParserError:
            self._refuse(_MALFORMED)
        if self._size > _REQUEST_MAX or len(self._headers) > _HEADERS_MAX:
            self._refuse(_TOO_LARGE)

    @override
    def pause_writing(self) -> None:
        # Who does not read its answers is not asked for more.
        if self._transport is not None:
            self._transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        if self._transport is not None and self._asking is None:
            self._transport.resume_reading()

    # -- what the parser calls ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url = b""
        self._headers = []
        self.reading = True
        self.since = self._listener.now

    def on_url(self, url: bytes) -> None:
        """Note the address, or a further part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        self._headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        """Answer the request, or let it wait for those before it."""
        self.reading = False
        self.since = self._listener.now
        self._size = 0  # of what follows in the same piece, not much is left uncounted
        if self._transport is None or self._refusal is not None:
            return
        if len(self._headers) > _HEADERS_MAX:
            self._refuse(_TOO_LARGE)
            return
        path, headers = _path_of(self._url), self._headers
        keep = self._parser.should_keep_alive() and self._listener.may_stay(self)
        if self._asking is None:
            try:
                found = self._listener.find(path, headers)
            except AskFirst as asked:
                request = _Request(path, headers, keep=keep, head=self._is_head())
                self._ask(asked, request)
                return
            if keep and not found.body:
                self._transport.write(found.wire)
            else:
                self._write(found, keep=keep, head=self._is_head())
        else:
            self._queue.append(_Request(path, headers, keep=keep, head=self._is_head()))

    def _is_head(self) -> bool:
        return self._parser.get_method() == b"HEAD"

    # -- answers -----------------------------------------------------------------------------

    def _write(self, found: Answer, *, keep: bool, head: bool) -> None:
        if self._transport is None:
            return
        if keep:
            self._transport.write(found.head + b"\r\n" if head else found.wire)
        else:
            body = b"" if head else found.body
            self._transport.write(found.head + b"connection: close\r\n\r\n" + body)
            self.close()

    def _refuse(self, found: Answer) -> None:
        """Answer what cannot be read, and close: what follows it cannot be told apart."""
        if self._asking is None:
            self._write(found, keep=False, head=False)
        else:
            self._refusal = found

    def close(self) -> None:
        """Close the connection once all answers are sent; nothing more is read."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _ask(self, asked: AskFirst, request: _Request) -> None:
        """Answer this request once something else is known, and no other one before it."""
        if self._transport is not None:
            self._transport.pause_reading()
        self._asking = asyncio.get_running_loop().create_task(self._answer_later(asked, request))

    async def _answer_later(self, asked: AskFirst, request: _Request) -> None:
        found = await self._listener.verify.answer_after(asked, request.path, request.headers)
        self._write(found, keep=request.keep, head=request.head)
        while self._queue and self._transport is not None:
            request = self._queue.popleft()
            try:
                found = self._listener.find(request.path, request.headers)
            except AskFirst as again:
                self._ask(again, request)
                return
            self._write(found, keep=request.keep, head=request.head)
        self._asking = None
        if self._refusal is not None:
            self._refuse(self._refusal)
        elif self._transport is not None:
            self._transport.resume_reading()


def _path_of(url: bytes) -> str:
    """Return the path of a request's address as text, without what is escaped in it."""
    raw = url if url.startswith(b"/") else httptools.parse_url(url).path or b""
    path = raw.partition(b"?")[0].decode("latin-1")
    return unquote(path) if "%" in path else path
