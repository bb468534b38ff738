"""The controller goes, again and again, while everybody goes on working."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice

import pytest
from docker import DockerClient
from e2e.stack import part
from outages.conftest import Outage
from outages.watch import PAGES, SESSION, STRANGER, Desktop, Scene

from tests.support.breakage import compose, healthy, kill
from tests.support.choice import cases
from tests.support.waits import until

DESKTOPS = 49  # besides the one that is always there


def upgrade(engine: DockerClient) -> None:
    """Replace the controller by one of the same image."""
    del engine
    compose("up", "--detach", "--wait", "--no-deps", "--force-recreate", "controller")


def restart(engine: DockerClient) -> None:
    """Let the controller end in order, and begin anew."""
    part(engine, "controller").restart(timeout=30)


ACTS: tuple[Callable[[DockerClient], None], ...] = (
    upgrade,
    lambda engine: kill(engine, "controller"),
    restart,
)


@pytest.mark.parametrize("times", cases([5, 20], always={5}))
def test_the_controller_goes_under_load(
    broken: Outage, engine: DockerClient, scene: Scene, times: int
) -> None:
    """Each time no request to a session is refused, and no socket closed; pages are away a moment.

    It is upgraded, killed and restarted in turn.
    """
    both = (scene.desktop, scene.beside)
    desktops = [Desktop(scene.alice, both[one % 2], pause=0.5) for one in range(DESKTOPS)]
    fault = (
        f"the controller upgraded, killed or restarted {times} times with {DESKTOPS + 1} open "
        "desktops and requests all the time"
    )
    with broken(fault, may=PAGES, by_itself=True, more=desktops, pause=0.02) as vigil:
        steady = time.monotonic()
        until(
            lambda: all(len(place.since(steady)) >= 5 for place in vigil.places), what="some load"
        )
        away: list[tuple[float, float]] = []
        for act in islice(cycle(ACTS), times):
            begun = time.monotonic()
            act(engine)
            until(lambda: healthy(engine, "controller"), seconds=60, what="the controller")
            away.append((begun, time.monotonic()))
        vigil.last(3)
        answers = [one for place in vigil.places for one in place.since(steady)]
        refused = [one for one in answers if one.wrong]
        took = sum(over - begun for begun, over in away)
        vigil.note(
            "requests",
            f"{len(answers)}, of them refused {len(refused)}, in {took:.1f} s without it",
        )
    outside = [
        one for one in refused if all(one.ended < begun or one.begun > over for begun, over in away)
    ]
    assert outside == [], "refused though nothing was being restarted"
    at_sessions = [one for one in vigil.places if one.name in {SESSION, STRANGER}]
    assert [one.wrong for place in at_sessions for one in place.since(steady) if one.wrong] == []
    for desktop in vigil.desktops:
        assert desktop.losses(steady) == 0
        assert desktop.answered(away[-1][1])
