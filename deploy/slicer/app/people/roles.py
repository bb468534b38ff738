"""The person of a request and their role: two headers that only the proxy in front can set.

Traefik deletes both names from what the client sent and sets them from the hub's answer. A request
without them did not come through the hub, so it is refused unless the image runs alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

USER_HEADER = "X-Slicerhub-User"
ROLE_HEADER = "X-Slicerhub-Role"
READY_PATH = "/-/ready"
ACTIVITY_PATH = "/-/activity"
KICK_PATH = "/-/kick"
SOCKET_PATH = "/ws"
STREAM_PATH = "/stream"
ASK_PATH = "/ask"
_PRIVATE = "/-/"
# Enough for one person's windows, tabs and phones. More would slow down others, because each
# picture is sent to everybody, one after the other.
_MOST_SOCKETS_VIEW = 8
_MOST_SOCKETS_CHANGE = 16


class Role(StrEnum):
    """The hub's words. ``service`` is the hub itself; it never opens the page."""

    OWNER = "owner"
    CONTROL = "control"
    VIEW = "view"
    SERVICE = "service"

    @property
    def may_change(self) -> bool:
        """Owner and control may do everything in the session; view and service only view."""
        return self in {Role.OWNER, Role.CONTROL}

    @property
    def most_sockets(self) -> int:
        """The most sockets that a person may have open at once to get another in this role."""
        return _MOST_SOCKETS_CHANGE if self.may_change else _MOST_SOCKETS_VIEW


def too_many_sentence(most: int) -> str:
    """The answer to a person with too many open sockets."""
    return f"You have this session open {most} times. Close one of your other windows first.\n"


class Visitor(msgspec.Struct, frozen=True):
    """The sender of a request. ``user`` is the hub's canonical name, empty for the hub."""

    user: str
    role: Role


def parse_visitor(headers: Mapping[str, str], *, standalone: bool) -> Visitor | None:
    """The visitor that the headers name, or None: refuse.

    ``headers`` must ignore the case of names. An unknown role is refused, also if ``standalone`` is
    set, because then there is a proxy in front. The hub percent-encodes the name, because a header
    can only hold ASCII.
    """
    role = headers.get(ROLE_HEADER)
    user = unquote(headers.get(USER_HEADER, ""))
    if role is None:
        return Visitor(user="owner", role=Role.OWNER) if standalone and not user else None
    try:
        known = Role(role)
    except ValueError:
        return None
    if known is Role.SERVICE:
        return Visitor(user="", role=known)
    return Visitor(user=user, role=known) if user else None


def may_request(path: str, method: str, visitor: Visitor | None) -> bool:
    """Whether the request is answered at all.

    Everybody may ask whether the session is ready, because probes have no headers. Only the hub may
    use its endpoints, and only those. Only people who may change things upload and download files;
    only people who may not can ask for control.
    """
    if path == READY_PATH:
        return method in {"GET", "HEAD"}
    if visitor is None:
        return False
    if path.startswith(_PRIVATE):
        return visitor.role is Role.SERVICE
    if path.startswith("/files/"):
        return visitor.role.may_change
    if path == ASK_PATH:
        return visitor.role is Role.VIEW and method == "POST"
    return visitor.role is not Role.SERVICE


def is_own_page(origin: str | None, host: str) -> bool:
    """Whether a request's Origin header names the host it was sent to, or is missing.

    Browsers send it with WebSockets and with everything that changes something. The hub checks it
    first; this is for the image without the hub, where any page could talk to localhost.
    """
    if origin is None:
        return True
    return urlsplit(origin).netloc.casefold() == host.casefold()
