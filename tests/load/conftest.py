"""The stack under load: who is there, and the reports at the end."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
from docker import DockerClient
from e2e.stack import running_engine, running_stack
from load.account import Book, Report, write
from load.enrolment import enrol
from load.people import PEOPLE, Gather, Load, Person
from load.sessions import Engine

_REPORTS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def load() -> Load:
    """How long, with how many, in which order: SLICERHUB_SOAK_MINUTES, _USERS and _SEED."""
    minutes = float(os.environ.get("SLICERHUB_SOAK_MINUTES") or 3)
    users = int(os.environ.get("SLICERHUB_SOAK_USERS") or (PEOPLE if minutes >= 30 else 24))
    seed = int(os.environ.get("SLICERHUB_SOAK_SEED") or secrets.randbelow(10**6))
    return Load(minutes, users, seed)


@pytest.fixture(scope="session")
def client() -> Iterator[DockerClient]:
    """The engine that the stack runs on."""
    with running_engine() as found:
        yield found


@pytest.fixture(scope="session")
def names(client: DockerClient, load: Load) -> list[str]:
    """Names of people who may use the hub, which runs."""
    running_stack("load")
    found = [f"soak-{number:03}" for number in range(max(PEOPLE, load.users))]
    enrol(client, ["watch", *found])
    return found


@pytest.fixture
def gather(client: DockerClient, load: Load) -> Iterator[Gather]:
    """Let people be there, who know each other: book, names, what ends it, their pause."""
    with ExitStack() as stack:

        def people(
            book: Book, names: Sequence[str], over: threading.Event, pause: float
        ) -> list[Person]:
            engine = Engine(client)
            found = [Person(one, book, engine, over, seed=load.seed, pause=pause) for one in names]
            for one in found:
                stack.callback(one.leave)
                one.meet(found)
            return found

        yield people


@pytest.fixture
def publish(request: pytest.FixtureRequest) -> Callable[[Report], None]:
    """Write a report; it is printed at the end of the run."""
    kept = request.config.stash.setdefault(_REPORTS, [])

    def publish(report: Report) -> None:
        kept.append(write(report))

    return publish


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the reports."""
    found: list[str] = config.stash.get(_REPORTS, list[str]())
    for text in found:
        terminalreporter.write_line("")
        terminalreporter.write_line(text)
