"""Sessions at hosts of their own, asked of the real Traefik: the hand-off, and who stays out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from e2e.stack import (
    DOMAIN,
    INSTANCE,
    NOBODY,
    PAGE,
    URL,
    Browser,
    Member,
    handshake,
    origin_of,
    place_of,
    request,
    session_url,
)

PROGRAM = {"Accept": "application/json"}
ENTRY, STATE, LOGIN = (f"{INSTANCE}-{kind}" for kind in ("entry", "state", "login"))


@pytest.fixture(scope="module")
def bobs(bob: Member) -> dict[str, Any]:
    """A session of bob's."""
    return bob.launch("echo", "bob's own")


@pytest.fixture
def stranger() -> Iterator[Browser]:
    """A browser of nobody's."""
    with contextlib.closing(Browser()) as browser:
        yield browser


def plain(answer: httpx.Response, *ids: str) -> list[tuple[str, str]]:
    """Return an answer's headers without what differs between any two answers."""
    found: list[tuple[str, str]] = []
    for name, value in answer.headers.multi_items():
        if name in {"date", "set-cookie"}:
            continue
        told = value.partition("state=")[0] if name == "location" else value
        for one in ids:
            told = told.replace(one, "ID")
        found.append((name, told))
    return sorted(found)


def test_the_whole_way(echo: dict[str, Any]) -> None:
    """From the session to the hub, with a code back, and in by a cookie of its own."""
    place = place_of(echo)
    with Member("alice") as alice, contextlib.closing(Browser()) as browser:
        asked = browser.step(f"{place}deep?x=1")
        assert asked.status_code == 302
        to_hub = urlsplit(asked.headers["location"])
        assert f"{to_hub.scheme}://{to_hub.netloc}{to_hub.path}" == f"{URL}/enter/{echo['id']}"
        (state,) = asked.headers.get_list("set-cookie")
        assert state.startswith(f"{STATE}=")
        assert "Domain" not in state
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} < {part.strip() for part in state.split(";")}

        sent = request("GET", to_hub.geturl(), headers=PAGE | {"Cookie": alice.cookie})
        assert sent.status_code == 302
        assert "set-cookie" not in sent.headers
        code = sent.headers["location"]
        assert code.startswith(f"{place}.slicerhub/enter?code=")

        entered = browser.step(code)
        assert entered.status_code == 302
        assert entered.headers["location"] == f"{place}deep?x=1"
        cookies = entered.headers.get_list("set-cookie")
        assert {one.partition("=")[0] for one in cookies} == {ENTRY, STATE}
        assert not any("Domain" in one for one in cookies)
        assert any(one.startswith(f"{STATE}=;") for one in cookies)

        seen = browser.step(entered.headers["location"]).json()
        assert seen["target"] == "/deep?x=1"
        told = {name.lower(): value for name, value in seen["headers"]}
        assert told["x-slicerhub-user"] == "alice"
        assert "cookie" not in told
        assert alice.cookie.partition("=")[2] not in json.dumps(seen)


def test_a_code_is_good_once_here_and_now(
    alice: Member, echo: dict[str, Any], bobs: dict[str, Any], stranger: Browser
) -> None:
    """Used again, in another browser or at another session, a code opens nothing."""
    asked = stranger.step(place_of(echo))
    code = request("GET", asked.headers["location"], headers=PAGE | {"Cookie": alice.cookie})
    url = code.headers["location"]
    state = {"Cookie": stranger.cookie_at(place_of(echo))}
    for elsewhere, headers in (
        (url, PAGE),
        (url, PAGE | {"Cookie": f"{STATE}={'m' * 32}"}),
        (url.replace(echo["id"], bobs["id"]), PAGE | state),
        (url.replace(echo["id"], NOBODY), PAGE | state),
    ):
        answer = request("GET", elsewhere, headers=headers)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(f"{URL}/enter/")
        assert ENTRY not in str(answer.headers.get_list("set-cookie"))
    assert ENTRY in str(request("GET", url, headers=PAGE | state).headers.get_list("set-cookie"))
    again = request("GET", url, headers=PAGE | state)
    assert again.headers["location"].startswith(f"{URL}/enter/")
    assert ENTRY not in str(again.headers.get_list("set-cookie"))


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_nobody_is_led_elsewhere(echo: dict[str, Any], target: str) -> None:
    """Whatever stands in the addresses of the way, it ends at the session."""
    place = place_of(echo)
    with Member("alice") as alice:
        asked = alice.browser.step(place)
        to_hub = httpx.URL(asked.headers["location"]).copy_set_param("next", target)
        sent = alice.browser.step(str(to_hub))
        back = httpx.URL(sent.headers["location"]).copy_set_param("next", target)
        entered = alice.browser.step(str(back))
    assert entered.headers["location"] == place
    assert "evil" not in str(sent.headers) + str(entered.headers)


