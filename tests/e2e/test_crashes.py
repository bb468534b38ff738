"""Parts of the hub are killed; nobody loses a session."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx
from docker import DockerClient
from e2e.stack import INSTANCE, URL, Member, container_of, part, until
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]


def ready() -> bool:
    """Tell whether the hub answers again, and Traefik with it."""
    try:
        return httpx.get(f"{URL}/login", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_controller_is_killed_and_the_session_goes_on(
    alice: Member, engine: DockerClient
) -> None:
    """An open desktop does not notice, and afterwards the session is there, owned and reachable."""
    session = alice.launch("echo", "survivor")
    path = f"/s/{session['id']}/"
    before = container_of(engine, session["id"]).attrs["State"]["StartedAt"]
    with connect(
        URL.replace("http", "ws") + path,
        additional_headers={"Cookie": alice.cookie},
        origin=URL,  # pyright: ignore[reportArgumentType]
        proxy=None,
    ) as socket:
        socket.recv()
        controller = part(engine, "controller")
        controller.kill(signal="SIGKILL")
        socket.send("still here?")
        assert socket.recv() == "still here?"
        controller.start()  # an engine's own restart policy does not act on a kill by hand
        until(ready, seconds=60, what="the hub")
        socket.send("and now?")
        assert socket.recv() == "and now?"
    found = alice.wait(session["id"], "ready")
    assert found["owner"] == "alice"
    assert found["name"] == "survivor"
    assert alice.browser.get(path).status_code == 200
    assert alice.api.get(path).status_code == 200
    assert container_of(engine, session["id"]).attrs["State"]["StartedAt"] == before
    alice.stop(session["id"])


def test_a_traefik_made_anew_finds_the_sessions_again(alice: Member, engine: DockerClient) -> None:
    """A new Traefik knows no session's network; the hub joins it to each again."""
    session = alice.launch("echo", "rejoined")
    compose("up", "--detach", "--wait", "--force-recreate", "--no-deps", "traefik")
    until(ready, seconds=60, what="the hub")
    until(
        lambda: alice.browser.get(f"/s/{session['id']}/").status_code == 200,
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
    code, _ = container.exec_run(["sh", "-c", "echo mine > /home/slicer/over-night"])
    assert code == 0
    environment = os.environ | {
        "SLICERHUB_INSTANCE": INSTANCE,
        "SLICERHUB_PORT": URL.rsplit(":", 1)[1],
        "SLICERHUB_NETWORK_POOL": os.environ["SLICERHUB_TEST_NETWORK_POOL"],
    }
    bob.leave()
    subprocess.run([ROOT / "deploy/down"], check=True, env=environment, capture_output=True)
    assert not ready()
    ours = engine.containers.list(all=True, filters={"label": f"slicerhub.instance={INSTANCE}"})
    assert ours == []
    subprocess.run([ROOT / "deploy/up"], check=True, env=environment, capture_output=True)
    until(ready, seconds=60, what="the hub")
    again = Member("bob")
    session = again.launch("echo", "after")
    container = container_of(engine, session["id"])
    code, output = container.exec_run(["cat", "/home/slicer/over-night"])
    assert (code, output) == (0, b"mine\n")
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
