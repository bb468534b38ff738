"""How long sessions live: what keeps them, and how those end that are idle or past their time."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from typing_extensions import override

from controller.core.model import Observed, Phase, SessionId
from controller.core.records import Reason
from controller.engines.memory import MemoryOrchestrator
from controller.sessions.gateway import Inside
from tests.support.fakes.damaged import Damaged, hub_over
from tests.support.hub import ORIGIN, Clock, World, eventually, location, running, world
from tests.support.samples import session, settings
from tests.support.waits import settled

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


async def test_warned_before_it_stops(fresh: World) -> None:
    """Before a session is stopped everybody in it and its owner's page are warned; Keep helps."""
    made = await fresh.session("alice", "thesis")
    await fresh.spend(1530)
    (notice,) = fresh.gateway.notices
    assert notice[0] == made
    assert "nobody is using it" in notice[1]
    assert notice[2] is not None
    browser = await fresh.browser("alice")
    page = (await browser.get("/")).text
    assert f"/sessions/{made}/keep" in page
    script = await fresh.script("alice")
    seen = (await script.get(f"/api/v1/sessions/{made}")).json()
    assert seen["stops_at"] is not None
    assert location(await browser.act(f"/sessions/{made}/keep")) == "/"
    assert fresh.gateway.notices[-1] == (made, "", None)
    assert f"/sessions/{made}/keep" not in (await browser.get("/")).text
    await fresh.spend(1500)
    assert fresh.phase(made) is Phase.READY
    assert (await script.post(f"/api/v1/sessions/{made}/keep")).json()["stops_at"] is None


async def test_input_is_activity(fresh: World) -> None:
    """Input that only the session sees keeps it; an open page where nothing happens does not."""
    used, open_only = await fresh.session(), await fresh.session()
    fresh.gateway.insides[open_only] = Inside(last_input_at="2026-01-01T00:00:00+00:00")
    for minute in range(0, 60, 5):
        fresh.gateway.insides[used] = Inside(last_input_at=f"2026-01-01T00:{minute:02}:00+00:00")
        await fresh.spend(300, every=60)
    await fresh.until(open_only, None)
    assert fresh.phase(used) is Phase.READY


async def test_a_session_that_does_not_answer(fresh: World) -> None:
    """A session that does not say whether it is used is not stopped for being idle."""
    made = await fresh.session()
    fresh.gateway.insides[made] = None
    await fresh.spend(7200, every=60)
    assert fresh.phase(made) is Phase.READY


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
        await settled()
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
