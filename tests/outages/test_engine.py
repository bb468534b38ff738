"""The Docker engine is restarted: one of the tests' own, beside the machine's.

tests/outages/engine up IMAGE...
tests/outages/engine run docker compose up --no-build --detach --wait traefik
tests/outages/engine run pytest tests/outages/test_engine.py
tests/outages/engine down
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

import httpx
import msgspec
import pytest
from docker import DockerClient
from docker.errors import APIError
from e2e.stack import Member, container_of, hub_answers, part, place_of
from outages.conftest import PARTS, Outage, people
from outages.table import PROPERTY, Row
from outages.watch import EVERYWHERE, running, words_of

from tests.support.breakage import healthy
from tests.support.inside import inside
from tests.support.waits import until

BACK_SECONDS = 180


def engine_is(act: str, *options: str) -> None:
    """Restart or kill the engine; it runs with these options afterwards."""
    subprocess.run(
        [os.environ["SLICERHUB_RESTART_ENGINE"], act, *options], check=True, capture_output=True
    )


def at_rest(engine: DockerClient) -> bool:
    """Tell whether the hub and all its parts are as they should be."""
    return hub_answers() and all(healthy(engine, one) for one in PARTS)


def knows(member: Member) -> bool:
    """Tell whether the hub knows again what sessions somebody has."""
    try:
        return member.api.get("/api/v1/sessions").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("act", ["restart", "kill"])
def test_an_engine_with_live_restore(broken: Outage, engine: DockerClient, act: str) -> None:
    """Open desktops go on; a moment later sessions start again, though its socket is a new one."""
    how = "kill -9" if act == "kill" else "restart"
    fault = f"{how} of the Docker engine, with live-restore"
    # For a moment it makes its rules for new connections anew.
    with broken(fault, may=EVERYWHERE, by_itself=True):
        engine_is(act, "--live-restore")
        until(lambda: all(healthy(engine, one) for one in PARTS), seconds=BACK_SECONDS)


def is_started(engine: DockerClient, service: str) -> bool:
    """Start a part unless it runs; False while the engine itself is still about to start it."""
    try:
        part(engine, service).start()
    except APIError as error:
        if "already in use" not in str(error):
            raise
        return False
    return True


def test_an_engine_without_live_restore(
    engine: DockerClient, record_property: Callable[[str, object], None]
) -> None:
    """It ends all programs itself: their people read so, and start again with the same files."""
    engine_is("restart")  # from here on it has no live-restore
    for one in PARTS:  # what such a change ends it does not always start again
        until(lambda name=one: is_started(engine, name), seconds=BACK_SECONDS, what=f"the {one}")
    until(lambda: at_rest(engine), seconds=BACK_SECONDS, what="the hub")
    with people(engine) as scene:
        alice, session = scene.alice, scene.desktop
        inside(container_of(engine, session["id"]), "sh", "-c", "echo kept > /home/slicer/over")
        before = running(engine)
        begun = time.monotonic()
        engine_is("restart")
        until(lambda: knows(alice), seconds=BACK_SECONDS, what="the hub")
        told = alice.wait(session["id"], "failed", seconds=BACK_SECONDS)
        page = words_of(alice.browser.get(place_of(session)))
        again = alice.launch("echo", "desktop")
        seconds = time.monotonic() - begun
        assert inside(container_of(engine, again["id"]), "cat", "/home/slicer/over") == "kept\n"
        after = running(engine)
        lost = [one for one in before if after.get(one) != before[one]]
        row = Row(
            "restart of the Docker engine, without live-restore: it ends all containers itself",
            f"until it is back: no connection; then its card: failed: {told['message']}; its page: "
            f"{page}; start: as always, with the same files",
            seconds,
            len(lost),
            "yes: its program was ended by the engine",
        )
        record_property(PROPERTY, msgspec.json.encode(row).decode())
        assert set(lost) == set(before), "the engine has live-restore all the same"
        until(lambda: at_rest(engine), seconds=BACK_SECONDS, what="all parts")
