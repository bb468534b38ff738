"""Logging in and out, and what an attacker gets of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable

import anyio
import httpx
import pytest

from controller.core.errors import DirectoryUnavailable
from controller.core.model import Phase
from tests.support.hub import HTML, ORIGIN, World, location, problem, running, world
from tests.support.samples import settings

pytestmark = pytest.mark.anyio

WRONG = "User name or password is wrong, or this account may not use the hub."
AWAY = "The directory does not answer. Try again in a few minutes."


async def together(*requests: Awaitable[httpx.Response]) -> list[httpx.Response]:
    """Send several requests at once, since each refusal takes its second."""
    answers: dict[int, httpx.Response] = {}

    async def send(number: int, request: Awaitable[httpx.Response]) -> None:
        answers[number] = await request

    async with anyio.create_task_group() as group:
        for number, request in enumerate(requests):
            group.start_soon(send, number, request)
    return [answers[number] for number in range(len(requests))]


async def test_cookie(hub: World) -> None:
    """After the log-in a cookie speaks for the person, which no script can read."""
    browser = await hub.browser()
    answer = await browser.log_in("Alice", "alice", "/s/abc/?x=y")
    assert answer.status_code == 303
    assert location(answer) == "/s/abc/?x=y"
    assert answer.headers["cache-control"] == "no-store"
    name, _, rest = answer.headers["set-cookie"].partition("=")
    attributes = {one.strip().lower() for one in rest.split(";")[1:]}
    assert name == "slicerhub-login"
    assert attributes == {"httponly", "samesite=lax", "path=/", "max-age=43200"}
    assert (await browser.get("/")).status_code == 200


async def test_cookie_over_https() -> None:
    """Over HTTPS the cookie is never sent in the clear and can be set by this host alone."""
    async with running(World(settings(public_url="https://hub.example.org"))) as made:
        client = made.client(Accept=HTML)
        answer = await client.post(
            "https://hub.example.org/login",
            data={"username": "alice", "password": "alice"},
            headers={"Origin": "https://hub.example.org"},
        )
        name, _, rest = answer.headers["set-cookie"].partition("=")
        attributes = {one.strip().lower() for one in rest.split(";")[1:]}
        assert name == "__Host-slicerhub-login"
        assert {"secure", "httponly", "path=/"} <= attributes
        assert not [one for one in attributes if one.startswith("domain")]


async def test_wrong_password(hub: World) -> None:
    """A wrong password, an unknown name and an empty password look exactly alike."""
    browsers = [await hub.browser(address=f"10.1.0.{number}") for number in range(4)]
    answers = await together(
        browsers[0].log_in("alice", "wrong"),
        browsers[1].log_in("nobody", "wrong"),
        browsers[2].log_in("alice", ""),
        hub.client(address="10.1.0.9").post(
            "/api/v1/login", json={"username": "alice", "password": "wrong"}
        ),
    )
    pages = [re.sub(r'value="(alice|nobody)"', 'value=""', one.text) for one in answers[:3]]
    for answer in answers[:3]:
        assert answer.status_code == 401
        assert WRONG in answer.text
        assert "set-cookie" not in answer.headers
    assert len(set(pages)) == 1
    assert answers[3].status_code == 401
    assert problem(answers[3])["detail"] == WRONG


async def test_next_is_ours(hub: World) -> None:
    """Whatever a link to the log-in page says, it leads on to this hub."""
    for hostile in ("//evil.example", "https://evil.example", "/\\evil.example", "x"):
        browser = await hub.browser()
        page = await browser.get(f"/login?next={hostile}")
        assert 'name="next" value="/"' in page.text
        assert location(await browser.log_in("alice", "alice", hostile)) == "/"
        assert location(await browser.get(f"/login?next={hostile}")) == "/"


async def test_logged_in_already(hub: World) -> None:
    """Anyone who is logged in is not asked again."""
    browser = await hub.browser("alice")
    answer = await browser.get("/login?next=/starting/x")
    assert answer.status_code == 302
    assert location(answer) == "/starting/x"


async def test_anonymous_pages(hub: World) -> None:
    """Without a log-in every page leads to the log-in and back."""
    browser = await hub.browser()
    answer = await browser.get("/starting/x?y=z")
    assert answer.status_code == 302
    assert location(answer) == "/login?next=%2Fstarting%2Fx%3Fy%3Dz"
    answer = await browser.post("/launch", {"profile": "slicer"})
    assert answer.status_code == 303
    assert location(answer) == "/login?next=%2F"


async def test_throttle(fresh: World) -> None:
    """After five wrong passwords even the right one is refused here, but not from elsewhere."""
    attacker = await fresh.browser(address="10.2.0.1")
    await together(*(attacker.log_in("alice", f"wrong {number}") for number in range(5)))
    right, again, scripts = await together(
        attacker.log_in("alice", "alice"),
        attacker.log_in("ALICE", "wrong"),
        fresh.client(address="10.2.0.1").post(
            "/api/v1/login", json={"username": "alice", "password": "alice"}
        ),
    )
    for answer in (right, again, scripts):
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 300
        assert "set-cookie" not in answer.headers
    assert right.text == again.text.replace("ALICE", "alice")
    problem(scripts)
    assert (await attacker.log_in("bob", "bob")).status_code == 303
    elsewhere = await fresh.browser(address="10.2.0.2")
    assert (await elsewhere.log_in("alice", "alice")).status_code == 303
    fresh.clock.advance(301)
    assert (await attacker.log_in("alice", "alice")).status_code == 303


async def test_spraying() -> None:
    """Anyone who tries many names from one address is stopped there; others go on."""
    async with running(world(login_attempts_per_address="4")) as made:
        attacker = await made.browser(address="10.3.0.1")
        await together(*(attacker.log_in(f"user{number}", "x") for number in range(4)))
        assert (await attacker.log_in("alice", "alice")).status_code == 429
        other = await made.browser(address="10.3.0.2")
        assert (await other.log_in("alice", "alice")).status_code == 303


async def test_success_forgives(fresh: World) -> None:
    """A person who mistypes now and then is not shut out in the end."""
    browser = await fresh.browser()
    for _ in range(2):
        await together(*(browser.log_in("alice", "wrong") for _ in range(4)))
        assert (await browser.log_in("alice", "alice")).status_code == 303


async def test_directory_away(fresh: World) -> None:
    """If the directory is away the page says so; people stay logged in; no attempt is counted."""
    alice = await fresh.browser("alice")
    fresh.directory.fault = DirectoryUnavailable("{away}", away=AWAY)
    browser = await fresh.browser()
    for _ in range(6):
        answer = await browser.log_in("alice", "alice")
        assert answer.status_code == 503
        assert AWAY in answer.text
        assert int(answer.headers["retry-after"]) > 0
    login = {"username": "alice", "password": "alice"}
    answer = await fresh.client().post("/api/v1/login", json=login)
    assert answer.status_code == 503
    assert problem(answer)["detail"] == AWAY
    assert (await alice.get("/")).status_code == 200
    fresh.directory.fault = None
    assert (await browser.log_in("alice", "alice")).status_code == 303


async def test_fixation(hub: World) -> None:
    """A cookie that somebody planted before the log-in is worth nothing after it."""
    browser = await hub.browser("alice")
    planted = browser.cookie
    victim = hub.client(Accept=HTML, Cookie=planted)
    answer = await victim.post(
        "/login", data={"username": "bob", "password": "bob"}, headers={"Origin": ORIGIN}
    )
    assert answer.status_code == 303
    given = answer.headers["set-cookie"].partition(";")[0]
    assert given != planted
    me = await hub.client(Cookie=planted).get("/api/v1/me")
    assert me.status_code == 401
    me = await hub.client(Cookie=given).get("/api/v1/me")
    assert me.json()["user"] == "bob"


async def test_two_cookies_are_none(hub: World) -> None:
    """Where a session planted a second cookie beside the hub's, neither is believed."""
    alice, bob = (await hub.browser("alice")).cookie, (await hub.browser("bob")).cookie
    for both in (f"{alice}; {bob}", f"{bob}; {alice}"):
        assert (await hub.client(Cookie=both).get("/api/v1/me")).status_code == 401


