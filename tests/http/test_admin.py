"""Administrators see every session, every person and the last day; nobody else sees any of it."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest
from litestar import Router
from litestar.routes import HTTPRoute

from controller.core.errors import EngineUnavailable
from controller.core.model import Phase, SessionId, Usage, UserId, Volume
from controller.engines.memory import MemoryOrchestrator
from controller.rules.felt import Felt, Parts
from controller.sessions.gateway import Inside
from controller.web.api.admin import admin_router
from controller.web.api.admin_sessions import admin_events
from controller.web.caller import Caller, Callers
from controller.web.pages.admin.routes import admin_pages_router
from tests.support.hub import DEADLINE, World, location, problem, running
from tests.support.samples import session, session_id, settings

pytestmark = pytest.mark.anyio

ALICE = UserId("alice")
GB = 2**30


async def looked(hub: World) -> None:
    """Let the hub look into every session now."""
    await hub.app.housekeeping.poll()


def rows_of(page: str) -> list[str]:
    """Return the ids of the sessions in the table."""
    return re.findall(r'<tr id="row-([a-z2-7]{26})"', page)


def addresses_of(router: Router, made: SessionId) -> list[tuple[str, str]]:
    """Return every method and address that a router answers, about this session and alice."""
    return [
        (method, route.path.replace("{session_id:str}", made).replace("{user:str}", "alice"))
        for route in router.routes
        if isinstance(route, HTTPRoute)
        for method in sorted(route.methods - {"OPTIONS"})
    ]


# -- who -----------------------------------------------------------------------------------


async def test_only_administrators(fresh: World) -> None:
    """Every address of administration refuses those who are none, and asks strangers to log in."""
    made = await fresh.session("alice")
    browser, stranger = await fresh.browser("bob"), await fresh.browser()
    script = await fresh.script("alice")
    callers = Callers(fresh.settings, fresh.app.logins, fresh.app.sessions)
    addresses = addresses_of(admin_pages_router(fresh.app.services, callers), made)
    assert {("GET", "/admin"), ("POST", "/admin/act"), ("POST", "/admin/drain")} < {*addresses}
    for method, path in addresses:
        assert path == "/admin" or path.startswith("/admin/")
        sent = {"csrf": await browser.csrf(), "act": "stop", "ids": made}
        ask = browser.post(path, sent) if method == "POST" else browser.get(f"{path}?user=alice")
        assert (await ask).status_code == 403, path
        ask = stranger.post(path, {}) if method == "POST" else stranger.get(path)
        assert location(await ask).startswith("/login"), path
    addresses = addresses_of(admin_router(callers), made)
    # Every one that the hub's own document tells of, and no other.
    assert len(addresses) == len(await documented(fresh))
    for method, path in addresses:
        answer = await script.request(method, path, json={})
        assert answer.status_code == 403, path
        assert problem(answer)["detail"] == "This is for administrators."
    assert fresh.phase(made) is Phase.READY


async def test_forms_of_others_are_refused(fresh: World) -> None:
    """A form that the administrator's own page did not make does nothing."""
    made = await fresh.session("alice")
    carol = await fresh.browser("carol")
    for path in ("/admin/act", "/admin/drain", "/admin/user/quota", "/admin/user/files"):
        forged = {"csrf": "x", "act": "stop", "ids": made, "user": "alice", "typed": "alice"}
        assert (await carol.post(path, forged)).status_code == 403
        good = {**forged, "csrf": await carol.csrf()}
        elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await carol.post(path, good, elsewhere)).status_code == 403
    assert fresh.phase(made) is Phase.READY
    assert fresh.app.sessions.drain is None


async def test_the_way_there(fresh: World) -> None:
    """Administrators find the page in their menu; others do not."""
    assert 'href="/admin"' in (await (await fresh.browser("carol")).get("/")).text
    assert "/admin" not in (await (await fresh.browser("bob")).get("/")).text


async def documented(hub: World) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the API's own document says of administration, by method and path."""
    document = (await (await hub.browser()).get("/api/openapi.json")).json()
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        if path.startswith("/api/v1/admin/")
        for method, operation in methods.items()
    }


async def test_scripts_can_read_how(fresh: World) -> None:
    """The API's own document says what administrators may ask, each with a sentence."""
    asked = await documented(fresh)
    assert ("get", "/api/v1/admin/sessions") in asked
    assert all(operation["summary"] and operation["description"] for operation in asked.values())


# -- all sessions --------------------------------------------------------------------------


