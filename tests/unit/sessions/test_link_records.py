"""Links in the store: whom they let in, how often, and that their codes stand nowhere."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator

import pytest

from controller.core.errors import LinkOver, TooManyGrants
from controller.core.model import Role, UserId
from controller.core.records import Share
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.store import LINKS_MOST, SHARES_MOST
from tests.support.fakes.directory import PEOPLE
from tests.support.fakes.records import Records
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

BOB, CAROL = PEOPLE["bob"], PEOPLE["carol"]
ONE, TWO = session_id(1), session_id(2)


class Linked:
    """The links of an instance, and the time."""

    def __init__(self) -> None:
        """Begin without a link; codes and ids are numbers, in the order in which they are made."""
        self.now = 1000.0
        self.store = Records()
        self.grants = Grants(wall=self.wall)
        numbers = itertools.count(1)
        records = GrantRecords(
            self.grants, self.store, wall=self.wall, new_code=lambda: f"code-{next(numbers)}"
        )
        self.links = records.links

    def wall(self) -> float:
        """Return the time."""
        return self.now

    async def make(self, role: Role = Role.VIEW, *, max_uses: int | None = None) -> str:
        """Make a link for an hour, and return its code."""
        return (await self.links.make(ONE, role, seconds=3600, max_uses=max_uses)).code


@pytest.fixture
async def linked() -> AsyncGenerator[Linked, None]:
    """Give them."""
    made = Linked()
    yield made
    made.store.close()


async def test_a_code_is_no_id(linked: Linked) -> None:
    """What a link is named by lets nobody in, and the store has no code to be found by."""
    fresh = await linked.links.make(ONE, Role.VIEW, seconds=60, max_uses=None)
    assert (fresh.code, fresh.link.id) == ("code-1", "code-2")
    assert await linked.links.peek("code-1") == fresh.link
    with pytest.raises(LinkOver):
        await linked.links.peek("code-2")
    assert await linked.store.find_link("code-1") is None


async def test_it_lets_in_as_many_as_it_says(linked: Linked) -> None:
    """The last use is the last; who has come by it is in until the link's own end."""
    code = await linked.make(max_uses=1)
    share = await linked.links.redeem(code, BOB)
    assert (share.role, share.expires) == (Role.VIEW, 4600.0)
    with pytest.raises(LinkOver):
        await linked.links.redeem(code, CAROL)
    assert await linked.links.of_session(ONE) == []
    assert linked.grants.role_of(ONE, BOB.uid) is Role.VIEW
    linked.now += 3600
    assert linked.grants.role_of(ONE, BOB.uid) is None


async def test_who_may_as_much_already(linked: Linked) -> None:
    """It takes nothing away from a guest, and is not used up by one who gains nothing."""
    control, view = await linked.make(Role.CONTROL, max_uses=1), await linked.make(max_uses=1)
    await linked.links.redeem(control, BOB)
    assert (await linked.links.redeem(view, BOB)).role is Role.CONTROL
    assert [one.role for one in await linked.links.of_session(ONE)] == [Role.VIEW]


async def test_no_way_back(linked: Linked) -> None:
    """A removed guest comes back by no link that was open then, but by one that is made later."""
    old = await linked.make()
    await linked.links.redeem(old, BOB)
    linked.grants.withdraw(ONE, BOB.uid)
    new = await linked.make()
    with pytest.raises(LinkOver):
        await linked.links.redeem(old, BOB)
    assert (await linked.links.redeem(new, BOB)).uid == BOB.uid


async def test_a_session_that_was_closed(linked: Linked) -> None:
    """Its links are over at once, before the store is told."""
    code = await linked.make()
    linked.grants.withdraw_session(ONE)
    assert await linked.links.of_session(ONE) == []
    for act in (linked.links.peek(code), linked.links.redeem(code, BOB)):
        with pytest.raises(LinkOver):
            await act


async def test_ended(linked: Linked) -> None:
    """Only the owner of its session ends a link, as often as they like."""
    fresh = await linked.links.make(ONE, Role.VIEW, seconds=60, max_uses=None)
    await linked.links.end(TWO, fresh.link.id)
    assert await linked.links.of_session(ONE) == [fresh.link]
    for _ in range(2):
        await linked.links.end(ONE, fresh.link.id)
    with pytest.raises(LinkOver):
        await linked.links.redeem(fresh.code, BOB)


async def test_there_are_bounds(linked: Linked) -> None:
    """No more links and no more guests than there may be, and each refusal says what to do."""
    codes = [await linked.make() for _ in range(LINKS_MOST)]
    with pytest.raises(TooManyGrants, match="End one"):
        await linked.make()
    for number in range(SHARES_MOST):
        guest = Share(ONE, UserId(f"guest{number}"), Role.VIEW, "Guest", 1000.0)
        await linked.store.add_share(guest)
        linked.grants.put(guest)
    with pytest.raises(TooManyGrants, match="Ask its owner"):
        await linked.links.redeem(codes[0], BOB)
