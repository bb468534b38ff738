"""Who is connected to a session is compared with who may be, whatever was lost on the way."""

from __future__ import annotations

import re
from collections import Counter

import anyio
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from controller.core.model import Phase, Role, SessionId, UserId
from controller.core.records import CONTROLLER
from controller.sessions.gateway import Client, Inside
from tests.support.hub import World, eventually, running, world
from tests.support.samples import CREATED
from tests.support.waits import settled

pytestmark = pytest.mark.anyio

ALICE, BOB = UserId("alice"), UserId("bob")


def inside(*users: tuple[str, Role]) -> Inside:
    """Return what a session with these people in it says."""
    return Inside(clients=tuple(Client(UserId(user), role, CREATED) for user, role in users))


def counted(hub: World) -> Counter[str]:
    """Return how many people were connected without a right, by the reason."""
    text = hub.app.metrics.text().decode()
    found = re.findall(
        r'^slicerhub_connected_without_right_total{reason="(\w+)"} (\S+)$', text, re.MULTILINE
    )
    return +Counter({reason: int(float(number)) for reason, number in found})


async def invite(hub: World, session_id: SessionId, role: str = "view") -> None:
    """Invite Bob to a session of Alice's."""
    alice = await hub.script("alice")
    answer = await alice.put(f"/api/v1/sessions/{session_id}/shares/bob", json={"role": role})
    assert answer.status_code == 200, answer.text


async def take_back(hub: World, session_id: SessionId) -> bool:
    """Take Bob's invitation back; tell whether the answer says that he was cut."""
    alice = await hub.script("alice")
    answer = await alice.delete(f"/api/v1/sessions/{session_id}/shares/bob")
    assert answer.status_code == 200, answer.text
    return answer.json()["cut"]


@pytest.mark.row(54)
async def test_a_guest_who_is_there_all_the_same(fresh: World) -> None:
    """A guest who stays connected after the invitation is cut at each poll, and recorded once."""
    made = await fresh.session()
    await fresh.script("bob")
    fresh.gateway.insides[made] = inside(("alice", Role.OWNER), ("bob", Role.VIEW))
    with capture_logs() as logs:
        for times in range(1, 4):
            await fresh.app.housekeeping.poll()
            assert fresh.gateway.kicked == [(made, BOB)] * times
    (act,) = [one for one in logs if one.get("act") == "cut"]
    assert (act["who"], act["whose"], act["guest"]) == (CONTROLLER.who, "alice", "bob")
    assert (act["session"], act["reason"]) == (made, "not_invited")
    assert counted(fresh) == {"not_invited": 1}


async def test_with_more_than_they_may(fresh: World) -> None:
    """A guest who is connected with another role than theirs is cut, and comes back with theirs."""
    made = await fresh.session()
    await fresh.script("bob")
    await invite(fresh, made)
    fresh.gateway.insides[made] = inside(("bob", Role.CONTROL))
    await fresh.app.housekeeping.poll()
    assert fresh.gateway.kicked == [(made, BOB)]
    fresh.gateway.insides[made] = inside(("bob", Role.VIEW))
    await fresh.app.housekeeping.poll()
    assert fresh.gateway.kicked == [(made, BOB)]
    assert counted(fresh) == {"other_role": 1}


@pytest.mark.parametrize("role", [Role.VIEW, Role.OWNER])
async def test_whose_log_in_has_ended(fresh: World, role: Role) -> None:
    """When somebody's last log-in is over they are cut, guests and owners alike."""
    made = await fresh.session("alice" if role is Role.VIEW else "bob")
    await fresh.browser("bob")
    if role is Role.VIEW:
        await invite(fresh, made)
    fresh.gateway.insides[made] = inside(("bob", role))
    await fresh.app.housekeeping.poll()
    assert fresh.gateway.kicked == []
    fresh.clock.advance(fresh.settings.login.hours * 3600)
    await fresh.app.housekeeping.poll()
    assert fresh.gateway.kicked == [(made, BOB)]
    assert counted(fresh) == {"logged_out": 1}


