"""What ``slicerhub keys`` prints and does, and a hub that is told to start with a weak key."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli.main import main

HUB: dict[str, str | None] = {name: None for name in os.environ if name.startswith("SLICERHUB_")}


def run(folder: Path, *words: str, typed: str = "") -> Result:
    """Run the command over this data folder."""
    environ = HUB | {"SLICERHUB_DATA_DIR": str(folder), "SLICERHUB_ORCHESTRATOR": "memory"}
    return CliRunner().invoke(main, words, env=environ, input=typed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a data folder with one old key."""
    keys = {"keys": [{"kid": "old", "secret": "5e" * 32}]}
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    return tmp_path


def test_list(folder: Path) -> None:
    """Each key is listed with its age and whether it signs; the secret is never shown."""
    assert run(folder, "keys", "rotate").exit_code == 0
    done = run(folder, "keys", "list")
    assert done.exit_code == 0, done.output
    heading, new, entry, old = done.output.splitlines()
    assert heading.split() == ["KEY", "MADE", "USE", "STATE"]
    for line, use in ((new, "hub"), (entry, "entry")):
        assert line.split()[1:6] == ["just", "now", use, "signs", "in"]
    assert old.split()[:6] == ["old", "not", "known", "hub", "signs,", "verifies"]
    secrets = [one["secret"] for one in json.loads((folder / "keys.json").read_text())["keys"]]
    listed = run(folder, "keys", "list", "--json").output
    assert [(one["use"], one["algorithm"], one["state"][:5]) for one in json.loads(listed)] == [
        ("hub", "EdDSA", "signs"),
        ("entry", "EdDSA", "signs"),
        ("hub", "HS256", "signs"),
    ]
    assert json.loads(listed)[2]["verifies_until"] is not None
    assert not [one for one in secrets if one in done.output + listed]


def test_rotate_at_once(folder: Path) -> None:
    """Dropping all keys is asked about, since it logs everybody out."""
    before = (folder / "keys.json").read_bytes()
    refused = run(folder, "keys", "rotate", "--now", typed="n\n")
    assert refused.exit_code == 1
    assert "Everybody will be logged out" in refused.output
    assert before == (folder / "keys.json").read_bytes()
    assert run(folder, "keys", "rotate", "--now", typed="y\n").exit_code == 0
    made = json.loads(run(folder, "keys", "list", "--json").output)
    assert [one["use"] for one in made] == ["hub", "entry"]
    for key in made:
        assert (key["kid"] != "old", key["state"], key["verifies_until"]) == (True, "signs", None)
    assert run(folder, "keys", "rotate", "--now", "--yes").exit_code == 0


def test_nothing_is_made(tmp_path: Path) -> None:
    """Listing or rotating where no hub has started yet says so, and makes no keys."""
    for words in (["keys", "list"], ["keys", "rotate"], ["keys", "rotate", "--now", "--yes"]):
        done = run(tmp_path, *words)
        assert done.exit_code == 1
        assert "keys.json" in done.output
    assert not (tmp_path / "keys.json").exists()


@pytest.mark.parametrize("words", [["serve"], ["check"], ["keys", "list"], ["keys", "rotate"]])
@pytest.mark.parametrize(
    "content", ["secret", '{"keys":[{"kid":"a","secret":"736563726574"}]}', '{"keys":[]}']
)
def test_weak_key(tmp_path: Path, words: list[str], content: str) -> None:
    """With a weak key nothing starts: the command ends, and says which file it is and why."""
    path = tmp_path / "keys.json"
    path.write_text(content)
    done = run(tmp_path, *words)
    assert done.exit_code == 1
    assert str(path) in done.output
    assert "Traceback" not in done.output
    assert content == path.read_text()
