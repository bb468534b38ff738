"""Launching and stopping sessions, while the engine obeys and while it does not."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import anyio
import httpx
import pytest
from typing_extensions import override

from controller.core.errors import EngineUnavailable
from controller.core.model import Phase, Session, SessionId
from controller.engines.memory import MemoryOrchestrator
from tests.support.hub import ORIGIN, World, eventually, location, problem, running
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio


async def test_launch(fresh: World) -> None:
    """A launched session is listed, its owner's, and has an address; others do not see it."""
    alice, bob = await fresh.script("alice"), await fresh.script("bob")
    answer = await alice.post("/api/v1/sessions", json={"profile": "slicer", "name": " thesis "})
    assert answer.status_code == 202
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/sessions/{made['id']}"
    assert made["name"] == "thesis"
    assert made["owner"] == "alice"
    assert made["profile"] == "slicer"
    assert made["phase"] in {"pending", "starting"}
    assert made["role"] == "owner"
    assert made["url"] == f"{ORIGIN}/s/{made['id']}/"
    assert datetime.fromisoformat(made["created_at"]).utcoffset() == timedelta(0)
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(
        made["created_at"]
    )
    assert lifetime == timedelta(days=1)
    assert set(made) == {
        *("id", "name", "owner", "profile", "phase", "message", "url", "created_at"),
        *("last_activity_at", "expires_at", "role", "place", "stops_at"),
    }
    (listed,) = (await alice.get("/api/v1/sessions")).json()["items"]
    assert listed["id"] == made["id"]
    one = await alice.get(answer.headers["location"])
    assert one.status_code == 200
    assert one.json()["id"] == made["id"]
    assert (await bob.get("/api/v1/sessions")).json() == {"items": []}
    for method in ("GET", "DELETE"):
        theirs = await bob.request(method, answer.headers["location"])
        unknown = await bob.request(method, f"/api/v1/sessions/{session_id(99)}")
        assert theirs.status_code == 404
        assert theirs.content == unknown.content
    assert (await bob.get(f"{answer.headers['location']}/events")).status_code == 404


async def test_one_session_of_a_name(fresh: World) -> None:
    """Twenty launches of one name at once make one session; the others learn which it is."""
    alice = await fresh.script("alice")
    answers: list[httpx.Response] = []

    async def launch(number: int) -> None:
        name = "Thesis" if number % 2 else "thesis"
        answers.append(await alice.post("/api/v1/sessions", json={"name": name}))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(launch, number)
    assert Counter(one.status_code for one in answers) == {202: 1, 409: 19}
    (made,) = [one.json()["id"] for one in answers if one.status_code == 202]
    for one in answers:
        if one.status_code == 409:
            assert problem(one)["session"] == made
    assert len(await fresh.orchestrator.list()) == 1


async def test_stop(fresh: World) -> None:
    """A stopped session says that it is stopping, and then is gone; stopping twice is no fault."""
    made = await fresh.session()
    alice = await fresh.script("alice")
    answer = await alice.delete(f"/api/v1/sessions/{made}")
    assert answer.status_code == 202
    assert answer.json()["phase"] == "stopping"
    await fresh.until(made, None)
    for method in ("GET", "DELETE"):
        answer = await alice.request(method, f"/api/v1/sessions/{made}")
        assert answer.status_code == 404
        problem(answer)
    assert not await fresh.orchestrator.list()


class Slow(MemoryOrchestrator):
    """An engine that takes its time, until ``go`` is set."""

    def __init__(self) -> None:
        """Wait at first."""
        super().__init__(settings())
        self.go = anyio.Event()

    @override
    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        await self.go.wait()
        await super().remove(session_id, grace=grace)


async def test_while_stopping() -> None:
    """While a session is stopping nobody enters, it is stopped once, and its name is taken."""
    engine = Slow()
    async with running(
        World(settings(public_url=ORIGIN, session_domain="path"), orchestrator=engine)
    ) as hub:
        made = await hub.session("alice", "thesis")
        alice = await hub.script("alice")
        cookie = {"Cookie": (await hub.browser("alice")).cookie}
        for _ in range(2):
            assert (await alice.delete(f"/api/v1/sessions/{made}")).json()["phase"] == "stopping"
        assert (await hub.verify(made, cookie)).status_code == 403
        answer = await alice.post("/api/v1/sessions", json={"name": "thesis"})
        assert answer.status_code == 409
        assert int(answer.headers["retry-after"]) > 0
        problem(answer)
        engine.go.set()
        await hub.until(made, None)
        answer = await alice.post("/api/v1/sessions", json={"name": "thesis"})
        assert answer.status_code == 202


class Refusing(MemoryOrchestrator):
    """An engine that accepts nothing."""

    @override
    async def ensure(self, session: Session) -> None:
        del session
        await anyio.lowlevel.checkpoint()
        raise EngineUnavailable("The engine does not answer. Starting must wait.")


async def test_failed_launch() -> None:
    """A launch that the engine did not take leaves nothing behind and says why."""
    engine = Refusing(settings())
    async with running(World(settings(public_url=ORIGIN), orchestrator=engine)) as hub:
        alice = await hub.script("alice")
        answer = await alice.post("/api/v1/sessions", json={})
        assert answer.status_code == 503
        assert "Starting must wait" in problem(answer)["detail"]
        assert int(answer.headers["retry-after"]) > 0
        assert (await alice.get("/api/v1/sessions")).json() == {"items": []}


class Hanging(MemoryOrchestrator):
    """An engine that says nothing, until ``go`` is set."""

    def __init__(self) -> None:
        """Hang at first."""
        super().__init__(settings())
        self.go = anyio.Event()

    @override
    async def ensure(self, session: Session) -> None:
        await self.go.wait()
        await super().ensure(session)

    @override
    async def ping(self) -> None:
        await self.go.wait()


async def test_a_launch_while_the_engine_hangs() -> None:
    """A person who launches is told that it cannot be now, and nothing of it appears later."""
    engine = Hanging()
    async with running(World(settings(public_url=ORIGIN), orchestrator=engine)) as hub:
        alice = await hub.script("alice")
        answer = await alice.post("/api/v1/sessions", json={"name": "thesis"})
        assert answer.status_code == 503
        assert "does not answer" in problem(answer)["detail"]
        assert int(answer.headers["retry-after"]) > 0
        engine.go.set()
        await eventually(lambda: not hub.app.sessions.all())
        assert not await engine.list()
        assert (await alice.post("/api/v1/sessions", json={"name": "thesis"})).status_code == 202


async def test_failed_sessions_make_way(fresh: World) -> None:
    """A session that failed does not stand in the way of the next of its name, nor in the quota."""
    made = await fresh.session("alice", "thesis")
    await fresh.session()
    await fresh.session()
    fresh.orchestrator.crash(made, exit_code=1, message="")
    await fresh.until(made, Phase.FAILED)
    alice = await fresh.script("alice")
    answer = await alice.post("/api/v1/sessions", json={"name": "thesis"})
    assert answer.status_code == 202
    assert answer.json()["id"] != made
    assert (await alice.get(f"/api/v1/sessions/{made}")).status_code == 404


async def test_login_needed_for_a_launch_by_page(hub: World) -> None:
    """A launch without a log-in leads to the log-in, and nothing is launched."""
    before = len(hub.app.sessions.all())
    answer = await (await hub.browser()).post("/launch", {"profile": "slicer"})
    assert location(answer) == "/login?next=%2F"
    assert len(hub.app.sessions.all()) == before
