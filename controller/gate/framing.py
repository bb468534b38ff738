"""Messages on the stream between controller and gate: msgpack, each after its length."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import anyio
import msgspec

LENGTH = 4  # bytes of a message's length, the highest first

MESSAGE_MOST = 256 * 1024 * 1024
"""Bytes of one message. Ten thousand log-ins with their groups take some MiB."""

_Message = TypeVar("_Message")


class Reader(Protocol):
    """Where messages come from."""

    async def receive_exactly(self, nbytes: int) -> bytes:
        """Return so many bytes; raises anyio.EndOfStream or anyio.IncompleteRead at the end."""
        ...


class BrokenMessage(Exception):
    """What came is no message of this protocol; the stream has to be closed."""


class StreamLost(Exception):
    """The stream has ended, or cannot be used any more; the message says why.

    ``closed``: its other end has closed it, and that was heard here.
    """

    def __init__(self, why: str, *, closed: bool) -> None:
        super().__init__(why)
        self.closed = closed


@contextmanager
def until_lost() -> Generator[None]:
    """Raise StreamLost, and only that, for all by which a stream of two tasks may end."""
    lost: StreamLost | None = None
    try:
        yield
    except* _ENDS as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        why = f"{type(first).__name__}: {first}".removesuffix(": ")
        lost = StreamLost(why, closed=isinstance(first, _CLOSED))
    if lost is not None:
        raise lost


class Messages(Generic[_Message]):
    """Reads messages of one kind, a union of tagged Structs."""

    def __init__(
        self, decoder: msgspec.msgpack.Decoder[_Message], *, most: int = MESSAGE_MOST
    ) -> None:
        """``decoder``: of that kind; ``most``: bytes of one message."""
        self._decoder = decoder
        self._most = most

    async def read(self, reader: Reader) -> _Message:
        """Return the next message.

        Raises BrokenMessage, and at the end of the stream what the reader raises.
        """
        length = int.from_bytes(await reader.receive_exactly(LENGTH), "big")
        if length > self._most:
            raise BrokenMessage(f"a message of {length} bytes")
        data = await reader.receive_exactly(length)
        try:
            return self._decoder.decode(data)
        except msgspec.DecodeError as error:
            raise BrokenMessage(str(error)) from error


_CLOSED = (
    ConnectionError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
)

_ENDS = (
    *_CLOSED,
    OSError,  # errors of TLS and time-outs are some
    BrokenMessage,
    anyio.ClosedResourceError,
)

_ENCODER = msgspec.msgpack.Encoder()


def framed(message: msgspec.Struct) -> bytes:
    """Return a message as it is sent."""
    data = _ENCODER.encode(message)
    return len(data).to_bytes(LENGTH, "big") + data
