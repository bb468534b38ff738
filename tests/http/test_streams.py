"""Event streams: they end with the log-in that opened them, and there are few of one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from msgspec.structs import replace

from controller.core.model import UserId
from controller.web.streams import STREAMS_MOST
from tests.support.fakes.replica import Cluster
from tests.support.hub import DEADLINE, Clock, World, running, world
from tests.support.waits import become, settled

pytestmark = pytest.mark.anyio

OF_ALL = "/api/v1/events"
OF_ADMINISTRATORS = "/api/v1/admin/events"


@asynccontextmanager
async def listening(client: httpx.AsyncClient, *paths: str) -> AsyncGenerator[list[str]]:
    """Read streams to their ends, which must come once the test has done what ends them."""
    ended: list[str] = []

    async def read(path: str) -> None:
        answer = await client.get(path)
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
        ended.append(path)

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            for path in paths:
                group.start_soon(read, path)
                await settled()
            assert ended == []
            yield ended


async def test_logged_out_elsewhere(fresh: World) -> None:
    """When a log-in is ended, what it follows ends at once; another log-in's goes on."""
    starting = await fresh.session("carol", ready=False)
    lost, other = await fresh.script("carol"), await fresh.script("carol")
    paths = (OF_ALL, OF_ADMINISTRATORS, f"/api/v1/sessions/{starting}/events")
    async with listening(other, OF_ALL) as others:
        async with listening(lost, *paths):
            assert (await lost.post("/api/v1/logout")).status_code == 204
        await settled()
        assert others == []
        await other.post("/api/v1/logout")


async def test_departed(fresh: World) -> None:
    """The pages of a person who may no longer use the hub get no more news."""
    for user in ("alice", "carol"):
        await fresh.script(user)  # else it would seem that everybody is gone
    async with listening(await fresh.script("bob"), OF_ALL):
        fresh.directory.departed.add(UserId("bob"))
        await fresh.app.housekeeping.call_the_roll()


async def test_expired(fresh: World) -> None:
    """A stream ends when its log-in does by the clock, though nothing happens."""
    alice = await fresh.script("alice")
    fresh.clock.advance(fresh.settings.login.hours * 3600 - 0.2)
    async with listening(alice, OF_ALL):
        fresh.clock.advance(0.2)


async def test_no_administrator_any_more(fresh: World) -> None:
    """A former administrator is not told of everybody's sessions."""
    carol = await fresh.script("carol")
    async with listening(carol, OF_ADMINISTRATORS):
        fresh.directory.people["carol"] = replace(fresh.directory.people["carol"], admin=False)
        await fresh.app.housekeeping.call_the_roll()
        fresh.app.sessions.announce()


async def test_ended_at_another_controller(tmp_path: Path) -> None:
    """A stream ends when this controller hears that another one has ended its log-in."""
    clock = Clock()
    cluster = Cluster(tmp_path / "store.sqlite", clock.monotonic)
    view = cluster.replica()
    here = World(world().settings, clock=clock, store=view)
    there = World(
        here.settings, clock=clock, orchestrator=here.orchestrator, store=cluster.replica()
    )
    async with running(here), running(there):
        alice = await here.script("alice")
        bearer = {"Authorization": alice.headers["Authorization"]}
        async with listening(alice, OF_ALL) as ended:
            async with there.client(**bearer) as elsewhere:
                assert (await elsewhere.post("/api/v1/logout")).status_code == 204
            await settled()
            assert ended == []
            await view.hear()


async def test_one_more_ends_the_oldest(fresh: World) -> None:
    """A log-in has ten streams; one more is opened all the same, and ends the oldest."""
    alice, other = await fresh.script("alice"), await fresh.script("alice")
    oldest = OF_ALL + "?number=0"
    ten = (oldest, *[OF_ALL] * (STREAMS_MOST - 1))
    async with listening(alice, *ten) as ended, listening(other, OF_ALL) as others:
        await settled()
        assert ended == []
        async with listening(alice, OF_ALL) as one_more:
            await become(lambda: ended, what="the end of the oldest")
            await settled()
            assert ended == [oldest]
            assert others == one_more == []
            await alice.post("/api/v1/logout")
        await other.post("/api/v1/logout")
