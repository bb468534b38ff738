"""Connects to the VNC server: its two passwords, and the greeting of each connection.

The server gives a connection its rights by the password it was opened with: everything, or
view-only. The gate has both and chooses; a browser never learns either. So viewers are restricted
twice: by the relay, which drops messages that they may not send, and by the server itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from Crypto.Cipher import DES

from desktop.errors import ProtocolError
from desktop.rfb import Read

VERSION = b"RFB 003.008\n"
_NO_AUTHENTICATION = 1
_VNC_AUTHENTICATION = 2
_SHARED = b"\x01"
_HELLO_BYTES = 24  # ServerInit up to the name of the desktop
# With this key every VNC server hides its password file; it keeps nothing secret (the file's mode
# does).
_FILE_KEY = bytes((23, 82, 107, 6, 35, 78, 88, 7))


class Passwords(msgspec.Struct, frozen=True):
    """Eight characters each, all that VNC looks at."""

    control: str
    view: str


class Line(msgspec.Struct, frozen=True):
    """An open connection to the server. ``hello``: its ServerInit message, for the client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    hello: bytes


def make_passwords() -> Passwords:
    """New random passwords."""
    return Passwords(control=secrets.token_urlsafe(6), view=secrets.token_urlsafe(6))


def encode_file(passwords: Passwords) -> bytes:
    """What the server's ``-PasswordFile`` holds: the password with all rights, then view-only."""
    return b"".join(
        _encrypt(_FILE_KEY, password.encode().ljust(8, b"\0"))
        for password in (passwords.control, passwords.view)
    )


def _encrypt(key: bytes, content: bytes) -> bytes:
    # VNC reads the bits of each byte of a key the other way round.
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    # The protocol knows no better cipher, and it does not leave this machine.
    return DES.new(mirrored, DES.MODE_ECB).encrypt(content)  # noqa: S304


async def open_line(path: Path, password: str) -> Line:
    """Connects to the server's socket with the rights of this password, beside all others.

    The caller opens one at a time: the server lets five wait for it, and a busy one is slow.
    Raises OSError, EOFError or ProtocolError if the server is not there or does not accept.
    """
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return Line(reader, writer, await _introduce(reader, writer, password))
    except BaseException:
        writer.close()
        raise


async def _introduce(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: str
) -> bytes:
    # Where too many wait already, asyncio takes the refusal for the beginning of a connection.
    if writer.get_extra_info("peername") is None:
        raise ConnectionRefusedError("too many wait for the VNC server")
    if await reader.readexactly(len(VERSION)) != VERSION:
        raise ProtocolError("the VNC server speaks another version")
    writer.write(VERSION)
    kinds = await reader.readexactly((await reader.readexactly(1))[0])
    if _VNC_AUTHENTICATION not in kinds:
        raise ProtocolError("the VNC server asks for no password")
    writer.write(bytes([_VNC_AUTHENTICATION]))
    writer.write(_encrypt(password.encode().ljust(8, b"\0"), await reader.readexactly(16)))
    if int.from_bytes(await reader.readexactly(4)) != 0:
        raise ProtocolError("the VNC server refused the password")
    writer.write(_SHARED)
    hello = await reader.readexactly(_HELLO_BYTES)
    return hello + await reader.readexactly(int.from_bytes(hello[-4:]))


async def greet(read: Read, send: Callable[[bytes], Awaitable[None]], hello: bytes) -> None:
    """Plays the server's part of the greeting with a client, who needs no password.

    The proxy in front has told who it is already. Raises ProtocolError for another protocol.
    """
    await send(VERSION)
    if await read(len(VERSION)) != VERSION:
        raise ProtocolError("a client of another version")
    await send(bytes([1, _NO_AUTHENTICATION]))
    if await read(1) != bytes([_NO_AUTHENTICATION]):
        raise ProtocolError("a client that wants another authentication")
    await send(bytes(4))
    await read(1)  # whether it wants to be alone here; it is not asked
    await send(hello)
