"""What owners may give to guests, and who may be connected."""

from __future__ import annotations

import pytest

from controller.core.errors import InvalidRequest, SharingOff
from controller.core.model import Role
from controller.rules import sharing
from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING
from tests.support.samples import settings

DAY = 86_400


def test_where_it_is_switched_off() -> None:
    """On one host for all sessions nobody is let in, unless that was said in so many words."""
    with pytest.raises(SharingOff):
        sharing.check_open(settings(session_domain=PATH_MODE))
    sharing.check_open(settings(session_domain=PATH_MODE, path_mode_sharing=PATH_MODE_SHARING))


@pytest.mark.parametrize("role", Role)
def test_what_a_guest_may_be(role: Role) -> None:
    """Guests view or control; nobody makes an owner of them."""
    if role in {Role.VIEW, Role.CONTROL}:
        sharing.check_role(role)
    else:
        with pytest.raises(InvalidRequest, match='"view" or "control"'):
            sharing.check_role(role)


def test_an_invitation_ends_in_the_future() -> None:
    """An end that has passed is refused; none at all is as long as the session runs."""
    sharing.check_end(None)
    sharing.check_end(1)
    for seconds in (0, -1):
        with pytest.raises(InvalidRequest):
            sharing.check_end(seconds)


@pytest.mark.parametrize(
    ("seconds", "uses", "refused"),
    [
        (60, None, ""),
        (30 * DAY, 1, ""),
        (DAY, 1000, ""),
        (59, None, "thirty days"),
        (30 * DAY + 1, None, "thirty days"),
        (DAY, 0, "1 to 1000 times"),
        (DAY, 1001, "1 to 1000 times"),
    ],
)
def test_the_bounds_of_a_link(seconds: int, uses: int | None, refused: str) -> None:
    """A link stands for a minute to thirty days, for one to a thousand uses, or for any number."""
    if not refused:
        sharing.check_link(seconds, uses)
        return
    with pytest.raises(InvalidRequest, match=refused):
        sharing.check_link(seconds, uses)


@pytest.mark.parametrize(
    ("before", "role", "loses", "gains"),
    [
        (None, Role.VIEW, False, False),
        (None, Role.CONTROL, False, False),
        (Role.VIEW, Role.VIEW, False, False),
        (Role.VIEW, Role.CONTROL, False, True),
        (Role.CONTROL, Role.VIEW, True, False),
        (Role.CONTROL, Role.CONTROL, False, False),
    ],
)
def test_control_changes_hands(before: Role | None, role: Role, loses: bool, gains: bool) -> None:
    """Only who had it loses it, and only who was inside without it gains it."""
    assert sharing.loses_control(before, role) is loses
    assert sharing.gains_control(before, role) is gains


@pytest.mark.parametrize(
    ("role", "connected_as", "logged_in", "why"),
    [
        (None, Role.VIEW, True, "not_invited"),
        (None, Role.VIEW, False, "not_invited"),
        (Role.VIEW, Role.VIEW, False, "logged_out"),
        (Role.OWNER, Role.OWNER, False, "logged_out"),
        (Role.VIEW, Role.CONTROL, True, "other_role"),
        (Role.CONTROL, Role.VIEW, True, "other_role"),
        (Role.VIEW, Role.VIEW, True, ""),
        (Role.CONTROL, Role.CONTROL, True, ""),
        (Role.OWNER, Role.VIEW, True, ""),
    ],
)
def test_who_may_be_connected(
    role: Role | None, connected_as: Role, logged_in: bool, why: str
) -> None:
    """A guest who is invited, logged in and in their role stays; owners stay in any role."""
    assert sharing.why_not_connected(role, connected_as, logged_in=logged_in) == why
