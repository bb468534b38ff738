"""The hand-off: how a log-in at the hub becomes one at a session's own host, and at no other."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from controller.core.model import SessionId
from controller.people.handoff import CODE_SECONDS
from controller.people.tokens import LEEWAY
from tests.support.hub import HTML, ORIGIN, World, problem, running, same_answer, world
from tests.support.own_hosts import (
    ENTRY,
    JSON,
    LOGIN,
    NAVIGATION,
    STATE,
    UNKNOWN,
    Person,
    host_of,
    origin_of,
    person,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(own_hosts: World) -> World:
    """The hub of this file: its sessions have hosts of their own."""
    return own_hosts


@pytest.mark.parametrize("routed", [True, False], ids=["verify", "waiting"])
async def test_hand_off(hub: World, *, routed: bool) -> None:
    """People logged in at the hub come in without a question, to the page that they wanted."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    answer = await alice.enter(alices, "/deep/er?x=1&y=%2F", routed=routed)
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{origin_of(alices)}/deep/er?x=1&y=%2F"
    assert set(alice.jar[host_of(alices)]) == {ENTRY}
    passed = await alice.get(f"{origin_of(alices)}/")
    assert passed.status_code == 200
    assert passed.headers["x-slicerhub-user"] == "alice"
    assert "cookie" not in passed.headers


async def test_stranger_logs_in_first(hub: World) -> None:
    """Anyone who is not logged in at the hub logs in there, and is in the session then."""
    alices = await hub.session()
    alice = Person(hub)
    asked = await alice.get(f"{origin_of(alices)}/a?b=c")
    to_login = await alice.get(asked.headers["location"])
    assert to_login.status_code == 302
    target = parse_qs(urlsplit(to_login.headers["location"]).query)["next"][0]
    browser = await hub.browser()
    onward = await browser.log_in("alice", "alice", target)
    # No redirect, either: it would end at the session's host.
    assert onward.status_code == 200
    assert onward.headers["refresh"] == f"0; url={target}"
    name, _, value = browser.cookie.partition("=")
    alice.jar[urlsplit(ORIGIN).netloc] = {name: value}
    sent = await alice.get(ORIGIN + target)
    entered = await alice.get(sent.headers["location"])
    assert entered.headers["location"] == f"{origin_of(alices)}/a?b=c"
    assert ENTRY in alice.jar[host_of(alices)]


@pytest.mark.parametrize("routed", [True, False], ids=["verify", "waiting"])
async def test_programs_are_not_redirected(hub: World, *, routed: bool) -> None:
    """What is no page gets 401 without a cookie: scripts and handshakes, and forms."""
    alices = await hub.session()
    nobody = Person(hub)
    for headers in (
        JSON,
        {"Accept": "*/*", "Sec-WebSocket-Key": "eA==", "Origin": origin_of(alices)},
        {"Accept": HTML, "Sec-Fetch-Mode": "cors"},
    ):
        for path in ("/", "/.slicerhub/enter?code=x"):
            answer = await nobody.get(f"{origin_of(alices)}{path}", routed=routed, **headers)
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
            problem(answer)
    answer = await hub.verify(alices, NAVIGATION, host=host_of(alices), uri="/", method="POST")
    assert answer.status_code == 401


async def test_code_is_good_once(hub: World) -> None:
    """A code that was used opens nothing any more, even with the cookie that it was made for."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    code = await alice.code_for(alices)
    before = dict(alice.jar[host_of(alices)])
    assert (await alice.get(code)).status_code == 302
    alice.jar[host_of(alices)] = before
    again = await alice.get(code)
    assert again.headers["location"].startswith(f"{ORIGIN}/enter/{alices}?")
    assert ENTRY not in alice.jar[host_of(alices)]


async def test_code_in_another_browser(hub: World) -> None:
    """A code that somebody else gets hold of is worth nothing without the browser's state."""
    alices = await hub.session()
    alice, mallory = await person(hub, "alice"), Person(hub)
    code = await alice.code_for(alices)
    for state in ({}, {STATE: "m" * 32}):
        mallory.jar[host_of(alices)] = dict(state)
        answer = await mallory.get(code)
        assert answer.headers["location"].startswith(f"{ORIGIN}/enter/{alices}?")
        assert ENTRY not in mallory.jar[host_of(alices)]
    assert (await alice.get(code)).headers["location"] == f"{origin_of(alices)}/"


