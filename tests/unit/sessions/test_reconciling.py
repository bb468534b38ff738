"""Who is connected is compared with who may be, whatever the session says."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from controller.core.model import Person, Role, UserId
from controller.core.records import Actor
from tests.support.fakes.sharing_parts import ALICE, BOB, CAROL, SharingParts, acts, inside
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
def parts() -> SharingParts:
    """Give the parts of a hub with one session, Alice's, that is ready."""
    return SharingParts()


async def judge(parts: SharingParts, *people: tuple[Person, Role]) -> list[UserId]:
    """Let a poll show these people in Alice's session; return who was cut for it."""
    before = len(parts.kicked)
    await parts.sharing.reconciling.judge(parts.seen, inside(*people).clients)
    return parts.kicked[before:]


async def test_who_may_stays(parts: SharingParts) -> None:
    """The owner in any role, and a guest in theirs, are left alone."""
    for person in (ALICE, BOB):
        await parts.log_in(person)
    await parts.invite(BOB)
    assert await judge(parts, (ALICE, Role.VIEW), (BOB, Role.VIEW)) == []


async def test_who_may_not_is_cut(parts: SharingParts) -> None:
    """Without an invitation, in another role or logged out: cut, and put on record with why."""
    for person in (BOB, CAROL):
        await parts.log_in(person)
    await parts.invite(BOB)
    with capture_logs() as logs:
        cut = await judge(parts, (ALICE, Role.OWNER), (BOB, Role.CONTROL), (CAROL, Role.VIEW))
    assert set(cut) == {ALICE.uid, BOB.uid, CAROL.uid}
    assert set(acts(logs, "guest", "reason")) == {
        ("cut", "alice", "logged_out"),
        ("cut", "bob", "other_role"),
        ("cut", "carol", "not_invited"),
    }


async def test_on_record_once(parts: SharingParts) -> None:
    """A guest who stays connected is cut at each poll and recorded once, and anew after a while."""
    with capture_logs() as logs:
        for _ in range(3):
            assert await judge(parts, (BOB, Role.VIEW)) == [BOB.uid]
            parts.spend(30)
        assert len(acts(logs)) == 1
        parts.spend(600)
        await judge(parts, (BOB, Role.VIEW))
        assert len(acts(logs)) == 2


async def test_a_session_that_lies(parts: SharingParts) -> None:
    """Twenty at once are cut, and twenty recorded, whomever it names."""
    with capture_logs() as logs:
        for crowd in range(2):
            names = (Person(UserId(f"nobody-{crowd}-{one}"), "Nobody") for one in range(50))
            assert len(await judge(parts, *((one, Role.VIEW) for one in names))) == 20
    assert len(acts(logs)) == 20


async def test_a_cut_that_is_due(parts: SharingParts) -> None:
    """A cut that got no answer is repeated at the next poll, whatever that shows."""
    parts.gateway.insides[parts.seen.session.id] = None
    await parts.sharing.cutting.cut(parts.seen, BOB.uid)
    parts.connect()
    assert await judge(parts) == [BOB.uid]
    assert await judge(parts) == []


async def test_news_may_be_on_its_way(parts: SharingParts) -> None:
    """With several controllers nobody is cut before their invitation could be heard of here."""
    await parts.hear_late()
    assert await judge(parts, (BOB, Role.VIEW)) == []
    parts.spend(1.9)
    assert await judge(parts, (BOB, Role.VIEW)) == []
    parts.spend(0.1)
    assert await judge(parts, (BOB, Role.VIEW)) == [BOB.uid]
    assert await judge(parts) == []
    assert await judge(parts, (BOB, Role.VIEW)) == []  # they went, and the time begins anew


async def test_a_poll_judges(parts: SharingParts) -> None:
    """Each look into a session that tells who is connected is compared."""
    parts.connect((BOB, Role.VIEW))
    await parts.poller.poll(parts.seen)
    assert parts.kicked == [BOB.uid]


async def test_who_logs_out(parts: SharingParts) -> None:
    """A log-out cuts a person everywhere: in their own sessions and in those of others."""
    login = await parts.log_in(BOB)
    await parts.invite(BOB)
    parts.show(parts.seen, parts.running(2, BOB))
    own = parts.ready(2)
    async with parts.at_work():
        await parts.logins.leave(login, by=Actor(BOB.uid), reason="asked")
        await eventually(
            lambda: (
                set(parts.gateway.kicked)
                == {(own.session.id, BOB.uid), (parts.seen.session.id, BOB.uid)}
            )
        )


async def test_a_program_that_made_room(parts: SharingParts) -> None:
    """A program's log-in that ends by itself closes nothing, unless it had entered a session."""
    first, second = [await parts.log_in(BOB, script=True) for _ in range(2)]
    await parts.log_in(BOB)
    await parts.invite(BOB)
    parts.sessions.enter(parts.seen.session.id, second.sid, Role.VIEW, Actor(BOB.uid))
    async with parts.at_work():
        parts.sharing.reconciling.logged_out([first], asked=False)
        parts.sharing.reconciling.logged_out([second], asked=False)
        await eventually(lambda: parts.kicked == [BOB.uid])


async def test_what_is_gone_is_forgotten(parts: SharingParts) -> None:
    """What was recorded of a session is kept no longer than the session."""
    with capture_logs() as logs:
        await judge(parts, (BOB, Role.VIEW))
        parts.sharing.reconciling.forget_gone(set())
        await judge(parts, (BOB, Role.VIEW))
    assert len(acts(logs)) == 2
