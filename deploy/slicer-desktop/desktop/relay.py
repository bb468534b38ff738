"""Checks every connection between a browser and the VNC server, and each message on it.

One WebSocket carries two things. Binary messages are VNC's bytes. Text messages are ours: the gate
tells the page who is here and what the hub has to say, and the page says ``keep``, or
``dismiss <user>`` to somebody who asks for control.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from app.core import log
from app.people.activity import Activity, Client, Selection, select, viewing_sentence
from app.people.notices import Notice
from app.people.roles import Role, Visitor, parse_visitor, too_many_sentence

from desktop.errors import ProtocolError
from desktop.race import race
from desktop.rfb import TEXT_BYTES, ClientMessages, Kind
from desktop.vnc import Line, greet

KICKED = 4403  # private range of RFC 6455; the page shows that the connection was closed
_CLOSE_SECONDS = 0.4
_GREETING_SECONDS = 10.0
_HEARTBEAT_SECONDS = 20.0
_CHUNK_BYTES = 256 * 1024
_KEEP = "keep"
_DISMISS = "dismiss "

OpenLine = Callable[[Role], Awaitable[Line]]


class Connection:
    """One browser's WebSocket, read as a stream of bytes whatever its messages' limits are."""

    def __init__(self, client: Client, socket: web.WebSocketResponse, request: web.Request) -> None:
        """``socket`` is prepared already."""
        self.client = client
        self.socket = socket
        self.news = asyncio.Event()
        self.news.set()
        self.on_text: Callable[[str], None] = self._no_text
        self._transport = request.transport
        self._rest = bytearray()

    async def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes. Raises EOFError once the browser is gone."""
        while len(self._rest) < count:
            message = await self.socket.receive()
            if message.type is WSMsgType.BINARY:
                self._rest += message.data
            elif message.type is WSMsgType.TEXT:
                self.on_text(message.data)
            else:
                raise EOFError
        taken = bytes(self._rest[:count])
        del self._rest[:count]
        return taken

    async def close(self, code: int, reason: bytes) -> None:
        """Sends the reason and closes, within half a second, even if nobody reads it."""
        try:
            await asyncio.wait_for(self.socket.close(code=code, message=reason), _CLOSE_SECONDS)
        except TimeoutError:
            log.event("client.deaf", client=self.client.id)
        if self._transport is not None:
            self._transport.abort()

    def _no_text(self, text: str) -> None:
        raise ProtocolError(f"the text {text[:20]!r} before the greeting")


