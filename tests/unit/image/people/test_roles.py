"""Who asks, and what which role may ask for."""

from __future__ import annotations

import pytest
from app.people.roles import Role, Visitor, is_own_page, may_request, parse_visitor
from hypothesis import given
from hypothesis import strategies as st

ALICE = Visitor(user="alice", role=Role.OWNER)
BOB = Visitor(user="bob", role=Role.VIEW)
HUB = Visitor(user="", role=Role.SERVICE)


@pytest.mark.parametrize(
    ("user", "role", "standalone", "expected"),
    [
        ("alice", "owner", False, ALICE),
        ("bob", "view", False, BOB),
        (None, "service", False, HUB),
        ("mallory", "service", False, HUB),
        (None, None, False, None),
        (None, None, True, Visitor(user="owner", role=Role.OWNER)),
        ("alice", None, True, None),
        ("alice", "", True, None),
        ("alice", "Owner", False, None),
        ("alice", "owner ", False, None),
        (None, "owner", False, None),
        ("", "owner", True, None),
    ],
)
def test_who_asks(
    user: str | None, role: str | None, standalone: bool, expected: Visitor | None
) -> None:
    """Both headers together name a visitor; anything else is nobody, except alone by hand."""
    given_headers = {"X-Slicerhub-User": user, "X-Slicerhub-Role": role}
    headers = {name: value for name, value in given_headers.items() if value is not None}
    assert expected == parse_visitor(headers, standalone=standalone)


@given(path=st.text(), method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS"]))
def test_nobody_gets_nothing_but_readiness(path: str, method: str) -> None:
    """Without a visitor every path but the readiness probe is refused."""
    expected = path == "/-/ready" and method == "GET"
    assert expected == may_request(path, method, None)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", {Role.OWNER, Role.CONTROL, Role.VIEW}),
        ("/ws", {Role.OWNER, Role.CONTROL, Role.VIEW}),
        ("/files/My files/a.nrrd", {Role.OWNER, Role.CONTROL}),
        ("/-/activity", {Role.SERVICE}),
        ("/-/kick", {Role.SERVICE}),
        ("/-/anything", {Role.SERVICE}),
        ("/ask", set[Role]()),
    ],
)
def test_which_role_gets_where(path: str, allowed: set[Role]) -> None:
    """Each role reaches its own part of the session and no other."""
    reached = {role for role in Role if may_request(path, "GET", Visitor(user="x", role=role))}
    assert allowed == reached


def test_who_may_ask_for_control() -> None:
    """Only those who have it not."""
    asking = [role for role in Role if may_request("/ask", "POST", Visitor(user="x", role=role))]
    assert asking == [Role.VIEW]


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        (None, "hub:8080", True),
        ("http://hub:8080", "hub:8080", True),
        ("https://HUB", "hub", True),
        ("http://hub:8081", "hub:8080", False),
        ("https://evil.example", "hub", False),
        ("null", "hub", False),
        ("https://hub.evil.example", "hub", False),
        ("https://hub@evil.example", "hub", False),
    ],
)
def test_own_page(origin: str | None, host: str, expected: bool) -> None:
    """Only the session's own page may open its socket."""
    assert expected == is_own_page(origin, host)


def test_the_hub_s_names_are_read_as_people_write_them() -> None:
    """A header holds only ASCII: the hub's spelling of a name is undone, for pages and kicks."""
    headers = {"X-Slicerhub-User": "j%C3%BCrgen@example.org", "X-Slicerhub-Role": "view"}
    visitor = parse_visitor(headers, standalone=False)
    assert visitor == Visitor(user="jürgen@example.org", role=Role.VIEW)
