"""Whether the hub is ready, as the site's monitoring asks, and what people hear until it is."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from controller.core.errors import DirectoryUnavailable, GatewayUnavailable
from controller.core.model import Observed, Profile
from controller.monitoring.metrics import Metrics
from controller.people.tokens import Keys
from controller.sessions.gateway import TraefikGateway
from controller.store.sqlite.store import SqliteStore
from tests.support.hostile.program import answer, serving
from tests.support.hub import RING, Clock, World, eventually, running, world
from tests.support.samples import session, session_id, settings

pytestmark = pytest.mark.anyio


async def test_ready(fresh: World) -> None:
    """A hub whose parts answer says that it is ready, part by part."""
    async with fresh.private() as monitoring:
        assert (await monitoring.get("/healthz")).json() == {"alive": True}
        assert (await monitoring.get("/startz")).json() == {"knows": True, "leaving": False}
        answer = await monitoring.get("/readyz")
        assert answer.status_code == 200
        report = answer.json()
        assert report["ready"] is True
        assert set(report["parts"].values()) == {"ok"}
        assert {"directory", "engine", "sessions", "store"} <= report["parts"].keys()


async def test_not_ready(fresh: World) -> None:
    """A part that is away is named with its sentence; the hub is alive nevertheless."""
    fresh.directory.fault = DirectoryUnavailable("The directory does not answer.")
    async with fresh.private() as monitoring:
        answer = await monitoring.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"]["directory"] == "The directory does not answer."
        assert answer.json()["parts"]["engine"] == "ok"
        assert (await monitoring.get("/healthz")).status_code == 200
        # Those who are logged in go on, so requests may still be sent here.
        assert (await monitoring.get("/startz")).status_code == 200
        fresh.directory.fault = None
        assert (await monitoring.get("/readyz")).status_code == 200


async def test_a_damaged_store(tmp_path: Path) -> None:
    """With damaged records nobody gets in and the hub says why; seen to, it goes on by itself."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"no records at all" * 100)
    hub = World(world().settings, store=SqliteStore(path))
    hub.orchestrator.adopt(Observed(session(), running=True))
    hub.gateway.serves_all = True
    async with anyio.create_task_group() as group:
        group.start_soon(hub.app.run)
        async with hub.private() as monitoring, hub.client() as visitor:
            answer = await monitoring.get("/readyz")
            assert answer.status_code == 503
            assert "cannot use its own records" in answer.json()["parts"]["store"]
            refused = await visitor.post(
                "/api/v1/login", json={"username": "alice", "password": "alice"}
            )
            assert refused.status_code == 503
            path.unlink()
            await eventually(lambda: hub.app.sessions.ready)
            assert (await monitoring.get("/readyz")).status_code == 200
        alice = await hub.script("alice")
        (found,) = (await alice.get("/api/v1/sessions")).json()["items"]
        assert found["id"] == session().id
        group.cancel_scope.cancel()


async def test_not_ready_before_the_sessions_are_read() -> None:
    """A controller that has not read the sessions yet is not ready."""
    async with world().private() as monitoring:
        answer = await monitoring.get("/readyz")
        assert answer.status_code == 503
        assert "starting" in answer.json()["parts"]["sessions"]


async def test_nobody_is_told_that_theirs_is_gone(fresh: World) -> None:
    """A hub that has just started asks people to wait, and does not say that nothing is theirs."""
    made = await fresh.session()
    token = (await fresh.script("alice")).headers["Authorization"]
    cookie = (await fresh.browser("alice")).cookie
    again = World(fresh.settings, orchestrator=fresh.orchestrator, store=fresh.store)
    async with again.client(Authorization=token) as alice:
        for path in ("/api/v1/me", "/api/v1/sessions", f"/api/v1/sessions/{made}", "/"):
            answer = await alice.get(path)
            assert answer.status_code == 503, path
            assert int(answer.headers["retry-after"]) > 0
        page = await (await again.browser()).get("/", Cookie=cookie)
        assert page.status_code == 503
        assert "The hub is starting" in page.text
        # Who is logged in is known now, and what they have is not.
        await again.app.logins.following.load()
        assert (await alice.get("/api/v1/sessions")).status_code == 503
    async with running(again), again.client(Authorization=token) as alice:
        (found,) = (await alice.get("/api/v1/sessions")).json()["items"]
        assert found["id"] == made


async def test_private_listener_knows_nothing_else(fresh: World) -> None:
    """The private listener serves neither pages nor the API."""
    async with fresh.private() as monitoring:
        for path in ("/", "/login", "/api/v1/me", "/verify", "/s/x/", "/schema"):
            assert (await monitoring.get(path)).status_code == 404


async def test_gateway_away(unused_port: int) -> None:
    """If Traefik is away no session counts as served, and the check says where it was sought."""
    away = settings(gateway_url=f"http://127.0.0.1:{unused_port}")
    gateway = TraefikGateway(away, Keys(RING), Clock().wall, Metrics())
    try:
        profile = Profile(id="slicer", title="Slicer", image="x")
        assert not await gateway.is_served(session_id(1), profile)
        with pytest.raises(GatewayUnavailable, match=f":{unused_port}.*Check gateway_url"):
            await gateway.ping()
    finally:
        await gateway.close()


async def test_a_gateway_that_is_asked_much_is_not_away() -> None:
    """Traefik that puts the hub's own question off, among too many, is there and known to be."""
    refusal = answer(b"", status=b"429 Too Many Requests")
    async with serving(lambda _: [refusal]) as port:
        busy = settings(gateway_url=f"http://127.0.0.1:{port}")
        gateway = TraefikGateway(busy, Keys(RING), Clock().wall, Metrics())
        try:
            await gateway.ping()
            profile = Profile(id="slicer", title="Slicer", image="x")
            assert not await gateway.is_served(session_id(1), profile)
        finally:
            await gateway.close()


@pytest.fixture
def unused_port(free_tcp_port: int) -> int:
    """Give a port on which nobody listens."""
    return free_tcp_port