def test_without_a_cookie_of_its_own_nobody_passes(alice: Member, echo: dict[str, Any]) -> None:
    """The hub's cookie is nothing at a session; what is no page gets 401 and no redirect."""
    place = place_of(echo)
    for cookies in ({}, {"Cookie": alice.cookie}, {"Cookie": f"{ENTRY}={'x' * 40}"}):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = request(method, place, headers=PROGRAM | cookies)
            assert answer.status_code == 401, method
            assert "x-echo" not in answer.headers
        assert request("POST", place, headers=PAGE | cookies).status_code == 401
        assert handshake(f"{place}ws", cookies) == 401
        assert request("GET", place, headers=PAGE | cookies).status_code == 302


def test_an_entry_is_for_one_session(
    alice: Member, bob: Member, echo: dict[str, Any], bobs: dict[str, Any]
) -> None:
    """A log-in at one session opens no other session, and not the hub."""
    own = bob.cookie_in(bobs)
    assert request("GET", place_of(bobs), headers=PROGRAM | own).status_code == 200
    assert request("GET", place_of(echo), headers=PROGRAM | own).status_code == 401
    assert handshake(f"{place_of(echo)}ws", own) == 401
    token = own["Cookie"].partition("=")[2]
    for cookie in (own["Cookie"], f"{LOGIN}={token}"):
        assert request("GET", "/api/v1/me", headers={"Cookie": cookie}).status_code == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert request("GET", "/api/v1/me", headers=bearer).status_code == 401
    both = {"Cookie": f"{alice.cookie_in(echo)['Cookie']}; {own['Cookie']}"}
    assert request("GET", place_of(echo), headers=PROGRAM | both).status_code == 401


def test_foreign_stopped_and_unknown_look_the_same(
    alice: Member, bob: Member, echo: dict[str, Any]
) -> None:
    """Nobody learns by trying which sessions there are: neither bytes nor headers differ."""
    stopped = alice.launch("echo", "stopped")
    alice.stop(stopped["id"])
    ids = (echo["id"], stopped["id"], NOBODY)
    for headers in (PAGE, PROGRAM, PAGE | {"Cookie": bob.cookie}, bearer_of(bob)):
        answers = [request("GET", session_url(one) + "a?b=c", headers=headers) for one in ids]
        assert len({one.status_code for one in answers}) == 1
        assert len({one.content for one in answers}) == 1
        first, *others = (plain(one, *ids) for one in answers)
        assert others == [first, first]
    pages = [
        request(
            "GET",
            request("GET", session_url(one), headers=PAGE).headers["location"],
            headers=PAGE | {"Cookie": bob.cookie},
        )
        for one in ids
    ]
    assert {one.status_code for one in pages} == {403}
    assert len({one.content for one in pages}) == 1
    first, *others = (plain(one) for one in pages)
    assert others == [first, first]
    for spelling in (f"{DOMAIN}.", DOMAIN.upper()):
        answers = [
            request(
                "GET",
                "/a",
                headers=PROGRAM | {"Host": f"{one}.{spelling}:{urlsplit(URL).port}"},
            )
            for one in ids
        ]
        assert len({(one.status_code, one.content) for one in answers}) == 1


def bearer_of(who: Member) -> dict[str, str]:
    """Return what a program of somebody's sends."""
    return PROGRAM | {"Authorization": f"Bearer {who.token}"}


@pytest.mark.parametrize("kind", ["other", "hub", "null", "evil", "none", "no port", "https"])
def test_only_the_sessions_own_page_opens_websockets(
    alice: Member, echo: dict[str, Any], bobs: dict[str, Any], kind: str
) -> None:
    """A handshake with the right cookie from any origin but the session's own is refused."""
    place = place_of(echo)
    origin = {
        "other": origin_of(place_of(bobs)),
        "hub": URL,
        "null": "null",
        "evil": "https://evil.example",
        "none": None,
        "no port": origin_of(place).rpartition(":")[0],
        "https": origin_of(place).replace("http:", "https:"),
    }[kind]
    cookie = alice.cookie_in(echo)
    assert handshake(f"{place}ws", cookie, origin=origin) == 403
    assert handshake(f"{place}ws", cookie) == 101


