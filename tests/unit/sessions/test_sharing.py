"""What goes on beside the acts of sharing."""

from __future__ import annotations

import pytest

from controller.core.model import Role
from tests.support.fakes.sharing_parts import BOB, SharingParts
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio


async def test_a_controller_before_this_one_was_killed() -> None:
    """A cut that was due then is made soon after the start, without a round."""
    parts = SharingParts()
    await parts.log_in(BOB)
    parts.connect((BOB, Role.VIEW))
    async with parts.at_work():
        await eventually(lambda: parts.kicked == [BOB.uid])


async def test_nothing_goes_on_after_its_end() -> None:
    """A controller that has ended looks into no session any more, and begins no cut."""
    parts = SharingParts()
    login = await parts.log_in(BOB)
    await parts.invite(BOB)
    async with parts.at_work():
        pass
    parts.sharing.cutting.check_after([parts.seen.session.id])
    parts.sharing.reconciling.logged_out([login], asked=True)
    assert parts.kicked == []


async def test_a_round_forgets_what_is_gone() -> None:
    """What was due in a session that is no more is given up."""
    parts = SharingParts()
    parts.gateway.insides[parts.seen.session.id] = None
    await parts.sharing.cutting.cut(parts.seen, BOB.uid)
    parts.show()
    await parts.sharing.sweep(leads=True)
    assert parts.sharing.cutting.due(parts.seen.session.id) == ()
