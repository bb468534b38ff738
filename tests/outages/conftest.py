"""The running stack, people who work in it, and the table of what they saw."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest
from docker import DockerClient
from e2e.stack import Member, running_engine, running_stack
from outages.table import FaultTable
from outages.watch import Scene, Vigil, outage

from tests.support.breakage import healthy
from tests.support.waits import until

# The machine's own engine, which others use, too, is never restarted: see tests/outages/engine.
collect_ignore = [] if "SLICERHUB_RESTART_ENGINE" in os.environ else ["test_engine.py"]

PARTS = (
    "controller",
    "gate-1",
    "gate-2",
    "traefik",
    "ldap",
    "engine-proxy",
    "engine-proxy-traefik",
)

Outage = Callable[..., AbstractContextManager[Vigil]]


def pytest_configure(config: pytest.Config) -> None:
    """Write the table at the end."""
    config.pluginmanager.register(FaultTable(), "faults")


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """The engine that the stack runs on."""
    with running_engine() as client:
        yield client


@pytest.fixture(scope="session")
def stack() -> str:
    """The address of the stack that deploy/test has started."""
    return running_stack("outages")


@pytest.fixture(autouse=True)
def at_rest(engine: DockerClient, stack: str) -> None:
    """Begin with all parts as they should be: no test may suffer from the one before."""
    assert stack
    until(lambda: all(healthy(engine, one) for one in PARTS), seconds=120, what="a stack at rest")


@contextmanager
def people(engine: DockerClient) -> Generator[Scene]:
    """Give alice, who works in one session and has another, and bob, who comes and goes."""
    with Member("alice") as alice, Member("bob") as bob:
        alice.stop_all()
        yield Scene(
            engine, alice, bob, alice.launch("echo", "desktop"), alice.launch("echo", "beside")
        )
        alice.stop_all()


@pytest.fixture(scope="module")
def scene(engine: DockerClient, stack: str) -> Iterator[Scene]:
    """The people of a module's tests."""
    assert stack
    with people(engine) as found:
        yield found


@pytest.fixture
def broken(scene: Scene, record_property: Callable[[str, object], None]) -> Outage:
    """What a test breaks the stack in: see ``outage``."""
    return partial(outage, scene, record=record_property)
