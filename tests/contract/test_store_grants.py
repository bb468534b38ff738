"""What every store remembers of invitations and links: who may enter, how often, until when."""

from __future__ import annotations

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import StoreUnavailable
from controller.core.model import Role, UserId
from controller.core.records import Link, Share
from controller.store import CLOSED_MOST, LINKS_MOST, SHARES_MOST, Store
from tests.contract.conftest import Opened
from tests.contract.records import ALICE, BOB, LINK, ONE, SHARE, TWO, someone
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio


def by_place(shares: list[Share]) -> list[Share]:
    """Return invitations in an order that does not depend on the store."""
    return sorted(shares, key=lambda one: (one.session, one.uid))


async def test_shares(store: Store) -> None:
    """Invitations are kept whole, one of a person to a session, until they are taken back."""
    others = replace(SHARE, uid=ALICE, role=Role.CONTROL, expires=300.0)
    elsewhere = replace(SHARE, session=TWO)
    for share in (SHARE, others, elsewhere):
        await store.add_share(share)
    assert by_place(await store.shares()) == by_place([SHARE, others, elsewhere])
    changed = replace(SHARE, role=Role.CONTROL, display_name="Bob B.", expires=400.0)
    await store.add_share(changed)
    assert by_place(await store.shares()) == by_place([changed, others, elsewhere])
    await store.remove_share(ONE, BOB, bar=True)
    await store.remove_share(ONE, BOB, bar=True)
    assert by_place(await store.shares()) == by_place([others, elsewhere])
    await store.add_share(SHARE)
    await store.remove_person(BOB)
    await store.remove_person(BOB)
    assert await store.shares() == [others]


async def test_links(store: Store) -> None:
    """Links are kept whole and found by the hash of their code until they are ended."""
    endless = Link("link-2", ONE, Role.VIEW, created=50.0, expires=300.0)
    elsewhere = replace(LINK, id="link-3", session=TWO)
    for number, link in enumerate((LINK, endless, elsewhere)):
        await store.add_link(link, f"digest-{number}")
    assert await store.links(ONE) == [endless, LINK]
    assert await store.find_link("digest-0") == LINK
    assert await store.find_link("digest-1") == endless
    assert await store.find_link("digest-9") is None
    await store.remove_link(TWO, "link-1")
    assert await store.links(ONE) == [endless, LINK]
    await store.remove_link(ONE, "link-1")
    await store.remove_link(ONE, "link-1")
    assert await store.links(ONE) == [endless]
    assert await store.find_link("digest-0") is None
    with pytest.raises(StoreUnavailable):
        await store.add_link(replace(LINK, id="link-4"), "digest-1")


async def test_uses_of_a_link(store: Store) -> None:
    """A link lets each person in once, as many as it says, and not after its end."""
    await store.add_link(LINK, "digest")
    assert await store.use_link("other", someone(BOB), 150) is None
    assert await store.use_link("digest", someone(BOB), 200) is None
    used = await store.use_link("digest", someone(BOB), 199.9)
    assert used == Share(ONE, BOB, Role.CONTROL, BOB, created=199.9, expires=LINK.expires)
    assert await store.shares() == [used]
    assert await store.use_link("digest", someone(BOB), 150) is None
    assert [one.uses for one in await store.links(ONE)] == [1]
    assert await store.use_link("digest", someone(ALICE), 150) is not None
    assert await store.use_link("digest", someone(UserId("carol")), 150) is None
    assert [one.uses for one in await store.links(ONE)] == [2]


async def test_a_link_without_number(store: Store) -> None:
    """A link without a number of uses lets in anybody until its end."""
    await store.add_link(replace(LINK, max_uses=None), "digest")
    for number in range(50):
        assert await store.use_link("digest", someone(UserId(f"person-{number}")), 150) is not None
    assert [one.uses for one in await store.links(ONE)] == [50]


async def test_the_last_use(opened: Opened) -> None:
    """Of many who come at once for the last use, by two controllers, one gets it."""
    stores = [opened(), opened()]
    await stores[0].add_link(replace(LINK, max_uses=1), "digest")
    found: list[Share | None] = []

    async def come(number: int) -> None:
        uid = UserId(f"person-{number}")
        found.append(await stores[number % 2].use_link("digest", someone(uid), 150))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(come, number)
    assert len(found) == 20
    assert len([one for one in found if one is not None]) == 1
    assert [one.uses for one in await stores[1].links(ONE)] == [1]


async def test_so_many_invitations(opened: Opened) -> None:
    """A session has as many invitations as it may, also where two controllers make them at once."""
    stores = [opened(), opened()]
    assert await stores[0].shares() == []
    added: list[bool] = []

    async def invite(number: int) -> None:
        share = replace(SHARE, uid=UserId(f"person-{number}"))
        added.append(await stores[number % 2].add_share(share))

    for start in range(0, SHARES_MOST + 10, 10):
        async with anyio.create_task_group() as group:
            for number in range(start, start + 10):
                group.start_soon(invite, number)
    assert sorted(added) == [False] * 10 + [True] * SHARES_MOST
    there = await stores[0].shares()
    assert len(there) == SHARES_MOST
    assert await stores[1].add_share(replace(there[0], role=Role.CONTROL))
    assert await stores[1].add_share(replace(SHARE, session=TWO))
    assert await stores[0].add_share(replace(SHARE, uid=UserId("root"), look=True))
    await stores[0].add_link(LINK, "digest")
    assert await stores[0].use_link("digest", someone(UserId("newcomer")), 150) is None
    assert [one.uses for one in await stores[1].links(ONE)] == [0]
    await stores[1].remove_share(ONE, there[0].uid, bar=True)
    assert await stores[0].use_link("digest", someone(UserId("newcomer")), 150) is not None