async def test_logout(hub: World) -> None:
    """After logging out the cookie is worth nothing at once, wherever a copy of it is."""
    alices = await hub.session()
    browser = await hub.browser("alice")
    other = await hub.browser("alice")
    copy = browser.cookie
    assert (await hub.verify(alices, {"Cookie": copy})).status_code == 200
    answer = await browser.act("/logout")
    assert answer.status_code == 303
    assert location(answer) == "/login"
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert (await hub.verify(alices, {"Cookie": copy})).status_code == 401
    assert (await hub.client(Cookie=copy).get("/api/v1/me")).status_code == 401
    assert (await hub.verify(alices, {"Cookie": other.cookie})).status_code == 200


async def test_login_ends(fresh: World) -> None:
    """A log-in is over after its hours, in the browser and for scripts."""
    alices = await fresh.session()
    cookie, script = (await fresh.browser("alice")).cookie, await fresh.script("alice")
    fresh.clock.advance(12 * 3600 + 31)
    assert (await fresh.verify(alices, {"Cookie": cookie})).status_code == 401
    assert (await script.get("/api/v1/me")).status_code == 401


async def test_strange_names(hub: World) -> None:
    """A strange name is refused as any other, and its page is whole."""
    names = ["alice\x00", "alice\n", "al*ce", "a" * 250, "alice)(uid=*", "😀", " ", "<b>"]
    browsers = [await hub.browser(address=f"10.4.0.{number}") for number in range(len(names))]
    answers = await together(
        *(browser.log_in(name, "x") for browser, name in zip(browsers, names, strict=True))
    )
    for answer in answers:
        assert answer.status_code == 401
        assert WRONG in answer.text
        assert "<b>" not in answer.text
        assert "set-cookie" not in answer.headers


