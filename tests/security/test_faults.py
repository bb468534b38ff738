"""Parts that die, hang, lose their memory or their sense of time (rows 41, 42, 44, 46, 47)."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Self

import httpx
import pytest
from docker import DockerClient
from e2e.stack import INSTANCE, START_SECONDS, URL, container_of, part
from security.attacker import (
    DENIED,
    Door,
    Person,
    base_of,
    door,
    host_of,
    knock,
    marker_of,
    try_login,
)

from tests.support.breakage import (
    DISK,
    changed,
    clock,
    data_folder,
    fill,
    frozen,
    healthy,
    hub_time,
    wait_for_hub,
)
from tests.support.choice import cases
from tests.support.inside import inside
from tests.support.waits import until

REPAIRED_SECONDS = 60  # within which what a crash left is made whole or taken away
KNOCKS = 50  # at least, so that a moment of openness would have been seen
IDLE_SECONDS = 15  # of the profile "brief", as slicerhub.toml says

# What the engine does in a launch and in a stop, one after the other.
# Never back behind the moment at which the directory's certificate was made.
JUMPS = [(0, 3600), (7200, 3600)]  # seconds that the clock is ahead before and after
LAUNCH_STEPS = ["network create", "container create", "network connect", "container start"]
STOP_STEPS = ["container kill", "container die", "container destroy", "network disconnect"]


class Assassin:
    """Kills the controller as soon as the engine has done something for a session of hers."""

    def __init__(self, engine: DockerClient, step: str) -> None:
        """``step``: type and action of the engine's event."""
        self._controller = part(engine, "controller")
        self._step = step
        self._events: Any = engine.events(decode=True)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def _wait(self) -> None:
        with suppress(OSError, ValueError):  # the stream was closed under it
            for event in self._events:
                attributes = event["Actor"].get("Attributes", {})
                ours = attributes.get("slicerhub.instance") == INSTANCE
                ours = ours or attributes.get("name", "").startswith(f"{INSTANCE}-")
                if ours and f"{event['Type']} {event['Action']}" == self._step:
                    self._controller.kill(signal="SIGKILL")
                    self._done.set()
                    return

    def __enter__(self) -> Self:
        """Lie in wait."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the deed."""
        killed = self._done.wait(60)
        self._events.close()
        self._thread.join(10)
        assert killed, f"the engine never said '{self._step}'"
        self._controller.start()
        wait_for_hub()


def left(engine: DockerClient, session_name: str) -> list[str]:
    """Return what the engine still has of sessions of this name."""
    labels = [f"slicerhub.instance={INSTANCE}", f"slicerhub.name={session_name}"]
    found = engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
    return [one.labels["slicerhub.session"] for one in found]


def orphans(engine: DockerClient) -> list[str]:
    """Return networks of sessions that have no container."""
    labels = [f"slicerhub.instance={INSTANCE}", "slicerhub.session"]
    api: Any = engine.api
    networks = {
        one["Labels"]["slicerhub.session"] for one in api.networks(filters={"label": labels})
    }
    running = engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
    return sorted(networks - {one.labels["slicerhub.session"] for one in running})


def whole_or_gone(alice: Person, engine: DockerClient, name: str) -> bool:
    """Tell whether a session is either ready, or nothing at all is left of it."""
    try:
        answer = alice.api.get("/api/v1/sessions")
    except httpx.HTTPError:
        return False
    if answer.status_code != 200:
        return False
    found = answer.json()["items"]
    mine = [one for one in found if one["name"] == name]
    if mine:
        return mine[0]["phase"] == "ready" and knock(door(alice, mine[0])).status_code == 200
    return left(engine, name) == [] and orphans(engine) == []


