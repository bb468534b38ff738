"""What proves who asks is found among whatever a request carries, and read in one way only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rules.credentials import CredentialReader, Credentials
from tests.support.samples import settings

NAME = "hub-login"
IN_PATH_MODE = CredentialReader(settings(instance="hub", session_domain="path"))
AT_OWN_HOSTS = CredentialReader(settings(instance="hub"))
headers = st.text() | st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from([NAME, "HUB-LOGIN", " hub-login ", "theme", "", "hub-login2"]),
        st.text(alphabet='abc.=", \\'),
    )
).map(";".join)


def kept(header: str) -> str:
    """Return what a session gets of a Cookie header."""
    return IN_PATH_MODE.read(header, "").others


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
        ("hub-login =x", ""),
        ("xhub-login=x", ""),
        ('bad"cookie=1; {=}; hub-login=x', "x"),
        ("hub-login=x; hub-login=x", "x"),
        ("hub-login=x; HUB-LOGIN=y", "x"),
        ("hub-login=x; hub-login=y", ""),
        ("hub-login=x; hub-login=", ""),
        ("hub-login=" + "x" * 16_384, ""),
    ],
)
def test_cookie(header: str, value: str) -> None:
    """The log-in is found among any other cookies; two different ones are none."""
    assert IN_PATH_MODE.read(header, "").login == value


@pytest.mark.parametrize(
    ("header", "others"),
    [
        ("", ""),
        ("hub-login=x", ""),
        ("a=1; hub-login=x; b=2", "a=1; b=2"),
        ("HUB-LOGIN=x; a=1", "a=1"),
        ("hub-login =x; a=1", "a=1"),
        ("hub-login; a=1", "a=1"),
        ("hub-login2=x;; a", "hub-login2=x; a"),
        ('a="x; y"', 'a="x; y"'),
        (f"hub-login=x; a={'b' * 20_000}", f"a={'b' * 20_000}"),
    ],
)
def test_other_cookies_are_kept(header: str, others: str) -> None:
    """A session gets its own cookies and never the hub's."""
    assert kept(header) == others


@given(headers)
def test_nothing_of_ours_is_left(header: str) -> None:
    """No header whatever lets the hub's cookie through to a session."""
    others = kept(header)
    assert IN_PATH_MODE.read(others, "").login == ""
    assert all(part.partition("=")[0].strip().lower() != NAME for part in others.split(";"))
    assert kept(others) == others


@given(headers)
def test_nothing_of_theirs_is_lost(header: str) -> None:
    """Every other cookie arrives, in its order."""
    others = [part.strip() for part in header.split(";")]
    others = [part for part in others if part.partition("=")[0].strip().lower() != NAME and part]
    assert others == [part for part in kept(header).split("; ") if part]


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("", None),
        ("Bearer", ""),
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("Bearer   abc ", "abc"),
        ("Basic abc", ""),
        ("abc", ""),
    ],
)
@pytest.mark.parametrize("cookie", ["", "hub-login=x"])
def test_bearer(header: str, token: str | None, cookie: str) -> None:
    """Only a bearer token is taken for one, and that there is a header of that name is told."""
    found = IN_PATH_MODE.read(cookie, header)
    assert (found.bearer, found.login) == (token, "x" if cookie else "")


@pytest.mark.parametrize(
    ("entries", "entry", "torn"),
    [
        ((), "", False),
        (("x",), "x", False),
        (("x", "x"), "x", False),
        (("x", "y"), "", True),
        (("x", ""), "", True),
    ],
)
def test_at_a_sessions_own_host(entries: tuple[str, ...], entry: str, *, torn: bool) -> None:
    """All three of ours are read there, and an entry that somebody has planted is noticed."""
    header = "; ".join(["hub-state=s", *(f"hub-entry={one}" for one in entries), "a=1"])
    assert AT_OWN_HOSTS.read(header, "") == Credentials(
        entry=entry, state="s", torn=torn, others="a=1"
    )


def test_in_path_mode_the_others_are_nothing_special() -> None:
    """Where sessions have no hosts of their own, only the log-in's cookie is the hub's."""
    assert kept("hub-entry=x; hub-state=y") == "hub-entry=x; hub-state=y"


def test_nothing_shows_in_a_log() -> None:
    """Whatever is printed of a request, no token of it is."""
    found = AT_OWN_HOSTS.read("hub-login=secret; a=secret", "Bearer secret")
    assert "secret" not in f"{found} {found!r}"