async def test_the_table(fresh: World) -> None:
    """Each session stands there with its owner, what it takes, and why it still lives."""
    made = await fresh.session("alice", "thesis")
    fresh.orchestrator.usages[made] = Usage(120.0, 2 * GB)
    fresh.gateway.insides[made] = Inside(last_input_at="1")
    await looked(fresh)
    fresh.clock.advance(120)
    carol = await fresh.browser("carol")
    page = (await carol.get("/admin")).text
    assert rows_of(page) == [made]
    assert "1 session: 1 ready" in page
    assert "alice" in page
    assert "1.2 of 4" in page
    assert "2.0 GB of 8.0 GB" in page
    assert re.search(r"input\s+<time[^>]*data-ago>2 min ago", page)
    out = (await (await fresh.script("carol")).get("/api/v1/admin/sessions")).json()
    (one,) = out["items"]
    assert (out["found"], out["total"], out["page"], out["pages"]) == (1, 1, 1, 1)
    assert one["owner"] == "alice"
    assert one["why"] == "input 2 min ago"
    assert (one["cpu_percent"], one["memory_bytes"]) == (120.0, 2 * GB)


async def test_how_quick_each_session_feels(fresh: World) -> None:
    """The slowest stands first if asked so; where nobody moved anything there is no number."""
    slow, quick, still = [await fresh.session(one) for one in ("alice", "bob", "carol")]
    parts = Parts(network=12.5, waiting=0.0, render=20.0, encode=3.0, paint=2.0)
    for made, bucket in ((slow, 7), (quick, 4)):
        counts = tuple(10 * (one == bucket) for one in range(14))
        fresh.gateway.insides[made] = Inside(felt=Felt(counts, parts))
    fresh.gateway.insides[still] = Inside(felt=Felt((0,) * 14, parts))
    await looked(fresh)
    script = await fresh.script("carol")
    out = (await script.get("/api/v1/admin/sessions?sort=felt&desc=true")).json()
    assert [(one["id"], one["felt"] and one["felt"]["p95_ms"]) for one in out["items"]] == [
        (slow, 147.5),
        (quick, 49.1),
        (still, None),
    ]
    assert out["items"][1]["felt"] == {
        "p50_ms": 41.5,
        "p95_ms": 49.1,
        "parts_ms": {"network": 12.5, "waiting": 0, "render": 20, "encode": 3, "paint": 2},
    }
    page = (await (await fresh.browser("carol")).get("/admin?sort=felt")).text
    assert rows_of(page) == [still, quick, slow]
    assert re.findall(r"[0-9]+ / [0-9]+ ms|nothing felt", page) == [
        "nothing felt",
        "42 / 49 ms",
        "125 / 148 ms",
    ]
    assert page.count("most of it: render") == 4
    fresh.gateway.insides[slow] = None
    await looked(fresh)
    assert "125 / 148 ms" not in (await (await fresh.browser("carol")).get("/admin")).text


async def test_why_it_lives(fresh: World) -> None:
    """The reason follows what happens in the session."""
    made = await fresh.session("alice")
    script = await fresh.script("carol")

    async def why() -> str:
        return (await script.get("/api/v1/admin/sessions")).json()["items"][0]["why"]

    assert (await why()).startswith("no use seen since ")
    await fresh.verify(made, {"Cookie": (await fresh.browser("alice")).cookie})
    assert await why() == "request just now"
    fresh.gateway.insides[made] = Inside(busy=True)
    await looked(fresh)
    assert await why() == "computing"
    await (await fresh.browser("alice")).act(f"/sessions/{made}/keep")
    assert (await why()).startswith("kept by alice until ")


async def test_searching_and_sorting(hub: World) -> None:
    """What is typed narrows the table; a press on a column's head sorts it, a second turns it."""
    one = await hub.session("alice", "aorta sorting")
    two = await hub.session("bob", "brain sorting")
    carol = await hub.browser("carol")
    assert rows_of((await carol.get("/admin?q=sorting&sort=owner")).text) == [one, two]
    turned = await carol.get("/admin?q=sorting&sort=owner&desc=1")
    assert rows_of(turned.text) == [two, one]
    assert 'aria-sort="descending"' in turned.text
    assert rows_of((await carol.get("/admin?q=BRAIN+sorting")).text) == [two]
    assert "No session matches" in (await carol.get("/admin?q=%3Cb%3Enobody")).text
    odd = await carol.get("/admin?sort=evil&desc=x&page=-7")
    assert odd.status_code == 200
    refused = await (await hub.script("carol")).get("/api/v1/admin/sessions?sort=evil")
    assert refused.status_code == 400


async def test_pages_of_the_table() -> None:
    """Five hundred sessions come fifty at a time, each once."""
    engine = MemoryOrchestrator(settings())
    for number in range(1, 501):
        await engine.ensure(session(number, owner=f"user{number % 40}", name=f"s{number}"))
    made = World(settings(public_url="http://localhost:8080"), orchestrator=engine)
    made.gateway.serves_all = True
    async with running(made):
        carol = await made.browser("carol")
        seen: list[str] = []
        path = "/admin?sort=owner"
        while path:
            page = (await carol.get(path)).text
            seen += rows_of(page)
            found = re.search(r'id="page-after" href="([^"]+)"', page)
            path = found[1].replace("&amp;", "&") if found else ""
        assert sorted(seen) == sorted(session_id(number) for number in range(1, 501))
        beyond = await carol.get("/admin?page=999")
        assert "Page 10 of 10" in beyond.text


