"""Directories that run as long as the tests, and servers that misbehave as long as one test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.ldap.listener import Listener, read_until_closed
from tests.ldap.slapd import Slapd, make_authority, started


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Make servers that misbehave; they end with the test."""
    with ExitStack() as stack:

        def make(
            behave: Callable[[socket.socket, threading.Event], None] = read_until_closed,
        ) -> Listener:
            one = Listener(behave)
            stack.callback(one.close)
            return one

        yield make


@pytest.fixture(scope="session")
def rogue() -> Iterator[Listener]:
    """Where the directory's referrals point to."""
    one = Listener(read_until_closed)
    yield one
    one.close()


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, rogue: Listener) -> Iterator[Slapd]:
    """A directory that tells strangers nothing."""
    yield from started(tmp_path_factory.mktemp("slapd"), rogue.port, "none")


@pytest.fixture(scope="session")
def open_slapd(tmp_path_factory: pytest.TempPathFactory, rogue: Listener) -> Iterator[Slapd]:
    """A directory that everybody may read."""
    yield from started(tmp_path_factory.mktemp("open-slapd"), rogue.port, "read")


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The PEM file of an authority that has signed nothing here."""
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder, "other")
    return str(folder / "other.pem")