async def test_code_at_another_session(hub: World) -> None:
    """A code lets into the session that it was made for, and into no other of the same person."""
    one, other = await hub.session(), await hub.session()
    alice = await person(hub, "alice")
    code = await alice.code_for(one)
    alice.jar[host_of(other)] = dict(alice.jar[host_of(one)])
    answer = await alice.get(code.replace(one, other))
    assert answer.headers["location"].startswith(f"{ORIGIN}/enter/{other}?")
    assert ENTRY not in alice.jar[host_of(other)]


async def test_code_too_late(hub: World) -> None:
    """A code ends by itself in a moment."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    code = await alice.code_for(alices)
    hub.clock.advance(CODE_SECONDS + LEEWAY + 1)
    answer = await alice.get(code)
    assert answer.headers["location"].startswith(f"{ORIGIN}/enter/{alices}?")
    # They are logged in still, and in at the second try: nobody has to do anything.
    sent = await alice.get(answer.headers["location"])
    assert (await alice.get(sent.headers["location"])).headers["location"].endswith("/")
    assert ENTRY in alice.jar[host_of(alices)]


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/../x", "evil", "/a\r\nX: y"],
)
async def test_tampered_target(hub: World, target: str) -> None:
    """Whatever is written into the addresses on the way, nobody is led to another host."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    code = await alice.code_for(alices)
    tampered = str(httpx.URL(code).copy_set_param("next", target))
    answer = await alice.get(tampered)
    assert answer.headers["location"] == f"{origin_of(alices)}/"
    asked = await alice.get(f"{origin_of(UNKNOWN)}/")
    hub_side = str(httpx.URL(asked.headers["location"]).copy_set_param("next", target))
    sent = await alice.get(hub_side.replace(UNKNOWN, alices))
    assert "evil" not in sent.headers["location"]


async def test_code_is_no_cookie(hub: World) -> None:
    """No kind of token passes for another: not a code, an entry, a log-in, nor a script's."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    code = parse_qs(urlsplit(await alice.code_for(alices)).query)["code"][0]
    await alice.enter(alices)
    entry = alice.jar[host_of(alices)][ENTRY]
    login = alice.jar[urlsplit(ORIGIN).netloc][LOGIN]
    bearer = (await hub.script("alice")).headers["Authorization"].partition(" ")[2]
    for cookie in (
        f"{ENTRY}={login}",
        f"{ENTRY}={code}",
        f"{ENTRY}={bearer}",
        f"{LOGIN}={login}",
        f"{LOGIN}={entry}",
    ):
        answer = await hub.verify(alices, JSON | {"Cookie": cookie}, host=host_of(alices), uri="/")
        assert answer.status_code == 401, cookie
    for cookie in (f"{LOGIN}={entry}", f"{LOGIN}={code}", f"{ENTRY}={entry}"):
        answer = await hub.client().get("/api/v1/me", headers={"Cookie": cookie})
        assert answer.status_code == 401, cookie
    for token in (entry, code, login):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await hub.client().get("/api/v1/me", headers=headers)).status_code == 401


async def test_entry_of_another_session(hub: World) -> None:
    """An entry that one session was tricked out of opens no other, its owner's own or anybody's."""
    one, other = await hub.session(), await hub.session()
    alice = await person(hub, "alice")
    await alice.enter(one)
    entry = alice.cookie(host_of(one))
    answer = await hub.verify(other, JSON | entry, host=host_of(other), uri="/")
    assert answer.status_code == 401
    assert (await hub.verify(one, JSON | entry, host=host_of(one), uri="/")).status_code == 200


async def test_foreign(hub: World) -> None:
    """Nobody gets a code for another person's session; foreign, stopped, unknown look the same."""
    alices = await hub.session()
    stopped = await hub.session("bob")
    await (await hub.script("bob")).delete(f"/api/v1/sessions/{stopped}")
    await hub.until(stopped, None)
    bob = await person(hub, "bob")
    answers: list[httpx.Response] = []
    for wanted in (alices, stopped, UNKNOWN):
        asked = await bob.get(f"{origin_of(wanted)}/", routed=wanted == alices)
        assert asked.status_code == 302
        answers.append(await bob.get(asked.headers["location"]))
    assert [one.status_code for one in answers] == [403, 403, 403]
    assert same_answer(answers[0], answers[1])
    assert same_answer(answers[0], answers[2])
    script = await hub.script("bob")
    headers = JSON | {"Authorization": script.headers["Authorization"]}
    seen = await hub.verify(alices, headers, host=host_of(alices), uri="/")
    assert seen.status_code == 403
    for wanted in (stopped, UNKNOWN):
        answer = await hub.client().get(f"{origin_of(wanted)}/", headers=headers)
        assert answer.status_code == 403
        assert answer.content == seen.content


