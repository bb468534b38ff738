"""Disks that are full or read-only, and a clock that jumps."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient
from e2e.stack import Member, part
from outages.conftest import Outage
from outages.watch import (
    EVERYWHERE,
    HOME,
    LIST,
    LOGIN,
    NONE,
    SESSION,
    Scene,
    everywhere,
    outage,
)

from tests.support.breakage import (
    DISK,
    changed,
    check_small,
    clock,
    compose,
    compose_files,
    fill,
    hub_time,
)
from tests.support.inside import inside
from tests.support.waits import until

HERE = Path(__file__).parent
FAULT_SECONDS = 6
HOUR = 3600


@contextmanager
def logged_in_anew(scene: Scene) -> Generator[Scene]:
    """Give the same scene for a hub that has just been given other keys."""
    alice, bob = Member("alice"), Member("bob")
    try:
        yield scene._replace(alice=alice, bob=bob)
    finally:
        alice.leave()
        bob.leave()


def test_the_disk_of_the_records_is_full(
    scene: Scene, engine: DockerClient, record_property: Callable[[str, object], None]
) -> None:
    """Nobody new gets in, and is told so; who works goes on; with room again all is well."""
    fault = "disk of the records (keys, log-ins) full"
    with changed(DISK), logged_in_anew(scene) as anew:
        controller = part(engine, "controller")
        may = {LOGIN: frozenset({503})}
        with outage(anew, fault, record_property, may=may) as vigil:
            fill(controller)
            comer = next(one for one in vigil.places if one.name == LOGIN)
            # Its journal may have room left for a little.
            until(
                lambda: any(one.status == 503 for one in comer.answers),
                seconds=120,
                what="the end of all room",
            )
            vigil.start()
            vigil.last(FAULT_SECONDS)
            inside(controller, "rm", "/small/full")


def test_the_disk_of_the_records_is_read_only(broken: Outage, engine: DockerClient) -> None:
    """The hub does not start on it and says why; open desktops go on until it can be written."""
    files = (*compose_files(), str(HERE / "readonly.yaml"))
    named = [word for one in files for word in ("--file", one)]
    again = ("up", "--detach", "--no-deps", "controller")
    fault = "disk of the records read-only when the hub starts"
    with broken(fault, may=EVERYWHERE) as vigil:
        try:
            compose(*named, *again)
            until(
                lambda: b"cannot be used" in part(engine, "controller").logs(),
                seconds=60,
                what="the hub's word about its folder",
            )
            vigil.last(FAULT_SECONDS)
        finally:
            compose(*again, "--wait")


def test_the_disk_of_the_audit_log_is_full(broken: Outage, engine: DockerClient) -> None:
    """Nobody notices; it is said in the log; with room again lines are written again."""
    with changed(HERE / "audit.yaml"):
        controller = part(engine, "controller")
        check_small(controller)
        with broken("disk of the audit log full") as vigil:
            fill(controller)
            until(
                lambda: b"audit_file_unusable" in controller.logs(),
                seconds=120,
                what="the hub's word about its audit log",
            )
            vigil.start()
            vigil.last(FAULT_SECONDS)
            inside(controller, "rm", "/small/full")
        since = len(lines_of(controller))
        Member("bob").leave()
        until(lambda: len(lines_of(controller)) > since, what="a line in the audit log")


def lines_of(controller: Any) -> list[str]:  # noqa: ANN401
    """Return what stands in the file of the audit log."""
    return inside(controller, "cat", "/small/audit.jsonl").splitlines()


@pytest.mark.parametrize(
    ("step", "words"), [(HOUR, "ahead"), (-HOUR, "back")], ids=["ahead", "back"]
)
def test_the_clock_jumps(
    scene: Scene,
    engine: DockerClient,
    record_property: Callable[[str, object], None],
    step: int,
    words: str,
) -> None:
    """Nobody who works is stopped; before one's own log-in one is asked to log in again."""
    # Each look at a clock that can be set is a look into a file: the hub is slow meanwhile.
    may = everywhere({NONE, 503})
    if step < 0:
        may |= {one: may[one] | {302, 401, 403} for one in (HOME, LIST, SESSION)}
    with (
        clock() as put,
        logged_in_anew(scene) as anew,
        outage(anew, f"clock an hour {words}, and right again", record_property, may=may) as vigil,
    ):
        put(f"{step:+}")
        until(
            lambda: abs(hub_time(engine) - time.time() - step) < 60, seconds=60, what="the new time"
        )
        vigil.start()
        vigil.last(FAULT_SECONDS)
        put("+0")
