"""Cuts what a VNC client sends into messages (RFB 3.8, RFC 6143, and TigerVNC's additions).

Only the direction from the client to the server is read. A message that is not named here cannot
be cut off from what follows it, so it ends the connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec

from desktop.errors import ProtocolError

Read = Callable[[int], Awaitable[bytes]]

# A megabyte of text on the clipboard is more than anybody pastes.
TEXT_BYTES = 1024 * 1024

_SET_ENCODINGS = 2
_CUT_TEXT = 6
_CONTINUOUS_UPDATES = 150
_FENCE = 248
_SET_DESKTOP_SIZE = 251
_EXTENDED_KEY = 255


class Kind(Enum):
    """Kind of a message.

    PICTURE concerns the client's own picture only; the others change what everybody sees.
    """

    PICTURE = "picture"
    INPUT = "input"
    CLIPBOARD = "clipboard"
    RESIZE = "resize"


# Length in bytes, the first one included: SetPixelFormat, FramebufferUpdateRequest, KeyEvent,
# PointerEvent, EnableContinuousUpdates.
_FIXED = {
    0: (20, Kind.PICTURE),
    3: (10, Kind.PICTURE),
    4: (8, Kind.INPUT),
    5: (6, Kind.INPUT),
    _CONTINUOUS_UPDATES: (10, Kind.PICTURE),
}


# TigerVNC's additions, each only for a client that has said by its encodings that it knows them.
# The server relies on that: a SetDesktopSize from another one ends TigerVNC 1.12 with a
# segmentation fault.
_NEEDS = {_EXTENDED_KEY: -258, _SET_DESKTOP_SIZE: -308, _FENCE: -312, _CONTINUOUS_UPDATES: -313}


class Message(msgspec.Struct, frozen=True):
    """One whole message, as it came."""

    kind: Kind
    data: bytes


class ClientMessages:
    """The messages of one client; ``read(n)`` gives exactly n bytes."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._encodings: frozenset[int] = frozenset()

    async def next(self) -> Message:
        """The next message.

        Raises ProtocolError for one that is unknown, too long or was not announced, and whatever
        ``read`` raises at the end of the connection.
        """
        number = (await self._read(1))[0]
        if _NEEDS.get(number, 0) not in self._encodings | {0}:
            raise ProtocolError(f"message {number} without the encoding that announces it")
        message = await self._whole(number)
        if number == _SET_ENCODINGS:
            self._encodings = frozenset(
                int.from_bytes(message.data[at : at + 4], signed=True)
                for at in range(4, len(message.data), 4)
            )
        return message

    async def _whole(self, number: int) -> Message:
        head = bytes([number])
        if number in _FIXED:
            length, kind = _FIXED[number]
            return Message(kind, head + await self._read(length - 1))
        if number == _SET_ENCODINGS:
            head += await self._read(3)
            return Message(Kind.PICTURE, head + await self._read(4 * int.from_bytes(head[2:4])))
        if number == _CUT_TEXT:
            head += await self._read(7)
            # Negative: TigerVNC's extended clipboard, of that many bytes.
            length = abs(int.from_bytes(head[4:8], signed=True))
            if length > TEXT_BYTES:
                raise ProtocolError(f"a clipboard of {length} bytes")
            return Message(Kind.CLIPBOARD, head + await self._read(length))
        if number == _FENCE:
            head += await self._read(8)
            return Message(Kind.PICTURE, head + await self._read(head[8]))
        if number == _SET_DESKTOP_SIZE:
            head += await self._read(7)
            return Message(Kind.RESIZE, head + await self._read(16 * head[6]))
        if number == _EXTENDED_KEY:
            head += await self._read(1)
            if head[1] != 0:
                raise ProtocolError(f"message {number} of kind {head[1]}")
            return Message(Kind.INPUT, head + await self._read(10))
        raise ProtocolError(f"message {number}")