def test_another_sessions_page_changes_nothing(
    alice: Member, echo: dict[str, Any], bobs: dict[str, Any]
) -> None:
    """Sessions are same-site, so requests of their pages carry the cookie, and are refused."""
    place, cookie = place_of(echo), alice.cookie_in(echo)
    for origin in (origin_of(place_of(bobs)), URL, "null"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = request(method, place, headers={"Origin": origin} | cookie)
            assert answer.status_code == 403
            assert "x-echo" not in answer.headers
    reads = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    assert request("GET", place, headers=reads | cookie).status_code == 403
    frame = PAGE | {
        "Sec-Fetch-Site": "same-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "iframe",
    }
    assert request("GET", place, headers=frame | cookie).status_code == 403
    own = {"Origin": origin_of(place), "Sec-Fetch-Site": "same-origin"}
    assert request("POST", place, headers=own | cookie).status_code == 200


def test_a_session_sees_and_sets_no_cookie_of_ours(alice: Member, echo: dict[str, Any]) -> None:
    """Not one of our names gets in, or out with what a session sets; its own do, both ways."""
    place = place_of(echo)
    sent = f"{alice.cookie_in(echo)['Cookie']}; {STATE}=s; {LOGIN}=l; mine=1"
    told = dict(request("GET", place, headers={"Cookie": sent}).json()["headers"])
    assert told["Cookie"] == "mine=1"
    query = "&".join(f"{name}=planted" for name in (ENTRY, STATE, LOGIN, "theirs"))
    answer = request("GET", f"{place}cookie?{query}", headers=alice.cookie_in(echo))
    (kept,) = [one for one in answer.headers.get_list("set-cookie") if "planted" in one]
    assert kept.startswith("theirs=")


@pytest.mark.parametrize("path", ["/", "/login", "/api/v1/me", "/api/openapi.json", "/static/x"])
def test_the_hub_is_nowhere_at_a_sessions_host(alice: Member, path: str) -> None:
    """Where a session's page could be taken for it, nothing of the hub's is ever answered."""
    place = session_url(NOBODY).rstrip("/")
    for headers in (PROGRAM, PROGRAM | {"Cookie": alice.cookie}):
        answer = request("GET", place + path, headers=headers)
        assert answer.status_code == 401
        assert "Log in to continue" in answer.json()["detail"]
    posted = request("POST", f"{place}/login", data={"username": "alice", "password": "alice"})
    assert posted.status_code == 401
    assert "set-cookie" not in posted.headers


def test_the_old_address_leads_on(alice: Member, bob: Member, echo: dict[str, Any]) -> None:
    """An address below /s/ leads who may enter to the session, others nowhere."""
    path = f"/s/{echo['id']}/deep?x=1"
    led = alice.browser.get(path)
    assert (led.status_code, led.headers["location"]) == (302, f"{place_of(echo)}deep?x=1")
    assert bob.browser.get(path).status_code == 403
    assert request("GET", path, headers=PROGRAM).status_code == 401
    login = request("GET", path, headers=PAGE).headers["location"]
    assert parse_qs(urlsplit(login).query)["next"] == [path]
    assert alice.api.get(path).status_code == 404


def test_leaving_the_hub_leaves_every_session(echo: dict[str, Any]) -> None:
    """After the log-out at the hub an entry that was copied is worthless, too, at once."""
    with Member("alice") as again:
        cookie = again.cookie_in(echo)
        assert request("GET", place_of(echo), headers=cookie).status_code == 200
        assert again.act("/logout").status_code == 303
        assert request("GET", place_of(echo), headers=cookie).status_code == 401
        assert handshake(f"{place_of(echo)}ws", cookie) == 401
        assert request("GET", place_of(echo), headers=PAGE | cookie).status_code == 302


def test_an_unknown_host_below_is_not_answered() -> None:
    """Only what can be a session's id is routed to the hub below the sessions' domain."""
    for label in ("evil", "a" * 25, "a" * 27, f"x.{NOBODY}", "A1" * 13):
        host = f"{label}.{DOMAIN}:{urlsplit(URL).port}"
        assert request("GET", "/", headers=PAGE | {"Host": host}).status_code == 404, label
