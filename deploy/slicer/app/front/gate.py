"""Checks each WebSocket, and each message on it, by the person and their role.

wslink gives a handler per endpoint. Three of its methods are wrapped on the instance: `onConnect`
sees the handshake's headers, `onMessage` each frame, `onCompleteMessage` each whole message before
it is dispatched. Nothing else of the library is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.core import log
from app.people.activity import Activity, Client, Selection, select
from app.people.roles import parse_visitor
from app.stream.messages import (
    HELLO,
    LIMIT_CHANGE,
    LIMIT_VIEW,
    PENDING_CHANGE,
    PENDING_VIEW,
    STATE_GET,
    Message,
    Verdict,
    decide,
    is_input,
    parse_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

KICKED = 4403  # private range of RFC 6455; the page shows that the connection was closed
_CLOSE_SECONDS = 0.4
_TICK_SECONDS = 0.5
_STUCK_SECONDS = 5.0
_GREET_AGAIN = (1.0, 4.0, 15.0)  # seconds after a page asked for its state
_REFUSED = -32003


class Steady:
    """A page's WebSocket that takes what is sent while it closes, and drops it.

    wslink sends to one page after the other: the error of one that is leaving would keep the same
    message from all who come after it.
    """

    def __init__(self, socket: web.WebSocketResponse) -> None:
        """Stands in for ``socket``, and is otherwise like it."""
        self._socket = socket

    async def send_bytes(self, content: bytes) -> None:
        """Sends a frame to a page that is open."""
        with contextlib.suppress(
            ConnectionResetError
        ):  # aiohttp: "Cannot write to closing transport"
            await self._socket.send_bytes(content)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Whatever else the socket has."""
        return getattr(self._socket, name)


