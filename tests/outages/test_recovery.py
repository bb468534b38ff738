"""What the hub knows is lost and comes back from a backup, by the words of the guide."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from docker import DockerClient
from e2e.stack import INSTANCE, part, place_of
from outages.conftest import Outage
from outages.watch import EVERYWHERE, Scene

from tests.support.breakage import ROOT, compose_files, surroundings


def commands(title: str) -> str:
    """Return the commands in the first block below a title of the guide's page on backup."""
    text = (ROOT / "deploy/guide/backup.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {title}$.*?^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"the guide has no commands below '{title}'"
    return found[1]


def run(script: str, folder: Path) -> str:
    """Run commands as a person types them, in a folder of their own; return what they say."""
    files = ":".join(str(ROOT / one) for one in compose_files())
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        env=surroundings() | {"COMPOSE_FILE": files},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lose_everything(engine: DockerClient) -> None:
    """Remove the controller and the volume with all that it knows."""
    api: Any = engine
    part(engine, "controller").remove(force=True)
    api.volumes.get(f"{INSTANCE}_data").remove()


def test_a_lost_volume_comes_back_from_a_backup(
    broken: Outage, scene: Scene, engine: DockerClient, tmp_path: Path
) -> None:
    """The same people are logged in, invitations hold, and open desktops never noticed."""
    alice, bob = scene.alice, scene.bob
    alice.invite(scene.desktop, "bob", "view")
    made = alice.api.post(
        f"/api/v1/sessions/{scene.desktop['id']}/links", json={"role": "view", "expires_in": 3600}
    )
    assert made.status_code in {200, 201}, made.text
    assert bob.browser.get(place_of(scene.desktop)).status_code == 200
    run(commands("Backup"), tmp_path)
    kept = tmp_path / "hub.tar"
    assert kept.stat().st_mode & 0o077 == 0, "others may read the backup"
    with broken("volume of the hub lost, and restored from a backup", may=EVERYWHERE) as vigil:
        lose_everything(engine)
        said = run(commands("Restore"), tmp_path)
        assert "restored keys and records" in said
        vigil.last(1)
    for member in (alice, bob):
        assert member.api.get("/api/v1/me").json()["user"] == member.name
        page = member.browser.get("/")
        assert page.status_code == 200
        assert 'name="csrf"' in page.text, "logged out"
    guest = bob.browser.get(place_of(scene.desktop))
    assert guest.status_code == 200, "the invitation is gone"
    links = alice.api.get(f"/api/v1/sessions/{scene.desktop['id']}/links").json()["items"]
    assert [one["id"] for one in links] == [made.json()["id"]]