async def test_the_owner(fresh: World) -> None:
    """Nobody is cut from their own session, whatever it says of them."""
    made = await fresh.session()
    for role in Role:
        fresh.gateway.insides[made] = inside(("alice", role))
        await fresh.app.housekeeping.poll()
    assert fresh.gateway.kicked == []
    assert not counted(fresh)


async def test_a_session_that_lies(fresh: World) -> None:
    """A session that names crowds loses twenty connections a look, and fills no record."""
    made = await fresh.session()
    with capture_logs() as logs:
        for crowd in range(5):
            names = (f"nobody-{crowd}-{number}" for number in range(100))
            fresh.gateway.insides[made] = inside(*((one, Role.VIEW) for one in names))
            await fresh.app.housekeeping.poll()
    assert len(fresh.gateway.kicked) == 5 * 20
    assert len([one for one in logs if one.get("act") == "cut"]) == 20
    assert counted(fresh) == {"not_invited": 20}


async def test_a_program_without_endpoints() -> None:
    """A program that cannot say who is connected is asked for nothing, and nobody is judged."""
    plain = world().settings
    foreign = replace(plain, profiles=(replace(plain.profiles[0], endpoints=False),))
    async with running(World(foreign)) as hub:
        made = await hub.session()
        hub.gateway.insides[made] = inside(("bob", Role.CONTROL))
        await hub.app.housekeeping.poll()
        assert hub.gateway.kicked == []
        assert not counted(hub)


async def test_a_session_that_hangs_once(fresh: World) -> None:
    """A cut that a session leaves without an answer is said again at once."""
    made = await fresh.session()
    await invite(fresh, made)
    fresh.gateway.hangs[made] = 1
    assert await take_back(fresh, made) is True
    assert fresh.gateway.kicked == [(made, BOB)]


async def test_cut_before_it_is_ready(fresh: World) -> None:
    """A cut at a moment when nobody can be connected is made up for as soon as somebody can."""
    made = await fresh.session(ready=False)
    await invite(fresh, made)
    assert await take_back(fresh, made) is True
    assert fresh.gateway.kicked == []
    fresh.gateway.served.add(made)
    await fresh.until(made, Phase.READY)
    for _ in range(2):
        await fresh.app.housekeeping.poll()
        assert fresh.gateway.kicked == [(made, BOB)]


async def test_cut_while_it_does_not_answer(fresh: World) -> None:
    """A cut that never arrived is made up for when the session answers again."""
    made = await fresh.session()
    await fresh.script("bob")
    await invite(fresh, made, role="control")
    seen = fresh.find(made)
    assert seen is not None
    fresh.gateway.insides[made] = None
    async with anyio.create_task_group() as group:
        group.start_soon(fresh.app.sharing.cutting.cut, seen, BOB)
        await settled()
        group.cancel_scope.cancel()
    # One of two log-ins has ended, say: by who is connected nothing would be amiss.
    fresh.gateway.insides[made] = inside(("bob", Role.CONTROL))
    for _ in range(2):
        await fresh.app.housekeeping.poll()
        assert fresh.gateway.kicked == [(made, BOB)]


async def test_looked_after(fresh: World) -> None:
    """A guest who comes in again during a cut is cut again, without a round of housekeeping."""
    made = await fresh.session()
    await invite(fresh, made)
    assert await take_back(fresh, made) is True
    fresh.gateway.insides[made] = inside(("bob", Role.VIEW))
    await eventually(lambda: len(fresh.gateway.kicked) > 1)
    assert set(fresh.gateway.kicked) == {(made, BOB)}


async def test_killed_in_the_middle_of_a_cut() -> None:
    """What a controller could not do any more the next one does, soon after its start."""
    one = world()
    async with running(one):
        made = await one.session()
        await one.script("bob")
        await invite(one, made)
        one.app.grants.withdraw(made, BOB)
        await one.app.grant_records.withdrawals.write_down()
        await one.app.sessions.write_down()
    two = World(one.settings, clock=one.clock, orchestrator=one.orchestrator, store=one.store)
    two.gateway.served.add(made)
    two.gateway.insides[made] = inside(("alice", Role.OWNER), ("bob", Role.VIEW))
    async with running(two):
        await eventually(lambda: two.gateway.kicked == [(made, BOB)])
