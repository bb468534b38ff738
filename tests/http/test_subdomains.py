"""Sessions at hosts of their own: what is served there, to whom, and what never is."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from controller.people.tokens import LEEWAY
from tests.support.hub import ORIGIN, World, problem, same_answer
from tests.support.own_hosts import (
    JSON,
    NAVIGATION,
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
    """A guest who is no longer invited is refused at the next request, by a page of its own."""
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
    """A log-out at the hub ends every session's access at once, by every cookie of the person."""
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
    """A session's host never shows the hub's pages to anybody, so that none is trusted there."""
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
    """People who enter while it starts see its progress at the hub; programs are told to wait."""
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


async def test_session_of_another_mode(hub: World) -> None:
    """A session that was started in path mode is served to nobody at the hub's own address."""
    alices = await hub.session()
    login = (await person(hub, "alice")).cookie(urlsplit(ORIGIN).netloc)
    for headers in (NAVIGATION, JSON):
        answer = await hub.verify(alices, headers | login)
        assert answer.status_code == 400