async def test_planted_entry(hub: World) -> None:
    """A cookie that another page has planted lets nobody in, and sends nobody round in circles."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    await alice.enter(alices)
    entry = alice.cookie(host_of(alices))["Cookie"]
    torn = {"Cookie": f"{entry}; {ENTRY}=planted"}
    answer = await hub.verify(alices, JSON | torn, host=host_of(alices), uri="/")
    assert answer.status_code == 401
    code = urlsplit(await alice.code_for(await hub.session()))
    page = await hub.verify(
        alices, NAVIGATION | torn, host=host_of(alices), uri=f"{code.path}?{code.query}"
    )
    assert page.status_code == 403
    assert "cookie" in page.text
    assert len(page.content) < 1024


async def test_no_cookies(hub: World) -> None:
    """A browser that keeps no cookies is told so after the second try, and not sent on for ever."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    url, visited = f"{origin_of(alices)}/", 0
    while True:
        answer = await alice.get(url)
        alice.jar.pop(host_of(alices), None)
        visited += 1
        assert visited < 10
        if answer.status_code != 302:
            break
        url = answer.headers["location"]
    assert answer.status_code == 403
    assert "Allow cookies" in answer.text


async def test_two_tabs(hub: World) -> None:
    """Two tabs that open at the same time both come in."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    first = await alice.code_for(alices, "/first")
    second = await alice.code_for(alices, "/second")
    for code, path in ((first, "/first"), (second, "/second")):
        answer = await alice.get(code)
        assert answer.headers["location"] == f"{origin_of(alices)}{path}"


async def test_state_is_looked_at(hub: World) -> None:
    """The hub makes no code for a wrong state: a log-in without one begins at the session."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    for query in ("", "?state=", "?state=x", f"?state={'g' * 64}"):
        answer = await alice.get(f"{ORIGIN}/enter/{alices}{query}")
        assert answer.headers["location"] == f"{origin_of(alices)}/"


async def test_path_mode_has_no_hand_off(anyio_backend: str) -> None:
    """In path mode there are no codes and no entries, and no host is a session's."""
    assert anyio_backend == "asyncio"
    async with running(world()) as hub:
        alices: SessionId = await hub.session()
        browser = await hub.browser("alice")
        assert (await browser.get(f"/enter/{alices}?state={'0' * 64}")).status_code == 404
        answer = await hub.verify(alices, {"Accept": HTML, "Cookie": browser.cookie})
        assert answer.status_code == 200
