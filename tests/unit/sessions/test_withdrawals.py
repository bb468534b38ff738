"""What was taken back reaches the store, though it may be away when it is taken."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from controller.core.errors import StoreUnavailable
from controller.core.model import Role, SessionId, UserId
from controller.core.records import Link, Share
from controller.sessions.grants import Grants
from controller.sessions.withdrawals import Withdrawals
from tests.support.fakes.records import Records
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

ONE, TWO = session_id(1), session_id(2)
BOB, CAROL = UserId("bob"), UserId("carol")


class Owed:
    """Grants over records that can be away."""

    def __init__(self) -> None:
        """Begin without an invitation."""
        self.store = Records()
        self.grants = Grants(wall=lambda: 1000.0)
        self.withdrawals = Withdrawals(self.grants, self.store)

    async def invite(self, session: SessionId, uid: UserId, role: Role = Role.VIEW) -> None:
        """Invite somebody, as the store has it."""
        share = Share(session, uid, role, uid.title(), 900.0)
        assert await self.store.add_share(share)
        self.grants.put(share)

    async def written(self) -> set[tuple[SessionId, UserId, Role]]:
        """Return what stands in the store."""
        return {(one.session, one.uid, one.role) for one in await self.store.shares()}


@pytest.fixture
async def owed() -> AsyncGenerator[Owed, None]:
    """Give grants with Bob and Carol in one session, and Bob in another."""
    made = Owed()
    await made.invite(ONE, BOB)
    await made.invite(ONE, CAROL, Role.CONTROL)
    await made.invite(TWO, BOB)
    yield made
    made.store.close()


async def test_it_is_written_down(owed: Owed) -> None:
    """The store knows who was removed, and whose control was taken back; nothing is owed then."""
    owed.grants.withdraw(TWO, BOB)
    owed.grants.lower(ONE, CAROL)
    await owed.withdrawals.write_down()
    assert await owed.written() == {(ONE, BOB, Role.VIEW), (ONE, CAROL, Role.VIEW)}
    assert owed.grants.owed() == {}


async def test_the_store_is_away(owed: Owed) -> None:
    """It is owed until the store is there again, and counts all the while."""
    owed.grants.withdraw_person(BOB)
    owed.store.away = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await owed.withdrawals.write_down()
    assert owed.grants.of_person(BOB) == []
    owed.store.away = False
    await owed.withdrawals.write_down()
    assert await owed.written() == {(ONE, CAROL, Role.CONTROL)}


async def test_one_that_cannot_be_written_holds_no_other(owed: Owed) -> None:
    """What the store refuses once does not keep the rest from being written."""
    lower = owed.store.lower_share

    async def refuse(session: SessionId, uid: UserId) -> None:
        del session, uid
        raise StoreUnavailable("The disk is full.")

    owed.store.lower_share = refuse  # pyright: ignore[reportAttributeAccessIssue] - for a moment
    owed.grants.lower(ONE, CAROL)
    owed.grants.withdraw(TWO, BOB)
    with pytest.raises(StoreUnavailable):
        await owed.withdrawals.write_down()
    assert await owed.written() == {(ONE, BOB, Role.VIEW), (ONE, CAROL, Role.CONTROL)}
    owed.store.lower_share = lower
    await owed.withdrawals.write_down()
    assert await owed.written() == {(ONE, BOB, Role.VIEW), (ONE, CAROL, Role.VIEW)}


async def test_a_session_is_closed_with_its_links(owed: Owed) -> None:
    """Nobody comes in any more, by name or by a link."""
    link = Link("a", ONE, Role.VIEW, 900.0, 2000.0)
    await owed.store.add_link(link, "digest")
    owed.grants.withdraw_session(ONE)
    await owed.withdrawals.write_down()
    assert await owed.store.links(ONE) == []
    assert await owed.written() == {(TWO, BOB, Role.VIEW)}


async def test_only_what_came_before_is_settled(owed: Owed) -> None:
    """What is taken after somebody asked for something does not count as taken before it."""
    owed.grants.withdraw(ONE, BOB)
    owed.grants.withdraw(TWO, BOB)
    asked = owed.grants.taken
    owed.grants.lower(ONE, CAROL)
    async with owed.withdrawals.turn:
        await owed.withdrawals.settle(ONE, asked=asked)
    assert await owed.written() == {(ONE, CAROL, Role.CONTROL), (TWO, BOB, Role.VIEW)}
    assert owed.grants.role_of(ONE, CAROL) is Role.VIEW
