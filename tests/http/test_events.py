"""Events of sessions: what they tell who follows a start, or keeps a page open."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from controller.web.api import admin_sessions, sessions
from tests.support.hub import DEADLINE, World, eventually
from tests.support.waits import settled

pytestmark = pytest.mark.anyio

Event = tuple[str, Any]


def events_in(text: str, *, heartbeats: bool = False) -> list[Event]:
    """Return the events of a stream, on request also heartbeats: their names and what they say."""
    found: list[Event] = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        pairs = (line.partition(": ") for line in block.splitlines())
        fields = {name: value for name, _, value in pairs}
        if "event" in fields and (heartbeats or fields["event"] != "heartbeat"):
            found.append((fields["event"], json.loads(fields["data"])))
    return found


@asynccontextmanager
async def following(client: httpx.AsyncClient, path: str) -> AsyncGenerator[list[httpx.Response]]:
    """Read a stream of events to its end while the test makes things happen."""
    answers: list[httpx.Response] = []

    async def read() -> None:
        answers.append(await client.get(path))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await settled()
            yield answers


async def test_events_until_ready(fresh: World) -> None:
    """The stream of a start tells its steps until it is ready, and then ends."""
    made = await fresh.session(ready=False)
    alice = await fresh.script("alice")
    async with following(alice, f"/api/v1/sessions/{made}/events") as answers:
        fresh.gateway.served.add(made)
    assert answers[0].headers["content-type"].startswith("text/event-stream")
    events = events_in(answers[0].text)
    assert {name for name, _ in events} == {"progress"}
    assert [event["phase"] for _, event in events] == ["starting", "ready"]
    last = events[-1][1]
    assert last["url"] == f"/s/{made}/"
    assert [step["state"] for step in last["steps"]] == ["done"] * 4
    assert last["elapsed"] >= 0


async def test_events_until_failed(fresh: World) -> None:
    """The stream of a start that fails tells why, and then ends."""
    made = await fresh.session(ready=False)
    alice = await fresh.script("alice")
    async with following(alice, f"/api/v1/sessions/{made}/events") as answers:
        fresh.orchestrator.crash(made, exit_code=3, message="")
    name, last = events_in(answers[0].text)[-1]
    assert name == "progress"
    assert last["phase"] == "failed"
    assert "exit code 3" in last["message"]
    assert "failed" in [step["state"] for step in last["steps"]]


async def test_events_until_gone(fresh: World) -> None:
    """The stream of a start that is stopped elsewhere tells that it is gone."""
    made = await fresh.session(ready=False)
    alice = await fresh.script("alice")
    async with following(alice, f"/api/v1/sessions/{made}/events") as answers:
        await alice.delete(f"/api/v1/sessions/{made}")
    assert events_in(answers[0].text)[-1] == ("gone", {})


@asynccontextmanager
async def open_page(
    world: World, user: str, path: str = "/api/v1/events", *, heartbeats: bool = False
) -> AsyncGenerator[list[Event]]:
    """Keep a page open that follows a stream, and give what it hears; the first event has come."""
    script = await world.script(user)
    heard: list[Event] = []
    gone = anyio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own
        heard.extend(events_in(message.get("body", b"").decode(), heartbeats=heartbeats))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", script.headers["authorization"].encode())],
        "client": ("10.0.0.1", 1),
        "server": ("localhost", 8080),
    }
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            group.start_soon(world.app.public, scope, receive, send)  # type: ignore[arg-type]
            await eventually(lambda: len(heard) == 1)
            yield heard
            gone.set()


async def told(world: World) -> None:
    """Wait until pages have heard of everything that has happened."""
    await settled()
    await eventually(lambda: not world.app.services.streams.news.due)
    await settled()


async def test_changes_of_my_sessions(fresh: World) -> None:
    """A page that stays open hears of each change of one's own sessions, and of no others."""
    async with open_page(fresh, "alice") as heard:
        made = await fresh.session("bob")
        mine = await fresh.session("alice")
        await told(fresh)
        count = len(heard)
        assert count > 1
        bob = await fresh.script("bob")
        await bob.delete(f"/api/v1/sessions/{made}")
        await fresh.until(made, None)
        await told(fresh)
        assert len(heard) == count
        fresh.orchestrator.crash(mine, exit_code=0, message="")
        await eventually(lambda: len(heard) == count + 1)
    assert {name for name, _ in heard} == {"sessions"}


async def test_changes_of_what_is_shared(fresh: World) -> None:
    """A guest's page hears of the invitation, its end, and the session; so does the owner's."""
    made = await fresh.session("alice")
    alice = await fresh.script("alice")
    where = f"/api/v1/sessions/{made}/shares/bob"
    async with open_page(fresh, "bob") as guest, open_page(fresh, "alice") as owner:
        for happens in (
            lambda: alice.put(where, json={"role": "view"}),
            lambda: alice.put(where, json={"role": "control"}),
            lambda: alice.delete(where),
            lambda: alice.put(where, json={"role": "view"}),
        ):
            await told(fresh)
            of_guest, of_owner = len(guest), len(owner)
            assert (await happens()).is_success
            await told(fresh)
            assert len(guest) > of_guest
            assert len(owner) > of_owner
        of_guest = len(guest)
        fresh.orchestrator.crash(made, exit_code=0, message="")
        await eventually(lambda: len(guest) == of_guest + 1)


async def test_administrators_hear_of_everybody(fresh: World) -> None:
    """An administrator's page hears of the sessions of others."""
    async with open_page(fresh, "carol", "/api/v1/admin/events") as heard:
        await fresh.session("bob")
        await eventually(lambda: len(heard) > 1)


@pytest.mark.parametrize(
    "path", ["/api/v1/events", "/api/v1/admin/events", "/api/v1/sessions/{made}/events"]
)
async def test_a_stream_without_news_has_a_heartbeat(
    fresh: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page can tell a stream on which nothing happens from one that is dead."""
    monkeypatch.setattr(sessions, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(admin_sessions, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(admin_sessions, "_QUIET_SECONDS", 0.0)
    made = await fresh.session("carol", ready=False)
    async with open_page(fresh, "carol", path.format(made=made), heartbeats=True) as heard:
        await eventually(lambda: heard[-2:] == [("heartbeat", {})] * 2)
        names = {name for name, _ in heard}
        assert len(names) == 2
        before = len(heard)
        fresh.gateway.served.add(made)
        await eventually(lambda: names - {"heartbeat"} <= {name for name, _ in heard[before:]})


async def test_administrators_hear_at_intervals(
    fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers change without an event: their page is told now and then, between heartbeats."""
    monkeypatch.setattr(admin_sessions, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(admin_sessions, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(admin_sessions, "_AGAIN_SECONDS", 0.4)
    async with open_page(fresh, "carol", "/api/v1/admin/events", heartbeats=True) as heard:
        await eventually(lambda: [name for name, _ in heard].count("sessions") > 2)
        await eventually(lambda: ("heartbeat", {}) in heard)
