"""Administrators see and govern everything; nobody else sees any of it."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from litestar import Router
from litestar.routes import HTTPRoute
from structlog.testing import capture_logs

from controller.core.errors import EngineUnavailable
from controller.core.model import Phase, SessionId, Usage, UserId, Volume
from controller.engines.memory import MemoryOrchestrator
from controller.sessions.gateway import Inside
from controller.settings.loading import load
from controller.settings.schema import Settings
from controller.web.api.admin import admin_router
from controller.web.api.admin_sessions import admin_events
from controller.web.caller import Caller, Callers
from controller.web.pages.admin.routes import admin_pages_router
from tests.support.hub import DEADLINE, World, eventually, location, problem, running, world
from tests.support.samples import session, session_id, settings

pytestmark = pytest.mark.anyio

ALICE, CAROL = UserId("alice"), UserId("carol")
GB = 2**30


async def looked(hub: World) -> None:
    """Let the hub look into every session now."""
    await hub.app.housekeeping.look()


def acts_of(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """Return what was put on record about administrators."""
    return [one for one in logs if str(one.get("act", "")).startswith("admin_")]


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


# -- acts ----------------------------------------------------------------------------------


async def test_stopping_many_after_a_question(fresh: World) -> None:
    """Stopping names what is lost first; then it happens, and the owners are told by whom."""
    one, two = await fresh.session("alice", "one"), await fresh.session("bob", "two")
    carol = await fresh.browser("carol")
    asked = await carol.get(f"/admin/act?act=stop&id={one}&id={two}&back=/admin%3Fsort%3Downer")
    assert asked.status_code == 200
    assert "Unsaved work in them is lost" in asked.text
    assert "alice" in asked.text
    assert "bob" in asked.text
    assert fresh.phase(one) is Phase.READY  # asking does nothing
    with capture_logs() as logs:
        done = await carol.act(
            "/admin/act", act="stop", ids=f"{one},{two}", back="/admin?sort=owner"
        )
        assert location(done) == "/admin?sort=owner&done=stop&n=2"
        await fresh.until(one, None)
        await fresh.until(two, None)
    assert [(line["act"], line["who"], line["whose"]) for line in acts_of(logs)] == [
        ("admin_stop", "carol", "alice"),
        ("admin_stop", "carol", "bob"),
    ]
    assert "2 sessions are being stopped." in (await carol.get(location(done))).text
    home = (await (await fresh.browser("alice")).get("/")).text
    assert re.search(r"Slicer · one was stopped at.*by the administrator\. Your files", home)


async def test_an_act_on_what_is_gone(fresh: World) -> None:
    """Who acts on nothing, or on what has ended meanwhile, is brought back to the table."""
    carol = await fresh.browser("carol")
    for path in ("/admin/act?act=stop", f"/admin/act?act=stop&id={session_id(9)}"):
        assert location(await carol.get(path)) == "/admin?done=none"
    odd = await carol.act("/admin/act", act="stop", ids="", back="https://evil.example/admin")
    assert location(odd) == "/admin?done=none"
    assert (await carol.get("/admin/act?act=explode")).status_code == 400
    script = await fresh.script("carol")
    assert (await script.delete(f"/api/v1/admin/sessions/{session_id(9)}")).status_code == 404


async def test_a_message(fresh: World) -> None:
    """A message stands in the session and on the owner's page, as it was written."""
    made = await fresh.session("alice", "thesis")
    carol = await fresh.browser("carol")
    await carol.act("/admin/act", act="message", ids=made, text="Lunch <b>soon</b>")
    assert fresh.gateway.notices[-1] == (made, "The administrator says: Lunch <b>soon</b>", None)
    await fresh.spend(630)
    assert fresh.gateway.notices[-1] == (made, "", None)  # it does not stand there for ever
    home = (await (await fresh.browser("alice")).get("/")).text
    assert "about Slicer · thesis: Lunch &lt;b&gt;soon&lt;/b&gt;" in home
    for text in ("", " ", "x" * 201):
        refused = await carol.act("/admin/act", act="message", ids=made, text=text)
        assert refused.status_code == 400
        assert 'role="alert"' in refused.text
    script = await fresh.script("carol")
    fresh.gateway.insides[made] = None
    said = await script.post(f"/api/v1/admin/sessions/{made}/message", json={"text": "Hello"})
    assert said.json() == {"shown": False}