@pytest.mark.parametrize("step", cases(LAUNCH_STEPS, always={"container create"}))
def test_row_41_killed_in_a_launch(engine: DockerClient, alice: Person, step: str) -> None:
    """Whatever had been done by then, the session is made whole or nothing is left of it."""
    name = f"cut at {step}"
    with Assassin(engine, step), suppress(httpx.HTTPError):  # whoever answers is killed
        alice.api.post("/api/v1/sessions", json={"profile": "echo", "name": name})
    until(lambda: whole_or_gone(alice, engine, name), seconds=REPAIRED_SECONDS, what="the repair")
    answer = alice.api.post("/api/v1/sessions", json={"profile": "echo", "name": name})
    assert answer.status_code in {202, 409}
    told = answer.json()
    session = alice.wait(told.get("session") or told["id"], "ready")
    assert len(left(engine, name)) == 1
    assert knock(door(alice, session)).status_code == 200
    alice.stop(session["id"])
    until(lambda: not orphans(engine), what="the end of all networks")


def accepted(person: Person, name: str) -> dict[str, Any] | None:
    """Start a session; None while the hub says that it is to be tried again in a moment."""
    answer = person.api.post("/api/v1/sessions", json={"profile": "echo", "name": name})
    if answer.status_code == 503 or answer.json().get("title") == "Still stopping":
        return None
    assert answer.status_code == 202, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


@pytest.mark.parametrize("step", cases(STOP_STEPS, always={"container die"}))
def test_row_41_killed_in_a_stop(engine: DockerClient, alice: Person, step: str) -> None:
    """Whatever had been done by then, the session goes and the files stay."""
    name = f"ended at {step}"
    session = alice.launch("echo", name)
    container = container_of(engine, session["id"])
    inside(container, "sh", "-c", f"echo kept > '/home/slicer/{name}'")
    with Assassin(engine, step), suppress(httpx.HTTPError):
        alice.api.delete(f"/api/v1/sessions/{session['id']}")
    until(
        lambda: not left(engine, name) and not orphans(engine),
        seconds=REPAIRED_SECONDS,
        what="the end of it",
    )
    until(lambda: alice.api.get("/api/v1/sessions").status_code == 200, what="the hub")
    # For a moment it may still count as stopping.
    begun = until(lambda: accepted(alice, name), seconds=60, what="a start that is accepted")
    again = alice.wait(begun["id"], "ready", seconds=START_SECONDS)
    found = inside(container_of(engine, again["id"]), "cat", f"/home/slicer/{name}")
    assert found == "kept\n"
    alice.stop(again["id"])


class Knocking:
    """Somebody who tries the door again and again, and counts the answers."""

    def __init__(self, session_id: str, cookie: str, *, pause: float = 0.001) -> None:
        """``cookie``: what they send; may be empty. ``pause``: seconds between two tries."""
        self.answers: Counter[int] = Counter()
        self.marks: set[str] = set()
        self._headers = {"Host": host_of(session_id)} | ({"Cookie": cookie} if cookie else {})
        self._path = base_of(session_id)
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._knock) for _ in range(2)]

    def _knock(self) -> None:
        with httpx.Client(base_url=URL, headers=self._headers, timeout=30) as client:
            while not self._over.is_set():
                answer = client.get(self._path)
                self.answers[answer.status_code] += 1
                if mark := answer.headers.get("x-echo"):
                    self.marks.add(mark)
                self._over.wait(self._pause)

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def right(mine: Door, theirs: Door, *, may: int = 200) -> None:
    """Check that who may is let in, or gets ``may``, and who may not is not."""
    assert knock(mine).status_code in {200, may}
    assert knock(theirs).status_code in DENIED
    assert knock(mine.as_stranger()).status_code == 401


def test_row_42_an_engine_that_hangs(
    engine: DockerClient, alice: Person, bob: Person, victim: dict[str, Any]
) -> None:
    """Verify is right, a launch is told 503; afterwards all is as it was and nothing was culled."""
    mine, theirs = door(alice, victim), door(bob, victim)
    before = alice.api.get("/api/v1/sessions").json()["items"]
    with frozen(engine, "engine-proxy"):
        for _ in range(10):
            right(mine, theirs)
        answer = alice.api.post(
            "/api/v1/sessions", json={"profile": "echo", "name": "while it hangs"}, timeout=60
        )
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        right(mine, theirs)
    until(
        lambda: not left(engine, "while it hangs") and not orphans(engine),
        seconds=REPAIRED_SECONDS,
        what="the end of the launch",
    )
    found = {one["id"]: one["phase"] for one in alice.api.get("/api/v1/sessions").json()["items"]}
    assert {one["id"] for one in before} <= found.keys()
    assert found[victim["id"]] == "ready"


