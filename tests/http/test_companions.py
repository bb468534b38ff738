"""Other services behind the hub's log-in: who passes, what they are told, who sees the link."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from msgspec.structs import replace

from controller.core.model import Offer, Person, Route, UserId
from tests.support.hub import (
    HTML,
    ORIGIN,
    World,
    eventually,
    problem,
    running,
    same_answer,
    world,
)

pytestmark = pytest.mark.anyio

NAVIGATION = {"Accept": HTML}
JSON = {"Accept": "application/json"}
HANDSHAKE = {"Accept": "*/*", "Sec-WebSocket-Key": "eA==", "Origin": ORIGIN}
CHANGING = ["POST", "PUT", "PATCH", "DELETE"]
READING = ["GET", "HEAD", "OPTIONS"]


def offer(app: str, groups: str, title: str = "") -> Offer:
    """Return a service that is labelled as the guide says."""
    route = Route(f"PathPrefix(`/apps/{app}/`)", guarded=True)
    return Offer(f"lab/{app}", app, title, groups, (route,), frozenset({app}))


@pytest.fixture(scope="module")
async def lab(anyio_backend: str) -> AsyncGenerator[World, None]:
    """Run a hub with a wiki for users, a board for administrators, and one for everybody."""
    assert anyio_backend == "asyncio"
    made = world()
    made.orchestrator.offers = [
        offer("wiki", "Slicer-Users", "Lab wiki"),
        offer("board", "slicer-admins", "Board"),
        offer("notes", "*"),
        offer("controller", "*"),
    ]
    async with running(made):
        await eventually(lambda: made.app.companions.ready)
        yield made


async def test_members_pass(lab: World) -> None:
    """Members pass; the service learns who it is, and never gets the hub's cookie."""
    cookie = (await lab.browser("carol")).cookie
    headers = NAVIGATION | {"Cookie": f"theme=dark; {cookie}; view=3"}
    for app in ("wiki", "board", "notes"):
        answer = await lab.verify(f"app/{app}", headers, uri=f"/apps/{app}/")
        assert answer.status_code == 200
        assert answer.headers["x-slicerhub-user"] == "carol"
        assert answer.headers["x-slicerhub-name"] == "Carol Clark"
        assert answer.headers["x-slicerhub-groups"] == "slicer-admins,slicer-users"
        assert answer.headers["cookie"] == "theme=dark; view=3"
        assert "x-slicerhub-role" not in answer.headers
        assert "authorization" not in answer.headers
        assert answer.content == b""


async def test_scripts_pass(lab: World) -> None:
    """A program passes with its owner's token, changing requests included."""
    bearer = {"Authorization": (await lab.script("alice")).headers["Authorization"]}
    for method in (*READING, *CHANGING):
        answer = await lab.verify("app/wiki", JSON | bearer, method=method)
        assert answer.status_code == 200
        answer = await lab.verify("app/board", JSON | bearer, method=method)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "app", ["board", "controller", "unknown", "", "..%2Fwiki", "wiki/x", "WIKI"]
)
async def test_others_are_refused(lab: World, app: str) -> None:
    """What is not open to somebody, was refused or is not there answers alike, by any method."""
    cookie = {"Cookie": (await lab.browser("alice")).cookie, "Origin": ORIGIN}
    for kind in (NAVIGATION, JSON, HANDSHAKE):
        for method in (*READING, *CHANGING):
            answer = await lab.verify(f"app/{app}", kind | cookie, method=method)
            assert answer.status_code == 403
            assert not any(name.startswith("x-slicerhub") for name in answer.headers)
            foreign = await lab.verify("app/board", kind | cookie, method=method)
            assert same_answer(answer, foreign)


async def test_the_page_for_others(lab: World) -> None:
    """A person reads that it is not open to them, in what Traefik takes as an answer."""
    cookie = {"Cookie": (await lab.browser("alice")).cookie}
    answer = await lab.verify("app/board", NAVIGATION | cookie)
    assert "This is not open to you" in answer.text
    assert "session" not in answer.text.lower()
    assert len(answer.content) < 900
    answer = await lab.verify("app/board", JSON | cookie)
    assert problem(answer)["detail"] == "This is not open to you."