async def test_what_an_earlier_controller_said(fresh: World) -> None:
    """A message that the controller before this one has sent stands there as long as it should."""
    made = await fresh.session("alice")
    script = await fresh.script("carol")
    await script.post(f"/api/v1/admin/sessions/{made}/message", json={"text": "Hello"})
    fresh.clock.advance(1)
    other = World(
        fresh.settings, clock=fresh.clock, orchestrator=fresh.orchestrator, store=fresh.store
    )
    other.gateway.serves_all = True
    async with running(other):
        await other.until(made, Phase.READY)
        await other.sweep()
        assert other.gateway.notices == [(made, "The administrator says: Hello", None)]
        fresh.clock.advance(600)
        await other.sweep()
        await other.sweep()
        assert other.gateway.notices[1:] == [(made, "", None)]


async def test_more_time(fresh: World) -> None:
    """An extended session outlives its lifetime by so much, also across a restart."""
    made = await fresh.session("alice")
    script = await fresh.script("carol")
    answer = await script.post(f"/api/v1/admin/sessions/{made}/extend", json={"hours": 2})
    assert answer.json() == {"extended_hours": 2.0}
    again = await script.post(f"/api/v1/admin/sessions/{made}/extend", json={"hours": 1.5})
    assert again.json() == {"extended_hours": 3.5}
    for hours in (0, -1, 169, 10**9):
        refused = await script.post(f"/api/v1/admin/sessions/{made}/extend", json={"hours": hours})
        assert refused.status_code == 400
    assert "may run longer" in (await (await fresh.browser("alice")).get("/")).text
    other = World(
        fresh.settings, clock=fresh.clock, orchestrator=fresh.orchestrator, store=fresh.store
    )
    other.gateway.serves_all = True
    async with running(other):
        seen = other.find(made)
        assert seen is not None
        ends = other.app.sessions.usage.expires(seen)
        now = datetime.fromtimestamp(fresh.clock.epoch, UTC)
        assert ends == pytest.approx(now + timedelta(hours=27.5), abs=timedelta(seconds=1))


async def test_extended_sessions_still_end() -> None:
    """More time is bounded by the configuration, and when it is over the session ends."""
    async with running(world(admin_extend_hours="5", idle_seconds="0")) as made:
        kept = await made.session("alice")
        script = await made.script("carol")
        added: list[float] = []
        for _ in range(3):
            answer = await script.post(f"/api/v1/admin/sessions/{kept}/extend", json={"hours": 2})
            added.append(answer.json()["extended_hours"])
        assert added == [2.0, 4.0, 5.0]
        await made.spend(86_400, every=1800)
        assert made.phase(kept) is Phase.READY
        await made.spend(5 * 3600 + 600, every=300)
        await made.until(kept, None)


# -- looking on ----------------------------------------------------------------------------


async def test_nobody_looks_unless_it_is_allowed(fresh: World) -> None:
    """Looking into people's sessions is off by default, and then nothing offers it."""
    made = await fresh.session("alice")
    carol = await fresh.browser("carol")
    assert "Look into" not in (await carol.get("/admin")).text
    assert (await carol.act("/admin/act", act="look", ids=made)).status_code == 403
    script = await fresh.script("carol")
    assert (await script.post(f"/api/v1/admin/sessions/{made}/look")).status_code == 403
    assert (await fresh.verify(made, {"Cookie": carol.cookie})).status_code == 403