def test_row_42_an_engine_that_starts_anew(
    engine: DockerClient, alice: Person, bob: Person, victim: dict[str, Any]
) -> None:
    """Cut off from the engine and back, both ways: the same sessions, and new ones start."""
    mine, theirs = door(alice, victim), door(bob, victim)
    for service in ("engine-proxy", "engine-proxy-traefik"):
        part(engine, service).stop(timeout=2)
        try:
            # Traefik looks at all containers whenever one starts or ends anywhere on the engine.
            # Those that it has not looked at when it is cut off it knows again when it is back.
            right(mine, theirs, may=503 if service.endswith("-traefik") else 200)
        finally:
            part(engine, service).start()
        until(lambda name=service: healthy(engine, name), seconds=60, what=f"{service} again")
        until(lambda: knock(mine).status_code == 200, seconds=60, what="the session")
    until(lambda: healthy(engine, "controller"), seconds=60, what="the hub")
    right(mine, theirs)
    name = "after the engine was back"
    begun = until(lambda: accepted(alice, name), seconds=60, what="a start that is accepted")
    session = alice.wait(begun["id"], "ready", seconds=START_SECONDS)
    assert knock(door(alice, session)).status_code == 200
    alice.stop(session["id"])
    assert alice.phase(victim["id"]) == "ready"


def set_to(engine: DockerClient, put: Callable[[str], None], ahead: int) -> None:
    """Set the hub's clock ahead of this one by so many seconds, and wait until it goes by that."""
    put(f"+{ahead}")
    until(lambda: abs(hub_time(engine) - time.time() - ahead) < 60, what="the new time")


@pytest.mark.parametrize(("before", "step"), cases(JUMPS, always={(0, 3600)}))
def test_row_44_a_clock_that_jumps(
    engine: DockerClient, alice: Person, before: int, step: int
) -> None:
    """An hour forth or back stops nobody who works, and keeps nobody for ever who does not."""
    with clock() as put, ExitStack() as log_ins:
        set_to(engine, put, before)
        now = log_ins.enter_context(Person("alice"))
        session = now.launch("brief", f"over {before}")
        # Somebody works in it all the time: on a busy machine to start the other one, and to set
        # the clock, take longer than a session may be idle.
        with Knocking(session["id"], door(now, session).cookie, pause=0.5) as working:
            unused = now.begin("brief", f"unused {before}")
            now.wait(unused["id"], "ready")
            assert working.answers.keys() == {200}
            set_to(engine, put, step)
            # The log-in of before may be too young for a clock that went back.
            later = log_ins.enter_context(Person("alice"))
            at = door(later, session)
        deadline = time.monotonic() + IDLE_SECONDS + 10
        while time.monotonic() < deadline:
            answer = knock(at)
            assert answer.status_code == 200, answer.text
            time.sleep(0.5)
        assert later.phase(session["id"]) == "ready"
        until(
            lambda: later.phase(unused["id"]) == "gone",
            seconds=60,
            what="the end of what nobody uses",
        )
        later.stop(session["id"])
    assert alice.api.get("/api/v1/me").status_code == 200


def test_row_46_no_moment_without_a_guard(engine: DockerClient, alice: Person, bob: Person) -> None:
    """From launch to end neither a stranger nor bob ever gets anything of the session."""
    session = alice.begin("echo", "guarded")
    with (
        Knocking(session["id"], "") as stranger,
        Knocking(session["id"], bob.cookie) as other,
    ):
        alice.wait(session["id"], "ready")
        assert knock(door(alice, session)).status_code == 200
        assert marker_of(engine, session)
        network, traefik = f"{INSTANCE}-{session['id']}", part(engine, "traefik")
        assert network in traefik.attrs["NetworkSettings"]["Networks"]
        for one in (stranger, other):
            until(lambda one=one: one.answers.total() >= KNOCKS, seconds=60, what="many tries")
        alice.stop(session["id"])
    for one in (stranger, other):
        assert one.marks == set()
        assert not [status for status in one.answers if 200 <= status < 400], one.answers
    assert stranger.answers.keys() <= {401, 404, 503}, stranger.answers
    assert other.answers.keys() <= DENIED | {404, 503}, other.answers


