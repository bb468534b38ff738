"""What is taken back counts at once, is closed, and is written down meanwhile."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from controller.core.errors import NotAllowed, NotWrittenDown
from controller.core.model import Role, SessionId
from controller.core.records import Actor
from tests.support.fakes.sharing_parts import ALICE, BOB, CAROL, OWNER, SharingParts, acts

pytestmark = pytest.mark.anyio


@pytest.fixture
async def parts() -> SharingParts:
    """Give the parts of a hub; Bob and Carol are invited to Alice's session."""
    made = SharingParts()
    await made.invite(BOB)
    await made.invite(CAROL, Role.CONTROL)
    return made


async def written(parts: SharingParts) -> set[tuple[SessionId, str]]:
    """Return who is invited, by the store."""
    return {(one.session, one.uid) for one in await parts.store.shares()}


async def test_an_owner_takes_it_back(parts: SharingParts) -> None:
    """A removed guest is out and cut, and the record says by whom; a second time is none."""
    with capture_logs() as logs:
        for _ in range(2):
            assert await parts.sharing.revoking.withdraw(parts.seen, BOB.uid, by=OWNER)
    assert acts(logs, "who", "guest", "reason") == [("revoke", "alice", "bob", "taken_back")]
    assert parts.grants.role_of(parts.seen.session.id, BOB.uid) is None
    assert parts.kicked == [BOB.uid, BOB.uid]
    assert await written(parts) == {(parts.seen.session.id, CAROL.uid)}


async def test_a_guest_leaves(parts: SharingParts) -> None:
    """Guests give their invitation back; owners cannot leave their own session."""
    revoking = parts.sharing.revoking
    with capture_logs() as logs:
        assert await revoking.leave(parts.seen, BOB.uid, by=Actor(BOB.uid))
    assert acts(logs, "reason") == [("revoke", "left")]
    with pytest.raises(NotAllowed, match="Stop it instead"):
        await revoking.leave(parts.seen, ALICE.uid, by=OWNER)


async def test_the_store_is_away(parts: SharingParts) -> None:
    """It counts and is cut all the same; the owner is told, and a round writes it down."""
    parts.store.away = True
    with pytest.raises(NotWrittenDown):
        await parts.sharing.revoking.withdraw(parts.seen, BOB.uid, by=OWNER)
    assert parts.grants.role_of(parts.seen.session.id, BOB.uid) is None
    assert parts.kicked == [BOB.uid]
    parts.store.away = False
    await parts.sharing.sweep(leads=False)
    assert await written(parts) == {(parts.seen.session.id, CAROL.uid)}


async def test_a_session_that_does_not_answer(parts: SharingParts) -> None:
    """The person who takes it back is told that what is open stays open."""
    parts.gateway.insides[parts.seen.session.id] = None
    assert not await parts.sharing.revoking.withdraw(parts.seen, BOB.uid, by=OWNER)
    assert await written(parts) == {(parts.seen.session.id, CAROL.uid)}


async def test_who_may_not_use_the_hub_any_more(parts: SharingParts) -> None:
    """They are out of others' sessions and of their own, and so is whom they had invited."""
    parts.show(parts.seen, parts.running(2, BOB))
    own = parts.ready(2).session.id
    await parts.records.invite(own, CAROL, Role.VIEW, seconds=None)
    with capture_logs() as logs:
        await parts.sharing.revoking.let_go(BOB.uid)
    shown = parts.seen.session.id
    assert set(acts(logs, "session", "guest", "reason")) == {
        ("revoke", shown, "bob", "departed"),
        ("revoke", own, "carol", "departed"),
    }
    assert set(parts.gateway.kicked) == {(shown, BOB.uid), (own, BOB.uid), (own, CAROL.uid)}
    assert await written(parts) == {(shown, CAROL.uid)}


async def test_its_time_is_over(parts: SharingParts) -> None:
    """An invitation that ends is cut and recorded once, by the leader."""
    await parts.records.invite(parts.seen.session.id, BOB, Role.VIEW, seconds=60)
    parts.spend(60)
    with capture_logs() as logs:
        await parts.sharing.sweep(leads=False)
        assert parts.kicked == []
        for _ in range(2):
            await parts.sharing.sweep(leads=True)
    assert acts(logs, "who", "guest", "reason") == [("revoke", "controller", "bob", "expired")]
    assert parts.kicked == [BOB.uid]
    assert await written(parts) == {(parts.seen.session.id, CAROL.uid)}


async def test_a_session_that_is_gone(parts: SharingParts) -> None:
    """Its invitations go without a word, and nothing is asked of it."""
    parts.show()
    parts.spend(61)
    with capture_logs() as logs:
        await parts.sharing.sweep(leads=True)
    assert acts(logs) == []
    assert parts.gateway.kicked == []
    assert await written(parts) == set()


async def test_who_is_inside_is_forgotten(parts: SharingParts) -> None:
    """A guest who was removed, is invited again and enters is recorded again."""
    at = parts.seen.session.id
    parts.sessions.enter(at, "s1", Role.VIEW, Actor(BOB.uid))
    await parts.sharing.revoking.withdraw(parts.seen, BOB.uid, by=OWNER)
    assert not parts.sessions.is_inside(at, "s1")
