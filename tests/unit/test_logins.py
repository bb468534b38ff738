"""The log-in's cookie among others that anybody may have set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.logins import bearer_of, cookie_of, without_cookie

NAME = "hub-login"
headers = st.text() | st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from([NAME, "HUB-LOGIN", " hub-login ", "theme", "", "hub-login2"]),
        st.text(alphabet='abc.=", \\'),
    )
).map(";".join)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("", ""),
        ("hub-login=a.b.c", "a.b.c"),
        ("hub-login=", ""),
        ("hub-login", ""),
        ("a=1; hub-login=x; b=2", "x"),
        ("a=1;hub-login=x;b=2", "x"),
        ("hub-login=x=y", "x=y"),
        ("HUB-LOGIN=x", ""),
        ("xhub-login=x", ""),
        ('bad"cookie=1; {=}; hub-login=x', "x"),
        ("hub-login=x; hub-login=x", "x"),
        ("hub-login=x; hub-login=y", ""),
        ("hub-login=x; hub-login=", ""),
        ("hub-login=" + "x" * 16_384, ""),
    ],
)
def test_cookie(header: str, value: str) -> None:
    """The log-in is found among any other cookies; two different ones are none."""
    assert value == cookie_of(header, NAME)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("", ""),
        ("hub-login=x", ""),
        ("a=1; hub-login=x; b=2", "a=1; b=2"),
        ("HUB-LOGIN=x; a=1", "a=1"),
        ("hub-login =x; a=1", "a=1"),
        ("hub-login; a=1", "a=1"),
        ("hub-login2=x;; a", "hub-login2=x; a"),
        ('a="x; y"', 'a="x; y"'),
    ],
)
def test_other_cookies_are_kept(header: str, kept: str) -> None:
    """A session gets its own cookies and never the hub's."""
    assert kept == without_cookie(header, NAME)


@given(headers)
def test_nothing_of_ours_is_left(header: str) -> None:
    """No header whatever lets the hub's cookie through to a session."""
    kept = without_cookie(header, NAME)
    assert cookie_of(kept, NAME) == ""
    assert all(part.partition("=")[0].strip().lower() != NAME for part in kept.split(";"))
    assert kept == without_cookie(kept, NAME)


@given(headers)
def test_nothing_of_theirs_is_lost(header: str) -> None:
    """Every other cookie arrives, in its order."""
    others = [part.strip() for part in header.split(";")]
    others = [part for part in others if part.partition("=")[0].strip().lower() != NAME and part]
    assert others == [part for part in without_cookie(header, NAME).split("; ") if part]


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("", ""),
        ("Bearer", ""),
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("Bearer   abc ", "abc"),
        ("Basic abc", ""),
        ("abc", ""),
    ],
)
def test_bearer(header: str, token: str) -> None:
    """Only a bearer token is taken for one."""
    assert token == bearer_of(header)
