"""The queue before a full server: who waits in it, what they see, and how they leave it."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

import anyio
import pytest
from typing_extensions import override

from controller.core.errors import StoreUnavailable
from controller.core.model import Phase, Role, SessionId, UserId
from controller.core.records import Reason
from controller.store.sqlite.store import SqliteStore
from tests.support.hub import DEADLINE, World, eventually, location, problem, running
from tests.support.limits import configured, launch, launch_many

pytestmark = pytest.mark.anyio


async def until_nobody_waits(hub: World) -> None:
    """Wait until the store's queue is empty, which it is a little after the last has begun."""
    with anyio.fail_after(DEADLINE):
        while await hub.store.tickets():  # noqa: ASYNC110 - what is waited for has no event
            await anyio.sleep(0.005)


async def test_fifty_in_line() -> None:
    """With a queue the rest waits, fair between people, and is served as places become free."""
    hub = World(configured(queue=True, sessions_per_user=50, sessions_total=10))
    hub.gateway.serves_all = True
    async with running(hub):
        answers = await launch_many(hub, 50)
        assert {one.status_code for one in answers} == {202}
        assert len(hub.app.sessions.all()) == 10
        waiting = [one.json() for one in answers if one.json()["place"]]
        assert len(waiting) == 40
        assert {one["phase"] for one in waiting} == {"pending"}
        started: list[SessionId] = [one.session.id for one in hub.app.sessions.all()]
        for _ in range(4):
            for session_id in tuple(started[-10:]):
                owner = next(
                    one.session.owner
                    for one in hub.app.sessions.all()
                    if one.session.id == session_id
                )
                script = await hub.script(owner)
                assert (await script.delete(f"/api/v1/sessions/{session_id}")).status_code == 202
                await hub.until(session_id, None)
            await eventually(lambda: len(hub.app.sessions.all()) == 10)
            started += [one.session.id for one in hub.app.sessions.all()]
        assert len(set(started)) == 50
        await until_nobody_waits(hub)


async def test_forty_in_line_at_once() -> None:
    """Of forty launches at once by one person only as many enter the queue as they may have."""
    hub = World(configured(queue=True, sessions_per_user=3, sessions_total=1))
    async with running(hub):
        await hub.session("bob", ready=False)
        script = await hub.script("alice")
        answers: list[int] = []

        async def one(name: str) -> None:
            answers.append((await launch(script, name)).status_code)

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(one, f"session {number}")
        assert Counter(answers) == {202: 3, 429: 37}
        assert len(await hub.store.tickets()) == 3


async def test_a_place_in_line() -> None:
    """People in the queue see position and reason, on the page and by the API, and can cancel."""
    hub = World(configured(queue=True, sessions_per_user=2, sessions_total=1))
    hub.gateway.serves_all = True
    async with running(hub):
        alice, bob, carol = [await hub.script(user) for user in ("alice", "bob", "carol")]
        first = (await launch(alice, "a")).json()
        second = (await launch(bob, "b")).json()
        hub.clock.advance(1)
        third = (await launch(carol, "c")).json()
        assert second["place"] == {"position": 1, "waits_for": "a free place"}
        assert third["place"]["position"] == 2
        assert third["message"] == "2nd in the queue; it waits for a free place."
        page = await (await hub.browser("carol")).get("/")
        assert "2nd in the queue" in page.text
        starting = await (await hub.browser("carol")).get(f"/starting/{third['id']}")
        assert "2nd in the queue" in starting.text
        again = await launch(carol, "c")
        assert again.status_code == 409
        assert problem(again)["session"] == third["id"]
        browser = await hub.browser("bob")
        assert location(await browser.act(f"/sessions/{second['id']}/stop")) == "/"
        assert (await bob.get(f"/api/v1/sessions/{second['id']}")).status_code == 404
        assert (await carol.get(f"/api/v1/sessions/{third['id']}")).json()["place"]["position"] == 1
        await alice.delete(f"/api/v1/sessions/{first['id']}")
        await hub.until(SessionId(third["id"]), Phase.READY)


class Records(SqliteStore):
    """Records that are away for sessions that leave the queue, while ``away``."""

    away = False

    @override
    async def remove_ticket(self, session: SessionId) -> None:
        if self.away:
            raise StoreUnavailable("The disk is full.")
        await super().remove_ticket(session)


async def test_restarted_in_line_while_the_records_are_away() -> None:
    """Restarting a session in the queue is refused for now, and it waits on as before."""
    records = Records(":memory:")
    hub = World(configured(queue=True, sessions_total=1), store=records)
    async with running(hub):
        assert (await launch(await hub.script("alice"), "a")).status_code == 202
        bob = await hub.script("bob")
        waiting = (await launch(bob, "b")).json()
        records.away = True
        answer = await bob.post(f"/api/v1/sessions/{waiting['id']}/restart")
        assert answer.status_code == 503
        assert problem(answer)["detail"] == "The disk is full."
        page = await (await hub.browser("bob")).act(f"/sessions/{waiting['id']}/restart")
        assert page.status_code == 503
        kept = (await bob.get(f"/api/v1/sessions/{waiting['id']}")).json()
        assert kept["place"]["position"] == 1
        records.away = False
        answer = await bob.post(f"/api/v1/sessions/{waiting['id']}/restart")
        assert answer.status_code == 202
        await eventually(lambda: len(hub.app.sessions.owned_by(UserId("bob"))) == 1)
        (anew,) = (await bob.get("/api/v1/sessions")).json()["items"]
        assert (anew["name"], anew["place"]["position"]) == ("b", 1)
        assert anew["id"] != waiting["id"]


