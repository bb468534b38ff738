"""Files that a group shares, in real sessions of people who may write them or only read them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, START_SECONDS, Member, container_of, hub_answers, part, place_of

from tests.support.inside import run_inside
from tests.support.waits import until

REMEMBERED = """
import json, sqlite3, sys
with sqlite3.connect("/data/store.sqlite") as store:
    found = store.execute("SELECT body FROM memo WHERE session IN (?, ?)", sys.argv[1:])
    print(sum(json.loads(body)["served"] for (body,) in found))
"""
NOTE = b"left hippocampus smaller than right\n"


@pytest.fixture(scope="module")
def sessions(bob: Member, carol: Member) -> tuple[dict[str, Any], dict[str, Any]]:
    """A session of carol's, whose group writes the volume, and one of bob's, whose group reads."""
    begun = [(who, who.begin("atlas", "group")["id"]) for who in (carol, bob)]
    writing, reading = (who.wait(one, "ready", seconds=START_SECONDS) for who, one in begun)
    return writing, reading


def file_in(session: dict[str, Any], name: str) -> str:
    """Return the address of a file in the group's volume, as the session's page uses it."""
    return f"{place_of(session)}files/atlas/{name}"


def reaches(who: Member, session: dict[str, Any]) -> bool:
    """Tell whether the file is found through the session."""
    try:
        answer = who.api.get(file_in(session, "findings.txt"), timeout=3)
    except httpx.TimeoutException:  # Traefik looks for it in a network that it is not in
        return False
    return answer.content == NOTE


def mount_of(engine: DockerClient, session: dict[str, Any]) -> dict[str, Any]:
    """Return what the engine says of the group's volume in a session."""
    mounts = container_of(engine, session["id"]).attrs["Mounts"]
    (found,) = [one for one in mounts if one["Destination"] == "/groups/atlas"]
    return found


def test_who_writes_and_who_reads(
    bob: Member, carol: Member, sessions: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """What one of the writers uploads all readers find, and none of them can change it."""
    writing, reading = sessions
    assert carol.api.put(file_in(writing, "findings.txt"), content=NOTE).status_code == 201
    assert bob.api.get(file_in(reading, "findings.txt")).content == NOTE
    for name in ("findings.txt", "other.txt"):
        refused = bob.api.put(file_in(reading, name), content=b"mine")
        assert refused.status_code == 507
        assert "Read-only" in refused.text
    assert carol.api.get(file_in(writing, "findings.txt")).content == NOTE
    assert carol.api.get(file_in(writing, "other.txt")).status_code == 404


def test_a_crash_of_the_controller_changes_nothing(
    bob: Member,
    carol: Member,
    sessions: tuple[dict[str, Any], dict[str, Any]],
    engine: DockerClient,
) -> None:
    """What a crash took from sessions is repaired; group volumes and rights are as they were."""
    mounts = [mount_of(engine, one) for one in sessions]
    controller = part(engine, "controller")
    ids = [one["id"] for one in sessions]
    # A controller that knows them as ready repairs at once; else it takes them for being launched.
    until(
        lambda: run_inside(controller, "python", "-c", REMEMBERED, *ids).said == "2\n",
        what="the hub's memory of the sessions",
    )
    controller.kill(signal="SIGKILL")
    for session_id in ids:
        engine.networks.get(f"{INSTANCE}-{session_id}").disconnect(part(engine, "traefik"))
    controller.start()
    until(hub_answers, seconds=60, what="the hub")
    writing, reading = sessions
    for who, one in ((carol, writing), (bob, reading)):
        until(lambda who=who, one=one: reaches(who, one), seconds=90, what="the repaired session")
    assert carol.api.put(file_in(writing, "more.txt"), content=b"more").status_code == 201
    assert bob.api.get(file_in(reading, "more.txt")).content == b"more"
    assert bob.api.put(file_in(reading, "more.txt"), content=b"mine").status_code == 507
    assert [mount_of(engine, one) for one in sessions] == mounts
