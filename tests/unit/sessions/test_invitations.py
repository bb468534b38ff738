"""Owners invite people by name."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from controller.core.errors import DirectoryUnavailable, InvalidRequest, SharingOff
from controller.core.model import Role
from controller.core.records import Share
from tests.support.fakes.sharing_parts import (
    BOB,
    OWNER,
    SharingParts,
    acts,
    shared,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def parts() -> SharingParts:
    """Give the parts of a hub with one session, Alice's, that is ready."""
    return SharingParts()


async def invite(
    parts: SharingParts, typed: str, role: Role = Role.VIEW, seconds: float | None = None
) -> Share:
    """Let Alice invite somebody."""
    invitations = parts.sharing.invitations
    return await invitations.invite(parts.seen, typed, role, seconds=seconds, by=OWNER)


async def test_somebody_is_invited(parts: SharingParts) -> None:
    """A name counts however it is typed; who was invited, and by whom, is recorded."""
    with capture_logs() as logs:
        share = await invite(parts, "BOB", seconds=60)
    assert (share.uid, share.display_name) == (BOB.uid, BOB.display_name)
    assert acts(logs, "who", "guest", "role") == [("share", "alice", "bob", "view")]
    assert parts.grants.role_of(parts.seen.session.id, BOB.uid) is Role.VIEW
    parts.spend(60)
    assert parts.grants.role_of(parts.seen.session.id, BOB.uid) is None


@pytest.mark.parametrize(
    ("typed", "role", "seconds", "words"),
    [
        ("mallory", Role.VIEW, None, "Nobody"),
        ("alice", Role.VIEW, None, "already yours"),
        ("*", Role.VIEW, None, "not a user name"),
        ("bob", Role.OWNER, None, '"view" or "control"'),
        ("bob", Role.VIEW, 0, "must be in the future"),
    ],
)
async def test_what_is_refused(
    parts: SharingParts, typed: str, role: Role, seconds: float | None, words: str
) -> None:
    """Each refusal says what is wrong, and nobody is invited."""
    with pytest.raises(InvalidRequest, match=words):
        await invite(parts, typed, role, seconds)
    assert parts.grants.of_session(parts.seen.session.id) == []


async def test_a_directory_that_cannot_look_people_up(parts: SharingParts) -> None:
    """The name is taken as typed; one that is away is said to be so."""
    parts.directory.fault = DirectoryUnavailable("It is away.")
    with pytest.raises(DirectoryUnavailable):
        await invite(parts, "bob")
    parts.directory.fault = None
    parts.directory.can_find = False
    assert (await invite(parts, "Mallory")).display_name == "mallory"


async def test_invited_again_with_another_role(parts: SharingParts) -> None:
    """That changes what they may: they are cut, and the record says which role they have now."""
    await invite(parts, "bob")
    with capture_logs() as logs:
        await invite(parts, "bob")
        assert parts.kicked == []
        await invite(parts, "bob", Role.CONTROL)
        await invite(parts, "bob", Role.VIEW)
    assert acts(logs, "role") == [
        ("share", "view"),
        ("role_changed", "control"),
        ("role_changed", "view"),
    ]
    assert parts.kicked == [BOB.uid, BOB.uid]


async def test_who_is_there(parts: SharingParts) -> None:
    """The owner sees who is invited, and who of them was connected at the last poll."""
    for name in ("bob", "carol"):
        await invite(parts, name)
    parts.connect((BOB, Role.VIEW))
    await parts.poller.poll(parts.seen)
    guests = parts.sharing.invitations.guests(parts.seen)
    assert [(one.share.uid, one.connected) for one in guests] == [("bob", True), ("carol", False)]


async def test_where_sharing_is_switched_off() -> None:
    """Nobody is invited where no invitation counts."""
    parts = SharingParts(replace(shared(), path_mode_sharing=""))
    with pytest.raises(SharingOff):
        await invite(parts, "bob")
