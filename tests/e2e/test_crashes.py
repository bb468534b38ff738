"""Parts of the hub are killed; nobody loses a session."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from docker import DockerClient
from e2e.stack import INSTANCE, URL, Member, container_of, hub_answers, open_socket, part, place_of

from tests.support.inside import inside
from tests.support.waits import until

ROOT = Path(__file__).parents[2]
BRIEF_SECONDS = 6  # after which the profile "brief" counts as unused, as slicerhub.toml says


def test_the_controller_is_killed_and_the_session_goes_on(
    alice: Member, engine: DockerClient
) -> None:
    """An open desktop does not notice, and afterwards the session is there, owned and reachable."""
    session = alice.launch("echo", "survivor")
    path = place_of(session)
    before = container_of(engine, session["id"]).attrs["State"]["StartedAt"]
    with open_socket(path, alice.cookie_in(session)) as socket:
        socket.recv()
        controller = part(engine, "controller")
        controller.kill(signal="SIGKILL")
        socket.send("still here?")
        assert socket.recv() == "still here?"
        controller.start()  # an engine's own restart policy does not act on a kill by hand
        until(hub_answers, seconds=60, what="the hub")
        socket.send("and now?")
        assert socket.recv() == "and now?"
    found = alice.wait(session["id"], "ready")
    assert found["owner"] == "alice"
    assert found["name"] == "survivor"
    assert alice.browser.get(path).status_code == 200
    assert alice.api.get(path).status_code == 200
    assert container_of(engine, session["id"]).attrs["State"]["StartedAt"] == before
    alice.stop(session["id"])


def test_a_restart_of_the_controller_stops_nobody_early(
    alice: Member, engine: DockerClient
) -> None:
    """What is unused is stopped for it also after a restart, and not before its time."""
    session = alice.launch("brief", "over a restart")
    assert alice.browser.get(place_of(session)).status_code == 200
    used = time.monotonic()
    part(engine, "controller").restart(timeout=10)
    until(hub_answers, seconds=60, what="the hub")
    alice.wait(session["id"], "gone")
    assert time.monotonic() - used >= BRIEF_SECONDS
    assert "Brief · over a restart" in alice.browser.get("/").text


def test_a_traefik_made_anew_finds_the_sessions_again(alice: Member, engine: DockerClient) -> None:
    """A new Traefik knows no session's network; the hub joins it to each again."""
    session = alice.launch("echo", "rejoined")
    compose("up", "--detach", "--wait", "--force-recreate", "--no-deps", "traefik")
    until(hub_answers, seconds=60, what="the hub")
    until(
        lambda: alice.browser.get(place_of(session)).status_code == 200,
        seconds=90,
        what="the session behind the new Traefik",
    )
    network = f"{INSTANCE}-{session['id']}"
    assert network in part(engine, "traefik").attrs["NetworkSettings"]["Networks"]
    alice.stop(session["id"])


def test_down_and_up_keeps_the_files(engine: DockerClient) -> None:
    """After deploy/down and deploy/up everything that people wrote is there."""
    bob = Member("bob")
    session = bob.launch("echo", "before")
    container = container_of(engine, session["id"])
    inside(container, "sh", "-c", "echo mine > /home/slicer/over-night")
    environment = os.environ | {
        "SLICERHUB_INSTANCE": INSTANCE,
        "SLICERHUB_PORT": URL.rsplit(":", 1)[1],
        "SLICERHUB_NETWORK_POOL": os.environ["SLICERHUB_TEST_NETWORK_POOL"],
    }
    bob.leave()
    subprocess.run([ROOT / "deploy/down"], check=True, env=environment, capture_output=True)
    assert not hub_answers()
    ours = engine.containers.list(all=True, filters={"label": f"slicerhub.instance={INSTANCE}"})
    assert ours == []
    subprocess.run([ROOT / "deploy/up"], check=True, env=environment, capture_output=True)
    until(hub_answers, seconds=60, what="the hub")
    again = Member("bob")
    session = again.launch("echo", "after")
    container = container_of(engine, session["id"])
    assert inside(container, "cat", "/home/slicer/over-night") == "mine\n"
    again.stop_all()
    again.leave()


def compose(*words: str) -> None:
    """Run Compose on the stack of the tests."""
    environment = os.environ | {
        "SLICERHUB_INSTANCE": INSTANCE,
        "SLICERHUB_PORT": URL.rsplit(":", 1)[1],
        "SLICERHUB_NETWORK_POOL": os.environ["SLICERHUB_TEST_NETWORK_POOL"],
    }
    subprocess.run(
        ["docker", "compose", *words], check=True, env=environment, cwd=ROOT, capture_output=True
    )