class Relay:
    """Knows every connection and decides about each message.

    ``open_line(role)`` connects to the VNC server with the rights of that role.
    """

    def __init__(self, activity: Activity, open_line: OpenLine, *, standalone: bool) -> None:
        self._activity = activity
        self._open_line = open_line
        self._standalone = standalone
        self._connections: dict[str, Connection] = {}
        self._notice: Notice | None = None
        self._asking: list[str] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection from its first byte to its last."""
        visitor = parse_visitor(request.headers, standalone=self._standalone)
        if visitor is None:
            raise PermissionError("a WebSocket without a visitor passed the check")
        most = visitor.role.most_sockets
        if self._windows_of(visitor) >= most:
            raise web.HTTPTooManyRequests(text=too_many_sentence(most))
        socket = web.WebSocketResponse(
            protocols=("binary",),
            heartbeat=_HEARTBEAT_SECONDS,
            compress=False,  # the pictures are compressed already
            max_msg_size=2 * TEXT_BYTES,
        )
        await socket.prepare(request)
        client = Client(id=secrets.token_hex(8), visitor=visitor, since=datetime.now(UTC))
        connection = Connection(client, socket, request)
        self._joined(connection)
        code = WSCloseCode.SERVICE_RESTART
        try:
            await self._carry(connection)
        except ProtocolError as error:
            code = WSCloseCode.POLICY_VIOLATION
            log.event("client.malformed", client=client.id, user=visitor.user, error=str(error))
        except TimeoutError:
            log.event("client.silent", client=client.id, user=visitor.user)
        except (EOFError, ConnectionError) as error:
            log.event("client.gone", client=client.id, reason=type(error).__name__)
        finally:
            is_ours = self._left(client)
        if is_ours:  # otherwise it is being closed already
            await connection.close(code, b"")
        return socket

    async def kick(self, selection: Selection) -> list[Client]:
        """Closes the connections of the selection, within half a second."""
        chosen = select(self._activity.clients, selection)
        await self._cut([client.id for client in chosen], KICKED, b"closed by the hub")
        return chosen

    async def end(self) -> None:
        """Closes all connections, because the session ends."""
        await self._cut(list(self._connections), WSCloseCode.GOING_AWAY, b"the session ends")

    def notify(self, notice: Notice) -> None:
        """A banner for everyone, with a clock and a Keep button if it has an end.

        An empty text removes it.
        """
        self._notice = notice if notice.text else None
        self._tell_all()

    def ask(self, user: str) -> None:
        """Tells everybody that the viewer ``user`` asks for control, until dismissed."""
        if user in self._viewers() and user not in self._asking:
            log.event("control.asked", user=user)
            self._asking.append(user)
            self._tell_all()

    async def _cut(self, ids: list[str], code: int, reason: bytes) -> None:
        chosen = [self._connections[client_id] for client_id in ids]
        for connection in chosen:
            # From this moment nothing of what they send is passed on.
            self._left(connection.client)
        await asyncio.gather(*(connection.close(code, reason) for connection in chosen))

    def _windows_of(self, visitor: Visitor) -> int:
        return sum(each.client.visitor.user == visitor.user for each in self._connections.values())

    def _viewers(self) -> set[str]:
        clients = [each.client.visitor for each in self._connections.values()]
        return {visitor.user for visitor in clients if not visitor.role.may_change}

    def _joined(self, connection: Connection) -> None:
        client = connection.client
        self._connections[client.id] = connection
        self._activity.joined(client)
        user, role = client.visitor.user, client.visitor.role
        log.event("client.joined", client=client.id, user=user, role=role)
        self._tell_all()

    def _left(self, client: Client) -> bool:
        """Forgets it; False if that has been done."""
        if self._connections.pop(client.id, None) is None:
            return False
        self._activity.left(client.id)
        viewers = self._viewers()
        self._asking = [user for user in self._asking if user in viewers]
        log.event("client.left", client=client.id, user=client.visitor.user)
        self._tell_all()
        return True

    def _tell_all(self) -> None:
        for connection in self._connections.values():
            connection.news.set()

    async def _carry(self, connection: Connection) -> None:
        role = connection.client.visitor.role
        line = await self._open_line(role)
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                await greet(connection.read, connection.socket.send_bytes, line.hello)
            connection.on_text = lambda text: self._heard(connection.client, text)
            await race(
                self._upwards(connection, line.writer),
                _downwards(line.reader, connection.socket),
                self._report(connection),
            )
        finally:
            line.writer.close()
            with contextlib.suppress(ConnectionError):
                await line.writer.wait_closed()

    async def _upwards(self, connection: Connection, writer: asyncio.StreamWriter) -> None:
        client = connection.client
        may_change = client.visitor.role.may_change
        is_noted = False
        messages = ClientMessages(connection.read)
        while True:
            message = await messages.next()
            if self._activity.get(client.id) is None:  # let go a moment ago
                return
            if not may_change and message.kind is not Kind.PICTURE:
                if not is_noted:
                    is_noted = True
                    user = client.visitor.user
                    log.event("message.refused", user=user, kind=message.kind.value)
                continue
            if message.kind is Kind.INPUT:
                self._activity.touched(datetime.now(UTC))
            writer.write(message.data)
            await writer.drain()

    def _heard(self, client: Client, text: str) -> None:
        if text != _KEEP and not text.startswith(_DISMISS):
            raise ProtocolError(f"the text {text[:20]!r}")
        if not client.visitor.role.may_change or self._activity.get(client.id) is None:
            return
        self._activity.touched(datetime.now(UTC))
        if text == _KEEP:
            self.notify(Notice(text=""))
        else:
            user = text.removeprefix(_DISMISS)
            self._asking = [each for each in self._asking if each != user]
            self._tell_all()

    async def _report(self, connection: Connection) -> None:
        """Sends the whole state to the page, at once and after each change."""
        visitor = connection.client.visitor
        while True:
            await connection.news.wait()
            connection.news.clear()
            state = {
                "user": visitor.user,
                "role": visitor.role,
                "people": [
                    {"user": client.visitor.user, "role": client.visitor.role}
                    for client in self._activity.clients
                ],
                "viewing": viewing_sentence(self._activity.clients),
                "notice": self._notice,
                "asking": self._asking,
            }
            await connection.socket.send_str(msgspec.json.encode(state).decode())


async def _downwards(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        await socket.send_bytes(chunk)
