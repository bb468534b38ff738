"""A real controller is killed at each point of a launch and a stop, on the real engine."""

from __future__ import annotations

import signal
import time

import pytest

from controller.core import labels
from tests.faults.controller import Plan
from tests.faults.process import Hub
from tests.support.choice import cases
from tests.support.engine import Lab
from tests.support.waits import until

RECOVERY = 60  # seconds in which all must be right again

LAUNCH = (
    "before:create_volume",
    "after:create_volume",
    "after:create_network",
    "after:create_container_from_config",
    "after:connect_container_to_network",
    "after:start",
)
GROUPED = (  # the volume of the group, and what opens it to everybody
    ("after:create_volume", 2),
    ("after:remove_container", 1),
    ("after:create_container_from_config", 1),  # last: what it leaves, the next start removes
)
STOP = (
    ("before:rename", 1),
    ("after:rename", 1),
    ("after:stop", 1),
    ("after:disconnect_container_from_network", 1),
    ("after:remove_network", 1),
    ("after:remove_container", 1),
)


def parts(lab: Lab) -> tuple[dict[str, bool], set[str], list[str]]:
    """Return what the engine has: containers by session and whether they are whole and run.

    Then the sessions that have a network, and what belongs to no session.
    """
    wanted = {"label": [f"{labels.INSTANCE}={lab.instance}"]}
    traefik = lab.api.inspect_container(lab.traefik)["NetworkSettings"]["Networks"]
    whole: dict[str, bool] = {}
    others: list[str] = []
    for one in lab.api.containers(all=True, filters=wanted):
        name = one["Names"][0]
        session = one["Labels"].get(labels.SESSION)
        if session:
            joined = f"{lab.instance}-{session}" in traefik
            whole[session] = joined and one["State"] == "running" and not name.endswith(".stopping")
        elif one["Id"] != lab.traefik:
            others.append(name)
    networks = {
        one["Labels"].get(labels.SESSION, one["Name"]) for one in lab.api.networks(filters=wanted)
    }
    return whole, networks, others


def is_right(lab: Lab) -> bool:
    """Tell whether each session is there whole, and nothing else is."""
    whole, networks, others = parts(lab)
    return all(whole.values()) and networks == whole.keys() and not others


def killed(hub: Hub, point: str, count: int, name: str, profile: str = "good") -> None:
    """Launch a session over which the controller is killed at a point."""
    with hub.controller(Plan(point, count)) as process:
        hub.launch(name, profile)
        process.wait(240)
        assert process.returncode == -signal.SIGKILL, f"{point} was never reached"
        assert hub.said.read_text() == point


@pytest.mark.thorough  # the same in simulated time, and row 41 of the threats, decide
def test_killed_while_launching(docker_hub: Hub, engine_lab: Lab) -> None:
    """Within a minute each session is there whole or not at all, and no file is lost."""
    for number, point in enumerate(LAUNCH):
        killed(docker_hub, point, 1, f"plain {number}")
    for number, (point, count) in enumerate(GROUPED):
        killed(docker_hub, point, count, f"grouped {number}", "grouped")
    volumes = engine_lab.volumes()
    assert len(volumes) == 2
    with docker_hub.controller():
        begun = time.monotonic()
        until(lambda: is_right(engine_lab), seconds=RECOVERY, what="everything to be right")
        assert time.monotonic() - begun < RECOVERY
        found = docker_hub.sessions()
        whole, _, _ = parts(engine_lab)
        assert {one["id"] for one in found.values()} == whole.keys()
        # The engine had accepted it: it must be there. Of what it never heard there is nothing.
        assert f"plain {len(LAUNCH) - 1}" in found
        assert "plain 0" not in found
        assert engine_lab.volumes() == volumes
        again = docker_hub.launch("plain 0")
        assert again is not None
        assert again.status_code == 202


@pytest.mark.parametrize(("point", "count"), cases(STOP, always={("after:stop", 1)}))
def test_killed_while_stopping(docker_hub: Hub, engine_lab: Lab, point: str, count: int) -> None:
    """A stop that was cut short is finished, or never was; the files stay, the name is free."""
    with docker_hub.controller(Plan(point, count)) as process:
        made = docker_hub.launch("thesis")
        assert made is not None
        assert made.status_code == 202
        session = made.json()["id"]
        volumes = engine_lab.volumes()
        docker_hub.ask("DELETE", f"/sessions/{session}")
        process.wait(240)
        assert process.returncode == -signal.SIGKILL, f"{point} was never reached"
    with docker_hub.controller():
        until(lambda: is_right(engine_lab), seconds=RECOVERY, what="everything to be right")
        whole, _, _ = parts(engine_lab)
        assert whole == ({session: True} if point == "before:rename" else {})
        assert engine_lab.volumes() == volumes
