"""A drain before maintenance: nothing new starts, everybody is told, and it can have an end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.core.model import Phase
from controller.settings.loading import load
from controller.settings.schema import Settings
from tests.support.hub import World, eventually, location, problem, running

pytestmark = pytest.mark.anyio


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
    assert "because of maintenance" in home


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
    """A session in the queue is not started during a drain, and is afterwards."""
    raw = '[profiles.slicer]\ntitle = "Slicer"\nimage = "x"\nqueue = true\nendpoints = true\n'
    configured = settings_of(raw, SLICERHUB_LIMITS_SESSIONS_TOTAL="1")
    made = World(configured)
    made.gateway.serves_all = True
    async with running(made):
        first = await made.session("alice", ready=False)
        waiting = await made.session("bob", ready=False)
        script = await made.script("carol")
        table = (await script.get("/api/v1/admin/sessions")).json()["items"]
        assert table[1]["why"] == "next in the queue, waits for a free place"
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
