"""What the hub reads of a session's activity, as the first process answers it."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from app.core.settings import Settings
from app.front.front import Front
from app.people.felt import BOUNDS_MS, WINDOW_SECONDS, Parts, Summary
from app.stream.channel import Channel, FromFront, Ready, Status

pytestmark = pytest.mark.anyio

COUNTS = [*range(len(BOUNDS_MS) + 1)]
SUMMARY = Summary(COUNTS, Parts(1.5, 0.0, 20.0, 3.0, 2.0))


async def activity(felt: Summary | None, *, silent: float = 0) -> dict[str, Any]:
    """The answer to the hub, so many seconds after the program has reported this."""
    with ExitStack() as kept:
        listener = kept.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept.enter_context(ours)
        kept.enter_context(theirs)
        now = 100.0
        front = Front(Settings(), listener, ours, clock=lambda: now)
        program: Channel[FromFront] = Channel(theirs, FromFront)
        program.send(Ready())
        program.send(Status(last_input_at=None, busy=False, clients=[], felt=felt))
        front.open()
        kept.callback(front.close)
        await ask(listener)  # by its answer, the report has arrived
        now += silent
        return await ask(listener)


async def ask(listener: socket.socket) -> dict[str, Any]:
    """What the hub is answered."""
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"GET /-/activity HTTP/1.1\r\nHost: x\r\nX-Slicerhub-Role: service\r\n")
    writer.write(b"X-Slicerhub-User: controller\r\n\r\n")
    async with asyncio.timeout(30):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200 "), head
    return json.loads(body)


async def test_the_hub_reads_how_quick_it_feels() -> None:
    """Counts of pictures by their time, and the mean of each part in milliseconds."""
    assert (await activity(SUMMARY))["felt"] == {
        "counts": COUNTS,
        "parts_ms": {"network": 1.5, "waiting": 0, "render": 20, "encode": 3, "paint": 2},
    }


async def test_nothing_was_felt() -> None:
    """Where nobody moved anything, the answer guesses nothing."""
    assert "felt" not in await activity(None)


async def test_a_minute_of_computing_says_nothing_old() -> None:
    """While the program computes for minutes, what was felt before is not told as of now."""
    found = await activity(SUMMARY, silent=WINDOW_SECONDS)
    assert ("felt" in found, found["busy"]) == (False, True)
