"""What ``slicerhub settings`` prints: the settings as they are, and the guide's reference."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from controller.cli.main import main
from controller.cli.reference import is_table, meanings, reference, written
from controller.core.kinds import FAULT, metas_of
from controller.core.model import GroupVolume, Profile
from controller.settings.schema import Settings

GUIDE = Path(__file__).parents[3] / "deploy/guide/settings.md"
BEGIN = "<!-- begin: slicerhub settings --markdown -->\n"
END = "<!-- end: slicerhub settings --markdown -->\n"
PASSWORD = "hunter2-hunter2"
TABLES = [field.type for field in msgspec.structs.fields(Settings) if is_table(field.type)]
# None takes away what the tests themselves are told by the environment.
NONE: dict[str, str | None] = {name: None for name in os.environ if name.startswith("SLICERHUB_")}
FILE = """
idle_seconds = 900
[ldap]
url = "ldaps://ldap.example.org"
bind_dn = "cn=hub"
[limits]
groups = { students = 5 }
sessions_total = 7
[profiles.a]
image = "x"
cpus = 2
[profiles.a.environment]
TOKEN = "hunter2-hunter2"
[volumes.atlas]
read = ["lab"]
"""


def metas_below(kind: Any) -> Iterator[msgspec.Meta]:  # noqa: ANN401 - types are of any type
    """Yield what is noted at a type and at its parts."""
    bare, metas = metas_of(kind)
    yield from metas
    for part in typing.get_args(bare):
        yield from metas_below(part)


def test_the_guide_holds_the_reference() -> None:
    """Nobody reads of a setting in the guide what is not so, and none is missing there."""
    text = GUIDE.read_text("utf-8")
    _, _, behind = text.partition(BEGIN)
    found, end, _ = behind.partition(END)
    assert end
    assert found == f"\n{reference()}\n", (
        "Put what slicerhub settings --markdown prints between them, in empty lines."
    )


def test_markdown_needs_no_settings() -> None:
    """The reference is written without a directory or an engine."""
    done = CliRunner().invoke(main, ["settings", "--markdown"], env=NONE)
    assert done.exit_code == 0, done.output
    assert done.output == reference()


@pytest.mark.parametrize("kind", [Settings, *TABLES, Profile, GroupVolume])
def test_every_setting_has_a_meaning(kind: type[msgspec.Struct]) -> None:
    """Each setting has a text that says what it means."""
    below = meanings(kind)
    for field in msgspec.structs.fields(kind):
        if is_table(field.type) or (kind is Settings and field.name in {"profiles", "volumes"}):
            continue
        assert re.fullmatch(r"\S.*[.]", below.get(field.name, "")), field.name


@pytest.mark.parametrize("kind", [Settings, *TABLES, Profile, GroupVolume])
def test_every_range_has_a_sentence(kind: type[msgspec.Struct]) -> None:
    """A value out of range is answered with what to do, not with the decoder's words."""
    for field in msgspec.structs.fields(kind):
        for meta in metas_below(field.type):
            bounds = (meta.ge, meta.gt, meta.le, meta.lt, meta.pattern)
            if any(bound is not None for bound in bounds):
                assert str((meta.extra or {})[FAULT]).endswith("."), field.name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a "b"', '"a \\"b\\""'),
        (4.0, "4.0"),
        (True, "true"),
        (("x", "ü"), '["x", "ü"]'),
        (frozenset({"b", "a"}), '["a", "b"]'),
        ({}, "{}"),
        ({"a.b": 1}, '{ "a.b" = 1 }'),
    ],
)
def test_written(value: object, text: str) -> None:
    """A value is written as the file would have it."""
    assert written(value) == text


def test_settings_as_they_are(tmp_path: Path) -> None:
    """An administrator sees what counts, and which variable or file said so."""
    file, secret = tmp_path / "hub.toml", tmp_path / "password"
    file.write_text(FILE, "utf-8")
    secret.write_text(PASSWORD, "utf-8")
    environ = NONE | {
        "SLICERHUB_CONFIG": str(file),
        "SLICERHUB_LIMITS_SESSIONS_TOTAL": "9",
        "SLICERHUB_LDAP_SEARCH_BASE": "dc=example",
        "SLICERHUB_LDAP_BIND_PASSWORD_FILE": str(secret),
    }
    done = CliRunner().invoke(main, ["settings"], env=environ)
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    lines = [line.split(maxsplit=2) for line in done.output.splitlines()]
    assert lines[0] == ["SETTING", "FROM", "VALUE"]
    found = {place: (origin, value) for place, origin, value in lines}
    assert len(found) == len(lines)
    for place, origin, value in (
        ("instance", "default", '"slicerhub"'),
        ("idle_seconds", str(file), "900"),
        ("ldap.url", str(file), '"ldaps://ldap.example.org"'),
        ("ldap.bind_password", "SLICERHUB_LDAP_BIND_PASSWORD_FILE", "(hidden)"),
        ("demo_bind_password", "default", '""'),
        ("limits.sessions_total", "SLICERHUB_LIMITS_SESSIONS_TOTAL", "9"),
        ("limits.groups", str(file), '{ "students" = 5 }'),
        ("profiles.a.cpus", str(file), "2.0"),
        ("profiles.a.idle_seconds", "idle_seconds", "900"),
        ("profiles.a.environment", str(file), "(hidden)"),
        ("profiles.a.title", "default", '"a"'),
        ("volumes.atlas.read", str(file), '["lab"]'),
    ):
        assert found[place] == (origin, value), place


def test_settings_of_the_demo() -> None:
    """The account that the demo lends is shown as what it is, its password never."""
    environ = NONE | {
        "SLICERHUB_LDAP_URL": "ldaps://ldap",
        "SLICERHUB_LDAP_SEARCH_BASE": "dc=example",
        "SLICERHUB_DEMO_DIRECTORY": "ldaps://ldap",
        "SLICERHUB_DEMO_BIND_DN": "cn=demo",
        "SLICERHUB_DEMO_BIND_PASSWORD": PASSWORD,
        "MAX_SESSIONS": "9",
    }
    done = CliRunner().invoke(main, ["settings"], env=environ)
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    assert re.search(r'^ldap\.bind_dn +demo_bind_dn +"cn=demo"$', done.output, re.MULTILINE)
    assert re.search(r"^limits\.sessions_total +MAX_SESSIONS +9$", done.output, re.MULTILINE)


def test_faults_are_told() -> None:
    """Anyone who asks for settings that are wrong reads what is wrong."""
    done = CliRunner().invoke(main, ["settings"], env=NONE | {"SLICERHUB_PUBLIC_PORT": "0"})
    assert done.exit_code == 1
    assert "✗ public_port: must be a port, 1 to 65535." in done.output
