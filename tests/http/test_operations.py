"""What housekeeping does by itself, and what the site's monitoring sees."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from typing_extensions import override

from controller.core.errors import DirectoryUnavailable, EngineUnavailable, GatewayUnavailable
from controller.core.model import Observed, Phase, Profile, Role, Session, SessionId, Usage, UserId
from controller.core.records import Memo, Reason, Share
from controller.engines.memory import MemoryOrchestrator
from controller.monitoring.metrics import Metrics
from controller.people.tokens import Keys
from controller.sessions.gateway import TraefikGateway
from controller.store.sqlite.store import SqliteStore
from tests.support.hostile.program import answer, serving
from tests.support.hub import ORIGIN, RING, Clock, World, eventually, running, world
from tests.support.samples import session, session_id, settings

pytestmark = pytest.mark.anyio

DAY = 86_400


async def test_idle_sessions_are_stopped(fresh: World) -> None:
    """A session that nobody uses is stopped after half an hour; one in use goes on."""
    used, forgotten = await fresh.session(), await fresh.session()
    cookie = {"Cookie": (await fresh.browser("alice")).cookie}
    for _ in range(4):
        fresh.clock.advance(600)
        assert (await fresh.verify(used, cookie)).status_code == 200
        await fresh.sweep()
    await fresh.until(forgotten, None)
    assert fresh.phase(used) is Phase.READY
    assert fresh.find(used) is not None


async def test_days_in_use(fresh: World) -> None:
    """A session in use lives until its lifetime is over, though people work in it."""
    made = await fresh.session()
    hour = 3600
    for _ in range(23):
        fresh.clock.advance(hour / 3)
        fresh.app.sessions.touch(made)
        fresh.clock.advance(hour / 3)
        fresh.app.sessions.touch(made)
        fresh.clock.advance(hour / 3)
        fresh.app.sessions.touch(made)
        await fresh.sweep()
        assert fresh.phase(made) is Phase.READY
    fresh.clock.advance(hour)
    fresh.app.sessions.touch(made)
    await fresh.sweep()
    assert fresh.phase(made) is Phase.READY
    fresh.clock.advance(300)
    fresh.app.sessions.touch(made)
    await fresh.sweep()
    await fresh.until(made, None)
    (notice,) = await fresh.store.notices(session().owner)
    assert notice.more.startswith("after 24 hours, the longest it may run.")


async def test_out_of_reach_at_the_end_of_its_time() -> None:
    """A session whose time ends while Traefik is away is told, and saves, once it is back."""
    async with running(world(idle_seconds="0")) as hub:
        made = await hub.session()
        hub.gateway.saves.add(made)
        hub.gateway.insides[made] = None
        await hub.spend(86_400 + 1800, every=900)
        assert hub.phase(made) is Phase.READY
        assert hub.gateway.notices == []
        del hub.gateway.insides[made]
        await hub.spend(30)
        (told,) = hub.gateway.notices
        assert told[0] == made
        await hub.spend(240)
        assert hub.phase(made) is Phase.READY
        await hub.spend(90)
        await hub.until(made, None)
        (notice,) = await hub.store.notices(session().owner)
        assert "Your scene was saved" in notice.more


async def test_out_of_reach_for_good() -> None:
    """A session that is never reached again ends an hour after its time, with a notice."""
    async with running(world(idle_seconds="0")) as hub:
        made = await hub.session()
        hub.gateway.insides[made] = None
        await hub.spend(86_400 + 3600, every=900)
        assert hub.phase(made) is Phase.READY
        await hub.spend(330)
        await hub.until(made, None)
        (notice,) = await hub.store.notices(session().owner)
        assert notice.more.startswith("after 24 hours, the longest it may run.")


class Lingering(MemoryOrchestrator):
    """An engine that has removed a session, and says so when ``go`` is set."""

    def __init__(self) -> None:
        """Wait at first."""
        super().__init__(settings())
        self.go = anyio.Event()

    @override
    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        await super().remove(session_id, grace=grace)
        await self.go.wait()


async def test_nothing_is_gone_before_its_owner_is_told_why() -> None:
    """A session that the hub stops leaves the page no sooner than the reason stands there."""
    engine = Lingering()
    async with running(World(settings(public_url=ORIGIN), orchestrator=engine)) as hub:
        made = await hub.session()
        await hub.app.sessions.stop(made, Reason.IDLE)
        await anyio.wait_all_tasks_blocked()
        assert not await engine.list()
        assert hub.phase(made) is Phase.STOPPING
        engine.go.set()
        await hub.until(made, None)
        assert len(await hub.store.notices(session().owner)) == 1


@pytest.mark.parametrize("step", [3600, -3600, 30 * DAY, -30 * DAY])
async def test_clock_steps(fresh: World, step: float) -> None:
    """When the wall clock is set, nobody is stopped who was not due, and nobody stays for ever."""
    made = await fresh.session()
    fresh.clock.step(step)
    await fresh.sweep()
    await fresh.spend(1700)
    assert fresh.phase(made) is Phase.READY
    await fresh.spend(160)
    await fresh.until(made, None)


@pytest.mark.parametrize("step", [3600, -3600])
async def test_a_clock_that_was_set_keeps_no_round_waiting(step: float) -> None:
    """The rounds go on at once, however far away the next one was planned by the old clock."""
    hub = world(housekeeping_seconds="86400")
    async with running(hub):
        await hub.session()
        hub.clock.advance(1700)
        hub.clock.step(step)
        await eventually(lambda: hub.gateway.notices != [])


async def test_restart_stops_nobody_early() -> None:
    """A restart of the controller forgets no idle time, and gives everyone a warning again."""
    one = world()
    async with running(one):
        made = await one.session()
        await one.spend(1700)
        assert one.phase(made) is Phase.READY
    clock = Clock()
    clock.epoch = one.clock.epoch + 100
    clock.seconds = 3.0  # a monotonic clock begins anywhere
    other = World(one.settings, clock=clock, orchestrator=one.orchestrator, store=one.store)
    other.gateway.served.add(made)
    async with running(other):
        await other.until(made, Phase.READY)
        await other.spend(299)
        assert other.phase(made) is Phase.READY
        await other.spend(61)
        await other.until(made, None)


async def test_failed_sessions_are_cleaned_away(fresh: World) -> None:
    """A failed session can be read about for ten minutes, and then is gone."""
    made = await fresh.session()
    fresh.orchestrator.crash(made, exit_code=1, message="")
    await fresh.until(made, Phase.FAILED)
    await fresh.sweep()
    fresh.clock.advance(599)
    await fresh.sweep()
    assert fresh.phase(made) is Phase.FAILED
    fresh.clock.advance(2)
    await fresh.sweep()
    await fresh.until(made, None)


async def test_starts_that_take_too_long(fresh: World) -> None:
    """A session that does not get ready in time has failed, and says so."""
    made = await fresh.session(ready=False)
    fresh.clock.advance(179)
    await fresh.sweep()
    assert fresh.phase(made) is Phase.STARTING
    fresh.clock.advance(2)
    await fresh.sweep()
    assert fresh.phase(made) is Phase.FAILED
    fresh.clock.advance(601)
    await fresh.sweep()
    await fresh.until(made, None)


class Damaged(MemoryOrchestrator):
    """An engine with half-made sessions in it, that counts what is asked of it."""

    def __init__(self, *left: Observed) -> None:
        """Begin with ``left``."""
        super().__init__(settings())
        for one in left:
            self._put(one)
        self.ensured: list[SessionId] = []
        self.fault: EngineUnavailable | None = None
        self.busy: set[SessionId] = set()

    @override
    async def ensure(self, session: Session) -> None:
        self.ensured.append(session.id)
        if self.fault is not None:
            raise self.fault
        await super().ensure(session)
        seen = self._sessions[session.id]
        self._put(replace(seen, complete=True))

    @override
    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        if self.fault is not None:
            raise self.fault
        await super().remove(session_id, grace=grace)

    @override
    async def usage(self, session_id: SessionId) -> Usage | None:
        await super().usage(session_id)
        return Usage(100.0 if session_id in self.busy else 1.0, 0)


def hub_over(engine: Damaged) -> World:
    """Return a hub over this engine, an hour after the sessions of the samples were made."""
    made = World(settings(public_url=ORIGIN), orchestrator=engine)
    made.clock.epoch = session().created_at.timestamp() + 3600
    made.gateway.serves_all = True
    return made


async def test_half_made_sessions_are_mended() -> None:
    """What a crash left half made is mended; what is left of nothing whole is removed."""
    half, orphan = session(1, name="a"), session(2, name="b")
    cut_short, whole = session(3, name="c"), session(4, name="d")
    engine = Damaged(
        Observed(half, running=True, complete=False),
        Observed(orphan, complete=False, orphan=True),
        Observed(cut_short, running=True, deleting=True),
        Observed(whole, running=True),
    )
    async with running(hub_over(engine)) as hub:
        await hub.sweep()
        await eventually(lambda: len(engine._sessions) == 2)  # pyright: ignore[reportPrivateUsage] - the engine itself is looked at
        assert engine.ensured == [half.id]
        await hub.until(half.id, Phase.READY)
        await hub.until(whole.id, Phase.READY)
        await hub.until(cut_short.id, None)


async def test_an_engine_that_is_away() -> None:
    """If the engine is away a round does nothing wrong, and the next one carries on."""
    half, cut_short = session(1, name="a"), session(2, name="b")
    engine = Damaged(
        Observed(half, running=True, complete=False), Observed(cut_short, deleting=True)
    )
    engine.fault = EngineUnavailable("The engine does not answer.")
    async with running(hub_over(engine)) as hub:
        for _ in range(2):
            await hub.sweep()
            await anyio.wait_all_tasks_blocked()
        assert hub.phase(half.id) is not Phase.READY
        assert hub.phase(cut_short.id) is Phase.STOPPING
        engine.fault = None
        await hub.sweep()
        await hub.until(half.id, Phase.READY)
        await hub.until(cut_short.id, None)


async def test_computing_is_activity() -> None:
    """A session that computes is not idle, though nobody looks at it."""
    computing, quiet = session(1, name="a"), session(2, name="b")
    engine = Damaged(Observed(computing, running=True), Observed(quiet, running=True))
    engine.busy.add(computing.id)
    async with running(hub_over(engine)) as hub:
        await hub.until(computing.id, Phase.READY)
        await hub.until(quiet.id, Phase.READY)
        await hub.spend(1000)
        engine.busy.clear()
        await hub.spend(900)
        await hub.until(quiet.id, None)
        assert hub.phase(computing.id) is Phase.READY


async def test_foreign_profiles() -> None:
    """A session whose profile is no longer configured is still shown, and can be stopped."""
    engine = Damaged(Observed(session(1, profile="old"), running=True))
    async with running(hub_over(engine)) as hub:
        alice = await hub.script("alice")
        (listed,) = (await alice.get("/api/v1/sessions")).json()["items"]
        assert listed["profile"] == "old"
        page = await (await hub.browser("alice")).get("/")
        assert page.status_code == 200
        answer = await alice.delete(f"/api/v1/sessions/{listed['id']}")
        assert answer.status_code == 202
        await hub.until(session_id(1), None)


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
        await again.app.logins.load()
        assert (await alice.get("/api/v1/sessions")).status_code == 503
    async with running(again), again.client(Authorization=token) as alice:
        (found,) = (await alice.get("/api/v1/sessions")).json()["items"]
        assert found["id"] == made


async def test_metrics(fresh: World) -> None:
    """The monitoring counts sessions by phase, answers by status, and how long starts take."""
    alices = await fresh.session()
    await fresh.session(ready=False)
    await fresh.verify(alices)
    async with fresh.private() as monitoring:
        answer = await monitoring.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = answer.text.splitlines()
        assert 'slicerhub_sessions{phase="ready",profile="slicer"} 1.0' in lines
        assert 'slicerhub_sessions{phase="starting",profile="slicer"} 1.0' in lines
        assert 'slicerhub_verify_answers_total{status="401"} 1.0' in lines
        assert 'slicerhub_start_seconds_count{profile="slicer"} 1.0' in lines
        assert "alice" not in answer.text
        await fresh.spend(1900)
        decided = 'slicerhub_housekeeping_decisions_total{decision="remove_idle"} 1.0'
        assert decided in (await monitoring.get("/metrics")).text.splitlines()


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


async def test_a_newer_hubs_session_is_left_alone() -> None:
    """What a newer hub has made is neither entered, mended nor stopped; administrators are told."""
    newer = session(1, name="a")
    engine = Damaged(Observed(newer, running=True, newer=True), Observed(session(2, name="b")))
    async with running(hub_over(engine)) as hub:
        share = Share(newer.id, UserId("bob"), Role.VIEW, "Bob Baker", created=1.0)
        await hub.store.add_share(share)
        await hub.store.put_memos({newer.id: Memo(5.0, 1.0, served=True)})
        await hub.app.grant_records.load()
        alice = await hub.script("alice")
        assert (await alice.get(f"/api/v1/sessions/{newer.id}")).status_code == 404
        assert (await alice.delete(f"/api/v1/sessions/{newer.id}")).status_code == 404
        await hub.spend(3 * DAY, every=3600)
        assert newer.id in engine._sessions  # pyright: ignore[reportPrivateUsage] - the same
        assert newer.id not in engine.ensured
        assert share in await hub.store.shares()
        page = await (await hub.browser("carol")).get("/admin")
        assert "One session was made by a newer version of the hub." in page.text


async def test_a_session_stopped_while_it_is_mended() -> None:
    """What is stopped while it is being mended does not come back, whichever ends first."""
    half = session(1, name="a")
    engine = Patient(Observed(half, running=True, complete=False))
    async with running(hub_over(engine)) as hub, anyio.create_task_group() as group:
        group.start_soon(hub.app.housekeeping.sweep)
        await eventually(lambda: engine.ensured == [half.id])
        await hub.app.sessions.stop(half.id, Reason.STOPPED)
        await anyio.wait_all_tasks_blocked()
        engine.go.set()
        await hub.until(half.id, None)
        await hub.sweep()
        assert engine._sessions == {}  # pyright: ignore[reportPrivateUsage] - the same


class Patient(Damaged):
    """An engine that takes its time to make a session."""

    def __init__(self, *left: Observed) -> None:
        """Begin with ``left``. ``go``: it makes it once this is set."""
        super().__init__(*left)
        self.go = anyio.Event()

    @override
    async def ensure(self, session: Session) -> None:
        self.ensured.append(session.id)
        await self.go.wait()
        await MemoryOrchestrator.ensure(self, session)
        self._put(replace(self._sessions[session.id], running=True, complete=True))


async def test_a_stop_that_the_engine_did_not_hear() -> None:
    """A stop that was accepted is carried out, though the engine was away at first."""
    engine = Damaged(Observed(session(), running=True))
    async with running(hub_over(engine)) as hub:
        await hub.until(session().id, Phase.READY)
        engine.fault = EngineUnavailable("The engine does not answer.")
        alice = await hub.script("alice")
        answer = await alice.delete(f"/api/v1/sessions/{session().id}")
        assert answer.status_code == 202
        await hub.sweep()
        engine.adopt(Observed(session(), running=True))  # it still says that all is well
        await anyio.wait_all_tasks_blocked()
        assert hub.phase(session().id) is Phase.STOPPING
        engine.fault = None
        await hub.sweep()
        await hub.until(session().id, None)
