"""A program in a session that answers as no program should: the standard library, nothing else.

``MISBEHAVIOURS`` says how. What it sends is a series of steps: bytes go out, a number is a pause
in seconds, RESET cuts the line off without a word.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import itertools
import json
import os
import re
import socket
import struct
import sys
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from enum import Enum

ENDPOINTS = ("activity", "save", "kick", "notice")
_CHOICE = re.compile(r"(\d+)(-all)?-")  # how the hub's word for the session's name begins
PORT = 8080
_REQUEST_MAX = 1 << 20  # bytes of a request's head


class Cut(Enum):
    """How a connection ends without an answer's end."""

    RESET = "reset"


RESET = Cut.RESET
Step = bytes | float | Cut
Steps = Iterable[Step]

_JSON = b"Content-Type: application/json\r\n"


def answer(
    body: bytes = b"{}", *, status: bytes = b"200 OK", headers: bytes = b"", length: bool = True
) -> bytes:
    """Return a whole answer; without ``length`` nothing says where it ends."""
    said = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"HTTP/1.1 " + status + b"\r\n" + headers + said + b"\r\n" + body


def said(value: object) -> bytes:
    """Return a value as an answer in JSON."""
    return answer(json.dumps(value).encode(), headers=_JSON)


def redirect(location: bytes) -> Callable[[], Steps]:
    """Lead somewhere that cannot be read as an address, or should not be gone to."""
    return lambda: [answer(b"", status=b"302 Found", headers=b"Location: " + location + b"\r\n")]


def once(data: bytes) -> Callable[[], Steps]:
    """Send these bytes and hang up."""
    return lambda: [data]


def drip(data: bytes, pause: float) -> Callable[[], Steps]:
    """Send a byte at a time."""

    def steps() -> Iterator[Step]:
        for number in data:
            yield bytes([number])
            yield pause

    return steps


def for_ever(begin: bytes, again: bytes, pause: float = 0.0) -> Callable[[], Steps]:
    """Begin, and never come to an end."""

    def steps() -> Iterator[Step]:
        yield begin
        while True:
            yield again
            yield pause

    return steps


def silence() -> Iterator[Step]:
    """Say nothing, and hold the line."""
    while True:
        yield 1.0


def nested(opening: bytes, closing: bytes, depth: int = 15_000) -> bytes:
    """Return JSON that nests as deep as fits into an answer that is still read."""
    return answer(opening * depth + b"1" + closing * depth, headers=_JSON)


_ACTIVITY: dict[str, object] = {
    "last_input_at": "2026-01-01T00:00:00+00:00",
    "busy": False,
    "clients": [],
}
_SOMEBODY = {"user": "nobody", "role": "owner", "since": "2026-01-01T00:00:00+00:00"}
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_WHOLE = answer(b'{"saved": null}', headers=_JSON)


