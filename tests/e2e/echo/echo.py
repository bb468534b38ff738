"""Answers every request with what it was sent, as JSON; a WebSocket with what it is told.

``/fail`` ends the program with exit code 3, ``/cookie`` sets the cookies that the query names,
``/burn`` computes for as many seconds as the query says, ``/page`` is a page of the HTML that the
query gives. Every answer names the container, so that it is known wherever it turns up.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import socket
import sys
import time
from urllib.parse import parse_qsl, urlsplit

NAME = socket.gethostname()
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            request, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = request.split(" ", 2)
            headers = [line.split(": ", 1) for line in lines if ": " in line]
            named = {name.lower(): value for name, value in headers}
            if "sec-websocket-key" in named:
                await websocket(reader, writer, named["sec-websocket-key"], headers)
                return
            body = await reader.readexactly(int(named.get("content-length", "0")))
            parts = urlsplit(target)
            query = parse_qsl(parts.query)
            if parts.path == "/fail":
                sys.stdout.write("the echo was told to fail\n")
                sys.stdout.flush()
                os._exit(3)
            if parts.path == "/burn":
                end = time.monotonic() + float(dict(query)["seconds"])
                while time.monotonic() < end:
                    pass
            cookies = [f"Set-Cookie: {k}={v}; Path=/" for k, v in query if parts.path == "/cookie"]
            told = {"method": method, "target": target, "headers": headers, "size": len(body)}
            content, kind = json.dumps(told | {"container": NAME}).encode(), "application/json"
            if parts.path == "/page":
                content, kind = dict(query)["html"].encode(), "text/html; charset=utf-8"
            respond(writer, method, content, [f"Content-Type: {kind}", *cookies])
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def respond(writer: asyncio.StreamWriter, method: str, content: bytes, more: list[str]) -> None:
    """Write an answer; one to HEAD has no body."""
    lines = [
        "HTTP/1.1 200 OK",
        f"X-Echo: {NAME}",
        f"Content-Length: {len(content)}",
        *more,
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    writer.write(b"" if method == "HEAD" else content)


async def websocket(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, headers: list[list[str]]
) -> None:
    """Accept, tell the handshake's headers, then say every short text message again."""
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()  # noqa: S324
    writer.write(
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"X-Echo: {NAME}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        ).encode()
    )
    send(writer, json.dumps(headers).encode())
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        mask = await reader.readexactly(4)
        data = await reader.readexactly(size)
        said = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        match first & 0x0F:
            case 8:  # close
                return
            case 9:  # ping
                send(writer, said, 10)
            case 10:  # pong
                continue
            case _:
                send(writer, said)
        await writer.drain()


def send(writer: asyncio.StreamWriter, data: bytes, opcode: int = 1) -> None:
    """Send one message of less than 64 KiB, a text unless ``opcode`` says else."""
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    writer.write(bytes([0x80 | opcode]) + size + data)


async def main() -> None:
    """Listen until ended."""
    # The first process of a container is ended by no signal that it does not handle.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: os._exit(0))
    server = await asyncio.start_server(answer, "0.0.0.0", 8080)  # noqa: S104
    async with server:
        await server.serve_forever()


asyncio.run(main())
