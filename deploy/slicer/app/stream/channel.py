"""The messages between the two processes of a session, which can carry connections.

The pair of sockets keeps the bounds of messages (SOCK_SEQPACKET) and carries file descriptors: the
first process accepts every connection and hands it on.
"""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from app.people.activity import Selection
from app.people.felt import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_BYTES = 256 * 1024
_MOST_FDS = 4


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """The program begins a stage of its start, one of `app.front.front.STAGES`."""

    name: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The program accepts connections from now on."""


class Connected(msgspec.Struct, frozen=True):
    """One open page. ``number`` is that of its connection."""

    number: int
    user: str
    role: str
    since: datetime


class Status(msgspec.Struct, frozen=True, tag="status"):
    """The program's activity; sent on every change, and at least each half second.

    ``felt``: how quick the last minute was; None if nobody felt anything in it.
    """

    last_input_at: datetime | None
    busy: bool
    clients: list[Connected]
    felt: Summary | None = None


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """The program has finished with a connection."""

    number: int


class Handed(msgspec.Struct, frozen=True, tag="handed"):
    """A connection; this message carries its descriptor. Nothing was read from it yet."""

    number: int


class Kick(msgspec.Struct, frozen=True, tag="kick"):
    """Close the pages of the selection in order."""

    selection: Selection


FromProgram = Stage | Ready | Status | Closed
FromFront = Handed | Kick
_Message = TypeVar("_Message")


class Channel(Generic[_Message]):
    """One end of the pair; ``kind`` is the type of the incoming messages."""

    def __init__(self, end: socket.socket, kind: Any) -> None:  # noqa: ANN401 - a union of types
        """Keeps one end of a SOCK_SEQPACKET pair."""
        end.settimeout(0)
        self._end = end
        self._decoder: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(kind)

    def fileno(self) -> int:
        """For the event loop: readable means that `received` returns something."""
        return self._end.fileno()

    def send(self, message: FromProgram | FromFront, *, fd: int | None = None) -> bool:
        """Sends a message, with a descriptor if one is given.

        False if the other process has too much unread, or is gone.
        """
        try:
            fds = [] if fd is None else [fd]
            socket.send_fds(self._end, [msgspec.json.encode(message)], fds)
        except OSError:
            return False
        return True

    def received(self) -> Iterator[tuple[_Message, list[int]]]:
        """All received messages, without waiting; the caller must close the descriptors.

        Raises EOFError when the other process has ended.
        """
        while True:
            try:
                content, fds, _, _ = socket.recv_fds(self._end, _MOST_BYTES, _MOST_FDS)
            except BlockingIOError:
                return
            except OSError as error:
                raise EOFError from error
            if not content:
                raise EOFError
            try:
                message = self._decoder.decode(content)
            except msgspec.DecodeError:
                for fd in fds:
                    with contextlib.suppress(OSError):
                        os.close(fd)
                raise
            yield message, fds
