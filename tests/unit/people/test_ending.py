"""However a log-in ends: it ends at once, the subscriber that cuts is told, and it stays ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from controller.core.errors import NotWrittenDown, StoreUnavailable
from controller.core.model import UserId
from controller.core.records import Actor, Login
from controller.people.entering import LOGINS_MOST
from controller.people.standing import login_id
from controller.people.tokens import Audience, new_key_ring
from tests.support.fakes.records import Records
from tests.support.people import Desk

pytestmark = pytest.mark.anyio

ALICE, BOB = UserId("alice"), UserId("bob")
BY = Actor(ALICE, "10.0.0.1")
HOURS = 12 * 3600


async def log_out(desk: Desk, lost: Login) -> None:
    """Log out here."""
    await desk.logins.leave(lost, by=BY, reason="asked")


async def end_elsewhere(desk: Desk, lost: Login) -> None:
    """End it from another log-in, by its public name."""
    found = desk.logins.standing.find(ALICE, login_id(lost))
    await desk.logins.leave(found, by=BY, reason="elsewhere")


async def end_others(desk: Desk, lost: Login) -> None:
    """Log out everywhere else."""
    del lost
    here = await desk.log_in("alice")
    assert await desk.logins.revoke(ALICE, by=BY, reason="everywhere", but=here) == 1


async def revoke(desk: Desk, lost: Login) -> None:
    """Log somebody out everywhere: they, an administrator, or that they have departed."""
    del lost
    assert await desk.logins.revoke(ALICE) == 1


async def make_room(desk: Desk, lost: Login) -> None:
    """Log in so often that the oldest has to make room."""
    del lost
    for _ in range(LOGINS_MOST):
        desk.clock.advance(1)
        await desk.log_in("alice")


async def let_time_pass(desk: Desk, lost: Login) -> None:
    """Let it come to its own end."""
    desk.clock.advance(lost.expires - desk.clock.wall())
    await desk.log_in("bob")
    await desk.logins.following.sweep()


async def _replace_keys(desk: Desk, *, leads: bool) -> None:
    desk.keys.ring = new_key_ring(desk.clock.wall() + 1)
    desk.clock.advance(1)
    await desk.log_in("bob")
    await desk.logins.ending.end_unproven(leads=leads)


async def replace_keys(desk: Desk, lost: Login) -> None:
    """Replace all keys at once, as the leader does."""
    del lost
    await _replace_keys(desk, leads=True)


async def hear_of_keys(desk: Desk, lost: Login) -> None:
    """The same, as another one."""
    del lost
    await _replace_keys(desk, leads=False)


async def end_at_another(desk: Desk, lost: Login) -> None:
    """Log out by way of another controller, and hear of it."""
    await (await desk.restart()).leave(lost, by=BY, reason="asked")
    await desk.logins.following.load()


async def lose_records(desk: Desk, lost: Login) -> None:
    """Lose its record in the store."""
    await desk.store.remove_login(lost.sid)
    await desk.logins.following.load()


WAYS: dict[Callable[[Desk, Login], Awaitable[None]], bool] = {
    # and whether it counts as asked for here and now
    log_out: True,
    end_elsewhere: True,
    end_others: True,
    revoke: True,
    make_room: False,
    let_time_pass: False,
    replace_keys: True,
    hear_of_keys: True,
    end_at_another: False,
    lose_records: False,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_each_way(way: Callable[[Desk, Login], Awaitable[None]]) -> None:
    """Whatever ends a log-in, everybody who has to do something then is told, once, by itself."""
    desk = Desk()
    lost = await desk.log_in("alice")
    await desk.logins.following.load()
    first: list[tuple[Login, bool]] = []
    second: list[tuple[Login, bool]] = []
    for told in (first, second):
        desk.logins.when_ended(
            lambda logins, asked, told=told: told.extend((one, asked) for one in logins)
        )
    await desk.log_in("bob")
    await way(desk, lost)
    theirs = [one for one in first if one[0].person.uid == ALICE]
    assert [(one.sid, asked) for one, asked in theirs] == [(lost.sid, WAYS[way])]
    assert second == first
    assert not desk.logins.standing.stands(lost)
    assert desk.logins.standing.is_in(BOB)
    await desk.logins.following.load()
    assert not desk.logins.standing.stands(lost)
    desk.store.close()


async def test_what_the_store_cannot_be_told() -> None:
    """While the store is away an end counts all the same, and it is told of that later."""
    records = Records()
    desk = Desk(records)
    lost, other = await desk.log_in("alice"), await desk.log_in("alice", Audience.API)
    told: list[Login] = []
    desk.logins.when_ended(lambda logins, _: told.extend(logins))
    records.away = True
    with pytest.raises(NotWrittenDown):
        await desk.logins.revoke(ALICE)
    assert {one.sid for one in told} == {lost.sid, other.sid}
    assert not desk.logins.standing.is_in(ALICE)
    with pytest.raises(StoreUnavailable):
        await desk.logins.ending.write_down()
    records.away = False
    assert len(await records.logins(0)) == 2
    await desk.logins.following.load()
    assert not desk.logins.standing.is_in(ALICE)
    await desk.logins.ending.write_down()
    assert await records.logins(0) == []
    records.close()


async def test_nothing_is_owed_for_ever() -> None:
    """What the store could not be told is forgotten when the log-in would be over by itself."""
    records = Records()
    desk = Desk(records)
    lost = await desk.log_in("alice")
    records.away = True
    with pytest.raises(NotWrittenDown):
        await log_out(desk, lost)
    records.away = False
    desk.clock.advance(HOURS)
    await desk.logins.following.sweep()
    records.away = True
    await desk.logins.ending.write_down()  # there is nothing to be written
    records.close()
