"""Owners make links, and people who have one join."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from controller.core.errors import InvalidRequest, LinkOver, SharingOff
from controller.core.model import Role
from controller.core.records import Actor
from controller.sessions.link_records import FreshLink
from tests.support.fakes.sharing_parts import ALICE, BOB, OWNER, SharingParts, acts, shared

pytestmark = pytest.mark.anyio

BY_BOB = Actor(BOB.uid)


@pytest.fixture
def parts() -> SharingParts:
    """Give the parts of a hub with one session, Alice's, that is ready."""
    return SharingParts()


async def make(
    parts: SharingParts, role: Role = Role.VIEW, max_uses: int | None = None
) -> FreshLink:
    """Let Alice make a link for an hour."""
    return await parts.sharing.links.make(
        parts.seen, role, seconds=3600, max_uses=max_uses, by=OWNER
    )


async def test_its_code_is_shown_once(parts: SharingParts) -> None:
    """The maker of a link gets its code; the list of links and the record have none."""
    with capture_logs() as logs:
        fresh = await make(parts, max_uses=3)
    assert acts(logs, "link", "role", "seconds", "max_uses") == [
        ("link_made", fresh.link.id, "view", 3600, 3)
    ]
    assert fresh.code not in str(logs)
    assert await parts.sharing.links.of_session(parts.seen) == [fresh.link]


async def test_odd_bounds(parts: SharingParts) -> None:
    """A link that nobody could use, or that makes an owner, is not made."""
    links = parts.sharing.links
    for role, seconds, uses in ((Role.OWNER, 60, None), (Role.VIEW, 1, None), (Role.VIEW, 60, 0)):
        with pytest.raises(InvalidRequest):
            await links.make(parts.seen, role, seconds=seconds, max_uses=uses, by=OWNER)
    assert await links.of_session(parts.seen) == []


async def test_somebody_joins(parts: SharingParts) -> None:
    """They read what is offered, join, and are in; a second time changes nothing."""
    fresh = await make(parts, max_uses=1)
    offer = await parts.sharing.links.peek(fresh.code)
    assert (offer.link, offer.seen) == (fresh.link, parts.seen)
    with capture_logs() as logs:
        joined = await parts.sharing.links.join(fresh.code, BOB, BY_BOB)
    assert joined.session == parts.seen.session
    assert acts(logs, "who", "link", "role") == [("join", "bob", fresh.link.id, "view")]
    assert parts.grants.role_of(parts.seen.session.id, BOB.uid) is Role.VIEW
    assert parts.kicked == []


async def test_a_guest_gains_control(parts: SharingParts) -> None:
    """A viewer who joins by a link for control is cut, and comes back with control."""
    await parts.invite(BOB)
    fresh = await make(parts, Role.CONTROL)
    await parts.sharing.links.join(fresh.code, BOB, BY_BOB)
    assert parts.grants.role_of(parts.seen.session.id, BOB.uid) is Role.CONTROL
    assert parts.kicked == [BOB.uid]


async def test_who_gains_nothing(parts: SharingParts) -> None:
    """A guest who may as much already joins nothing, and the record is silent."""
    await parts.invite(BOB, Role.CONTROL)
    fresh = await make(parts)
    with capture_logs() as logs:
        await parts.sharing.links.join(fresh.code, BOB, BY_BOB)
    assert acts(logs) == []
    assert parts.grants.role_of(parts.seen.session.id, BOB.uid) is Role.CONTROL


async def test_the_owners_own_link(parts: SharingParts) -> None:
    """It leads them to their session and is not used up."""
    fresh = await make(parts, max_uses=1)
    seen = await parts.sharing.links.join(fresh.code, ALICE, OWNER)
    assert seen.session == parts.seen.session
    assert [one.uses for one in await parts.sharing.links.of_session(parts.seen)] == [0]


async def test_a_link_that_is_over(parts: SharingParts) -> None:
    """An ended link, and one whose session is gone, let nobody in."""
    links = parts.sharing.links
    ended, orphaned = await make(parts), await make(parts)
    with capture_logs() as logs:
        await links.end(parts.seen, ended.link.id, by=OWNER)
        await links.end(parts.seen, "anything that was typed", by=OWNER)
    assert acts(logs, "link") == [("link_ended", ended.link.id)]
    with pytest.raises(LinkOver):
        await links.join(ended.code, BOB, BY_BOB)
    parts.show()
    for act in (links.peek(orphaned.code), links.join(orphaned.code, BOB, BY_BOB)):
        with pytest.raises(LinkOver):
            await act


async def test_where_sharing_is_switched_off() -> None:
    """Nobody makes, reads or uses a link where no invitation counts."""
    parts = SharingParts(replace(shared(), path_mode_sharing=""))
    links = parts.sharing.links
    for act in (make(parts), links.peek("code"), links.join("code", BOB, BY_BOB)):
        with pytest.raises(SharingOff):
            await act