async def test_a_look_is_told_and_ends() -> None:
    """Who looks may only see, for a while; the owner is told on the page and in the session."""
    async with running(world(admin_may_look="true", admin_look_minutes="10")) as made:
        seen = await made.session("alice", "thesis")
        carol = await made.browser("carol")
        assert "Look into" in (await carol.get("/admin")).text
        with capture_logs() as logs:
            opened = await carol.act("/admin/act", act="look", ids=seen)
            again = await carol.act("/admin/act", act="look", ids=seen)
        assert location(opened) == location(again) == f"/starting/{seen}"
        lines = [(line["act"], line["who"], line["whose"]) for line in acts_of(logs)]
        assert lines == [("admin_look", "carol", "alice")] * 2
        told = [text for where, text, _ in made.gateway.notices if where == seen]
        assert told[-1] == "Carol Clark (administration) is viewing this session."
        home = (await (await made.browser("alice")).get("/")).text
        assert "is being viewed by Carol Clark (administration)" in home
        answer = await made.verify(seen, {"Cookie": carol.cookie})
        assert answer.headers["X-Slicerhub-Role"] == "view"
        await made.spend(599, every=100)
        assert (await made.verify(seen, {"Cookie": carol.cookie})).status_code == 200
        await made.spend(2)
        assert (await made.verify(seen, {"Cookie": carol.cookie})).status_code == 403
        await made.sweep()
        assert (seen, CAROL) in made.gateway.kicked
        assert made.gateway.notices[-1] == (seen, "", None)


async def test_no_look_that_cannot_be_told_of() -> None:
    """If the session cannot show it, nobody looks; own and shown sessions need no such look."""
    async with running(world(admin_may_look="true")) as made:
        seen, own = await made.session("alice"), await made.session("carol")
        made.gateway.insides[seen] = None
        script = await made.script("carol")
        assert (await script.post(f"/api/v1/admin/sessions/{seen}/look")).status_code == 503
        carol = await made.browser("carol")
        assert (await made.verify(seen, {"Cookie": carol.cookie})).status_code == 403
        assert (await script.post(f"/api/v1/admin/sessions/{own}/look")).status_code == 400
        made.gateway.insides.clear()
        alice = await made.script("alice")
        await alice.put(f"/api/v1/sessions/{seen}/shares/carol", json={"role": "control"})
        assert (await script.post(f"/api/v1/admin/sessions/{seen}/look")).status_code == 400
        answer = await made.verify(seen, {"Cookie": carol.cookie})
        assert answer.headers["X-Slicerhub-Role"] == "control"  # what alice gave her stays


async def test_one_look_at_a_time() -> None:
    """Two sessions at once cannot be looked into: nothing happens to either."""
    async with running(world(admin_may_look="true")) as made:
        both = f"{await made.session('alice')},{await made.session('bob')}"
        refused = await (await made.browser("carol")).act("/admin/act", act="look", ids=both)
        assert refused.status_code == 400
        assert "one session at a time" in refused.text
        assert made.gateway.notices == []


# -- people --------------------------------------------------------------------------------


async def test_people(fresh: World) -> None:
    """Who has a session, files or a log-in stands there with how much they have of each."""
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


async def test_a_number_of_sessions_of_their_own(fresh: World) -> None:
    """A quota of one's own counts at once, survives a restart and can be taken back."""
    carol = await fresh.browser("carol")
    done = await carol.act("/admin/user/quota", user="alice", sessions="1")
    assert location(done) == "/admin/user?user=alice&done=quota"
    await fresh.session("alice")
    alice = await fresh.script("alice")
    full = await alice.post("/api/v1/sessions", json={"name": "second"})
    assert full.status_code == 429
    assert (await fresh.store.rules()).quotas == {"alice": 1}
    script = await fresh.script("carol")
    await script.put("/api/v1/admin/users/alice/quota", json={"sessions": None})
    assert (await alice.post("/api/v1/sessions", json={"name": "second"})).status_code == 202
    refused = await carol.act("/admin/user/quota", user="alice", sessions="many")
    assert refused.status_code == 400