async def caller_of(hub: World, user: str) -> Caller:
    """Return somebody who asks with a log-in of their own."""
    await hub.script(user)
    login = hub.app.logins.standing.of_person(UserId(user))[0]
    return Caller(login, hub.settings.public_url, "10.0.0.1")


async def test_changes_are_told(fresh: World) -> None:
    """The page hears of changes to anybody's session."""
    heard: list[str] = []
    carol = await caller_of(fresh, "carol")
    events = admin_events(fresh.app.services.streams, fresh.app.logins, carol)
    with anyio.fail_after(DEADLINE):
        heard.append(str((await anext(events)).event))
        made = await fresh.session("bob")
        heard.append(str((await anext(events)).event))
    await events.aclose()
    assert fresh.phase(made) is Phase.READY
    assert heard == ["sessions", "sessions"]


# -- people --------------------------------------------------------------------------------


async def test_people(fresh: World) -> None:
    """People with a session, files or a log-in are listed with how much they have of each."""
    await fresh.session("alice")
    fresh.orchestrator.files[ALICE] = 3 * GB
    fresh.orchestrator.files[UserId("dana")] = 700 * 2**20
    carol = await fresh.browser("carol")
    page = (await carol.get("/admin/users")).text
    assert re.findall(r'scope="row"><bdi>(\w+)</bdi>', page) == ["alice", "carol", "dana"]
    assert "3.0 GB" in page
    assert "700 MB" in page
    out = (await (await fresh.script("carol")).get("/api/v1/admin/users?q=ali")).json()
    (alice,) = out["items"]
    assert (alice["user"], alice["sessions"], alice["sessions_limit"]) == ("alice", 1, 3)
    assert alice["files_bytes"] == 3 * GB
    assert alice["logged_in"] is True


async def test_files_are_measured_seldom(fresh: World) -> None:
    """Many who look at the people make the engine measure once; a press measures again."""
    calls: list[int] = []
    measure = fresh.orchestrator.volumes

    async def volumes() -> list[Volume]:
        calls.append(1)
        await anyio.sleep(0.05)
        return list(await measure())

    fresh.orchestrator.volumes = volumes
    script = await fresh.script("carol")
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(script.get, "/api/v1/admin/users")
    assert len(calls) == 1
    fresh.clock.advance(1)
    await script.get("/api/v1/admin/users?measure=true")
    assert len(calls) == 2
    fresh.clock.advance(301)
    await script.get("/api/v1/admin/users")
    assert len(calls) == 3


async def test_people_without_their_files(fresh: World) -> None:
    """An engine that cannot say how large the files are hides nobody."""

    async def volumes() -> list[Volume]:
        raise EngineUnavailable("The engine does not answer.")

    fresh.orchestrator.volumes = volumes
    carol = await fresh.browser("carol")
    page = await carol.get("/admin/users")
    assert page.status_code == 200
    assert "The engine does not answer." in page.text
    assert "carol" in page.text


# -- the last day --------------------------------------------------------------------------


async def test_history(fresh: World) -> None:
    """The plots show what was measured each minute, in numbers, too."""
    carol = await fresh.browser("carol")
    assert "nothing measured yet" in (await carol.get("/admin")).text
    made = await fresh.session("alice")
    fresh.orchestrator.usages[made] = Usage(250.0, 3 * GB)
    await looked(fresh)
    await fresh.app.housekeeping.sample()
    page = (await carol.get("/admin")).text
    assert 'aria-label="CPU in the last 24 hours: now 2.5 cores, at most 2.5 cores"' in page
    assert re.search(r"<td>1</td><td>2\.5 cores</td><td>3\.0 GB</td><td>0 s</td>", page)
    fresh.clock.advance(90_000)
    carol = await fresh.browser("carol")
    assert "nothing measured yet" in (await carol.get("/admin")).text


async def test_memory_of_the_history_is_bounded(fresh: World) -> None:
    """A day of samples is kept, and no more."""
    for _ in range(2000):
        fresh.clock.advance(60)
        await fresh.app.housekeeping.sample()
    assert len(fresh.app.history.samples) == 1440


# -- questions -----------------------------------------------------------------------------


async def test_what_is_asked_has_bounds(fresh: World) -> None:
    """Far too long a question, and a page that no table has, are refused in words."""
    script = await fresh.script("carol")
    for asked in (
        f"/api/v1/admin/sessions?q={'a' * 201}",
        f"/api/v1/admin/users?q={'a' * 201}",
        "/api/v1/admin/sessions?page=0",
        f"/api/v1/admin/users?page={2**63}",
        f"/api/v1/people?q={'a' * 65}",
    ):
        assert problem(await script.get(asked))["status"] == 400, asked
    carol = await fresh.browser("carol")
    for path in ("/admin/user", "/admin/user/files"):
        assert (await carol.get(f"{path}?user={'a' * 257}")).status_code == 400, path
