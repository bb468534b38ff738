"""One session that fails in every way, and the hub goes on for everybody else."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from controller.core.model import Phase, Role, UserId
from controller.core.records import Actor, Reason
from controller.sessions.pace import Pace
from controller.sessions.stopping import GIVE_UP_SECONDS
from tests.support.hub import World, eventually
from tests.support.waits import settled

pytestmark = pytest.mark.anyio


async def test_a_fault_at_the_start_of_one_starts_the_others(fresh: World) -> None:
    """A session over whose answers the hub stumbles gets not ready; the next one does."""
    bad = await fresh.session(ready=False)
    fresh.gateway.broken[bad] = "is_served"
    fresh.gateway.served.add(bad)
    await eventually(lambda: "probe" in fresh.faults())
    fresh.expected_faults = {"probe"}
    good = await fresh.session("bob")
    assert fresh.phase(good) is Phase.READY
    assert fresh.phase(bad) is Phase.STARTING


async def test_a_fault_in_a_look_keeps_no_other_from_being_looked_at(fresh: World) -> None:
    """The round of polls reaches every session, and says when it was at its end."""
    bad, good = await fresh.session(), await fresh.session("bob")
    fresh.gateway.broken[bad] = "inside"
    fresh.expected_faults = {"look"}
    await fresh.app.housekeeping.poll()
    assert fresh.app.poller.last(good) is not None
    assert fresh.faults() == {"look"}
    finished = b'slicerhub_housekeeping_last_finished_timestamp_seconds{round="look"}'
    assert finished in fresh.app.metrics.text()


async def test_a_fault_in_a_step_keeps_no_other_from_its_turn(fresh: World) -> None:
    """Of two idle sessions the one that can be told of its end is told, whatever the other does."""
    bad, good = await fresh.session(), await fresh.session("bob")
    await fresh.spend(1400)
    fresh.gateway.broken[bad] = "notice"
    fresh.expected_faults = {"step"}
    await fresh.spend(200)
    assert [one for one, _, _ in fresh.gateway.notices] == [good]


async def test_a_fault_while_it_is_stopped_is_tried_again(fresh: World) -> None:
    """A session over whose answer the stop stumbles is stopped by the next round."""
    bad = await fresh.session()
    fresh.gateway.broken[bad] = "save"
    fresh.expected_faults = {"stop"}
    await fresh.app.sessions.stop(bad, Reason.STOPPED)
    await eventually(lambda: "stop" in fresh.faults())
    assert fresh.phase(bad) is Phase.STOPPING
    await fresh.sweep()
    await fresh.until(bad, None)


async def test_stop_without_saving(fresh: World) -> None:
    """A session that saves and saves can be stopped without, which the owner's page offers."""
    stuck = await fresh.session()
    fresh.gateway.stuck.add(stuck)
    browser = await fresh.browser("alice")
    await browser.act(f"/sessions/{stuck}/stop")
    assert "Stop without saving" not in (await browser.get("/")).text
    fresh.clock.advance(GIVE_UP_SECONDS)
    assert "Stop without saving" in (await browser.get("/")).text
    await browser.act(f"/sessions/{stuck}/stop", save="no")
    await fresh.until(stuck, None)


async def test_a_script_stops_without_saving(fresh: World) -> None:
    """By the API a session is stopped without waiting for its program, at once or later."""
    script = await fresh.script("alice")
    for first in ("", "?save=true"):
        stuck = await fresh.session()
        fresh.gateway.stuck.add(stuck)
        if first:
            assert (await script.delete(f"/api/v1/sessions/{stuck}{first}")).status_code == 202
            await settled()
            assert fresh.phase(stuck) is Phase.STOPPING
        assert (await script.delete(f"/api/v1/sessions/{stuck}?save=false")).status_code == 202
        await fresh.until(stuck, None)


async def test_a_session_that_hangs_delays_no_other_guests_end(fresh: World) -> None:
    """Invitations that end at the same moment are cut at the same moment."""
    hung, good = await fresh.session(), await fresh.session()
    fresh.gateway.insides[hung] = None
    for made in (hung, good):
        seen = fresh.find(made)
        assert seen is not None
        guest = await fresh.app.sharing.invitations.invite(
            seen, "bob", Role.VIEW, seconds=60, by=Actor("alice")
        )
        assert guest.uid == UserId("bob")
    fresh.clock.advance(61)
    async with anyio.create_task_group() as group:
        group.start_soon(partial(fresh.app.sharing.sweep, leads=True))
        await eventually(lambda: (good, "bob") in fresh.gateway.kicked)
        group.cancel_scope.cancel()


async def test_who_takes_long_holds_no_turn() -> None:
    """A hundred that never end let the hundred after them have their turns."""
    pace, done = Pace(at_once=8, seconds=0.01), 0

    async def quick() -> None:
        nonlocal done
        done += 1

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(pace.go, anyio.sleep_forever)
        for _ in range(100):
            group.start_soon(pace.go, quick)
        await eventually(lambda: done == 100)
        group.cancel_scope.cancel()
