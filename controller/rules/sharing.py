"""What owners may give to guests, and who may be connected to a session. Pure decisions."""

from __future__ import annotations

from controller.core.errors import InvalidRequest, SharingOff
from controller.core.model import Role
from controller.settings.schema import Settings

LINK_SECONDS = range(60, 30 * 86_400 + 1)
"""How long a link may stand."""

LINK_USES = range(1, 1001)


def check_open(settings: Settings) -> None:
    """Raise SharingOff where nobody is let in by an invitation."""
    if not settings.sharing:
        raise SharingOff


def check_role(role: Role) -> None:
    """Raise InvalidRequest for what no guest may be."""
    if role not in {Role.VIEW, Role.CONTROL}:
        raise InvalidRequest('A guest may "view" or "control".')


def check_end(seconds: float | None) -> None:
    """Raise InvalidRequest for an invitation that would be over at once; None: it has no end."""
    if seconds is not None and seconds <= 0:
        raise InvalidRequest("The end of an invitation must be in the future.")


def check_link(seconds: int, max_uses: int | None) -> None:
    """Raise InvalidRequest for a link that stands, or is used, for too little or too long."""
    if seconds not in LINK_SECONDS:
        raise InvalidRequest("A link can be valid for one minute to thirty days.")
    if max_uses is not None and max_uses not in LINK_USES:
        raise InvalidRequest("A link can be used 1 to 1000 times.")


def loses_control(before: Role | None, role: Role) -> bool:
    """Tell whether a guest may change nothing any more by what they are to be now."""
    return before is Role.CONTROL and role is Role.VIEW


def gains_control(before: Role | None, role: Role) -> bool:
    """Tell whether a guest who views may do more from now on."""
    return before is Role.VIEW and role is Role.CONTROL


def why_not_connected(role: Role | None, connected_as: Role, *, logged_in: bool) -> str:
    """Return why somebody may not be connected as they are; "": they may.

    ``role``: what they may do in the session, ``connected_as``: what it says that they do.
    """
    if role is None:
        return "not_invited"
    if not logged_in:
        return "logged_out"
    # Owners may do what they like in their own session, whatever it says of them.
    return "" if role in {connected_as, Role.OWNER} else "other_role"