async def test_strangers_are_led_to_the_login_and_back(lab: World) -> None:
    """Anyone who is not logged in gets the log-in page, and then the page that was asked for."""
    wanted = "/apps/wiki/page?of=atlas&view=2"
    answer = await lab.verify("app/wiki", NAVIGATION, uri=wanted)
    assert answer.status_code == 302
    assert answer.headers["location"] == (
        f"{ORIGIN}/login?next=%2Fapps%2Fwiki%2Fpage%3Fof%3Datlas%26view%3D2"
    )
    browser = await lab.browser()
    page = await browser.get(answer.headers["location"])
    assert 'value="/apps/wiki/page?of=atlas&amp;view=2"' in page.text
    answer = await browser.log_in("alice", "alice", wanted)
    assert answer.headers["location"] == wanted


@pytest.mark.parametrize("kind", [JSON, HANDSHAKE])
async def test_strangers_programs_get_401(lab: World, kind: dict[str, str]) -> None:
    """Programs and handshakes are never redirected."""
    for method in (*READING, *CHANGING):
        answer = await lab.verify("app/wiki", kind, method=method)
        assert answer.status_code == 401
    assert (await lab.verify("app/wiki", NAVIGATION, method="POST")).status_code == 401


@pytest.mark.parametrize(
    "origin", [None, "", "null", "http://evil.example", "http://x.localhost:8080"]
)
async def test_foreign_pages_change_nothing(lab: World, origin: str | None) -> None:
    """What a foreign page sends with a person's cookie is refused, handshakes included."""
    headers = {"Cookie": (await lab.browser("alice")).cookie}
    if origin is not None:
        headers["Origin"] = origin
    for method in CHANGING:
        assert (await lab.verify("app/wiki", headers, method=method)).status_code == 403
    socket = headers | {"Sec-WebSocket-Key": "eA=="}
    assert (await lab.verify("app/wiki", socket)).status_code == 403
    assert (await lab.verify("app/wiki", headers | NAVIGATION)).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_what_the_browser_says_of_the_page_counts(lab: World, site: str) -> None:
    """A changing request that the browser says is not from this origin is refused."""
    headers = {"Cookie": (await lab.browser("alice")).cookie, "Origin": ORIGIN}
    for method in CHANGING:
        answer = await lab.verify("app/wiki", headers, method=method)
        assert answer.status_code == 200
        answer = await lab.verify("app/wiki", headers | {"Sec-Fetch-Site": site}, method=method)
        assert answer.status_code == 403


