"""Control of a session is asked for, given and taken back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from controller.core.errors import InvalidRequest, NotWrittenDown, SharingOff
from controller.core.model import Role, UserId
from tests.support.fakes.sharing_parts import (
    ALICE,
    BOB,
    CAROL,
    OWNER,
    SharingParts,
    acts,
    shared,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def parts() -> SharingParts:
    """Give the parts of a hub; Bob views Alice's session, Carol controls it."""
    made = SharingParts()
    await made.invite(BOB)
    await made.invite(CAROL, Role.CONTROL)
    return made


def role(parts: SharingParts, who: UserId) -> Role | None:
    """Return what somebody may do in Alice's session."""
    return {one.uid: one.role for one in parts.grants.of_session(parts.seen.session.id)}.get(who)


def who_asks(parts: SharingParts) -> list[UserId]:
    """Return who asks for control of Alice's session."""
    return [one.uid for one in parts.grants.of_session(parts.seen.session.id) if one.asks]


async def test_a_guest_asks(parts: SharingParts) -> None:
    """The owner sees who asks until they have decided; a guest with control asks for nothing."""
    control = parts.sharing.control
    await control.ask(parts.seen, BOB)
    assert [one.uid for one in parts.grants.of_session(parts.seen.session.id) if one.asks] == [
        "bob"
    ]
    for person in (ALICE, CAROL):
        with pytest.raises(InvalidRequest, match="already"):
            await control.ask(parts.seen, person)
    await control.change(parts.seen, BOB.uid, Role.VIEW, by=OWNER)
    assert who_asks(parts) == []


async def test_it_is_given(parts: SharingParts) -> None:
    """A viewer who gets control is cut, and comes back with control."""
    with capture_logs() as logs:
        share = await parts.sharing.control.change(parts.seen, BOB.uid, Role.CONTROL, by=OWNER)
    assert share.role is role(parts, BOB.uid) is Role.CONTROL
    assert acts(logs, "guest", "role") == [("role_changed", "bob", "control")]
    assert parts.kicked == [BOB.uid]


async def test_it_is_taken_back(parts: SharingParts) -> None:
    """A guest whose control is taken back is cut once, and the record has one line of it."""
    with capture_logs() as logs:
        await parts.sharing.control.change(parts.seen, CAROL.uid, Role.VIEW, by=OWNER)
    assert role(parts, CAROL.uid) is Role.VIEW
    assert acts(logs, "guest", "role") == [("role_changed", "carol", "view")]
    assert parts.kicked == [CAROL.uid]


async def test_nothing_changes(parts: SharingParts) -> None:
    """To give somebody what they have is no act, and disturbs nobody."""
    with capture_logs() as logs:
        await parts.sharing.control.change(parts.seen, CAROL.uid, Role.CONTROL, by=OWNER)
    assert acts(logs) == []
    assert parts.kicked == []


async def test_taken_back_while_the_store_is_away(parts: SharingParts) -> None:
    """They only view at once, and the owner is told that it is not written down yet."""
    parts.store.away = True
    with pytest.raises(NotWrittenDown):
        await parts.sharing.control.change(parts.seen, CAROL.uid, Role.VIEW, by=OWNER)
    assert role(parts, CAROL.uid) is Role.VIEW
    assert parts.kicked == [CAROL.uid]


async def test_who_is_not_invited(parts: SharingParts) -> None:
    """Nobody comes in by a change, and no guest becomes an owner."""
    parts.grants.withdraw(parts.seen.session.id, BOB.uid)
    with pytest.raises(InvalidRequest, match="no longer invited"):
        await parts.sharing.control.change(parts.seen, BOB.uid, Role.CONTROL, by=OWNER)
    with pytest.raises(InvalidRequest):
        await parts.sharing.control.change(parts.seen, CAROL.uid, Role.OWNER, by=OWNER)


async def test_where_sharing_is_switched_off() -> None:
    """Nothing is given where no invitation counts."""
    parts = SharingParts(replace(shared(), path_mode_sharing=""))
    with pytest.raises(SharingOff):
        await parts.sharing.control.change(parts.seen, BOB.uid, Role.VIEW, by=OWNER)
