"""What administrators do: it is on record, and people are told what was done to their sessions."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.core.model import Phase, UserId
from tests.support.hub import World, eventually, location, running, world
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

ALICE, CAROL = UserId("alice"), UserId("carol")


def acts_of(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """Return what was put on record about administrators."""
    return [one for one in logs if str(one.get("act", "")).startswith("admin_")]


# -- sessions ------------------------------------------------------------------------------


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
    """An act on nothing, or on what has ended meanwhile, leads back to the table."""
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
    """An administrator may only view, for a while; the owner is told on page and in session."""
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
    """A person who was logged out must log in again; their session goes on."""
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
