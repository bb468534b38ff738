"""Ten sessions at once whose program answers as no program should; others go on (row 50)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import part, place_of
from security.attacker import MEGABYTE, Person, at_once, memory_of

from tests.support.choice import cases
from tests.support.hostile.program import MISBEHAVIOURS
from tests.support.inside import inside
from tests.support.waits import until

CYCLES = 6
AT_ONCE = 10
EVERYWHERE = " all"
ENDED_SECONDS = 15  # after "stop without saving": the hub's promise, not this machine's pace
ROUNDS_SECONDS = 60  # rounds are each 2 s here; no bad session may hold one up for long
READ = (
    "import urllib.request as r; print(r.urlopen('http://localhost:8001/metrics').read().decode())"
)
FINISHED = re.compile(
    r'^slicerhub_housekeeping_last_finished_timestamp_seconds{round="(\w+)"} (\S+)$', re.MULTILINE
)


def chosen(cycle: int) -> list[str]:
    """Return the names of a cycle's sessions: each says how its program misbehaves, and where.

    One after the other of all ways has its turn, every second one at all paths, also where the hub
    looks whether the session is ready.
    """
    numbers = range(len(MISBEHAVIOURS))[cycle::CYCLES][:AT_ONCE]
    return [f"{number}{EVERYWHERE if at % 2 else ''}" for at, number in enumerate(numbers)]


def finished(engine: DockerClient) -> dict[str, float]:
    """Return when each round of housekeeping was last at its end, in seconds since the epoch."""
    said = inside(part(engine, "controller"), "python", "-c", READ)
    return {name: float(at) for name, at in FINISHED.findall(said)}


@pytest.fixture(scope="module")
def memory(engine: DockerClient) -> int:
    """What the controller holds before the first of them."""
    return memory_of(engine)


@pytest.fixture
def hostile(
    request: pytest.FixtureRequest, bob: Person, memory: int
) -> Iterator[list[dict[str, Any]]]:
    """The sessions of one cycle, on the way to do what harm they can."""
    assert memory
    names = chosen(request.param)
    yield at_once([lambda name=name: bob.begin("hostile", name) for name in names])
    bob.stop_all()


@pytest.mark.row(51)
@pytest.mark.parametrize("hostile", cases(range(CYCLES), always=range(2)), indirect=True)
def test_row_50_others_work_beside_them(
    hostile: list[dict[str, Any]], bob: Person, carol: Person, engine: DockerClient, memory: int
) -> None:
    """Beside ten of them somebody logs in, works, shows and takes back; they end when told to."""
    assert len(hostile) == AT_ONCE
    harmless = [one for one in hostile if not one["name"].endswith(EVERYWHERE)]
    for one in harmless:
        bob.wait(one["id"], "ready")
    begun = time.time()
    with Person("alice") as alice:
        session = alice.launch("echo", "beside them")
        place = place_of(session)
        assert alice.browser.get(place).status_code == 200
        assert carol.browser.get(place).status_code == 403
        alice.invite(session, "carol", "view")
        assert carol.browser.get(place).status_code == 200
        answer = alice.api.delete(f"/api/v1/sessions/{session['id']}/shares/carol")
        assert answer.status_code == 200, answer.text
        assert carol.browser.get(place).status_code == 403
        alice.stop(session["id"])
    until(
        lambda: all(at > begun for at in finished(engine).values()),
        seconds=ROUNDS_SECONDS,
        what="the end of each round of housekeeping",
    )
    without = [_without_saving(bob, one["id"]) for one in hostile]
    assert {answer() for answer in without} <= {202, 404}
    until(
        lambda: not {one["id"] for one in hostile} & _own(bob),
        seconds=ENDED_SECONDS,
        what="the end of the hostile sessions",
    )
    until(lambda: memory_of(engine) - memory < 64 * MEGABYTE, what="the memory to be free again")


def _without_saving(person: Person, session_id: str) -> Callable[[], int]:
    where = f"/api/v1/sessions/{session_id}?save=false"
    return lambda: person.api.delete(where).status_code


def _own(person: Person) -> set[str]:
    return {one["id"] for one in person.api.get("/api/v1/sessions").json()["items"]}
