"""Sessions at hosts of their own: the hand-off from the hub, and what it is worth to others."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from controller.core.model import SessionId
from controller.people.handoff import CODE_SECONDS
from controller.people.tokens import LEEWAY
from tests.support.hub import HTML, ORIGIN, World, problem, running, same_answer, world
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

NAVIGATION = {"Accept": HTML}
JSON = {"Accept": "application/json"}
ENTRY, STATE, LOGIN = "slicerhub-entry", "slicerhub-state", "slicerhub-login"
UNKNOWN = session_id(4711)


@pytest.fixture(scope="module")
async def hub(anyio_backend: str) -> AsyncGenerator[World, None]:
    """Run a hub whose sessions have hosts of their own."""
    assert anyio_backend == "asyncio"
    made = world(session_domain="", limits_sessions_per_user="1000", limits_sessions_total="2000")
    async with running(made):
        yield made


def host_of(wanted: str) -> str:
    """Return the host of a session."""
    return f"{wanted}.localhost:8080"


def origin_of(wanted: str) -> str:
    """Return the origin of a session."""
    return f"http://{host_of(wanted)}"


class Person:
    """A browser that keeps each host's cookies, and goes where it is told."""

    def __init__(self, hub: World) -> None:
        """Know nobody."""
        self.hub = hub
        self.jar: dict[str, dict[str, str]] = {}

    def cookie(self, host: str) -> dict[str, str]:
        """Return the Cookie header for a host."""
        kept = "; ".join(f"{name}={value}" for name, value in self.jar.get(host, {}).items())
        return {"Cookie": kept} if kept else {}

    async def get(self, url: str, *, routed: bool = True, **headers: str) -> httpx.Response:
        """Open a page; ``routed``: Traefik has the session's own router."""
        parts = urlsplit(url)
        host = parts.netloc or urlsplit(ORIGIN).netloc
        uri = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = NAVIGATION | self.cookie(host) | headers
        wanted = host.partition(".")[0]
        if host != urlsplit(ORIGIN).netloc and routed:
            answer = await self.hub.verify(wanted, sent, host=host, uri=uri)
        else:
            answer = await self.hub.client().get(f"http://{host}{uri}", headers=sent)
        for one in answer.headers.get_list("set-cookie"):
            for morsel in SimpleCookie(one).values():
                assert morsel["domain"] == ""
                if morsel.key in {ENTRY, STATE, LOGIN}:
                    assert morsel["path"] == "/"
                    assert morsel["httponly"]
                    assert morsel["samesite"].lower() == "lax"
                kept = self.jar.setdefault(host, {})
                if morsel["max-age"] == "0":
                    kept.pop(morsel.key, None)
                else:
                    kept[morsel.key] = morsel.value
        return answer

    async def log_in(self, user: str) -> None:
        """Log in at the hub."""
        browser = await self.hub.browser(user)
        name, _, value = browser.cookie.partition("=")
        self.jar.setdefault(urlsplit(ORIGIN).netloc, {})[name] = value

    async def code_for(self, wanted: str, path: str = "/") -> str:
        """Return the address at the session's host to which the hub sends this person."""
        asked = await self.get(origin_of(wanted) + path)
        assert asked.status_code == 302, asked.text
        sent = await self.get(asked.headers["location"])
        assert sent.status_code == 302, sent.text
        location: str = sent.headers["location"]
        assert location.startswith(f"{origin_of(wanted)}/.slicerhub/enter?code=")
        return location

    async def enter(self, wanted: str, path: str = "/", *, routed: bool = True) -> httpx.Response:
        """Enter a session; return the answer that lets in."""
        return await self.get(await self.code_for(wanted, path), routed=routed)


async def person(hub: World, user: str) -> Person:
    """Return somebody who is logged in at the hub."""
    made = Person(hub)
    await made.log_in(user)
    return made


@pytest.mark.parametrize("routed", [True, False], ids=["verify", "waiting"])
async def test_hand_off(hub: World, *, routed: bool) -> None:
    """Who is logged in at the hub comes in without a question, to the page that they wanted."""
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


async def test_session_url(hub: World) -> None:
    """Programs are told the session's own address, and the pages link to it."""
    alices = await hub.session()
    script = await hub.script("alice")
    found = (await script.get(f"/api/v1/sessions/{alices}")).json()
    assert found["url"] == f"{origin_of(alices)}/"
    browser = await hub.browser("alice")
    assert f'href="{origin_of(alices)}/"' in (await browser.get("/")).text
    # No redirect: what a form leads to has to stay on the hub's origin.
    starting = await browser.get(f"/starting/{alices}")
    assert starting.status_code == 200
    assert starting.headers["refresh"] == f"0; url={origin_of(alices)}/"