async def test_logging_somebody_out(fresh: World) -> None:
    """Whoever is logged out must log in again; their session goes on."""
    made = await fresh.session("alice")
    alice, carol = await fresh.browser("alice"), await fresh.browser("carol")
    assert (await fresh.verify(made, {"Cookie": alice.cookie})).status_code == 200
    await carol.act("/admin/user/logout", user="alice")
    assert (await fresh.verify(made, {"Cookie": alice.cookie})).status_code == 401
    await eventually(lambda: (made, ALICE) in fresh.gateway.kicked)
    assert fresh.phase(made) is Phase.READY


async def test_removing_files(fresh: World) -> None:
    """Files go only if no session has them and the name was typed once more."""
    made = await fresh.session("alice")
    carol = await fresh.browser("carol")
    asked = await carol.get("/admin/user/files?user=alice")
    assert "Remove all files of <bdi>alice</bdi>?" in asked.text
    in_use = await carol.act("/admin/user/files", user="alice", typed="alice")
    assert in_use.status_code == 409
    await (await fresh.browser("alice")).act(f"/sessions/{made}/stop")
    await fresh.until(made, None)
    wrong = await carol.act("/admin/user/files", user="alice", typed="bob")
    assert wrong.status_code == 400
    assert ALICE in fresh.orchestrator.files
    with capture_logs() as logs:
        done = await carol.act("/admin/user/files", user="alice", typed="alice")
    assert location(done) == "/admin/users?done=files"
    assert ALICE not in fresh.orchestrator.files
    (line,) = acts_of(logs)
    assert (line["act"], line["who"], line["whose"]) == ("admin_remove_files", "carol", "alice")


# -- drain ---------------------------------------------------------------------------------


async def test_draining(fresh: World) -> None:
    """Nothing new starts, everybody is told, what runs goes on; then it can start again."""
    made = await fresh.session("alice")
    carol, alice = await fresh.browser("carol"), await fresh.script("alice")
    await carol.act("/admin/drain", message="New disks")
    assert fresh.gateway.notices[-1][1].startswith("New disks. This session goes on")
    refused = await alice.post("/api/v1/sessions", json={"name": "other"})
    assert refused.status_code == 503
    assert problem(refused)["detail"] == "New disks."
    home = (await (await fresh.browser("alice")).get("/")).text
    assert "New disks" in home
    assert "disabled" in home
    async with fresh.private() as monitoring:
        ready = await monitoring.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["notes"] == ["draining, by carol: new sessions are blocked"]
    assert fresh.phase(made) is Phase.READY
    script = await fresh.script("carol")
    state = (await script.get("/api/v1/admin/drain")).json()
    assert (state["draining"], state["by"], state["stop_at"]) == (True, "carol", None)
    assert "New sessions are blocked" in (await carol.get("/admin")).text
    await carol.act("/admin/drain/end")
    assert fresh.gateway.notices[-1] == (made, "", None)
    assert (await alice.post("/api/v1/sessions", json={"name": "other"})).status_code == 202


async def test_a_drain_survives_a_restart(fresh: World) -> None:
    """The next controller starts nothing either, until it is told to."""
    script = await fresh.script("carol")
    await script.post("/api/v1/admin/drain", json={})
    other = World(
        fresh.settings, clock=fresh.clock, orchestrator=fresh.orchestrator, store=fresh.store
    )
    async with running(other):
        alice = await other.script("alice")
        assert (await alice.post("/api/v1/sessions", json={})).status_code == 503
        await (await other.script("carol")).delete("/api/v1/admin/drain")
        assert (await alice.post("/api/v1/sessions", json={})).status_code == 202


