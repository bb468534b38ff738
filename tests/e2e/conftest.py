"""The running stack: its address, people who are logged in, and the engine beneath it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import PATH_MODE, Member, running_engine, running_stack

# What is below hosts of their own is nothing in path mode.
collect_ignore = ["test_subdomains.py"] if PATH_MODE else []


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """The engine that the stack runs on."""
    with running_engine() as client:
        yield client


@pytest.fixture(scope="session")
def stack() -> str:
    """The address of the stack that deploy/test has started."""
    return running_stack("e2e")


def _member(name: str) -> Iterator[Member]:
    member = Member(name)
    yield member
    member.stop_all()
    member.leave()


@pytest.fixture(scope="module")
def alice(stack: str) -> Iterator[Member]:
    """Somebody who may use the hub."""
    assert stack
    yield from _member("alice")


@pytest.fixture(scope="module")
def bob(stack: str) -> Iterator[Member]:
    """Somebody else who may use the hub."""
    assert stack
    yield from _member("bob")


@pytest.fixture(scope="module")
def carol(stack: str) -> Iterator[Member]:
    """An administrator."""
    assert stack
    yield from _member("carol")


@pytest.fixture(scope="module")
def echo(alice: Member) -> dict[str, Any]:
    """A session of alice's that tells what it is sent."""
    return alice.launch("echo", "echo")