async def test_stranger_logs_in_first(hub: World) -> None:
    """Who is not logged in at the hub logs in there, and is in the session then."""
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


async def test_places_look_the_same(hub: World) -> None:
    """Strangers get the very same answers from a session that runs and from one that never was."""
    alices = await hub.session()
    for headers in (NAVIGATION, JSON, JSON | {"Sec-WebSocket-Key": "eA=="}):
        seen = await hub.verify(alices, headers, host=host_of(alices), uri="/a?b=c")
        other = await hub.client().get(f"{origin_of(UNKNOWN)}/a?b=c", headers=headers)
        assert seen.status_code == other.status_code
        assert seen.content == other.content
        kept = [
            sorted(
                (name, value.replace(alices, "ID").replace(UNKNOWN, "ID"))
                for name, value in one.headers.multi_items()
                if name not in {"location", "set-cookie"}
            )
            for one in (seen, other)
        ]
        assert kept[0] == kept[1]


async def test_withdrawn(hub: World) -> None:
    """Who was invited and is not any more is refused at the next request, by a page of its own."""
    alices = await hub.session()
    script = await hub.script("alice")
    where = f"/api/v1/sessions/{alices}/shares/bob"
    assert (await script.put(where, json={"role": "view"})).status_code == 200
    bob = await person(hub, "bob")
    await bob.enter(alices)
    assert (await bob.get(f"{origin_of(alices)}/")).headers["x-slicerhub-role"] == "view"
    assert (await script.delete(where)).status_code == 200
    page = await bob.get(f"{origin_of(alices)}/")
    assert page.status_code == 403
    assert f'href="{ORIGIN}/"' in page.text
    assert len(page.content) < 1024  # Traefik's buffer for it
    assert "style-src 'sha256-" in page.headers["content-security-policy"]
    elsewhere = await hub.client().get(
        f"{origin_of(alices)}/", headers=NAVIGATION | bob.cookie(host_of(alices))
    )
    assert same_answer(page, elsewhere)


async def test_log_out_ends_entries(hub: World) -> None:
    """Whoever logs out at the hub is out of every session at once, by every cookie of theirs."""
    one, other = await hub.session(), await hub.session()
    alice = Person(hub)
    browser = await hub.browser("alice")
    name, _, value = browser.cookie.partition("=")
    alice.jar[urlsplit(ORIGIN).netloc] = {name: value}
    for wanted in (one, other):
        await alice.enter(wanted)
        assert (await alice.get(f"{origin_of(wanted)}/")).status_code == 200
    left = await alice.code_for(await hub.session())
    assert (await browser.act("/logout")).status_code == 303
    for wanted in (one, other):
        answer = await alice.get(f"{origin_of(wanted)}/", Accept="application/json")
        assert answer.status_code == 401
    after = await alice.get(left)
    assert after.headers["location"].startswith(f"{ORIGIN}/enter/")


async def test_login_that_ends(hub: World) -> None:
    """An entry ends with the log-in that it comes from."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    await alice.enter(alices)
    hub.clock.advance(hub.settings.login.hours * 3600 + LEEWAY + 1)
    answer = await alice.get(f"{origin_of(alices)}/", Accept="application/json")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec-WebSocket-Key": "eA=="}, 403),
        ("GET", {"Sec-WebSocket-Key": "eA==", "Origin": "own"}, 200),
        ("GET", {"Sec-WebSocket-Key": "eA==", "Origin": ORIGIN}, 403),
        ("GET", {"Sec-WebSocket-Key": "eA==", "Origin": "other"}, 403),
        ("GET", {"Sec-WebSocket-Key": "eA==", "Origin": "null"}, 403),
        ("GET", {"Sec-WebSocket-Key": "eA==", "Origin": "https://evil.example"}, 403),
        ("POST", {}, 200),
        ("POST", {"Origin": "own"}, 200),
        ("POST", {"Origin": "other"}, 403),
        ("POST", {"Origin": ORIGIN}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("DELETE", {"Origin": "other"}, 403),
        ("GET", {"Origin": "other"}, 200),  # without Sec-Fetch-Site: an old browser's download
        ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        (
            "GET",
            {
                "Sec-Fetch-Site": "same-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            200,
        ),
        (
            "GET",
            {
                "Sec-Fetch-Site": "same-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
            403,
        ),
        (
            "POST",
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            403,
        ),
    ],
)
async def test_pages_of_others(
    hub: World, method: str, headers: dict[str, str], status: int
) -> None:
    """Another session's page, the hub's, and a foreign one cannot use anybody's session."""
    alices, bobs = await hub.session(), await hub.session("bob")
    alice = await person(hub, "alice")
    await alice.enter(alices)
    origins = {"own": origin_of(alices), "other": origin_of(bobs)}
    sent = {name: origins.get(value, value) for name, value in headers.items()}
    answer = await hub.verify(
        alices,
        {"Accept": "*/*"} | alice.cookie(host_of(alices)) | sent,
        host=host_of(alices),
        uri="/",
        method=method,
    )
    assert answer.status_code == status