async def test_a_drain_with_an_end(fresh: World) -> None:
    """At the time given all sessions are stopped, whose owners are told why."""
    made = await fresh.session("alice", "thesis")
    carol = await fresh.browser("carol")
    done = await carol.act("/admin/drain", minutes="15")
    assert location(done) == "/admin?done=drain"
    assert "All sessions are stopped at" in fresh.gateway.notices[-1][1]
    await fresh.spend(14 * 60)
    assert fresh.phase(made) is Phase.READY
    await fresh.spend(61)
    await fresh.until(made, None)
    home = (await (await fresh.browser("alice")).get("/")).text
    assert "because the hub is being emptied for maintenance" in home


async def test_a_drain_at_a_moment(fresh: World) -> None:
    """The moment must be one, and lie ahead."""
    carol = await fresh.browser("carol")
    for given in ({"at": "2001-01-01T00:00"}, {"at": "soon"}, {"minutes": "x"}):
        assert (await carol.act("/admin/drain", **given)).status_code == 400
    assert fresh.app.sessions.drain is None
    at = datetime.fromtimestamp(fresh.clock.epoch + 7200, UTC).replace(second=0, microsecond=0)
    await carol.act("/admin/drain", at=f"{at:%Y-%m-%dT%H:%M}")
    drain = fresh.app.sessions.drain
    assert drain is not None
    assert drain.stop_at == at.timestamp()


async def test_a_drain_at_an_impossible_moment(fresh: World) -> None:
    """A moment that is years away, or past every calendar, is refused in words."""
    script = await fresh.script("carol")
    soon = datetime.fromtimestamp(fresh.clock.epoch, UTC) + timedelta(days=367)
    for at in ("9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00", soon.isoformat()):
        answer = await script.post("/api/v1/admin/drain", json={"stop_at": at})
        assert answer.status_code == 400, at
        assert problem(answer)["detail"].endswith(".")
    assert fresh.app.sessions.drain is None
    assert (await (await fresh.browser("alice")).get("/")).status_code == 200


async def test_who_comes_later_is_told_of_the_drain(fresh: World) -> None:
    """A session that gets ready during a drain shows the banner, too, and shows it once."""
    made = await fresh.session("alice", ready=False)
    await (await fresh.script("carol")).post("/api/v1/admin/drain", json={})
    assert fresh.gateway.notices == []
    fresh.gateway.served.add(made)
    await fresh.until(made, Phase.READY)
    await fresh.sweep()
    await fresh.sweep()
    assert [where for where, _, _ in fresh.gateway.notices] == [made]


async def test_the_line_waits_while_draining() -> None:
    """Who waits in line is not started during a drain, and is afterwards."""
    raw = '[profiles.slicer]\ntitle = "Slicer"\nimage = "x"\nqueue = true\nendpoints = true\n'
    configured = settings_of(raw, SLICERHUB_LIMITS_SESSIONS_TOTAL="1")
    made = World(configured)
    made.gateway.serves_all = True
    async with running(made):
        first = await made.session("alice", ready=False)
        waiting = await made.session("bob", ready=False)
        script = await made.script("carol")
        table = (await script.get("/api/v1/admin/sessions")).json()["items"]
        assert table[1]["why"] == "1st in the queue, waits for a free place"
        await script.post("/api/v1/admin/drain", json={})
        await script.delete(f"/api/v1/admin/sessions/{first}")
        await made.until(first, None)
        await made.sweep()
        assert made.find(waiting) is None
        await script.delete("/api/v1/admin/drain")
        await eventually(lambda: made.find(waiting) is not None)


def settings_of(toml: str, **environ: str) -> Settings:
    """Return the settings of a file."""
    variables = {
        "SLICERHUB_CONFIG": "hub.toml",
        "SLICERHUB_ORCHESTRATOR": "memory",
        "SLICERHUB_PUBLIC_URL": "http://localhost:8080",
    }
    return load(variables | environ, lambda _: toml)[0]


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


async def caller_of(hub: World, user: str) -> Caller:
    """Return somebody who asks with a log-in of their own."""
    await hub.script(user)
    login = hub.app.logins.of_person(UserId(user))[0]
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
