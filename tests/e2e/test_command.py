"""The command ``slicerhub`` inside the running stack: what an administrator gets to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from docker import DockerClient
from e2e.stack import Member, container_of, part

from tests.support.inside import run_inside


def run(
    engine: DockerClient, *words: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run the command in the controller's container; return exit code and all that it said."""
    controller: Any = part(engine, "controller")
    return run_inside(controller, "slicerhub", *words, environment=environment)


def test_check_confirms_what_works_and_names_what_does_not(engine: DockerClient) -> None:
    """Each part is asked for real; the profile whose image is missing is named with the fix."""
    code, said = run(engine, "check")
    assert code == 1
    for good in ("configuration", "data folder", "Traefik at", "directory", "engine"):
        assert f"✓ {good}" in said
    assert "✓ profile slicer" in said
    assert (
        "✗ profile missing, image slicerhub-test/no-such-image: "
        "The image slicerhub-test/no-such-image of the profile missing is not on this server. "
        "Build it there, or make its registry reachable." in said
    )
    assert "Traceback" not in said


def test_every_fault_of_the_configuration_is_named_at_once(engine: DockerClient) -> None:
    """Unknown keys and bad addresses are all reported in one go, each with its fix."""
    faults = {
        "SLICERHUB_LDAP_ULR": "ldaps://ldap",
        "SLICERHUB_PUBLIC_URL": "localhost",
        "SLICERHUB_LIMITS_SESSIONS_TOTAL": "many",
    }
    for words in (("check",), ("serve",), ("sessions", "list")):
        code, said = run(engine, *words, environment=faults)
        assert code == 1
        assert "SLICERHUB_LDAP_ULR: no such setting. Did you mean SLICERHUB_LDAP_URL?" in said
        assert "public_url: 'localhost' must be like https://slicer.example.org" in said
        assert "limits.sessions_total (SLICERHUB_LIMITS_SESSIONS_TOTAL)" in said
        assert "Traceback" not in said


def test_a_directory_that_does_not_answer_is_named(engine: DockerClient) -> None:
    """An LDAP address where nobody listens is told in words, and the rest is still checked."""
    code, said = run(engine, "check", environment={"SLICERHUB_LDAP_URL": "ldaps://ldap:6360"})
    assert code == 1
    assert "✗ directory ldaps://ldap:6360: " in said
    assert "✓ engine" in said
    assert "Traceback" not in said


def test_names_of_sessions_that_lead_nowhere_are_told(engine: DockerClient) -> None:
    """A domain without a wildcard record is named, with the two ways out of it."""
    domain = "sessions.invalid"  # never in any name service (RFC 6761)
    code, said = run(engine, "check", environment={"SLICERHUB_SESSION_DOMAIN": domain})
    assert code == 1
    assert f"✗ host names of sessions, <id>.{domain}: " in said
    assert f"Add a record for *.{domain} to the DNS" in said
    assert 'set session_domain (SLICERHUB_SESSION_DOMAIN) to "path"' in said
    # Traefik was not told of that domain, either.
    assert "Give it that domain, too: SLICERHUB_SESSION_DOMAIN" in said
    assert "Traceback" not in said
    by_path = {"SLICERHUB_SESSION_DOMAIN": "path"}
    assert "host names of sessions" not in run(engine, "check", environment=by_path)[1]


def test_an_audit_file_that_cannot_be_written_is_named(engine: DockerClient) -> None:
    """Nobody finds out months later that nothing was on record."""
    nowhere = {"SLICERHUB_AUDIT_FILE": "/nowhere/audit.jsonl"}
    code, said = run(engine, "check", environment=nowhere)
    assert code == 1
    assert "✗ audit file /nowhere/audit.jsonl: " in said
    assert "No such file or directory" in said
    somewhere = {"SLICERHUB_AUDIT_FILE": "/tmp/audit.jsonl"}  # noqa: S108 - in the container
    assert "✓ audit file /tmp/audit.jsonl" in run(engine, "check", environment=somewhere)[1]


def test_an_engine_that_does_not_answer_is_named(engine: DockerClient) -> None:
    """So is an engine that is not there."""
    elsewhere = {"SLICERHUB_DOCKER_HOST": "tcp://engine-proxy:1"}
    code, said = run(engine, "check", environment=elsewhere)
    assert code == 1
    assert "✗ engine (docker): The server that runs sessions does not answer" in said
    assert "Traceback" not in said


def test_sessions_can_be_listed_and_stopped_without_the_web(
    alice: Member, engine: DockerClient
) -> None:
    """The administrator sees what runs, straight from the engine, and can stop it."""
    session = alice.launch("echo", "by-command")
    code, said = run(engine, "sessions", "list")
    assert code == 0
    (line,) = [line for line in said.splitlines() if session["id"] in line]
    assert line.split() == [session["id"], "alice", "echo", "running", "by-command"]
    code, said = run(engine, "sessions", "list", "--json")
    assert session["id"] in {one["session"]["id"] for one in json.loads(said)}
    code, said = run(engine, "sessions", "stop", session["id"])
    assert (code, said) == (0, f"stopped {session['id']}\n")
    alice.wait(session["id"], "gone")
    code, said = run(engine, "sessions", "stop", session["id"])
    assert code == 1
    assert "there is no such session" in said


def test_files_can_be_listed_and_are_safe_while_in_use(alice: Member, engine: DockerClient) -> None:
    """The administrator sees whose files there are; those of a session cannot be removed."""
    session = alice.launch("echo", "with-files")
    code, said = run(engine, "volumes", "list", "--json")
    assert code == 0
    (files,) = [one for one in json.loads(said) if one["owner"] == "alice"]
    assert isinstance(files["size"], int)
    code, said = run(engine, "volumes", "remove", "alice", "--yes")
    assert code == 1
    assert "A session still uses these files." in said
    code, said = run(engine, "volumes", "remove", "nobody", "--yes")
    assert code == 1
    assert "this user has no files" in said
    run(engine, "sessions", "stop", session["id"])
    alice.wait(session["id"], "gone")


def test_render_prints_what_the_engine_is_sent(alice: Member, engine: DockerClient) -> None:
    """What is printed for a profile is what a session of it really gets."""
    code, said = run(engine, "render", "echo")
    assert code == 0
    printed = json.loads(said)["container"]
    session = alice.launch("echo", "rendered")
    real = container_of(engine, session["id"]).attrs
    assert printed["Image"] == real["Config"]["Image"]
    assert printed["User"] == real["Config"]["User"]
    assert printed["HostConfig"]["Memory"] == real["HostConfig"]["Memory"]
    assert set(printed["Labels"]) - {
        name for name in printed["Labels"] if name.startswith("traefik.http")
    } <= set(real["Config"]["Labels"])
    alice.stop(session["id"])
