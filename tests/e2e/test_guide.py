"""What the guide tells administrators to type does what it says, as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from e2e.stack import URL, Member

from tests.support.breakage import surroundings

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "deploy/guide"

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def block_of(page: str, words: str) -> str:
    """Return the commands of the block in which these words stand, without what they answer."""
    found = [one for one in _BLOCK.findall((GUIDE / page).read_text("utf-8")) if words in one]
    assert found, f"{page} has no command with {words!r} any more"
    lines = found[0].splitlines()
    if not lines[0].startswith("$ "):
        return found[0]
    typed: list[str] = []
    for line in lines:
        if line.startswith("$ ") or (typed and typed[-1].endswith("\\")):
            typed.append(line.removeprefix("$ "))
    return "\n".join(typed)


def run(commands: str, **replaced: str) -> subprocess.CompletedProcess[str]:
    """Type commands in the folder of the project; ``replaced``: what is another on this stack."""
    for old, new in replaced.items():
        commands = commands.replace(old.replace("_", "."), new)
    address = URL.partition("://")[2]
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("localhost:8080", address)],
        check=False,
        cwd=ROOT,
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("page", ["ldap.md", "settings.md"])
def test_the_check(page: str) -> None:
    """A person who changed the settings reads of each part whether it works."""
    said = run(block_of(page, "slicerhub check"))
    assert "✓ directory" in said.stdout, said.stderr
    assert "✓ engine" in said.stdout


def test_the_api() -> None:
    """A script gets a token by a password, and starts a session with it."""
    with Member("alice") as alice:
        alice.stop_all()
        said = run(block_of("operations.md", "TOKEN="))
        assert said.returncode == 0, said.stderr
        made = json.loads(said.stdout)
        assert made["name"] == "thesis"
        assert alice.phase(made["id"]) in {"pending", "starting", "ready"}
        alice.stop_all()


def test_a_backup(tmp_path: Path) -> None:
    """The backup is an archive that only its maker may read."""
    target = tmp_path / "hub.tar"
    said = run(block_of("backup.md", "slicerhub backup -"), hub_tar=str(target))
    assert said.returncode == 0, said.stderr
    assert target.stat().st_mode & 0o077 == 0
    with tarfile.open(target) as archive:
        assert archive.getnames()


def test_the_volumes_of_people() -> None:
    """The volumes with people's files are found by their label."""
    first, *_ = block_of("backup.md", "docker volume ls").splitlines()
    said = run(first)
    assert said.returncode == 0, said.stderr
    assert "slicerhub-test-home-alice" in said.stdout


def test_new_keys() -> None:
    """Keys are replaced while people stay logged in, and the table says which one signs when."""
    with Member("alice") as alice:
        said = run(block_of("operations.md", "keys rotate"))
        assert said.returncode == 0, said.stderr
        assert said.stdout.split()[:4] == ["KEY", "MADE", "USE", "STATE"]
        assert "signs in" in said.stdout
        assert alice.api.get("/api/v1/me").status_code == 200
