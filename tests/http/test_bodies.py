"""Requests whose bodies do not come in whole, from one address, while another logs in."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from controller.web.bodies import timely
from tests.support.hub import DEADLINE, HTML, ORIGIN, Browser, World, eventually

pytestmark = pytest.mark.anyio

SECONDS = 0.5
PLACES = {  # where strangers send something
    "/login": b"application/x-www-form-urlencoded",
    "/api/v1/login": b"application/json",
}


class Slow:
    """Somebody who sends half of a body, and then nothing."""

    def __init__(self, path: str) -> None:
        """``path``: where to."""
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", ORIGIN.partition("://")[2].encode()),
                (b"origin", ORIGIN.encode()),
                (b"content-type", PLACES[path]),
                (b"content-length", b"1000"),
                (b"x-real-ip", b"192.0.2.66"),
            ],
            "client": ("192.0.2.66", 1),
            "server": ("localhost", 8080),
        }
        self.waits = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}

    async def receive(self) -> dict[str, Any]:
        """Give a part of the body, once."""
        if not self.waits:
            self.waits = True
            return {"type": "http.request", "body": b'{"username=', "more_body": True}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(self, message: dict[str, Any]) -> None:
        """Note what is answered."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])


async def test_half_sent_bodies_hold_nobody_up(hub: World) -> None:
    """Hundreds of half-sent forms end within the time for one, and somebody else logs in."""
    app: Any = timely(hub.app.public, seconds=SECONDS)
    slow = [Slow(path) for path in PLACES for _ in range(150)]
    transport = httpx.ASGITransport(app)
    somebody = Browser(httpx.AsyncClient(transport=transport, base_url=ORIGIN))
    somebody.client.headers.update({"X-Real-Ip": "198.51.100.7", "Accept": HTML})
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            for one in slow:
                group.start_soon(app, one.scope, one.receive, one.send)
            await eventually(lambda: all(one.waits for one in slow))
            assert (await somebody.log_in("bob", "bob")).status_code == 303
    assert {one.status for one in slow} == {408}
    assert {one.headers[b"connection"] for one in slow} == {b"close"}


async def test_what_waits_for_news_is_not_ended(fresh: World) -> None:
    """A page that follows the sessions is told of changes, however long there are none."""
    app: Any = timely(fresh.app.public, seconds=0.0)
    alice = await fresh.script("alice")
    heard = anyio.Event()
    scope = Slow("/login").scope | {
        "method": "GET",
        "path": "/api/v1/events",
        "headers": [
            (b"host", b"localhost:8080"),
            (b"authorization", alice.headers["Authorization"].encode()),
        ],
    }
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await anyio.sleep_forever()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    events = 0

    async def send(message: dict[str, Any]) -> None:
        nonlocal events
        events += b"event: sessions" in message.get("body", b"")
        if events == 2:
            heard.set()

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            group.start_soon(app, scope, receive, send)
            await eventually(lambda: events == 1)
            await fresh.session("alice")
            await heard.wait()
            group.cancel_scope.cancel()
