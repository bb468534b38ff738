"""Sessions that the hub finds half made, damaged or foreign: it repairs, removes or keeps them."""

from __future__ import annotations

import anyio
import pytest
from msgspec.structs import replace
from typing_extensions import override

from controller.core.errors import EngineUnavailable
from controller.core.model import Observed, Phase, Role, Session, UserId
from controller.core.records import Memo, Reason, Share
from controller.engines.memory import MemoryOrchestrator
from tests.support.fakes.damaged import Damaged, hub_over
from tests.support.hub import eventually, running
from tests.support.samples import session, session_id
from tests.support.waits import settled

pytestmark = pytest.mark.anyio

DAY = 86_400


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
            await settled()
        assert hub.phase(half.id) is not Phase.READY
        assert hub.phase(cut_short.id) is Phase.STOPPING
        engine.fault = None
        await hub.sweep()
        await hub.until(half.id, Phase.READY)
        await hub.until(cut_short.id, None)


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
    """What is stopped while it is being repaired does not come back, whatever ends first."""
    half = session(1, name="a")
    engine = Patient(Observed(half, running=True, complete=False))
    async with running(hub_over(engine)) as hub, anyio.create_task_group() as group:
        group.start_soon(hub.app.housekeeping.sweep)
        await eventually(lambda: engine.ensured == [half.id])
        await hub.app.sessions.stop(half.id, Reason.STOPPED)
        await settled()
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
        await settled()
        assert hub.phase(session().id) is Phase.STOPPING
        engine.fault = None
        await hub.sweep()
        await hub.until(session().id, None)
