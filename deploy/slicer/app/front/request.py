"""Reads the head of a request without consuming it: the next process reads it again."""

from __future__ import annotations

import asyncio
import socket
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_BYTES = 32 * 1024
END = b"\r\n\r\n"
_PEEK_SECONDS = 0.01


class Request(msgspec.Struct, frozen=True):
    """The head of a request. ``headers`` by names as in ``Content-Length``."""

    method: str
    path: str
    headers: Mapping[str, str]


def parse_head(head: bytes) -> Request:
    """The head of an HTTP request, from its first line to the empty one. Raises ValueError."""
    line, _, rest = head.partition(b"\r\n")
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = BytesHeaderParser().parsebytes(rest)
    known = {name.title(): str(value) for name, value in headers.items()}
    return Request(method=method, path=target.partition("?")[0], headers=known)


async def peek_head(connection: socket.socket) -> bytes:
    """The head of a request, which stays in the socket for the next reader.

    Raises EOFError if it ends before, ValueError if it is too long.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            seen = connection.recv(HEAD_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(connection, _wake, readable)
            try:
                await readable
            finally:
                loop.remove_reader(connection)
            continue
        if END in seen:
            return seen[: seen.index(END) + len(END)]
        if not seen:
            raise EOFError
        if len(seen) == HEAD_BYTES:
            raise ValueError("too long a head")
        # The unread bytes keep the socket readable, so there is no better way to wait for more.
        await asyncio.sleep(_PEEK_SECONDS)


def _wake(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
