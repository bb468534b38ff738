"""Decides what a client may send over the WebSocket, for each message before its dispatch.

The page speaks wslink: `{"id": str, "method": str, "args": [...]}`. Methods that are not listed
here are refused for viewers, so a method of a later version of a library is refused until somebody
has reviewed it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from app.people.roles import Role

# 4 GiB is what wslink allows after its greeting, allocated before a byte of it has arrived.
LIMIT_VIEW = 64 * 1024
LIMIT_CHANGE = 64 * 1024 * 1024
# An incomplete message occupies its whole size in memory.
PENDING_VIEW = 4
PENDING_CHANGE = 64

HELLO = "wslink.hello"
STATE_GET = "trame.state.get"
TRIGGER = "trame.trigger"

# Refused for everybody: only the hub ends the program. Input and pictures go by the stream, which
# checks them; one event of a wrong type given to this method ends the program.
_NEVER = frozenset({"application.exit", "application.exit.later"})
_NEVER_BELOW = "trame.rca."
# The page sends these by itself while it is set up and taken down.
_SILENT_FOR_VIEW = frozenset({"trame.lifecycle.update", "trame.error.client"})
# Methods that only a person's action causes.
_INPUT = frozenset({TRIGGER, "trame.state.update"})


class Message(msgspec.Struct, frozen=True):
    """The part of a message that matters here."""

    id: str
    method: str
    args: list[Any]


class Verdict(Enum):
    """The decision about a message.

    PASS: dispatch it. IGNORE: answer nothing, do nothing. REFUSE: answer with an error. CLOSE: the
    client is not the hub's page.
    """

    PASS = "pass"  # noqa: S105 - not a password
    IGNORE = "ignore"
    REFUSE = "refuse"
    CLOSE = "close"


def parse_message(raw: object) -> Message | None:
    """The message, or None if it does not have the form that wslink's dispatch needs."""
    if not isinstance(raw, dict):
        return None
    try:
        return msgspec.convert({"args": [], **raw}, Message)
    except (msgspec.ValidationError, TypeError):
        return None


def decide(role: Role, message: Message | None) -> Verdict:
    """The decision about one complete message of a client with this role."""
    if message is None:
        return Verdict.CLOSE
    if message.id.startswith("system:"):
        # wslink answers every other system message with an error of its own.
        return Verdict.PASS if message.method == HELLO else Verdict.REFUSE
    if message.method in _NEVER or message.method.startswith(_NEVER_BELOW):
        return Verdict.REFUSE
    if role.may_change or message.method == STATE_GET:
        return Verdict.PASS
    return Verdict.IGNORE if message.method in _SILENT_FOR_VIEW else Verdict.REFUSE


def is_input(role: Role, message: Message) -> bool:
    """Whether a message is input that keeps the session running. Viewers' messages are not."""
    return role.may_change and message.method in _INPUT