CROSS: list[dict[str, str]] = [
    {},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "https://localhost:8080"},
    {"Origin": "http://session.localhost:8080"},
    {"Origin": "http://127.0.0.1:8080"},
    {"Sec-Fetch-Site": "same-origin"},
    *(
        {"Origin": ORIGIN, "Sec-Fetch-Site": site}
        for site in ("same-site", "cross-site", "none", "SAME-ORIGIN")
    ),
]


@pytest.mark.parametrize("headers", CROSS, ids=str)
async def test_forged_login(hub: World, headers: dict[str, str]) -> None:
    """No foreign page can log a browser in as somebody else."""
    browser = await hub.browser()
    answer = await browser.post("/login", {"username": "bob", "password": "bob"}, headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", CROSS, ids=str)
async def test_forged_acts(hub: World, headers: dict[str, str]) -> None:
    """No foreign page launches, stops or logs out, though it knew the form's secret."""
    alices = await hub.session()
    browser = await hub.browser("alice")
    csrf = {"csrf": await browser.csrf()}
    before = len(hub.app.sessions.all())
    for path in ("/launch", f"/sessions/{alices}/stop", "/logout", "/notices/1/dismiss"):
        assert (await browser.post(path, csrf, headers)).status_code == 403
    own = hub.client(Cookie=browser.cookie)
    for method, path in (("POST", "/api/v1/sessions"), ("DELETE", f"/api/v1/sessions/{alices}")):
        answer = await own.request(method, path, headers=headers, json={})
        assert answer.status_code == 403
        problem(answer)
        answer = await own.request(
            method, path, headers=headers | {"Content-Type": "text/plain"}, content=b"{}"
        )
        assert answer.status_code == 403
    assert len(hub.app.sessions.all()) == before
    assert (await browser.get("/")).status_code == 200


async def test_forms_of_another_login(hub: World) -> None:
    """A form without its secret, or with that of another log-in, does nothing."""
    alices = await hub.session()
    browser, other = await hub.browser("alice"), await hub.browser("alice")
    for secret in ("", "x", "é", await other.csrf()):
        for path in ("/launch", f"/sessions/{alices}/stop", "/logout", "/notices/1/dismiss"):
            answer = await browser.post(path, {"csrf": secret})
            assert answer.status_code == 403, (path, secret)
    assert (await browser.get("/")).status_code == 200


@pytest.mark.parametrize("path", ["/launch", "/logout", "/sessions/x/stop", "/api/v1/login"])
async def test_nothing_happens_by_a_link(hub: World, path: str) -> None:
    """Opening a link changes nothing: what changes something is sent by a form."""
    browser = await hub.browser("alice")
    answer = await browser.get(path)
    assert answer.status_code in {404, 405}
    assert (await browser.get("/")).status_code == 200


async def test_method_override(hub: World) -> None:
    """A header or field that names another method is not obeyed."""
    alices = await hub.session()
    browser = await hub.browser("alice")
    override = {"X-HTTP-Method-Override": "DELETE"}
    await browser.get(f"/api/v1/sessions/{alices}?_method=DELETE", **override)
    assert hub.phase(alices) is Phase.READY
