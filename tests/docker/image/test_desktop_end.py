"""Saving and ending a desktop session, with a program that has Slicer's ear for the hub.

The script that Slicer runs at its start is the real one; 3D Slicer itself cannot be had here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.desktop_session import Desktop, Vnc, new_volume
from tests.support.slicer_session import docker, who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Launch = Callable[..., Desktop]

ALICE = who("alice", "owner")
STANDIN = Path(__file__).with_name("standin.py")


@pytest.fixture
def launch(network: str, standin: None, tmp_path: Path) -> Iterator[Launch]:
    """Starts sessions of one person, with the program of this version; all on one volume."""
    del standin
    tmp_path.chmod(0o755)
    volume = new_volume()
    sessions: list[Desktop] = []

    def one(version: str = "5.8.1") -> Desktop:
        # By a launcher that ends at once when it is asked to, as Slicer's does.
        command = ["bash", "-c", "/opt/desktop/bin/python /standin.py & wait"]
        program = tmp_path / f"program-{version}.json"
        said = {"name": "Stand-in", "version": version, "command": command, "saves": True}
        program.write_text(json.dumps(said))
        program.chmod(0o644)
        script = tmp_path / "standin.py"
        script.write_bytes(STANDIN.read_bytes())
        script.chmod(0o644)
        mounts = [f"{program}:/opt/desktop/share/program.json:ro", f"{script}:/standin.py:ro"]
        options = [word for mount in mounts for word in ("--volume", mount)]
        session = Desktop(network, volume, options=options)
        sessions.append(session)
        return session.wait_ready()

    yield one
    for session in sessions:
        session.remove()
    docker("volume", "rm", "--force", volume, check=False)


def use(session: Desktop) -> None:
    """Somebody presses a key."""
    with Vnc(session, ALICE) as alice:
        alice.type("x")
        alice.settle()


def test_save_asks_the_program(launch: Launch) -> None:
    """The hub has the scene saved; not again while nobody does anything; a failure is told."""
    session = launch()
    assert session.post("/-/save", {}).json() == {"saved": None}
    use(session)
    answer = session.post("/-/save", {})
    assert answer.status_code == 200
    name = answer.json()["saved"]
    assert session.read(f"files/autosave/unnamed/{name}") == "a scene"
    assert session.post("/-/save", {}).json() == {"saved": name}
    session.run("touch files/refuse")
    use(session)
    refused = session.post("/-/save", {})
    assert refused.status_code == 507
    assert refused.json()["saved"] is None
    assert "the stand-in refuses" in refused.json()["message"]


def test_the_program_ends_before_its_screen(launch: Launch) -> None:
    """A stop saves the scene, then lets the program end in its own way, then takes the screen."""
    session = launch()
    use(session)
    assert session.stop() == 0
    events = [event["event"] for event in session.events]
    assert "scene.saved" in events
    assert events[-1] == "session.stopped"
    assert "process.deaf" not in events
    session.remove()
    again = launch()
    assert again.read("files/ended") == "with its screen"
    assert len(again.list_files("autosave/unnamed")) == 1


def test_each_version_has_settings_of_its_own(launch: Launch) -> None:
    """Settings outlive the session, beside the files and not among them, one set a version."""
    for version in ("5.8.1", "5.8.1", "5.10.0"):
        session = launch(version)
        assert "settings" not in session.list_files("")
        assert session.stop() == 0
        session.remove()
    last = launch("5.10.0")
    place = "/home/slicer/.slicer-desktop"
    assert last.read(f"{place}/5.8.1/config/settings") == "first+"
    assert last.read(f"{place}/5.10.0/config/settings") == "first+"
    folders = last.run(f"ls {place}/5.10.0").split()
    assert folders == ["config", "data", "python", "slicer.org", "state"]