@pytest.mark.parametrize(
    "path",
    ["/", "/login", "/api/v1/me", "/api/v1/sessions", "/api/docs", "/starting/x", "/enter/x"],
)
async def test_nothing_of_the_hub_at_a_session(hub: World, path: str) -> None:
    """A session's host never shows the hub's pages, whoever asks, so that none is trusted there."""
    alices = await hub.session(ready=False)
    login = (await person(hub, "alice")).cookie(urlsplit(ORIGIN).netloc)
    stylesheet = hub.app.services.renderer.stylesheet
    for wanted in (alices, UNKNOWN, "no-session-at-all"):
        for cookies in ({}, login):
            for target in (path, stylesheet):
                answer = await hub.client().get(
                    f"{origin_of(wanted)}{target}", headers=JSON | cookies
                )
                assert answer.status_code == 401
                problem(answer)
    form = {"username": "alice", "password": "alice", "next": "/"}
    answer = await hub.client().post(
        f"{origin_of(alices)}/login", data=form, headers={"Origin": origin_of(alices)}
    )
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["{}.localhost.:8080", "{}.localhost:9999", "{}.LOCALHOST:8080"])
async def test_other_spellings_of_the_host(hub: World, host: str) -> None:
    """However a session's host is spelled, what comes there is no page of the hub's."""
    spelled = host.format(UNKNOWN)
    answer = await hub.client().get("/login", headers=JSON | {"Host": spelled})
    assert answer.status_code in {400, 401}


async def test_unready(hub: World) -> None:
    """Who enters while it starts is shown at the hub how far it is; programs are told to wait."""
    alices = await hub.session(ready=False)
    for routed in (True, False):
        alice = await person(hub, "alice")
        await alice.enter(alices, routed=routed)
        page = await alice.get(f"{origin_of(alices)}/", routed=routed)
        assert page.headers["location"] == f"{ORIGIN}/starting/{alices}"
        program = await alice.get(f"{origin_of(alices)}/", routed=routed, Accept="text/plain")
        assert program.status_code == 503
        assert int(program.headers["retry-after"]) > 0


async def test_just_opening(hub: World) -> None:
    """In the moment before Traefik has heard of it, the page asks again by itself."""
    alices = await hub.session()
    alice = await person(hub, "alice")
    await alice.enter(alices)
    page = await alice.get(f"{origin_of(alices)}/", routed=False)
    assert (page.status_code, page.headers["refresh"]) == (503, "1")


async def test_old_addresses(hub: World) -> None:
    """An address of path mode leads those who may enter to the session's host, and nobody else."""
    alices = await hub.session()
    alice, bob, nobody = await person(hub, "alice"), await person(hub, "bob"), Person(hub)
    answer = await alice.get(f"{ORIGIN}/s/{alices}/deep/er?x=1")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{origin_of(alices)}/deep/er?x=1"
    program = await alice.get(f"{ORIGIN}/s/{alices}/", Accept="application/json")
    assert origin_of(alices) in problem(program)["detail"]
    assert program.status_code == 404
    first = await bob.get(f"{ORIGIN}/s/{alices}/")
    assert first.status_code == 403
    assert same_answer(first, await bob.get(f"{ORIGIN}/s/{UNKNOWN}/"))
    answer = await nobody.get(f"{ORIGIN}/s/{alices}/")
    assert answer.headers["location"].startswith(f"{ORIGIN}/login?next=%2Fs%2F")
    assert (await nobody.get(f"{ORIGIN}/s/{alices}/", Accept="*/*")).status_code == 401


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


async def test_session_of_another_mode(hub: World) -> None:
    """A session that was started in path mode is served to nobody at the hub's own address."""
    alices = await hub.session()
    login = (await person(hub, "alice")).cookie(urlsplit(ORIGIN).netloc)
    for headers in (NAVIGATION, JSON):
        answer = await hub.verify(alices, headers | login)
        assert answer.status_code == 400


async def test_state_is_looked_at(hub: World) -> None:
    """The hub makes no code for a state that is none: who comes without begins at the session."""
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