async def test_so_many_links(opened: Opened) -> None:
    """A session has as many open links as it may; what is over makes room and is forgotten."""
    stores = [opened(), opened()]
    assert await stores[0].shares() == []
    added: list[bool] = []

    async def link(number: int, created: float) -> None:
        one = replace(LINK, id=f"link-{created}-{number}", created=created, expires=created + 100)
        added.append(await stores[number % 2].add_link(one, f"digest-{created}-{number}"))

    for start in range(0, LINKS_MOST + 10, 10):
        async with anyio.create_task_group() as group:
            for number in range(start, start + 10):
                group.start_soon(link, number, 100.0)
    assert sorted(added) == [False] * 10 + [True] * LINKS_MOST
    assert len(await stores[0].links(ONE)) == LINKS_MOST
    await link(0, 200.0)
    assert added[-1]
    assert [one.id for one in await stores[1].links(ONE)] == ["link-200.0-0"]


async def test_a_link_that_is_used_up_is_remembered(store: Store) -> None:
    """Who came by a link that is used up is still known to it when others are made."""
    await store.add_link(replace(LINK, max_uses=1), "digest")
    assert await store.use_link("digest", someone(BOB), 150) is not None
    assert await store.add_link(replace(LINK, id="link-2", created=160.0), "other")
    assert await store.find_link("digest") is not None
    assert await store.use_link("digest", someone(BOB), 170) is None


async def test_nobody_is_shut_out_who_was_not_invited(store: Store) -> None:
    """A name that was never invited leaves no trace at the links."""
    await store.add_link(LINK, "digest")
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.use_link("digest", someone(BOB), 150) is not None


async def test_links_that_shut_out_too_many_end(store: Store) -> None:
    """What links remember of people does not grow without end: they end instead, and deny."""
    links = [replace(LINK, id=f"link-{number}", max_uses=None) for number in range(LINKS_MOST)]
    for number, link in enumerate(links):
        assert await store.add_link(link, f"digest-{number}")
    for number in range(CLOSED_MOST // LINKS_MOST):
        share = replace(SHARE, uid=UserId(f"person-{number}"))
        await store.add_share(share)
        await store.remove_share(ONE, share.uid, bar=True)
    assert len(await store.links(ONE)) == LINKS_MOST
    await store.add_share(SHARE)
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.links(ONE) == []
    assert await store.use_link("digest-0", someone(BOB), 150) is None


async def test_shut_out(store: Store) -> None:
    """Who was uninvited does not come back by a link that was there; by a later one they do."""
    await store.add_link(LINK, "old")
    await store.add_link(replace(LINK, id="link-2", session=TWO), "elsewhere")
    await store.add_share(SHARE)
    await store.remove_share(ONE, BOB, bar=True)
    assert await store.use_link("old", someone(BOB), 150) is None
    assert [one.uses for one in await store.links(ONE)] == [0]
    assert await store.use_link("old", someone(ALICE), 150) is not None
    assert await store.use_link("elsewhere", someone(BOB), 150) is not None
    await store.add_link(replace(LINK, id="link-3"), "new")
    assert await store.use_link("new", someone(BOB), 150) is not None


async def test_grants_go_with_their_session(store: Store) -> None:
    """What belonged to sessions that are gone is forgotten, unless it is just being made."""
    late = replace(SHARE, session=session_id(3), created=180.0)
    for share in (SHARE, replace(SHARE, session=TWO), late):
        await store.add_share(share)
    await store.add_link(LINK, "one")
    await store.add_link(replace(LINK, id="link-2", session=TWO), "two")
    await store.use_link("two", someone(ALICE), 150)
    await store.add_link(replace(LINK, id="link-3", session=late.session, created=180.0), "three")
    await store.remove_grants({ONE}, 180.0)
    assert by_place(await store.shares()) == by_place([SHARE, late])
    assert await store.find_link("one") is not None
    assert await store.find_link("two") is None
    assert await store.find_link("three") is not None
    await store.remove_grants(set(), 180.1)
    assert await store.shares() == []
    assert await store.links(ONE) == []


async def test_who_asks(opened: Opened) -> None:
    """Who asks for control is remembered; asking invites nobody, and a new role is an answer."""
    store = opened()
    await store.add_share(SHARE)
    await store.set_asks(SHARE.session, SHARE.uid)
    await store.set_asks(SHARE.session, ALICE)
    await store.set_asks(TWO, SHARE.uid)
    assert await opened().shares() == [replace(SHARE, asks=True)]
    await store.add_share(SHARE)
    assert await opened().shares() == [SHARE]


async def test_lowered(opened: Opened) -> None:
    """A guest loses control and all else stays; nobody becomes invited by that."""
    store = opened()
    controls = replace(SHARE, role=Role.CONTROL, expires=100.0)
    await store.add_share(controls)
    await store.lower_share(controls.session, controls.uid)
    await store.lower_share(controls.session, ALICE)
    await store.lower_share(TWO, controls.uid)
    assert await opened().shares() == [replace(controls, role=Role.VIEW)]


async def test_looks_are_told_apart(store: Store) -> None:
    """Whether somebody was invited or views as an administrator is remembered."""
    look = replace(SHARE, uid=ALICE, look=True)
    await store.add_share(SHARE)
    await store.add_share(look)
    assert {one.uid: one.look for one in await store.shares()} == {BOB: False, ALICE: True}