async def test_an_administrator_takes_somebody_out_of_the_line() -> None:
    """Stopping a session in the queue answers what it was; its owner is told, it is gone."""
    hub = World(configured(queue=True, sessions_total=1))
    async with running(hub):
        assert (await launch(await hub.script("alice"), "a")).status_code == 202
        bob, carol = await hub.script("bob"), await hub.script("carol")
        waiting = (await launch(bob, "b")).json()
        answer = await carol.delete(f"/api/v1/admin/sessions/{waiting['id']}")
        assert answer.status_code == 202
        assert (answer.json()["id"], answer.json()["owner"]) == (waiting["id"], "bob")
        assert (answer.json()["phase"], answer.json()["name"]) == ("stopping", "b")
        assert (await bob.get(f"/api/v1/sessions/{waiting['id']}")).status_code == 404
        again = await carol.delete(f"/api/v1/admin/sessions/{waiting['id']}")
        assert again.status_code == 404
        assert "was taken out of the queue at" in (await (await hub.browser("bob")).get("/")).text


async def test_invitations_wait_in_line_too() -> None:
    """A guest of a session in the queue may enter when it has started."""
    hub = World(configured(queue=True, sessions_total=1))
    hub.gateway.serves_all = True
    async with running(hub):
        alice, bob = await hub.script("alice"), await hub.script("bob")
        first = (await launch(alice, "a")).json()
        second = (await launch(bob, "b")).json()
        assert second["place"]
        invited = await bob.put(
            f"/api/v1/sessions/{second['id']}/shares/carol", json={"role": "view"}
        )
        assert invited.status_code == 200
        await hub.spend(600)
        await alice.delete(f"/api/v1/sessions/{first['id']}")
        made = SessionId(second["id"])
        await hub.until(made, Phase.READY)
        access = hub.app.sessions.access(made, UserId("carol"))
        assert access is not None
        assert access.role is Role.VIEW


async def test_a_link_to_a_place_in_line() -> None:
    """A link to a session in the queue says so; the guest joins, and sees its position."""
    hub = World(configured(queue=True, sessions_total=1))
    hub.gateway.serves_all = True
    async with running(hub):
        alice, bob = await hub.script("alice"), await hub.script("bob")
        first = (await launch(alice, "a")).json()
        second = (await launch(bob, "b")).json()
        made = SessionId(second["id"])
        answer = await bob.post(f"/api/v1/sessions/{made}/links", json={"role": "view"})
        path = urlsplit(str(answer.json()["url"])).path
        carol = await hub.browser("carol")
        offer = await carol.get(path)
        assert offer.status_code == 200
        assert "waits in the queue for a free place" in offer.text
        assert location(await (await hub.browser("bob")).get(path)) == f"/starting/{made}"
        joined = await carol.act(path)
        assert location(joined) == f"/starting/{made}"
        assert "Next in the queue" in (await carol.get(f"/starting/{made}")).text
        assert f'id="shared-{made}"' in (await carol.get("/")).text
        await alice.delete(f"/api/v1/sessions/{first['id']}")
        await hub.until(made, Phase.READY)
        assert "in the queue" not in (await carol.get(path)).text
        access = hub.app.sessions.access(made, UserId("carol"))
        assert access is not None
        assert access.role is Role.VIEW


async def test_places_in_line_are_counted() -> None:
    """Nobody holds more places than one person may have by waiting for them."""
    hub = World(configured(queue=True, sessions_per_user=2, sessions_total=1))
    async with running(hub):
        alice, bob = await hub.script("alice"), await hub.script("bob")
        assert (await launch(bob, "a")).status_code == 202
        for name in ("a", "b"):
            assert (await launch(alice, name)).json()["place"]
        answer = await launch(alice, "c")
        assert answer.status_code == 429
        assert "You have 2 sessions" in problem(answer)["detail"]
        assert len(await hub.store.tickets()) == 2


async def test_the_line_survives_a_restart() -> None:
    """The queue is the same after a restart of the controller."""
    one = World(configured(queue=True, sessions_total=1))
    async with running(one):
        first = (await launch(await one.script("alice"), "a")).json()
        second = (await launch(await one.script("bob"), "b")).json()
    other = World(one.settings, clock=one.clock, orchestrator=one.orchestrator, store=one.store)
    other.gateway.serves_all = True
    async with running(other):
        bob = await other.script("bob")
        found = (await bob.get(f"/api/v1/sessions/{second['id']}")).json()
        assert found["place"] == {"position": 1, "waits_for": "a free place"}
        await (await other.script("alice")).delete(f"/api/v1/sessions/{first['id']}")
        await other.until(SessionId(second["id"]), Phase.READY)
        await until_nobody_waits(other)


async def test_a_place_in_line_is_used_once() -> None:
    """A session that left the queue and was then stopped does not start again after restarts.

    Though the controller was killed before it could write down that it had started.
    """
    one = World(configured(queue=True, sessions_total=1))
    async with running(one):
        made = await one.session("alice")
        waiting = await one.session("bob", ready=False)
        tickets = await one.store.tickets()
        assert [ticket.session.id for ticket in tickets] == [waiting]
        await one.app.sessions.stop(made, Reason.STOPPED)
        await eventually(lambda: one.find(waiting) is not None)
        one.gateway.served.add(waiting)
        await one.until(waiting, Phase.READY)
    await one.store.add_ticket(tickets[0])  # as a kill would have left it
    two = World(one.settings, orchestrator=one.orchestrator, store=one.store)
    two.gateway.serves_all = True
    async with running(two):
        await two.until(waiting, Phase.READY)
        await two.sweep()
        assert await two.store.tickets() == []
        await two.app.sessions.stop(waiting, Reason.STOPPED)
        await two.until(waiting, None)
    three = World(one.settings, orchestrator=one.orchestrator, store=one.store)
    async with running(three):
        await three.sweep()
        assert three.app.sessions.everything() == []
