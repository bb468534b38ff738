"""What somebody has open is closed, also by a session that hears it late or not at all."""

from __future__ import annotations

import anyio
import pytest
from msgspec.structs import replace

from controller.core.model import Role
from controller.sessions.gateway import Inside
from tests.support.fakes.sharing_parts import ALICE, BOB, SharingParts, shared
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
def parts() -> SharingParts:
    """Give the parts of a hub with one session, Alice's, that is ready."""
    return SharingParts()


async def test_it_is_closed(parts: SharingParts) -> None:
    """A session is asked once if it answers."""
    assert await parts.sharing.cutting.cut(parts.seen, BOB.uid)
    assert parts.kicked == [BOB.uid]
    assert parts.sharing.cutting.due(parts.seen.session.id) == ()


async def test_a_session_that_hangs_once(parts: SharingParts) -> None:
    """A question that stays without an answer is put again."""
    parts.gateway.hangs[parts.seen.session.id] = 2
    assert await parts.sharing.cutting.cut(parts.seen, BOB.uid)
    assert parts.kicked == [BOB.uid]


async def test_a_session_that_does_not_answer(parts: SharingParts) -> None:
    """The caller that waits for it is told so within the time, and it stays due."""
    parts.gateway.insides[parts.seen.session.id] = None
    assert not await parts.sharing.cutting.cut(parts.seen, BOB.uid)
    assert parts.sharing.cutting.due(parts.seen.session.id) == (BOB.uid,)
    parts.gateway.insides[parts.seen.session.id] = Inside()
    assert await parts.sharing.cutting.kick(parts.seen.session.id, BOB.uid)
    assert parts.sharing.cutting.due(parts.seen.session.id) == ()


async def test_before_it_is_ready(parts: SharingParts) -> None:
    """Where nobody can be connected yet nothing is asked, but it is due."""
    parts.show(parts.seen, parts.running(2))
    young = parts.sessions.any(parts.running(2).session.id)
    assert await parts.sharing.cutting.cut(young, BOB.uid)
    assert parts.gateway.kicked == []
    assert parts.sharing.cutting.due(young.session.id) == (BOB.uid,)


async def test_a_program_that_cannot_cut() -> None:
    """Somebody else's program is asked for nothing; its owner restarts it."""
    settings = shared()
    plain = tuple(replace(one, endpoints=False) for one in settings.profiles)
    parts = SharingParts(replace(settings, profiles=plain))
    assert not parts.sharing.cutting.can_cut(parts.seen)
    assert not await parts.sharing.cutting.cut(parts.seen, BOB.uid)
    assert parts.gateway.kicked == []


async def test_a_gateway_that_stumbles(parts: SharingParts) -> None:
    """A fault while one session is asked goes no further, and that session counts as not cut."""
    parts.gateway.broken[parts.seen.session.id] = "kick"
    assert not await parts.sharing.cutting.kick(parts.seen.session.id, BOB.uid)


async def test_who_comes_in_meanwhile(parts: SharingParts) -> None:
    """Soon after a cut it is seen who is connected, and who came in again is cut again."""
    await parts.log_in(BOB)
    async with parts.at_work():
        await eventually(lambda: parts.poller.last(parts.seen.session.id) is not None)
        await parts.sharing.cutting.cut(parts.seen, BOB.uid)
        parts.connect((BOB, Role.VIEW))
        await eventually(lambda: parts.kicked == [BOB.uid, BOB.uid])


async def test_a_session_that_ends_meanwhile(parts: SharingParts) -> None:
    """A session that is gone is looked into no more."""
    async with parts.at_work():
        parts.sharing.cutting.check_soon(parts.seen.session.id, 0.01)
        parts.show()
        await anyio.sleep(0.02)
    assert parts.poller.last(parts.seen.session.id) is None


async def test_what_is_gone_is_forgotten(parts: SharingParts) -> None:
    """What was due in a session ends with it."""
    cutting = parts.sharing.cutting
    parts.gateway.insides[parts.seen.session.id] = None
    await cutting.cut(parts.seen, ALICE.uid)
    cutting.forget_gone({parts.seen.session.id})
    assert cutting.due(parts.seen.session.id) == (ALICE.uid,)
    cutting.forget_gone(set())
    assert cutting.due(parts.seen.session.id) == ()
