"""A session ends once, saves first, and its owner learns why."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest

from controller.core.errors import EngineUnavailable
from controller.core.model import Observed, Phase, SessionId
from controller.core.records import CONTROLLER, Reason
from tests.support.fakes.parts import ALICE, Parts
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def at_work() -> AsyncGenerator[tuple[Parts, Observed], None]:
    """Run the parts, with one session of Alice's that is ready."""
    parts = Parts()
    parts.gateway.serves_all = True
    async with anyio.create_task_group() as group:
        group.start_soon(parts.sessions.run)
        await eventually(lambda: parts.sessions.ready)
        profile = parts.settings.profiles[0]
        seen = await parts.sessions.launching.launch(ALICE, profile, "thesis", by=CONTROLLER)
        await eventually(lambda: phase(parts, seen.session.id) is Phase.READY)
        yield parts, seen
        group.cancel_scope.cancel()


def phase(parts: Parts, session_id: SessionId) -> Phase | None:
    """Return where a session stands; None: it is no more."""
    seen = parts.registry.seen(session_id)
    return parts.sessions.phase(seen) if seen else None


async def test_it_saves_and_ends() -> None:
    """The owner of a session stopped when unused reads that the scene was saved."""
    async with at_work() as (parts, seen):
        parts.gateway.saves.add(seen.session.id)
        await parts.sessions.stop(seen.session.id, Reason.IDLE)
        await eventually(lambda: phase(parts, seen.session.id) is None)
        (notice,) = await parts.store.notices(seen.session.owner)
        assert "Your scene was saved" in notice.more
        assert await parts.engine.list() == []


async def test_twice_is_once() -> None:
    """A second stop while the first is under way is none."""
    async with at_work() as (parts, seen):
        parts.gateway.stuck.add(seen.session.id)
        await parts.sessions.stop(seen.session.id, Reason.IDLE)
        await parts.sessions.stop(seen.session.id, Reason.ADMIN)
        assert phase(parts, seen.session.id) is Phase.STOPPING
        await eventually(lambda: parts.registry.work(seen.session.id).saving is not None)
        parts.spend(10)
        assert parts.sessions.stopping.saves_long(seen)
        await parts.sessions.stop(seen.session.id, Reason.STOPPED, save=False)
        await eventually(lambda: phase(parts, seen.session.id) is None)
        assert len(await parts.store.notices(seen.session.owner)) == 1


async def test_an_engine_that_is_away() -> None:
    """What could not be told to the engine is owed: nobody enters, and the next round does it."""
    async with at_work() as (parts, seen):
        remove = parts.engine.remove

        async def refuse(_: SessionId, *, grace: timedelta) -> None:
            del grace
            raise EngineUnavailable("The engine does not answer.")

        parts.engine.remove = refuse  # pyright: ignore[reportAttributeAccessIssue] - for a moment
        await parts.sessions.stop(seen.session.id, Reason.STOPPED)
        await eventually(
            lambda: parts.registry.work(seen.session.id).stop_pending is Reason.STOPPED
        )
        assert phase(parts, seen.session.id) is Phase.STOPPING
        parts.engine.remove = remove
        await parts.sessions.stop(seen.session.id, Reason.IDLE)
        await eventually(lambda: phase(parts, seen.session.id) is None)
        assert await parts.store.notices(seen.session.owner) == []  # they did it themselves


async def test_an_end_waits_for_what_is_under_way() -> None:
    """A controller that ends lets a stop come to its end, but not for ever."""
    async with at_work() as (parts, seen):
        parts.gateway.stuck.add(seen.session.id)
        await parts.sessions.stop(seen.session.id, Reason.STOPPED)
        await parts.sessions.finish(0.05)
        assert parts.sessions.registry.closing
        assert phase(parts, seen.session.id) is Phase.STOPPING
        await parts.sessions.stop(seen.session.id, Reason.STOPPED, save=False)
        await parts.sessions.finish(10)
        assert phase(parts, seen.session.id) is None
