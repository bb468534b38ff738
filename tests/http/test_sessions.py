"""Launching, following and stopping sessions over the API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest
from typing_extensions import override

from controller.core.errors import EngineUnavailable
from controller.core.model import Phase, Session, SessionId
from controller.engines.memory import MemoryOrchestrator
from tests.support.hub import DEADLINE, ORIGIN, World, eventually, location, problem, running, world
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

Event = tuple[str, Any]


def events_in(text: str) -> list[Event]:
    """Return the events of a stream: their names and what they say."""
    found: list[Event] = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        pairs = (line.partition(": ") for line in block.splitlines())
        fields = {name: value for name, _, value in pairs}
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


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


async def test_quota(fresh: World) -> None:
    """Fifty launches at once of one person end at the quota; a stop makes place again."""
    alice = await fresh.script("alice")
    answers: list[httpx.Response] = []

    async def launch(number: int) -> None:
        answers.append(await alice.post("/api/v1/sessions", json={"name": str(number)}))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(launch, number)
    assert Counter(one.status_code for one in answers) == {202: 3, 429: 47}
    for one in answers:
        if one.status_code == 429:
            assert int(one.headers["retry-after"]) > 0
            assert "You have 3 sessions" in problem(one)["detail"]
    made = next(one.json()["id"] for one in answers if one.status_code == 202)
    await alice.delete(f"/api/v1/sessions/{made}")
    await fresh.until(made, None)
    assert (await alice.post("/api/v1/sessions", json={"name": "new"})).status_code == 202


async def test_total() -> None:
    """All people together end at the number of places."""
    async with running(world(limits_sessions_total="2")) as made:
        await made.session("alice")
        await made.session("bob")
        carol = await made.script("carol")
        answer = await carol.post("/api/v1/sessions", json={})
        assert answer.status_code == 429
        assert "All places are taken" in problem(answer)["detail"]


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
    """Who launches is told that it cannot be now, and nothing of it appears later."""
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


@asynccontextmanager
async def following(client: httpx.AsyncClient, path: str) -> AsyncGenerator[list[httpx.Response]]:
    """Read a stream of events to its end while the test makes things happen."""
    answers: list[httpx.Response] = []

    async def read() -> None:
        answers.append(await client.get(path))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            yield answers


async def test_events_until_ready(fresh: World) -> None:
    """Who follows a start sees its steps until it is ready, and then the stream ends."""
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
    """Who follows a start that fails reads why, and then the stream ends."""
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
    """Who follows a start that is stopped elsewhere learns that it is gone."""
    made = await fresh.session(ready=False)
    alice = await fresh.script("alice")
    async with following(alice, f"/api/v1/sessions/{made}/events") as answers:
        await alice.delete(f"/api/v1/sessions/{made}")
    assert events_in(answers[0].text)[-1] == ("gone", {})


async def test_changes_of_my_sessions(fresh: World) -> None:
    """A page that stays open hears of each change of one's own sessions, and of no others."""
    alice = await fresh.script("alice")
    heard: list[Event] = []
    gone = anyio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own
        heard.extend(events_in(message.get("body", b"").decode()))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/v1/events",
        "raw_path": b"/api/v1/events",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", alice.headers["authorization"].encode())],
        "client": ("10.0.0.1", 1),
        "server": ("localhost", 8080),
    }
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            group.start_soon(fresh.app.public, scope, receive, send)  # type: ignore[arg-type]
            await until_heard(heard, 1)
            made = await fresh.session("bob")
            mine = await fresh.session("alice")
            await until_heard(heard, 2)
            await anyio.wait_all_tasks_blocked()
            count = len(heard)
            bob = await fresh.script("bob")
            await bob.delete(f"/api/v1/sessions/{made}")
            await fresh.until(made, None)
            assert len(heard) == count
            fresh.orchestrator.crash(mine, exit_code=0, message="")
            await until_heard(heard, count + 1)
            gone.set()
    assert {name for name, _ in heard} == {"sessions"}


async def until_heard(heard: list[Event], number: int) -> None:
    """Wait for so many events."""
    while len(heard) < number:  # noqa: ASYNC110 - a stream has no event of its own
        await anyio.sleep(0.005)


async def test_me(hub: World) -> None:
    """People learn who they are to the hub, and what they may launch."""
    carol = await hub.script("carol")
    assert (await carol.get("/api/v1/me")).json() == {
        "user": "carol",
        "display_name": "Carol Clark",
        "groups": ["slicer-admins", "slicer-users"],
        "admin": True,
    }
    (profile,) = (await carol.get("/api/v1/profiles")).json()["items"]
    assert profile["id"] == "slicer"
    assert profile["default"] is True


