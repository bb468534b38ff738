"""Who gets through to a session, asked of the real Traefik."""

from __future__ import annotations

import json
from typing import Any

import pytest
from e2e.stack import (
    NOBODY,
    OUTSIDE,
    PAGE,
    PATH_MODE,
    URL,
    Member,
    handshake,
    open_socket,
    place_of,
    request,
    session_url,
)

from tests.support import asking

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def test_a_stranger_who_opens_a_session_is_sent_to_the_login(echo: dict[str, Any]) -> None:
    """A browser without a log-in gets the log-in page, and comes back to where it wanted to be."""
    answer = request("GET", place_of(echo) + "a?b=c", headers=PAGE)
    assert answer.status_code == 302
    if PATH_MODE:
        expected = f"{URL}/login?next=%2Fs%2F{echo['id']}%2Fa%3Fb%3Dc"
        assert expected == answer.headers["location"]
    else:  # the rest is test_subdomains.py's
        expected = f"{URL}/enter/{echo['id']}?next=%2Fa%3Fb%3Dc&state="
        assert answer.headers["location"].startswith(expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_script_without_login_gets_401(echo: dict[str, Any], method: str) -> None:
    """A program without a log-in is told so, and is not redirected."""
    answer = request(method, place_of(echo), headers={"Accept": "application/json"})
    assert answer.status_code == 401


def test_a_websocket_without_login_gets_401(echo: dict[str, Any]) -> None:
    """A handshake is never redirected."""
    assert handshake(place_of(echo), {}) == 401


@pytest.mark.parametrize("method", METHODS)
def test_the_owner_gets_through(alice: Member, echo: dict[str, Any], method: str) -> None:
    """Every method of the owner's reaches the session, with the path below its own."""
    answer = alice.browser.request(method, place_of(echo) + "deep/er?x=1")
    assert answer.status_code == 200
    if method != "HEAD":
        assert answer.json()["method"] == method
        assert answer.json()["target"] == "/deep/er?x=1"


def test_the_owners_websocket_opens_and_talks(alice: Member, echo: dict[str, Any]) -> None:
    """What the owner says over a WebSocket is answered by the session."""
    with open_socket(place_of(echo), alice.cookie_in(echo)) as socket:
        headers = {name.lower(): value for name, value in json.loads(socket.recv())}
        assert headers["x-slicerhub-user"] == "alice"
        assert headers["x-slicerhub-role"] == "owner"
        assert "cookie" not in headers
        socket.send("hello")
        assert socket.recv() == "hello"


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://localhost:1"])
def test_a_foreign_page_cannot_open_the_owners_websocket(
    alice: Member, echo: dict[str, Any], origin: str | None
) -> None:
    """A handshake with the owner's cookie from another origin, or from none, is refused."""
    assert handshake(place_of(echo), alice.cookie_in(echo), origin=origin) == 403


@pytest.mark.parametrize("method", METHODS)
def test_another_user_gets_403(bob: Member, echo: dict[str, Any], method: str) -> None:
    """Somebody who is logged in and not invited sees nothing of the session."""
    for answer in (
        bob.browser.request(method, place_of(echo)),
        bob.api.request(method, place_of(echo)),
    ):
        assert answer.status_code == 403
        assert "x-slicerhub" not in answer.text.lower()


def test_another_users_websocket_gets_403(bob: Member, echo: dict[str, Any]) -> None:
    """Nor over a WebSocket."""
    assert handshake(place_of(echo), {"Cookie": bob.cookie}) == OUTSIDE
    assert handshake(place_of(echo), {"Authorization": f"Bearer {bob.token}"}) == 403


def test_unknown_and_foreign_sessions_look_the_same(bob: Member, echo: dict[str, Any]) -> None:
    """Nobody learns by trying whether an id exists."""
    answers = [
        bob.browser.get(session_url(session_id))
        for session_id in (echo["id"], NOBODY, "no-id-at-all" if PATH_MODE else "b" * 26)
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
    ignored = {"date"}
    assert (
        len(
            {
                tuple(sorted((k, v) for k, v in answer.headers.items() if k not in ignored))
                for answer in answers
            }
        )
        == 1
    )


def test_a_session_never_sees_the_hubs_credentials(alice: Member, echo: dict[str, Any]) -> None:
    """Neither cookie nor bearer token reach the session; its own cookies do."""
    ours = alice.cookie_in(echo)["Cookie"]
    answer = alice.browser.get(place_of(echo), headers={"Cookie": f"{ours}; mine=1"})
    seen = {name.lower(): value for name, value in answer.json()["headers"]}
    assert seen["cookie"] == "mine=1"
    answer = alice.api.get(place_of(echo))
    seen = {name.lower(): value for name, value in answer.json()["headers"]}
    assert "authorization" not in seen
    assert "cookie" not in seen
    assert alice.token not in answer.text


def test_nobody_can_name_themselves(alice: Member, echo: dict[str, Any]) -> None:
    """What a client says about who it is, in whatever spelling, never reaches the session."""
    claims = {
        "X-Slicerhub-User": "carol",
        "X-Slicerhub-Role": "service",
        "X-Forwarded-User": "carol",
        "Forwarded": "for=1.2.3.4;host=evil.example",
    }
    answer = alice.browser.get(place_of(echo), headers=claims)
    seen = {name.lower(): value for name, value in answer.json()["headers"]}
    assert seen["x-slicerhub-user"] == "alice"
    assert seen["x-slicerhub-role"] == "owner"
    assert "forwarded" not in seen


@pytest.mark.parametrize("alias", ["X_Slicerhub_Role", "X.Forwarded.Uri", "x_forwarded_host"])
def test_misspelt_names_of_headers_are_refused(
    alice: Member, echo: dict[str, Any], alias: str
) -> None:
    """A header that some programs would read as another is refused at the front door."""
    answer = alice.browser.get(place_of(echo), headers={alias: "service"})
    assert answer.status_code == 400


def test_forged_forwarded_headers_open_nothing(
    alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """Headers that pretend another path or host do not lead bob into alice's session."""
    own = bob.launch("echo", "mine")
    claims = {
        "X-Forwarded-Uri": place_of(own),
        "X-Forwarded-Host": "localhost",
        "X-Forwarded-Method": "OPTIONS",
        "X-Forwarded-Prefix": place_of(own),
        "X-Original-Url": place_of(own),
        "X-Rewrite-Url": place_of(own),
    }
    assert bob.browser.get(place_of(echo), headers=claims).status_code in {400, 403}
    assert alice.browser.get(place_of(own), headers=claims).status_code in {400, 403}


def test_a_session_cannot_set_the_hubs_cookie(alice: Member, echo: dict[str, Any]) -> None:
    """A session may set cookies of its own, never the one that proves the log-in."""
    name = alice.cookie.partition("=")[0]
    ours = alice.cookie_in(echo)
    names = {name, ours["Cookie"].partition("=")[0]}
    planted = "&".join(f"{one}=planted" for one in names)
    answer = request("GET", f"{place_of(echo)}cookie?{planted}&own=fine", headers=ours)
    set_cookies = answer.headers.get_list("set-cookie")
    assert any(one.startswith("own=fine") for one in set_cookies)
    assert not any("planted" in one for one in set_cookies)


@pytest.mark.parametrize(
    "path",
    ["/verify/" + "a" * 26, "/metrics", "/healthz", "/readyz", "/dashboard/", "/api/rawdata"],
)
def test_private_pages_are_not_routed(alice: Member, path: str) -> None:
    """What is for Traefik and the monitoring only does not exist from outside."""
    assert alice.browser.get(path).status_code == 404


def test_an_unknown_host_is_not_answered(stack: str) -> None:
    """A request for another host name gets nothing, least of all that name in a link."""
    answer = asking.get(f"{stack}/", headers={**PAGE, "Host": "evil.example"})
    assert answer.status_code == 404
    assert "evil" not in answer.text
    assert "location" not in answer.headers


def test_after_logout_the_cookie_opens_nothing(echo: dict[str, Any]) -> None:
    """A cookie that was copied before the log-out is worthless at once, on HTTP and WebSocket."""
    with Member("alice") as again:
        cookie = again.cookie_in(echo)
        assert request("GET", place_of(echo), headers=cookie).status_code == 200
        assert again.act("/logout").status_code == 303
        assert request("GET", place_of(echo), headers=cookie).status_code == 401
        assert handshake(place_of(echo), cookie) == 401
