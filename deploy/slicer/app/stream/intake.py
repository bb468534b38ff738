"""Takes connections from the first process, and closes some at its request.

Importing it loads aiohttp.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from aiohttp.web_protocol import RequestHandler

from app.stream.channel import Channel, Closed, FromFront, Kick

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.people.activity import Selection


class Connection(RequestHandler):
    """One connection with its number in the first process, which is told of its end."""

    def __init__(self, server: Any, number: int, ended: Callable[[int], None]) -> None:  # noqa: ANN401
        """Like the connections that the server would make for a port of its own."""
        super().__init__(server, loop=asyncio.get_running_loop(), **server._kwargs)  # noqa: SLF001
        self.number = number
        self._ended = ended

    def connection_lost(self, exc: BaseException | None) -> None:
        """The other process has a second handle: the socket closes when both are closed."""
        super().connection_lost(exc)
        self._ended(self.number)


class Intake:
    """Gives connections to an aiohttp server. ``kick(selection)`` closes pages in order."""

    def __init__(
        self,
        server: Any,  # noqa: ANN401 - aiohttp's low-level server
        channel: Channel[FromFront],
        kick: Callable[[Selection], Coroutine[Any, Any, object]],
    ) -> None:
        """No connection is taken before `open`."""
        self._server = server
        self._channel = channel
        self._kick = kick
        self._tasks: set[asyncio.Task[Any]] = set()

    def open(self) -> None:
        """Takes connections from now on, on the running event loop."""
        asyncio.get_running_loop().add_reader(self._channel, self._hear)

    def _hear(self) -> None:
        try:
            for message, fds in self._channel.received():
                if isinstance(message, Kick):
                    self._begin(self._kick(message.selection))
                elif fds:
                    self._begin(self._take(message.number, fds[0]))
                else:  # no descriptor was free
                    self._ended(message.number)
        except EOFError:  # the first process was killed, and so will this one be
            asyncio.get_running_loop().remove_reader(self._channel)

    def _begin(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, number: int, fd: int) -> None:
        accepted = socket.socket(fileno=fd)
        accepted.settimeout(0)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._server, number, self._ended), accepted
            )
        except OSError:  # closed again on the way
            accepted.close()
            self._ended(number)

    def _ended(self, number: int) -> None:
        self._channel.send(Closed(number))
