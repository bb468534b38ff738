"""Invitations by name and by link: who gets in, for how long, and what is kept of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import anyio
import pytest

from controller.core.errors import LinkOver
from controller.core.model import Role
from controller.core.records import Share
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.directory import PEOPLE
from tests.support.hub import Clock
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

ALICE, BOB, CAROL = PEOPLE["alice"], PEOPLE["bob"], PEOPLE["carol"]
ONE, TWO = session_id(1), session_id(2)
HOUR = 3600.0


class Desk:
    """Grants over a real store, and the clock that they go by."""

    def __init__(self, path: Path) -> None:
        """Open the store."""
        self.path = path
        self.clock = Clock()
        self.store = SqliteStore(path)
        self.grants, self.records = self.begin()

    def begin(self) -> tuple[Grants, GrantRecords]:
        """Return what a controller has that has not read its records yet."""
        grants = Grants(wall=self.clock.wall)
        return grants, GrantRecords(grants, self.store, wall=self.clock.wall)

    async def restart(self) -> Grants:
        """Return what a controller knows that has just started."""
        again, records = self.begin()
        await records.load()
        return again

    async def take(self, taking: Callable[..., list[Share]], *whose: str) -> None:
        """Take something back, and write that down."""
        taking(*whose)
        await self.records.withdrawals.write_down()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk, None]:
    """Give grants without any."""
    made = Desk(tmp_path / "store.sqlite")
    yield made
    made.store.close()


async def test_nobody_before_the_store_is_read(desk: Desk) -> None:
    """A controller that has not read its records yet lets no guest in; afterwards it does."""
    await desk.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    again, records = desk.begin()
    assert again.role_of(ONE, BOB.uid) is None
    assert again.of_person(BOB.uid) == []
    await records.load()
    assert again.role_of(ONE, BOB.uid) is Role.VIEW


async def test_invited(desk: Desk) -> None:
    """Who is invited may enter that session and no other, and nobody else may."""
    share = await desk.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    assert desk.grants.role_of(ONE, BOB.uid) is Role.VIEW
    assert desk.grants.role_of(TWO, BOB.uid) is None
    assert desk.grants.role_of(ONE, CAROL.uid) is None
    assert desk.grants.of_session(ONE) == desk.grants.of_person(BOB.uid) == [share]
    assert share.display_name == BOB.display_name


async def test_an_invitation_ends_by_itself(desk: Desk) -> None:
    """When the time of an invitation is over, nobody gets in by it any more, at once."""
    await desk.records.invite(ONE, BOB, Role.CONTROL, seconds=HOUR)
    await desk.records.invite(ONE, CAROL, Role.VIEW, seconds=None)
    desk.clock.step(HOUR - 1)
    assert desk.grants.role_of(ONE, BOB.uid) is Role.CONTROL
    desk.clock.step(1)
    assert desk.grants.role_of(ONE, BOB.uid) is None
    assert desk.grants.of_person(BOB.uid) == []
    assert [one.uid for one in desk.grants.of_session(ONE)] == [CAROL.uid]
    assert (await desk.restart()).role_of(ONE, BOB.uid) is None
    desk.clock.step(1000 * HOUR)
    assert desk.grants.role_of(ONE, CAROL.uid) is Role.VIEW


async def test_invited_twice(desk: Desk) -> None:
    """To invite somebody again changes what they may, and adds nobody."""
    first = await desk.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    desk.clock.step(10)
    await desk.records.invite(ONE, CAROL, Role.VIEW, seconds=None)
    desk.clock.step(10)
    second = await desk.records.invite(ONE, BOB, Role.CONTROL, seconds=HOUR)
    assert second.created == first.created
    assert desk.grants.role_of(ONE, BOB.uid) is Role.CONTROL
    assert [one.uid for one in desk.grants.of_session(ONE)] == [BOB.uid, CAROL.uid]
    assert (await desk.restart()).of_session(ONE) == desk.grants.of_session(ONE)


async def test_changed_role(desk: Desk) -> None:
    """Control is lent and taken back; until when the invitation stands does not change."""
    share = await desk.records.invite(ONE, BOB, Role.VIEW, seconds=HOUR)
    lent = await desk.records.change(ONE, BOB.uid, Role.CONTROL)
    assert lent is not None
    assert desk.grants.role_of(ONE, BOB.uid) is Role.CONTROL
    assert lent.expires == share.expires
    await desk.records.change(ONE, BOB.uid, Role.VIEW)
    assert desk.grants.role_of(ONE, BOB.uid) is Role.VIEW
    assert (await desk.restart()).of_session(ONE) == [share]


async def test_withdrawn(desk: Desk) -> None:
    """An invitation that is taken back is gone at once and for good."""
    await desk.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    await desk.records.invite(TWO, BOB, Role.VIEW, seconds=None)
    for _ in range(2):
        await desk.take(desk.grants.withdraw, ONE, BOB.uid)
    assert await desk.records.change(ONE, BOB.uid, Role.CONTROL) is None
    for grants in (desk.grants, await desk.restart()):
        assert grants.role_of(ONE, BOB.uid) is None
        assert grants.role_of(TWO, BOB.uid) is Role.VIEW


async def test_withdrawn_while_it_changes(desk: Desk) -> None:
    """Taken back while another click is still being written down: it is gone all the same."""
    await desk.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    fresh = await desk.records.links.make(TWO, Role.CONTROL, seconds=HOUR, max_uses=None)
    await desk.records.invite(TWO, BOB, Role.VIEW, seconds=None)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.records.change, ONE, BOB.uid, Role.CONTROL)
        group.start_soon(desk.take, desk.grants.withdraw, ONE, BOB.uid)
    assert (await desk.restart()).role_of(ONE, BOB.uid) is None
    assert desk.grants.role_of(ONE, BOB.uid) is None
    await desk.records.links.redeem(fresh.code, BOB)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.records.change, TWO, BOB.uid, Role.VIEW)
        group.start_soon(desk.take, desk.grants.withdraw_person, BOB.uid)
    assert (await desk.restart()).role_of(TWO, BOB.uid) is None
    assert desk.grants.role_of(TWO, BOB.uid) is None


async def test_heard_of_from_another_controller(desk: Desk) -> None:
    """A controller tells in which sessions another has taken something back, and only there."""
    for session in (ONE, TWO):
        await desk.records.invite(session, BOB, Role.CONTROL, seconds=None)
        await desk.records.invite(session, CAROL, Role.VIEW, seconds=None)
    _, other = desk.begin()
    await other.load()
    await desk.records.change(ONE, BOB.uid, Role.VIEW)
    await desk.records.change(TWO, CAROL.uid, Role.CONTROL)
    assert await other.load() == {ONE}
    await desk.take(desk.grants.withdraw, TWO, CAROL.uid)
    assert await other.load() == {TWO}
    assert await other.load() == set()


async def test_everybody_withdrawn(desk: Desk) -> None:
    """A session can be closed to all guests with its links, and a person shut out of all."""
    fresh = await desk.records.links.make(ONE, Role.VIEW, seconds=HOUR, max_uses=None)
    for one in (BOB, CAROL):
        await desk.records.invite(ONE, one, Role.VIEW, seconds=None)
        await desk.records.invite(TWO, one, Role.VIEW, seconds=None)
    await desk.take(desk.grants.withdraw_session, ONE)
    await desk.take(desk.grants.withdraw_person, CAROL.uid)
    with pytest.raises(LinkOver):
        await desk.records.links.redeem(fresh.code, ALICE)
    for grants in (desk.grants, await desk.restart()):
        assert grants.of_session(ONE) == []
        assert [one.uid for one in grants.of_session(TWO)] == [BOB.uid]


async def test_joined_by_a_link(desk: Desk) -> None:
    """A link lets in as many as it says, with its role, until its own end."""
    fresh = await desk.records.links.make(ONE, Role.CONTROL, seconds=HOUR, max_uses=2)
    assert await desk.records.links.peek(fresh.code) == fresh.link
    share = await desk.records.links.redeem(fresh.code, BOB)
    assert (share.session, share.uid, share.role) == (ONE, BOB.uid, Role.CONTROL)
    assert share.expires == fresh.link.expires
    assert desk.grants.role_of(ONE, BOB.uid) is Role.CONTROL
    assert [one.uses for one in await desk.records.links.of_session(ONE)] == [1]
    await desk.records.links.redeem(fresh.code, CAROL)
    assert await desk.records.links.of_session(ONE) == []
    with pytest.raises(LinkOver):
        await desk.records.links.redeem(fresh.code, ALICE)
    with pytest.raises(LinkOver):
        await desk.records.links.peek(fresh.code)
    desk.clock.step(HOUR)
    assert desk.grants.role_of(ONE, BOB.uid) is None


async def test_a_link_ends(desk: Desk) -> None:
    """A late, an ended and an unknown link say the same; who came before the end stays."""
    late = await desk.records.links.make(ONE, Role.VIEW, seconds=HOUR, max_uses=None)
    ended = await desk.records.links.make(ONE, Role.VIEW, seconds=2 * HOUR, max_uses=None)
    await desk.records.links.redeem(ended.code, BOB)
    await desk.records.links.end(TWO, ended.link.id)
    assert len(await desk.records.links.of_session(ONE)) == 2
    await desk.records.links.end(ONE, ended.link.id)
    await desk.records.links.end(ONE, ended.link.id)
    desk.clock.step(HOUR)
    assert await desk.records.links.of_session(ONE) == []
    sentences: set[str] = set()
    for code in (late.code, ended.code, "unknown", "", late.link.id, "ä", "x" * 100_000):
        for act in (desk.records.links.peek(code), desk.records.links.redeem(code, CAROL)):
            with pytest.raises(LinkOver) as caught:
                await act
            sentences.add(str(caught.value))
    assert len(sentences) == 1
    assert desk.grants.role_of(ONE, BOB.uid) is Role.VIEW


@pytest.mark.parametrize(
    ("has", "offered", "role", "uses"),
    [
        (Role.CONTROL, Role.VIEW, Role.CONTROL, 0),
        (Role.CONTROL, Role.CONTROL, Role.CONTROL, 0),
        (Role.VIEW, Role.VIEW, Role.VIEW, 0),
        (Role.VIEW, Role.CONTROL, Role.CONTROL, 1),
    ],
)
async def test_who_has_as_much_already(
    desk: Desk, has: Role, offered: Role, role: Role, uses: int
) -> None:
    """A link never takes away what somebody may, and is used up only by whom it gives more."""
    await desk.records.invite(ONE, BOB, has, seconds=None)
    fresh = await desk.records.links.make(ONE, offered, seconds=HOUR, max_uses=1)
    await desk.records.links.redeem(fresh.code, BOB)
    assert role is desk.grants.role_of(ONE, BOB.uid)
    assert [uses] == [one.uses for one in await desk.store.links(ONE)]
    # Who comes again by the same link is where they were.
    await desk.records.links.redeem(fresh.code, BOB)
    assert role is desk.grants.role_of(ONE, BOB.uid)
    assert [uses] == [one.uses for one in await desk.store.links(ONE)]


async def test_no_way_back_by_the_old_link(desk: Desk) -> None:
    """Who was shut out does not come back by a link that was there; by a newer one they do."""
    old = await desk.records.links.make(ONE, Role.VIEW, seconds=HOUR, max_uses=None)
    unused = await desk.records.links.make(ONE, Role.CONTROL, seconds=HOUR, max_uses=None)
    await desk.records.links.redeem(old.code, BOB)
    await desk.take(desk.grants.withdraw, ONE, BOB.uid)
    for code in (old.code, unused.code):
        with pytest.raises(LinkOver):
            await desk.records.links.redeem(code, BOB)
    assert desk.grants.role_of(ONE, BOB.uid) is None
    await desk.records.links.redeem(old.code, CAROL)
    new = await desk.records.links.make(ONE, Role.VIEW, seconds=HOUR, max_uses=None)
    await desk.records.links.redeem(new.code, BOB)
    assert desk.grants.role_of(ONE, BOB.uid) is Role.VIEW


async def test_the_last_use(desk: Desk) -> None:
    """Of two who press the last use of a link at once, one gets in and the other is told."""
    fresh = await desk.records.links.make(ONE, Role.VIEW, seconds=HOUR, max_uses=1)
    refused: list[str] = []

    async def come(name: str) -> None:
        try:
            await desk.records.links.redeem(fresh.code, PEOPLE[name])
        except LinkOver:
            refused.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(come, "bob")
        group.start_soon(come, "carol")
    (out,) = refused
    inside = "carol" if out == "bob" else "bob"
    assert desk.grants.role_of(ONE, PEOPLE[out].uid) is None
    assert desk.grants.role_of(ONE, PEOPLE[inside].uid) is Role.VIEW


async def test_codes_are_kept_nowhere(desk: Desk) -> None:
    """A person who reads the records finds no code that would let them in."""
    codes: list[str] = []
    for number in range(20):
        fresh = await desk.records.links.make(ONE, Role.VIEW, seconds=HOUR, max_uses=1)
        codes.append(fresh.code)
        if number % 2:
            await desk.records.links.redeem(fresh.code, PEOPLE["bob" if number == 1 else "carol"])
            await desk.take(desk.grants.withdraw, ONE, BOB.uid)
            await desk.take(desk.grants.withdraw, ONE, CAROL.uid)
    assert len(set(codes)) == 20
    assert all(len(code) >= 22 for code in codes)  # 128 bits in base 64
    files = [one.read_bytes() for one in desk.path.parent.iterdir()]
    assert len(files) == 3  # with the write-ahead log
    assert any(str(ONE).encode() in content for content in files)
    assert not [code for code in codes for content in files if code.encode() in content]


async def test_swept(desk: Desk) -> None:
    """What is over and what belonged to sessions that are gone is forgotten, here and on disk."""
    await desk.records.invite(ONE, BOB, Role.VIEW, seconds=HOUR)
    await desk.records.invite(ONE, CAROL, Role.VIEW, seconds=None)
    await desk.records.invite(TWO, BOB, Role.VIEW, seconds=None)
    link = await desk.records.links.make(TWO, Role.VIEW, seconds=9 * HOUR, max_uses=None)
    desk.clock.step(HOUR)
    over = desk.grants.expire()
    assert [(one.session, one.uid) for one in over] == [(ONE, BOB.uid)]
    assert desk.grants.expire() == []
    await desk.records.sweep({ONE})
    assert desk.grants.expire() == []
    assert [(one.session, one.uid) for one in await desk.store.shares()] == [(ONE, CAROL.uid)]
    with pytest.raises(LinkOver):
        await desk.records.links.peek(link.code)
    for grants in (desk.grants, await desk.restart()):
        assert grants.role_of(TWO, BOB.uid) is None
        assert grants.role_of(ONE, CAROL.uid) is Role.VIEW


async def test_a_launch_is_not_swept(desk: Desk) -> None:
    """Who is invited the moment a session is launched is not forgotten before it is seen."""
    await desk.records.invite(ONE, BOB, Role.VIEW, seconds=None)
    link = await desk.records.links.make(ONE, Role.VIEW, seconds=HOUR, max_uses=None)
    desk.clock.step(30)
    await desk.records.sweep(set())
    for grants in (desk.grants, await desk.restart()):
        assert grants.role_of(ONE, BOB.uid) is Role.VIEW
    assert await desk.records.links.peek(link.code) == link.link
    desk.clock.step(31)
    await desk.records.sweep(set())
    assert desk.grants.role_of(ONE, BOB.uid) is None


async def test_the_end_of_an_invitation_is_no_ban(desk: Desk) -> None:
    """Whose invitation has run out may come again by a link, before a sweep and after it."""
    fresh = await desk.records.links.make(ONE, Role.VIEW, seconds=9 * HOUR, max_uses=None)
    await desk.records.invite(ONE, BOB, Role.VIEW, seconds=HOUR)
    await desk.records.invite(ONE, CAROL, Role.VIEW, seconds=HOUR)
    desk.clock.step(HOUR)
    await desk.records.links.redeem(fresh.code, BOB)
    await desk.records.sweep({ONE})
    await desk.records.links.redeem(fresh.code, CAROL)
    assert desk.grants.role_of(ONE, BOB.uid) is Role.VIEW
    assert desk.grants.role_of(ONE, CAROL.uid) is Role.VIEW
