"""The running stack under attack: who is there, and what they have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import running_engine, running_stack
from security.attacker import MODE, Person, marker_of, other_machines


def pytest_configure(config: pytest.Config) -> None:
    """Say what the mark means."""
    config.addinivalue_line("markers", "mode(name): the attack exists in this mode only")
    config.addinivalue_line("markers", "last: after all others")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what there is nothing of in this mode, and look into the logs at the very end."""

    def belongs(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("mode")
        return mark is None or mark.args == (MODE,)

    items[:] = [item for item in items if belongs(item)]
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """The engine that the stack runs on."""
    with running_engine() as client:
        yield client


@pytest.fixture(scope="session", autouse=True)
def stack(engine: DockerClient) -> str:
    """The address of the stack, which routes as this run believes it does."""
    url = running_stack("security")
    assert engine
    with Person("alice") as somebody:
        begun = somebody.begin("echo", "which mode")
        below = begun["url"].startswith(f"{url}/s/")
        somebody.stop(begun["id"])
    assert below == (MODE == "path"), f"the stack does not route in the mode '{MODE}'"
    return url


@pytest.fixture(scope="session")
def machines(engine: DockerClient) -> Iterator[Iterator[str]]:
    """Machines from which nobody has tried to log in yet: each is taken once."""
    with other_machines(engine, 40) as addresses:
        yield addresses


def _person(name: str) -> Iterator[Person]:
    person = Person(name)
    person.stop_all()  # what a run that was cut short has left
    yield person
    person.leave()
    # Anew, for a test may have ended every log-in there was.
    with Person(name) as again:
        again.stop_all()


@pytest.fixture(scope="module")
def alice(stack: str) -> Iterator[Person]:
    """Whose session is attacked."""
    assert stack
    yield from _person("alice")


@pytest.fixture(scope="module")
def bob(stack: str) -> Iterator[Person]:
    """Who is not invited to it."""
    assert stack
    yield from _person("bob")


@pytest.fixture(scope="module")
def carol(stack: str) -> Iterator[Person]:
    """An administrator."""
    assert stack
    yield from _person("carol")


@pytest.fixture(scope="module")
def victim(alice: Person) -> dict[str, Any]:
    """A session of alice's; every answer of it carries a mark of its own."""
    return alice.launch("echo", "victim")


@pytest.fixture(scope="module")
def marker(engine: DockerClient, victim: dict[str, Any]) -> str:
    """The mark."""
    return marker_of(engine, victim)