async def test_own_pages_open_websockets(lab: World) -> None:
    """The companion's own page may, whatever else its browser says of the handshake."""
    headers = HANDSHAKE | {"Cookie": (await lab.browser("alice")).cookie}
    for more in ({}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"}):
        assert (await lab.verify("app/wiki", headers | more)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost@evil", ""])
async def test_foreign_hosts(lab: World, host: str) -> None:
    """Under a host name that is not the hub's nothing is answered, and nothing of it is said."""
    headers = NAVIGATION | {"Cookie": (await lab.browser("alice")).cookie}
    answer = await lab.verify("app/wiki", headers, host=host)
    assert answer.status_code == 400
    assert "evil" not in answer.text + str(answer.headers)


async def test_missing_headers(lab: World) -> None:
    """A question that is not Traefik's is not answered."""
    async with lab.private() as traefik:
        headers = {"Cookie": (await lab.browser("alice")).cookie}
        assert (await traefik.get("/verify/app/wiki", headers=headers)).status_code == 400


async def test_after_the_logout(lab: World) -> None:
    """A cookie of a log-in that is over opens nothing."""
    browser = await lab.browser("alice")
    headers = JSON | {"Cookie": browser.cookie}
    assert (await lab.verify("app/wiki", headers)).status_code == 200
    await browser.act("/logout")
    assert (await lab.verify("app/wiki", headers)).status_code == 401


async def test_who_has_left_a_group(fresh: World) -> None:
    """A person no longer in the group is refused once the directory has been asked again."""
    fresh.orchestrator.offers = [offer("wiki", "slicer-users")]
    await fresh.app.companions.search()
    headers = JSON | {"Cookie": (await fresh.browser("alice")).cookie}
    assert (await fresh.verify("app/wiki", headers)).status_code == 200
    fresh.directory.people["alice"] = Person(UserId("alice"), "Alice Archer", frozenset({"other"}))
    await fresh.app.housekeeping.call_the_roll()
    assert (await fresh.verify("app/wiki", headers)).status_code == 403


async def test_odd_groups_stay_one_header(fresh: World) -> None:
    """Whatever a group or a name is called, the service reads plain text that it can take apart."""
    fresh.orchestrator.offers = [offer("wiki", "*")]
    await fresh.app.companions.search()
    groups = frozenset({"Ärzte, leitend", "a\r\nX-Evil: 1", "plain"})
    fresh.directory.people["alice"] = Person(UserId("alice"), "Älice\r\nX-Evil: 1", groups)
    headers = JSON | {"Cookie": (await fresh.browser("alice")).cookie}
    answer = await fresh.verify("app/wiki", headers)
    told = answer.headers["x-slicerhub-groups"].split(",")
    assert told == ["a%0D%0AX-Evil%3A 1", "plain", "%C3%84rzte%2C leitend"]
    assert answer.headers["x-slicerhub-name"] == "%C3%84lice%0D%0AX-Evil%3A 1"
    assert "x-evil" not in answer.headers


async def test_before_the_engine_was_read(fresh: World) -> None:
    """While nothing is known yet nobody passes, and Traefik keeps what it was told before."""
    headers = JSON | {"Cookie": (await fresh.browser("alice")).cookie}
    fresh.app.companions.ready = False
    assert (await fresh.verify("app/wiki", headers)).status_code == 503
    async with fresh.private() as traefik:
        assert (await traefik.get("/traefik")).status_code == 503


async def test_what_traefik_is_told(lab: World) -> None:
    """Traefik gets a middleware for each companion, none for a refused name, which is closed."""
    async with lab.private() as traefik:
        told = (await traefik.get("/traefik")).json()["http"]
    guards = {"slicerhub-wiki", "slicerhub-board", "slicerhub-notes", "closed"}
    assert set(told["middlewares"]) == guards
    assert [one["rule"] for one in told["routers"].values()] == ["PathPrefix(`/apps/controller/`)"]
    assert (await (await lab.browser("alice")).get("/traefik")).status_code == 404


async def test_links(lab: World) -> None:
    """Everybody sees links to what is open to them, by title, and nothing else."""
    alice, carol = await lab.browser("alice"), await lab.browser("carol")
    page = (await alice.get("/")).text
    assert "Other services" in page
    assert page.index('href="/apps/wiki/"') < page.index('href="/apps/notes/"')
    assert "/apps/board/" not in page
    assert "/apps/controller/" not in page
    assert 'href="/apps/board/"' in (await carol.get("/")).text


async def test_the_api(lab: World) -> None:
    """A program gets the same list, and without a log-in there is none."""
    script = await lab.script("alice")
    assert (await script.get("/api/v1/apps")).json() == {
        "items": [
            {"name": "wiki", "title": "Lab wiki", "url": f"{ORIGIN}/apps/wiki/"},
            {"name": "notes", "title": "notes", "url": f"{ORIGIN}/apps/notes/"},
        ]
    }
    assert (await lab.client().get("/api/v1/apps")).status_code == 401


async def test_no_companion_no_section(fresh: World) -> None:
    """A hub without companions does not speak of them."""
    page = await (await fresh.browser("alice")).get("/")
    assert "Other services" not in page.text


async def test_the_page_is_told_of_new_ones(fresh: World) -> None:
    """The open first page shows a new link, and removes it when it is gone."""
    changes = fresh.app.sessions.registry.changes(at_least_every=60)
    await anext(changes)
    for offers in ([offer("wiki", "*")], [replace(offer("wiki", "*"), title="Wiki")], []):
        fresh.orchestrator.offers = offers
        await fresh.app.companions.search()
        with anyio.fail_after(5):
            assert await anext(changes)


async def test_refusals_are_in_the_log(fresh: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not theirs is said in the log, once, with the service and the reason."""
    fresh.orchestrator.offers = [offer("controller", "*"), offer("wiki", "")]
    for _ in range(3):
        await fresh.app.companions.search()
    lines = [line for line in capsys.readouterr().out.splitlines() if "companion_refused" in line]
    assert len(lines) == 2
    assert "lab/controller" in lines[0]
    assert "the hub's own name" in lines[0]
    assert "lab/wiki" in lines[1]
    assert "slicerhub.groups is missing" in lines[1]
