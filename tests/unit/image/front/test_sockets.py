"""How often one person may have a session open: the first process counts, and nobody waits."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager

import pytest
from app.core.settings import Settings
from app.front.front import Front
from app.people.roles import SOCKET_PATH, STREAM_PATH, Role
from app.stream.channel import Channel, FromFront, Handed, Ready

pytestmark = pytest.mark.anyio


class Program:
    """Stands for the second process: takes what is handed on, and never looks at it."""

    def __init__(self, end: socket.socket, address: tuple[str, int]) -> None:
        """Ready at once."""
        self._channel: Channel[FromFront] = Channel(end, FromFront)
        self._address = address
        self._open = ExitStack()
        self._channel.send(Ready())

    async def handed(self) -> int:
        """The number of the next connection that is handed on."""
        while True:
            for message, fds in self._channel.received():
                assert isinstance(message, Handed)
                self._open.callback(os.close, fds[0])
                return message.number
            await asyncio.sleep(0)

    def close(self) -> None:
        """Lets go of everything."""
        self._open.close()

    async def connect(self, user: str, role: str, path: str = SOCKET_PATH) -> asyncio.StreamWriter:
        """Somebody's socket that is handed on; fails if it is answered instead."""
        reader, writer = await self._ask(user, role, path)
        answer = asyncio.ensure_future(reader.read(100))
        handed = asyncio.ensure_future(self.handed())
        async with asyncio.timeout(30):
            await asyncio.wait({answer, handed}, return_when=asyncio.FIRST_COMPLETED)
        assert handed.done(), answer.result()
        answer.cancel()
        return writer

    async def refusal(self, user: str, role: str, path: str = SOCKET_PATH) -> str:
        """What somebody is answered whose socket is not handed on."""
        reader, writer = await self._ask(user, role, path)
        async with asyncio.timeout(30):
            answer = await reader.read()
        writer.close()
        return answer.decode()

    async def _ask(
        self, user: str, role: str, path: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self._address)
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Slicerhub-User: {user}\r\n"
        writer.write(f"{head}X-Slicerhub-Role: {role}\r\nUpgrade: websocket\r\n\r\n".encode())
        return reader, writer


@asynccontextmanager
async def session() -> AsyncGenerator[Program]:
    """A first process whose second one is ready."""
    with ExitStack() as kept:
        listener = kept.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept.enter_context(ours)
        kept.enter_context(theirs)
        front = Front(Settings(), listener, ours)
        program = Program(theirs, listener.getsockname())
        kept.callback(program.close)
        front.open()
        await asyncio.sleep(0)
        try:
            yield program
        finally:
            front.close()


@pytest.mark.parametrize("path", [SOCKET_PATH, STREAM_PATH])
@pytest.mark.parametrize(("role", "most"), [("view", 8), ("control", 16), ("owner", 16)])
async def test_one_socket_too_many_is_refused_with_the_reason(
    role: str, most: int, path: str
) -> None:
    """So that one guest cannot stop the picture of everybody else; others get in as before."""
    assert Role(role).most_sockets == most
    async with session() as program:
        windows = [await program.connect("bob", role, path) for _ in range(most)]
        answer = await program.refusal("bob", role, path)
        assert answer.startswith("HTTP/1.1 429 ")
        assert f"You have this session open {most} times. Close one" in answer
        windows.append(await program.connect("alice", "owner", path))
        for window in windows:
            window.close()


async def test_each_page_has_room_for_its_stream() -> None:
    """Who has as many pages open as they may gets the pictures in each of them, and no more."""
    async with session() as program:
        windows = [
            await program.connect("bob", "view", path)
            for _ in range(8)
            for path in (SOCKET_PATH, STREAM_PATH)
        ]
        for path in (SOCKET_PATH, STREAM_PATH):
            assert "429" in await program.refusal("bob", "view", path)
        for window in windows:
            window.close()


async def test_a_socket_that_ended_makes_room() -> None:
    """A person who reloads the page while the program computes gets it as often as they like."""
    async with session() as program:
        windows = [await program.connect("bob", "view") for _ in range(8)]
        for _ in range(3):
            assert "429" in await program.refusal("bob", "view")
            ended = windows.pop()
            ended.close()
            await ended.wait_closed()
            windows.append(await program.connect("bob", "view"))
        for window in windows:
            window.close()
