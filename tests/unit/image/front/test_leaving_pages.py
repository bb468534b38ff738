"""Somebody leaves while a message goes to every page: all others get it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from aiohttp import ClientSession, WSMsgType, web
from app.front.gate import Steady

pytestmark = pytest.mark.anyio


class Pages:
    """A real server of WebSockets, with the sockets of its pages in the order they came."""

    def __init__(self) -> None:
        """Nobody is here."""
        self.sockets: list[web.WebSocketResponse] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Keep a page's socket until it closes."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for _ in socket:
            pass
        return socket


@pytest.fixture
async def served() -> AsyncGenerator[tuple[Pages, str]]:
    """Give the server and its address."""
    pages = Pages()
    app = web.Application()
    app.router.add_get("/ws", pages.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield pages, f"http://127.0.0.1:{runner.addresses[0][1]}/ws"
    await runner.cleanup()


async def test_who_leaves_costs_nobody_a_picture(served: tuple[Pages, str]) -> None:
    """A page that has closed gets nothing more, and the pages after it get everything."""
    pages, address = served
    async with (
        ClientSession() as session,
        session.ws_connect(address) as guest,
        session.ws_connect(address) as owner,
    ):
        leaving, staying = pages.sockets
        await guest.close()
        with pytest.raises(ConnectionResetError):
            await leaving.send_bytes(b"as the library alone would")
        for socket in (leaving, staying):
            await Steady(socket).send_bytes(b"picture")
        heard = await owner.receive()
        assert (heard.type, heard.data) == (WSMsgType.BINARY, b"picture")
        assert Steady(leaving).closed