@functools.cache
def _compressed(wbits: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return squeeze.compress(bytes(40 << 20)) + squeeze.flush()


def _grown(coding: bytes, wbits: int) -> Callable[[], Steps]:
    """Grow a thousandfold when unpacked."""

    def steps() -> Steps:
        packed = b"Content-Encoding: " + coding + b"\r\n"
        return [answer(_compressed(wbits), headers=packed)]

    return steps


def _cookies(number: int, size: int) -> bytes:
    return b"".join(b"Set-Cookie: c%d=%s; Path=/\r\n" % (one, b"x" * size) for one in range(number))


MISBEHAVIOURS: dict[str, Callable[[], Steps]] = {
    # Where it leads cannot be read, or is not to be gone to.
    "redirect to a:b": redirect(b"a:b"),
    "redirect to http:foo": redirect(b"http:foo"),
    "redirect to javascript": redirect(b"javascript:alert(1)"),
    "redirect to bad punycode": redirect(b"http://xn--i\xf1valid-.example/"),
    "redirect to half an address": redirect(b"http://[::1"),
    "redirect to a port beyond all": redirect(b"http://localhost:99999999/"),
    "redirect to nowhere": redirect(b""),
    "redirect to itself": redirect(b"/-/activity"),
    "redirect to the metadata address": redirect(b"http://169.254.169.254/latest/"),
    "redirect to a long way": redirect(b"/" + b"a" * 60_000),
    "redirect without a location": once(answer(b"", status=b"302 Found")),
    # Cookies by the kilobyte.
    "twenty large cookies": once(answer(headers=_cookies(20, 1000))),
    "a thousand cookies": once(answer(headers=_cookies(1000, 20))),
    "a cookie for everybody": once(
        answer(headers=b"Set-Cookie: slicerhub=x; Domain=localhost; Path=/\r\n")
    ),
    # No end.
    "a body without end": for_ever(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    "chunks without end": for_ever(_CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "spaces without end": for_ever(b"HTTP/1.1 200 OK\r\n" + _JSON + b"\r\n", b" " * 4096),
    "headers without end": for_ever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.001),
    "one header without end": for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1024, 0.001),
    "a status line without end": for_ever(b"HTTP/1.1 200 ", b"O" * 1024, 0.001),
    "early hints without end": for_ever(
        b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", 0.001
    ),
    "continue without end": for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    "trailers without end": for_ever(_CHUNKED + b"0\r\n", b"X: y\r\n", 0.001),
    "silence": silence,
    "silence after the headers": for_ever(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"", 1),
    # What grows.
    "gzip that grows": _grown(b"gzip", 31),
    "deflate that grows": _grown(b"deflate", 15),
    "gzip in gzip": once(
        answer(
            gzip.compress(gzip.compress(bytes(1 << 20))),
            headers=b"Content-Encoding: gzip, gzip\r\n",
        )
    ),
    "gzip that is none": once(answer(headers=b"Content-Encoding: gzip\r\n")),
    "a coding that nobody knows": once(answer(headers=b"Content-Encoding: zstd-of-mine\r\n")),
    # Drips.
    "an answer that drips": drip(_WHOLE, 0.4),
    "a body that drips": lambda: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], drip(b" " * 1000, 0.4)()
    ),
    "chunks that drip": lambda: itertools.chain(
        [_CHUNKED], itertools.chain.from_iterable([b"1\r\n \r\n", 0.4] for _ in range(1000))
    ),
    # Half of it.
    "nothing at all": list,
    "a line cut off": lambda: [RESET],
    "half a status line": once(b"HTTP/1.1 2"),
    "half the headers": once(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half the body": once(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"saved": '),
    "half the body, cut off": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", RESET],
    "half a chunk": once(_CHUNKED + b"ff\r\n{}"),
    "no last chunk": once(_CHUNKED + b"2\r\n{}\r\n"),
    # Lengths that are wrong.
    "a length too short": once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + b"x" * 4096),
    "two lengths": once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}1"),
    "a length below zero": once(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}"),
    "a length in words": once(b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}"),
    "a length beyond all": once(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}"
    ),
    "a length and chunks": once(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "a chunk's length in words": once(_CHUNKED + b"two\r\n{}\r\n0\r\n\r\n"),
    "a chunk beyond all": once(_CHUNKED + b"ffffffffffffffffff\r\n{}"),
    # Headers.
    "a thousand headers": once(
        answer(headers=b"".join(b"X%d: y\r\n" % one for one in range(1000)))
    ),
    "a header of 90 kB": once(answer(headers=b"X: " + b"y" * 90_000 + b"\r\n")),
    "a header of 2 MB": once(answer(headers=b"X: " + b"y" * (2 << 20) + b"\r\n")),
    "a header without a colon": once(answer(headers=b"nonsense\r\n")),
    "a header with NUL": once(answer(headers=b"X: a\0b\r\n")),
    "a header in no script": once(answer(headers=b"X: \xff\xfe\x80\r\n")),
    "a header's name in no script": once(answer(headers=b"\xff\xfe: y\r\n")),
    # Not the protocol that was spoken.
    "an upgrade that nobody wanted": once(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        b"\x81\x02hi"
    ),
    "an upgrade demanded": once(
        answer(status=b"426 Upgrade Required", headers=b"Upgrade: h2c\r\n")
    ),
    "HTTP/0.9": once(b"<html>hello"),
    "HTTP/1.0": once(b"HTTP/1.0 200 OK\r\n\r\n{}"),
    "HTTP/9.9": once(b"HTTP/9.9 200 OK\r\n\r\n{}"),
    "HTTP/2": once(b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18),
    "TLS": once(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500),
    "noise": lambda: [bytes(range(256)) * 64],
    "a status of 999": once(answer(status=b"999 Beyond")),
    "a status of 000": once(answer(status=b"000 None")),
    "a status in words": once(answer(status=b"fine OK")),
    "no content, with content": once(answer(b"{}", status=b"204 No Content")),
    "a log-in demanded": once(answer(status=b"401 No", headers=b"WWW-Authenticate: Negotiate\r\n")),
    "too many requests": once(answer(status=b"429 No", headers=b"Retry-After: 999999999\r\n")),
    # JSON that is no answer.
    "lists that nest": once(nested(b"[", b"]")),
    "objects that nest": once(nested(b'{"clients":', b"}", 5000)),
    "unknown things that nest": once(nested(b'{"x":[', b"]}", 7000)),
    "keys that repeat": once(answer(b'{"busy": 1' + b', "busy": 1' * 5000 + b"}", headers=_JSON)),
    "a number without end": once(answer(b'{"busy": 1e999999}', headers=_JSON)),
    "a number of 60 kB": once(answer(b'{"busy": ' + b"9" * 60_000 + b"}", headers=_JSON)),
    "no number": once(answer(b'{"busy": NaN}', headers=_JSON)),
    "text in no script": once(
        answer(b'{"saved": "\xff\xfe", "last_input_at": "\xff"}', headers=_JSON)
    ),
    "half a pair": once(answer(b'{"saved": "\\ud800", "last_input_at": "\\ud800"}', headers=_JSON)),
    "a mark before it": once(answer(b"\xef\xbb\xbf{}", headers=_JSON)),
    "something after it": once(answer(b"{}{}", headers=_JSON)),
    "no JSON": once(answer(b"", headers=_JSON)),
    "a list": once(said([_ACTIVITY])),
    "null": once(said(None)),
    "a page": once(answer(b"<!doctype html><p>hello", headers=b"Content-Type: text/html\r\n")),
    "a word of 60 kB": once(said({"last_input_at": "x" * 60_000, "saved": "x" * 60_000})),
    "years that are none": once(
        said({"clients": [_SOMEBODY | {"since": "99999-01-01T00:00:00Z"}]})
    ),
    "roles that are none": once(said({"clients": [_SOMEBODY | {"role": "god"}]})),
    "a crowd that is too large": once(said({"clients": [_SOMEBODY] * 5000})),
    # Lies, in good form.
    "somebody who is not there": once(said(_ACTIVITY | {"clients": [_SOMEBODY]})),
    "names that are code": once(
        said({"clients": [_SOMEBODY | {"user": "<script>alert(1)</script>", "role": "view"}]})
    ),
    "a crowd": once(
        said({"clients": [_SOMEBODY | {"user": f"n{one}", "role": "view"} for one in range(500)]})
    ),
    "quicker than anything": once(
        said(_ACTIVITY | {"felt": {"counts": [10**30] * 14, "parts_ms": {"network": -1e300}}})
    ),
    "always at work": once(said(_ACTIVITY | {"busy": True})),
    "everything is saved": once(said({"saved": "../../etc/passwd"})),
}
"""Over eighty ways to answer, by name."""

