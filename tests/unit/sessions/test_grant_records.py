"""What is given counts once the store has it, and never brings back what was taken meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import StoreUnavailable, TooManyGrants
from controller.core.model import Role, UserId
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.store import SHARES_MOST
from tests.support.fakes.directory import PEOPLE
from tests.support.fakes.records import Records
from tests.support.samples import session_id
from tests.support.waits import settled

pytestmark = pytest.mark.anyio

BOB, CAROL = PEOPLE["bob"], PEOPLE["carol"]
ONE, TWO = session_id(1), session_id(2)


class Given:
    """Grants and their records, which can be away, and the time."""

    def __init__(self) -> None:
        """Begin with nobody invited."""
        self.now = 1000.0
        self.store = Records()
        self.grants = Grants(wall=self.wall)
        self.records = GrantRecords(self.grants, self.store, wall=self.wall)

    def wall(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
async def given() -> AsyncGenerator[Given, None]:
    """Give them."""
    made = Given()
    yield made
    made.store.close()


async def test_it_counts_once_it_is_written(given: Given) -> None:
    """Nobody gets in by an invitation that could not be kept."""
    given.store.away = True
    with pytest.raises(StoreUnavailable):
        await given.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    assert given.grants.role_of(ONE, BOB.uid) is None
    given.store.away = False
    await given.records.invite(ONE, BOB, Role.VIEW, seconds=60)
    assert given.grants.role_of(ONE, BOB.uid) is Role.VIEW
    given.now += 60
    assert given.grants.role_of(ONE, BOB.uid) is None


async def test_taken_back_while_it_is_written(given: Given) -> None:
    """An invitation that was asked for before it was taken back does not outlive that."""
    given.store.held = anyio.Event()
    async with anyio.create_task_group() as group:
        for person in (CAROL, BOB):
            group.start_soon(_invite, given, person.uid)
            await settled()
        given.grants.withdraw(ONE, BOB.uid)
        given.store.held.set()
    await given.records.withdrawals.write_down()
    assert given.grants.role_of(ONE, BOB.uid) is None
    assert [one.uid for one in await given.store.shares()] == [CAROL.uid]


async def _invite(given: Given, uid: UserId) -> None:
    await given.records.invite(ONE, PEOPLE[uid], Role.VIEW, seconds=None)


async def test_who_is_taken_back_makes_room(given: Given) -> None:
    """A full session takes somebody else as soon as one is taken back, written down or not."""
    await given.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    (share,) = await given.store.shares()
    for number in range(SHARES_MOST - 1):
        await given.store.add_share(replace(share, uid=UserId(f"guest{number}")))
    with pytest.raises(TooManyGrants):
        await given.records.invite(ONE, CAROL, Role.VIEW, seconds=None)
    given.grants.withdraw(ONE, BOB.uid)
    await given.records.invite(ONE, CAROL, Role.VIEW, seconds=None)
    assert given.grants.role_of(ONE, CAROL.uid) is Role.VIEW


async def test_another_role(given: Given) -> None:
    """A role changes, its end does not; a wish for control is answered by that."""
    await given.records.invite(ONE, BOB, Role.VIEW, seconds=60)
    assert await given.records.ask(ONE, BOB.uid)
    changed = await given.records.change(ONE, BOB.uid, Role.CONTROL)
    assert changed is not None
    assert (changed.role, changed.expires, changed.asks) == (Role.CONTROL, 1060.0, False)
    assert await given.store.shares() == given.grants.of_session(ONE) == [changed]
    assert await given.records.change(ONE, CAROL.uid, Role.VIEW) is None


async def test_control_again_after_it_was_taken(given: Given) -> None:
    """Control that was taken and not written down yet can be given back."""
    await given.records.invite(ONE, BOB, Role.CONTROL, seconds=None)
    given.grants.lower(ONE, BOB.uid)
    await given.records.change(ONE, BOB.uid, Role.CONTROL)
    assert given.grants.role_of(ONE, BOB.uid) is Role.CONTROL
    assert given.grants.owed() == {}


async def test_asking_once_is_enough(given: Given) -> None:
    """Asking for control twice, or without an invitation, changes nothing."""
    assert not await given.records.ask(ONE, BOB.uid)
    await given.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    assert await given.records.ask(ONE, BOB.uid)
    assert not await given.records.ask(ONE, BOB.uid)
    assert [one.asks for one in await given.store.shares()] == [True]


async def test_what_is_gone_is_swept(given: Given) -> None:
    """Invitations to sessions that are no more go, here and in the store; fresh ones wait."""
    await given.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    given.now += 61
    await given.records.invite(TWO, BOB, Role.VIEW, seconds=None)
    await given.records.sweep(set())
    assert [one.session for one in await given.store.shares()] == [TWO]
    assert [one.session for one in given.grants.of_person(BOB.uid)] == [TWO]


async def test_the_next_controller_reads_it(given: Given) -> None:
    """Invitations outlive the controller that wrote them."""
    await given.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    grants = Grants(wall=given.wall)
    assert await GrantRecords(grants, given.store, wall=given.wall).load() == set()
    assert grants.role_of(ONE, BOB.uid) is Role.VIEW