LOCK = """
import sqlite3, sys, time
store = sqlite3.connect("/data/store.sqlite", isolation_level=None)
store.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[1]))
"""


def test_row_47_a_store_that_is_locked(
    engine: DockerClient, alice: Person, bob: Person, victim: dict[str, Any]
) -> None:
    """Nobody is let in for it; people stay logged in, and afterwards log-ins work again."""
    mine, theirs = door(alice, victim), door(bob, victim)
    locking = ["docker", "exec", part(engine, "controller").id, "python", "-c", LOCK, "20"]
    with subprocess.Popen(locking, stdout=subprocess.PIPE, text=True) as work:
        assert work.stdout
        assert work.stdout.readline() == "locked\n"
        answer = try_login("alice", "alice")
        assert answer.status_code == 503
        right(mine, theirs)
    assert work.returncode == 0
    until(lambda: try_login("alice", "alice").status_code == 200, what="log-ins again")


def test_row_47_a_disk_that_is_full(victim: dict[str, Any], engine: DockerClient) -> None:
    """When nothing can be written, nobody new gets in, and nobody who may not."""
    with changed(DISK), Person("alice") as owner, Person("bob") as other:
        mine, theirs = door(owner, victim), door(other, victim)
        right(mine, theirs)
        controller = part(engine, "controller")
        fill(controller)
        # The store's journal may have room left for a little.
        until(lambda: try_login("alice", "alice").status_code == 503, what="the end of all room")
        right(mine, theirs)
        inside(controller, "rm", "/small/full")
        until(lambda: try_login("alice", "alice").status_code == 200, what="log-ins again")


def test_row_47_a_store_that_is_read_only(engine: DockerClient, victim: dict[str, Any]) -> None:
    """A hub that may only read its store lets nobody new in."""
    folder = data_folder(engine)
    controller = part(engine, "controller")
    controller.stop(timeout=10)
    # Looked for only now: what the store keeps beside it while it is open is gone.
    files = [folder, *folder.glob("store.sqlite*")]
    modes = {one: one.stat().st_mode & 0o777 for one in files}
    try:
        for one in files:
            one.chmod(modes[one] & 0o555)
        controller.start()
        deadline = time.monotonic() + 15
        seen: set[int] = set()
        while time.monotonic() < deadline and 503 not in seen:
            try:
                seen.add(try_login("alice", "alice").status_code)
            except httpx.HTTPError:
                seen.add(0)
            time.sleep(0.5)
        assert 200 not in seen
        stranger = Door(host_of(victim["id"]), base_of(victim["id"]), "", URL)
        assert knock(stranger).status_code not in range(200, 400)
    finally:
        controller.stop(timeout=10)
        for one in files:
            if one.exists():
                one.chmod(modes[one])
        controller.start()
        wait_for_hub()


def test_row_47_a_store_that_is_lost(engine: DockerClient) -> None:
    """Old log-ins and invitations are over, and everybody's sessions are still theirs."""
    with Person("alice") as alice, Person("bob") as bob:
        session = alice.launch("echo", "outlives the store")
        mark = marker_of(engine, session)
        alice.invite(session, "bob", "view")
        mine, theirs = door(alice, session), door(bob, session)
        assert knock(theirs).status_code == 200
        controller = part(engine, "controller")
        controller.stop(timeout=10)
        for one in data_folder(engine).glob("store.sqlite*"):
            one.unlink()
        controller.start()
        wait_for_hub()
        # With the store the hub has lost which gates there are: it cannot wait for them.
        for old in (mine, theirs):
            until(
                lambda old=old: {knock(old).status_code for _ in range(10)} == {401},
                seconds=5,
                what="the end of it at both gates",
            )
        assert alice.api.get("/api/v1/me").status_code == 401
    with Person("alice") as alice, Person("bob") as bob:
        until(lambda: alice.phase(session["id"]) == "ready", what="the session")
        assert mark in knock(door(alice, session)).text
        assert knock(door(bob, session)).status_code in DENIED
        alice.stop(session["id"])