for _at in range(0, len(_WHOLE), 8):
    MISBEHAVIOURS[f"cut off after {_at} bytes"] = once(_WHOLE[:_at])


async def send(writer: asyncio.StreamWriter, steps: Steps) -> None:
    """Do what the steps say, until whoever asked has gone."""
    try:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, Cut):
                cut_off(writer)
                return
            else:
                await asyncio.sleep(step)
    except OSError:
        pass  # gone
    finally:
        writer.close()


def cut_off(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def head_of(reader: asyncio.StreamReader) -> str:
    """Read a request's head, and what comes with it; return the head."""
    head = await reader.readuntil(b"\r\n\r\n")
    text = head.decode("latin-1")
    for line in text.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            await reader.readexactly(int(value))
    return text


@asynccontextmanager
async def serving(
    misbehave: Callable[[str], Steps | None],
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    note: Callable[[str], object] = str,
) -> AsyncGenerator[int, None]:
    """Answer at a port, which is told; where ``misbehave`` of a path is None there is a good page.

    ``note`` is told the head of each request. At the end every connection is cut.
    """
    open_ones: dict[asyncio.Task[object] | None, asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones[asyncio.current_task()] = writer
        try:
            head = await head_of(reader)
            note(head)
            steps = misbehave(head.split(" ")[1])
            await send(writer, [answer(b"<!doctype html><p>A page.")] if steps is None else steps)
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.close()
        finally:
            open_ones.pop(asyncio.current_task())

    server = await asyncio.start_server(connected, host, port, limit=_REQUEST_MAX)
    async with server:
        yield server.sockets[0].getsockname()[1]
        left = dict(open_ones)
        for task, writer in left.items():
            writer.transport.abort()
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in left if task is not None), return_exceptions=True)


async def main() -> None:
    """Misbehave as the session's name says, at what the hub asks for."""
    found = _CHOICE.match(os.environ["SLICERHUB_SESSION_SLUG"])
    if found is None:
        sys.exit("The session's name has to begin with a number, and may go on with 'all'.")
    chosen, everywhere = [*MISBEHAVIOURS.values()][int(found[1])], bool(found[2])

    def misbehave(path: str) -> Steps | None:
        asked = path.partition("?")[0].rpartition("/-/")[2] in ENDPOINTS
        return chosen() if asked or everywhere else None

    async with serving(misbehave, PORT, host="0.0.0.0"):  # noqa: S104 - a container
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