class Gate:
    """Knows every connection of one wslink handler and decides about each message.

    ``changed()`` is called whenever somebody connects or leaves; ``report()`` after that, after
    input, and each half second; ``greet(client)`` once a page has its state.
    """

    def __init__(
        self,
        activity: Activity,
        *,
        standalone: bool,
        changed: Callable[[], None],
        report: Callable[[], None],
        greet: Callable[[Client], None],
        is_hover: Callable[[Message], bool],
    ) -> None:
        """Keeps the parts; nothing is checked before `attach`.

        ``is_hover``: whether the page sends a message even if the pointer only rests on a view.
        """
        self._activity = activity
        self._standalone = standalone
        self._tell_people = changed
        self._report = report
        self._greet = greet
        self._is_hover = is_hover
        self._handler: Any = None
        self._transports: dict[str, asyncio.WriteTransport] = {}
        self._stuck: dict[str, tuple[int, float]] = {}

    def attach(self, handler: Any) -> None:  # noqa: ANN401 - wslink has no types
        """Wraps the handler's three methods."""
        self._handler = handler
        connect, frame, message, close = (
            handler.onConnect,
            handler.onMessage,
            handler.onCompleteMessage,
            handler.onClose,
        )

        async def on_connect(request: web.Request, client_id: str) -> None:
            handler.connections[client_id] = Steady(handler.connections[client_id])
            await connect(request, client_id)
            self._joined(request, client_id)

        async def on_close(client_id: str) -> None:
            await close(client_id)
            self._left(client_id)

        async def on_message(is_binary: bool, msg: Any, client_id: str) -> None:  # noqa: ANN401
            if not is_binary or not self._frame_fits(client_id):
                self._let_go(client_id)
                return
            try:
                await frame(is_binary, msg, client_id)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                # The library raises this for a frame that the hub's pages never send.
                log.event("client.malformed", client=client_id, error=str(error))
                self._let_go(client_id)

        async def on_complete(rpc: object, client_id: str) -> None:
            await self._dispatch(message, rpc, client_id)

        handler.onConnect, handler.onClose = on_connect, on_close
        handler.onMessage, handler.onCompleteMessage = on_message, on_complete

    async def watch(self) -> None:
        """Measures how late the event loop is, and disconnects clients that stopped reading.

        wslink sends each message to all clients one after the other: a client that does not read
        would keep them from everybody else.
        """
        due = time.monotonic()
        while True:
            due += _TICK_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self._activity.ticked(now, now - due)
            due = max(due, now - _TICK_SECONDS)
            self._report()
            for client_id, transport in list(self._transports.items()):
                if self._is_stuck(client_id, transport.get_write_buffer_size(), now):
                    log.event("client.stuck", client=client_id)
                    self._let_go(client_id)

    async def kick(self, selection: Selection) -> list[Client]:
        """Closes the connections of the selection, within half a second."""
        chosen = select(self._activity.clients, selection)
        await asyncio.gather(*(self._close(client) for client in chosen))
        return chosen

    def tell(self, client_id: str, changes: dict[str, object]) -> None:
        """Sets values in one client's page only."""
        self._handler.publish("trame.state.topic", changes, client_id=client_id)

    def _joined(self, request: web.Request, client_id: str) -> None:
        visitor = parse_visitor(request.headers, standalone=self._standalone)
        if visitor is None:
            raise PermissionError("a WebSocket without a visitor passed the check")
        if request.transport is not None:
            self._transports[client_id] = request.transport
        number = getattr(request.protocol, "number", 0)
        self._activity.joined(
            Client(id=client_id, visitor=visitor, since=datetime.now(UTC), number=number)
        )
        log.event("client.joined", client=client_id, user=visitor.user, role=visitor.role)
        self._changed()

    def _left(self, client_id: str) -> None:
        self._transports.pop(client_id, None)
        self._stuck.pop(client_id, None)
        if client := self._activity.get(client_id):
            self._activity.left(client_id)
            log.event("client.left", client=client_id, user=client.visitor.user)
            self._changed()

    def _changed(self) -> None:
        self._tell_people()
        self._report()

    def _frame_fits(self, client_id: str) -> bool:
        client = self._activity.get(client_id)
        unchunker = self._handler.unchunkers.get(client_id)
        if client is None or unchunker is None:
            return False
        most = PENDING_CHANGE if client.visitor.role.may_change else PENDING_VIEW
        return len(unchunker.pending_messages) <= most

    async def _dispatch(self, forward: Any, rpc: object, client_id: str) -> None:  # noqa: ANN401
        client = self._activity.get(client_id)
        if client is None:  # let go a moment ago
            return
        message = parse_message(rpc)
        verdict = decide(client.visitor.role, message)
        if message is None or verdict is Verdict.CLOSE:
            self._let_go(client_id)
        elif verdict is Verdict.REFUSE:
            log.event("message.refused", user=client.visitor.user, method=message.method[:100])
            await self._handler.sendWrappedError(
                message.id, _REFUSED, "You are viewing this session.", client_id=client_id
            )
        elif verdict is Verdict.PASS:
            if is_input(client.visitor.role, message) and not self._is_hover(message):
                self._activity.touched(datetime.now(UTC))
                self._report()
            number = self._activity.begun(time.monotonic())
            try:
                await forward(rpc, client_id)
            finally:
                self._activity.ended(number)
            self._after(message.method, client)

    def _after(self, method: str, client: Client) -> None:
        if method == HELLO and client.id in self._handler.unchunkers:
            limit = LIMIT_CHANGE if client.visitor.role.may_change else LIMIT_VIEW
            self._handler.unchunkers[client.id].set_max_message_size(limit)
        elif method == STATE_GET:
            self._greet(client)
            # A page ignores messages that arrive before it has its state.
            for delay in _GREET_AGAIN:
                asyncio.get_running_loop().call_later(delay, self._greet_again, client)

    def _greet_again(self, client: Client) -> None:
        if any(each.id == client.id for each in self._activity.clients):
            self._greet(client)

    def _is_stuck(self, client_id: str, waiting: int, now: float) -> bool:
        before, since = self._stuck.get(client_id, (0, now))
        if waiting == 0 or waiting < before:
            since = now
        self._stuck[client_id] = (waiting, since)
        return now - since >= _STUCK_SECONDS

    def _let_go(self, client_id: str) -> None:
        """Closes the socket at once; no further message goes in or out."""
        self._handler.authentified_client_ids.discard(client_id)
        self._left_early(client_id)
        if transport := self._transports.get(client_id):
            transport.abort()

    def _left_early(self, client_id: str) -> None:
        if client := self._activity.get(client_id):
            self._activity.left(client_id)
            log.event("client.cut", client=client_id, user=client.visitor.user)
            self._changed()

    async def _close(self, client: Client) -> None:
        self._handler.authentified_client_ids.discard(client.id)
        self._left_early(client.id)
        websocket = self._handler.connections.get(client.id)
        if websocket is not None:
            try:
                await asyncio.wait_for(
                    websocket.close(code=KICKED, message=b"closed by the hub"), _CLOSE_SECONDS
                )
            except TimeoutError:
                log.event("client.deaf", client=client.id)
        if transport := self._transports.get(client.id):
            transport.abort()
