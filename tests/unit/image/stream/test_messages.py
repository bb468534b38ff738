"""Which messages of a page are passed on, by the role of who sends them."""

from __future__ import annotations

import pytest
from app.people.roles import Role
from app.stream.messages import Message, Verdict, decide, is_input, parse_message
from hypothesis import given
from hypothesis import strategies as st

KNOWN = [
    "wslink.hello", "trame.state.get", "trame.state.update", "trame.trigger", "trame.force.push",
    "trame.rca.event", "trame.rca.size", "trame.rca.push", "trame.rca.reset", "trame.rca.drop",
    "trame.lifecycle.update", "trame.error.client", "application.exit", "application.exit.later",
]  # fmt: skip


@pytest.mark.parametrize("method", KNOWN)
def test_viewing_passes_only_greeting_and_reading(method: str) -> None:
    """Of all methods there are, a guest's greeting and reading alone are dispatched."""
    kind = "system" if method == "wslink.hello" else "rpc"
    verdict = decide(Role.VIEW, Message(id=f"{kind}:1", method=method, args=[]))
    assert (method in {"wslink.hello", "trame.state.get"}) == (verdict is Verdict.PASS)


@given(method=st.text(), number=st.text(), role=st.sampled_from([Role.VIEW, Role.SERVICE]))
def test_unknown_methods_are_refused_to_guests(method: str, number: str, role: Role) -> None:
    """Whatever a later library adds is closed to guests until somebody opens it."""
    verdict = decide(role, Message(id=f"rpc:{number}", method=f"x.{method}", args=[]))
    assert verdict is Verdict.REFUSE


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    "method", [name for name in KNOWN if name.startswith(("application.", "trame.rca."))]
)
def test_some_things_nobody_may(role: Role, method: str) -> None:
    """No page ends the program, forges a picture, or sends input past the stream's checks."""
    assert decide(role, Message(id="rpc:1", method=method, args=[])) is Verdict.REFUSE


@pytest.mark.parametrize(
    "raw",
    [None, 1, [], {}, {"id": 1, "method": "x"}, {"id": "rpc:1"}, {"id": "rpc:1", "method": 2},
     {"id": "rpc:1", "method": "x", "args": "y"}],
)  # fmt: skip
def test_what_is_no_message(raw: object) -> None:
    """Anything without the form the library relies on ends the connection."""
    assert parse_message(raw) is None
    assert decide(Role.OWNER, parse_message(raw)) is Verdict.CLOSE


def test_what_counts_as_input() -> None:
    """What somebody with control presses or types; never the page by itself."""
    pressed = Message(id="rpc:1", method="trame.trigger", args=[])
    told = Message(id="rpc:1", method="trame.lifecycle.update", args=[])
    assert [role for role in Role if is_input(role, pressed)] == [Role.OWNER, Role.CONTROL]
    assert not any(is_input(role, told) for role in Role)
