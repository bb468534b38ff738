"""The two processes of a session understand each other."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime

import pytest
from app.people.activity import (
    Selection,
)
from app.people.felt import BOUNDS_MS, Parts, Summary
from app.stream.channel import Channel, Connected, Handed, Kick, Status

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_the_two_processes_understand_each_other() -> None:
    """Each message arrives whole and in order, and a connection with the one that hands it on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        front: Channel[Status] = Channel(ours, Status)
        program: Channel[Handed | Kick] = Channel(theirs, Handed | Kick)
        read, write = os.pipe()
        assert front.send(Handed(7), fd=write)
        assert front.send(Kick(Selection(user="bob")))
        os.close(write)
        (handed, fds), (kick, none) = program.received()
        assert (handed, kick, none) == (Handed(7), Kick(Selection(user="bob")), [])
        os.write(fds[0], b"x")
        os.close(fds[0])
        with os.fdopen(read, "rb") as stream:
            assert stream.read() == b"x"
        status = Status(
            NOON,
            busy=True,
            clients=[Connected(7, "bob", "view", NOON)],
            felt=Summary([1] * (len(BOUNDS_MS) + 1), Parts(1.5, 0, 20, 3, 2)),
        )
        assert program.send(status)
        assert list(front.received()) == [(status, [])]
        theirs.close()
        assert not front.send(Handed(8))
        with pytest.raises(EOFError):
            list(front.received())