async def test_token(hub: World) -> None:
    """The API's log-in tells until when its token is good."""
    answer = await hub.client().post(
        "/api/v1/login", json={"username": "alice", "password": "alice"}
    )
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    ends = datetime.fromisoformat(answer.json()["expires_at"])
    assert ends.timestamp() == pytest.approx(hub.clock.wall() + 12 * 3600, abs=1)


BIG = "a" * 70_000


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/api/nothing", {}, 404),
        ("GET", "/api/v1/nothing", {}, 404),
        ("GET", "/api/v1/sessions/nonsense", {}, 404),
        ("GET", f"/api/v1/sessions/{session_id(5)}", {}, 404),
        ("GET", f"/api/v1/sessions/{session_id(5)}/events", {}, 404),
        ("DELETE", f"/api/v1/sessions/{session_id(5)}", {}, 404),
        ("PUT", "/api/v1/sessions", {"json": {}}, 405),
        ("POST", "/api/v1/me", {"json": {}}, 405),
        ("POST", "/api/v1/sessions", {"json": {"profile": "none"}}, 403),
        ("POST", "/api/v1/sessions", {"json": {"nme": "x"}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": 5}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": "a\nb"}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": "a" * 41}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": "a" * 500}}, 400),
        ("POST", "/api/v1/sessions", {"json": []}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": BIG}}, 413),
        ("POST", "/api/v1/sessions", {"content": b"{", "headers": {}}, 400),
        ("POST", "/api/v1/sessions", {"content": b""}, 400),
        ("POST", "/api/v1/login", {"json": {"username": "a"}}, 400),
        ("POST", "/api/v1/login", {"json": {"username": "a" * 300, "password": "x"}}, 400),
        ("POST", "/api/v1/login", {"json": {"username": "a", "password": BIG}}, 413),
        ("POST", "/api/v1/login", {"content": b"\xff\xfe"}, 400),
    ],
)
async def test_problems(
    hub: World, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    """Whatever is wrong with a request to the API, the answer is a problem in plain words."""
    alice = await hub.script("alice")
    answer = await alice.request(method, path, **sent)
    assert answer.status_code == status, answer.text
    problem(answer)
    assert "Traceback" not in answer.text
    assert "controller" not in answer.text


async def test_problems_for_browsers(hub: World) -> None:
    """The API answers a browser in the address line as it answers programs."""
    browser = await hub.browser()
    for path in ("/api/v1/me", "/api/v1/sessions", "/api/v1/nothing"):
        answer = await browser.get(path)
        assert answer.status_code in {401, 404}
        problem(answer)


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/sessions", "/api/v1/profiles"])
@pytest.mark.parametrize("bearer", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YWxpY2U6"])
async def test_not_logged_in(hub: World, path: str, bearer: str) -> None:
    """Without a token that stands, the API gives nothing."""
    answer = await hub.client().get(path, headers={"Authorization": bearer})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(answer)


async def test_streamed_body(hub: World) -> None:
    """A body that does not say how long it is ends at the same limit."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"a" * 10_000

    alice = await hub.script("alice")
    answer = await alice.post(
        "/api/v1/sessions", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    problem(answer)
    browser = await hub.browser()
    form = {"username": "alice", "password": BIG}
    assert (await browser.post("/login", form)).status_code == 413


async def test_openapi(hub: World) -> None:
    """The API describes itself: each address of the contract, and how to log in."""
    document = (await hub.client().get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert {
        "/api/v1/login",
        "/api/v1/me",
        "/api/v1/profiles",
        "/api/v1/sessions",
        "/api/v1/sessions/{session_id}",
        "/api/v1/sessions/{session_id}/events",
    } <= document["paths"].keys()
    assert not [path for path in document["paths"] if not path.startswith("/api/")]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["security"] == [{"bearer": []}]
    page = await hub.client().get("/api/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/v1/sessions" in page.text
    assert "://" not in page.text.replace(ORIGIN, "").replace("http://www.w3.org", "")


async def test_login_needed_for_a_launch_by_page(hub: World) -> None:
    """A launch without a log-in leads to the log-in, and nothing is launched."""
    before = len(hub.app.sessions.all())
    answer = await (await hub.browser()).post("/launch", {"profile": "slicer"})
    assert location(answer) == "/login?next=%2F"
    assert len(hub.app.sessions.all()) == before
