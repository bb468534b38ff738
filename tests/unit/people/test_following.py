"""The log-ins and the store say the same: of their use, of their end, of who it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from controller.people.tokens import new_key_ring
from tests.support.fakes.directory import PEOPLE
from tests.support.people import Desk

pytestmark = pytest.mark.anyio

HOURS = 12 * 3600


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Give log-ins without any."""
    made = Desk()
    yield made
    made.store.close()


async def test_use_is_written_down_now_and_then(desk: Desk) -> None:
    """When a log-in was last used is right to a few minutes, also after a restart."""
    login = await desk.log_in("alice")
    for minute in range(1, 8):
        desk.clock.advance(60)
        assert desk.logins.standing.use(login)
        await desk.logins.following.keep_seen()
        (kept,) = await desk.store.logins(0)
        assert kept.seen == login.created + (300 if minute >= 5 else 0)
    (again,) = (await desk.restart()).standing.of_person(login.person.uid)
    assert again.seen == login.created + 300


async def test_what_has_ended_is_not_written_down(desk: Desk) -> None:
    """A log-in last seen before it ended leaves nothing behind."""
    login = await desk.log_in("alice")
    desk.clock.advance(600)
    assert desk.logins.standing.use(login)
    await desk.logins.revoke(login.person.uid)
    await desk.logins.following.keep_seen()
    assert await desk.store.logins(0) == []


async def test_sweeping(desk: Desk) -> None:
    """What is over, and what no key proves any more, is forgotten by the store, too."""
    await desk.log_in("alice")
    desk.clock.advance(60)
    unproven = await desk.log_in("bob")
    desk.keys.ring = new_key_ring(desk.clock.wall() + 1)
    desk.clock.advance(HOURS - 60)
    fresh = await desk.log_in("carol")
    assert {one.sid for one in await desk.store.logins(0)} > {unproven.sid, fresh.sid}
    await desk.logins.following.sweep()
    assert await desk.store.logins(0) == [fresh]


async def test_changed_at_the_directory(desk: Desk) -> None:
    """What the directory says anew counts for all log-ins of that person, and is kept."""
    first, second = await desk.log_in("alice"), await desk.log_in("alice")
    renamed = replace(PEOPLE["alice"], display_name="Alice Ames")
    await desk.logins.following.refresh(renamed)
    assert {desk.logins.standing.person_of(one) for one in (first, second)} == {renamed}
    assert {one.person for one in await desk.store.logins(0)} == {renamed}
