"""Quotas, the line before a full server, starts ahead, and programs that are fetched first."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from msgspec.structs import replace
from typing_extensions import override

from controller.core.errors import StoreUnavailable
from controller.core.model import Person, Phase, Role, SessionId, UserId
from controller.core.records import Reason
from controller.engines.memory import Fetch
from controller.sessions.gateway import Inside
from controller.settings.loading import load
from controller.settings.schema import Limits, Settings
from controller.store.sqlite.store import SqliteStore
from tests.support.hub import DEADLINE, World, eventually, location, problem, running, world

pytestmark = pytest.mark.anyio


def configured(*, queue: bool = False, **limits: Any) -> Settings:  # noqa: ANN401 - one setting each
    """Return settings with these limits, whose one profile has a line or not."""
    plain = world().settings
    profile = replace(plain.profiles[0], queue=queue)
    return replace(plain, profiles=(profile,), limits=replace(Limits(), **limits))


async def launch(script: httpx.AsyncClient, name: str) -> httpx.Response:
    """Ask for a session."""
    return await script.post("/api/v1/sessions", json={"name": name})


async def launch_many(hub: World, number: int) -> list[httpx.Response]:
    """Let three people launch so many sessions at once."""
    scripts = [await hub.script(user) for user in ("alice", "bob", "carol")]
    answers: list[httpx.Response] = []

    async def one(index: int) -> None:
        answers.append(await launch(scripts[index % 3], f"session {index}"))

    async with anyio.create_task_group() as group:
        for index in range(number):
            group.start_soon(one, index)
    return answers


async def until_nobody_waits(hub: World) -> None:
    """Wait until the store's line is empty, which it is a little after the last has begun."""
    with anyio.fail_after(DEADLINE):
        while await hub.store.tickets():  # noqa: ASYNC110 - what is waited for has no event
            await anyio.sleep(0.005)


async def test_fifty_at_once() -> None:
    """Fifty launches against a cap of ten make exactly ten sessions; the rest are told to wait."""
    hub = World(configured(sessions_per_user=50, sessions_total=10))
    async with running(hub):
        answers = await launch_many(hub, 50)
        assert Counter(one.status_code for one in answers) == {202: 10, 429: 40}
        assert len(hub.app.sessions.all()) == 10
        for one in answers:
            if one.status_code == 429:
                assert one.headers["retry-after"] == "60"
                assert "All places are taken" in problem(one)["detail"]


async def test_fifty_in_line() -> None:
    """With a line the rest waits, fair between people, and is served as places become free."""
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
    """Of forty launches at once by one person only as many get places in line as they may have."""
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


async def test_too_slow_keeps_its_place() -> None:
    """A start past its limit, which may still come, keeps its card and counts for its owner."""
    plain = configured(sessions_per_user=1, sessions_total=3, gpus=("0", "1"))
    plain = replace(plain, profiles=(replace(plain.profiles[0], gpus=1),))
    hub = World(plain)
    async with running(hub):
        slow = await hub.session("alice", ready=False)
        hub.clock.advance(plain.profiles[0].start_seconds + 1)
        assert hub.phase(slow) is Phase.FAILED
        again = await launch(await hub.script("alice"), "another")
        assert again.status_code == 429
        other = await hub.session("bob", ready=False)
        cards = [one.session.gpus for one in hub.app.sessions.all()]
        assert sorted(cards) == [("0",), ("1",)]
        hub.gateway.serves_all = True
        await hub.until(slow, Phase.READY)
        await hub.until(other, Phase.READY)
        assert (await launch(await hub.script("carol"), "c")).status_code == 429


async def test_a_place_in_line() -> None:
    """Who waits sees their place and what for, on the page and by the API, and can give up."""
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
    """Records that are away for whoever leaves the line, while ``away``."""

    away = False

    @override
    async def remove_ticket(self, session: SessionId) -> None:
        if self.away:
            raise StoreUnavailable("The disk is full.")
        await super().remove_ticket(session)


async def test_restarted_in_line_while_the_records_are_away() -> None:
    """Who restarts what waits in line hears that it cannot be done now, and waits on as before."""
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
    """Stopping what waits in line is answered with what it was; its owner is told, it is gone."""
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


async def test_limits_of_people_in_any_spelling() -> None:
    """A number of sessions for somebody counts however their name is written in the settings."""
    text = '[limits.people]\nAlice = 2\n"ＢＯＢ" = 1\n'
    found, _ = load(
        {"SLICERHUB_ORCHESTRATOR": "memory", "SLICERHUB_CONFIG": "x"},
        lambda _: text,
    )
    hub = World(replace(configured(sessions_per_user=5), limits=found.limits))
    async with running(hub):
        alice, bob = await hub.script("alice"), await hub.script("bob")
        for name in ("a", "b"):
            assert (await launch(alice, name)).status_code == 202
        assert (await launch(alice, "c")).status_code == 429
        assert (await launch(bob, "a")).status_code == 202
        assert (await launch(bob, "b")).status_code == 429


async def test_invitations_wait_in_line_too() -> None:
    """Who is invited to a session that waits for its place may enter when it has started."""
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
    """Who follows a link to a session that waits is told so, joins, and sees where it stands."""
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
    """The line stands after a restart of the controller as it did before."""
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


async def test_ones_own_limit_has_no_line() -> None:
    """Who has as many sessions as one person may have is refused: waiting would not help."""
    hub = World(configured(queue=True, sessions_per_user=1))
    async with running(hub):
        alice = await hub.script("alice")
        assert (await launch(alice, "a")).status_code == 202
        answer = await launch(alice, "b")
        assert answer.status_code == 429
        assert "You have 1 session," in problem(answer)["detail"]
        page = (await (await hub.browser("alice")).get("/")).text
        assert "as many as one person may have" in page


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"groups": {"SLICER-USERS": 1}}, "All places of your group are taken."),
        ({"cpus": 7.0}, "The server is full."),
        ({"memory_mib": 8193}, "The server is full."),
    ],
)
async def test_sums(limits: dict[str, Any], words: str) -> None:
    """Groups, cores and memory have their limits, too, each with its sentence."""
    hub = World(configured(**limits))
    async with running(hub):
        assert (await launch(await hub.script("alice"), "a")).status_code == 202
        answer = await launch(await hub.script("bob"), "b")
        assert answer.status_code == 429
        assert words in problem(answer)["detail"]


async def test_graphics_cards() -> None:
    """Cards are leased one by one; who comes too late stands in line for the next."""
    plain = configured(queue=True, gpus=("0", "1"))
    hub = World(replace(plain, profiles=(replace(plain.profiles[0], gpus=1),)))
    hub.gateway.serves_all = True
    async with running(hub):
        made = [(await launch(await hub.script("alice"), name)).json() for name in ("a", "b")]
        leased = {one.session.gpus for one in hub.app.sessions.all()}
        assert leased == {("0",), ("1",)}
        third = (await launch(await hub.script("bob"), "c")).json()
        assert third["place"] == {"position": 1, "waits_for": "a graphics card"}
        book = (await (await hub.script("carol")).get("/api/v1/admin/gpus")).json()
        assert [(one["gpu"], one["user"]) for one in book["items"]] == [
            ("0", "alice"),
            ("1", "alice"),
        ]
        assert {one["session"] for one in book["items"]} == {one["id"] for one in made}
        assert [one["session"] for one in book["line"]] == [third["id"]]
        assert "GPU: 0 free" in (await (await hub.browser("bob")).get("/")).text
        (freed,) = [
            one.session.gpus for one in hub.app.sessions.all() if one.session.id == made[0]["id"]
        ]
        await (await hub.script("alice")).delete(f"/api/v1/sessions/{made[0]['id']}")
        await hub.until(SessionId(third["id"]), Phase.READY)
        now = hub.find(SessionId(third["id"]))
        assert now is not None
        assert now.session.gpus == freed


async def test_fetching() -> None:
    """A program that is not there is fetched while the page tells how far, as long as it takes."""
    hub = World(configured())
    hub.gateway.serves_all = True
    gate = anyio.Event()
    hub.orchestrator.missing["slicer"] = Fetch(told=("Fetching: 1 of 2 MB",), hold=gate)
    async with running(hub):
        made = (await launch(await hub.script("alice"), "a")).json()
        assert made["phase"] == "pending"
        assert made["message"] == "Fetching: 1 of 2 MB"
        page = await (await hub.browser("alice")).get(f"/starting/{made['id']}")
        assert "Fetching: 1 of 2 MB" in page.text
        hub.clock.advance(10_000)
        await hub.sweep()
        assert hub.phase(SessionId(made["id"])) is Phase.PENDING
        gate.set()
        await hub.until(SessionId(made["id"]), Phase.READY)


async def test_fetching_in_vain() -> None:
    """If it cannot be fetched, the session says so where it stands, and can be tried again."""
    hub = World(configured())
    hub.gateway.serves_all = True
    gate = anyio.Event()
    hub.orchestrator.missing["slicer"] = Fetch(hold=gate, refusal="unknown")
    async with running(hub):
        script = await hub.script("alice")
        made = (await launch(script, "a")).json()
        gate.set()
        await hub.until(SessionId(made["id"]), Phase.FAILED)
        seen = (await script.get(f"/api/v1/sessions/{made['id']}")).json()
        assert "not set up correctly" in seen["message"]
        await hub.sweep()
        assert hub.phase(SessionId(made["id"])) is Phase.FAILED
        hub.orchestrator.missing.clear()
        again = (await launch(script, "a")).json()
        await hub.until(SessionId(again["id"]), Phase.READY)
        assert hub.phase(SessionId(made["id"])) is None


async def test_called_off_while_fetching() -> None:
    """A start can be called off while its program is fetched; nothing of it is left."""
    hub = World(configured())
    hub.orchestrator.missing["slicer"] = Fetch(hold=anyio.Event())
    async with running(hub):
        script = await hub.script("alice")
        made = (await launch(script, "a")).json()
        assert (await script.delete(f"/api/v1/sessions/{made['id']}")).status_code == 202
        await hub.until(SessionId(made["id"]), None)
        assert await hub.orchestrator.list() == []


def ahead_settings() -> Settings:
    """Return settings whose profile may be started at log-in."""
    plain = world().settings
    return replace(plain, profiles=(replace(plain.profiles[0], start_ahead=True),))


async def test_started_ahead() -> None:
    """Who chose so finds their session running after the log-in; nobody else does."""
    hub = World(ahead_settings())
    hub.gateway.serves_all = True
    async with running(hub):
        alice = await hub.browser("alice")
        assert "when you log in" in (await alice.get("/")).text.lower().replace("i log", "you log")
        assert location(await alice.act("/ahead", profile="slicer", on="1")) == "/"
        assert hub.app.sessions.all() == []
        await hub.browser("bob")
        await hub.browser("alice")
        await eventually(lambda: len(hub.app.sessions.all()) == 1)
        (seen,) = hub.app.sessions.all()
        assert seen.session.owner == "alice"
        await hub.until(seen.session.id, Phase.READY)
        assert hub.app.sessions.usage.is_ahead(seen)
        pressed = await alice.act("/launch", profile="slicer")
        assert location(pressed) == f"/starting/{seen.session.id}"
        await hub.verify(seen.session.id, {"Cookie": alice.cookie})
        assert not hub.app.sessions.usage.is_ahead(seen)
        await hub.spend(1000)
        assert hub.phase(seen.session.id) is Phase.READY
        await hub.browser("alice")
        assert len(hub.app.sessions.all()) == 1
        script = await hub.script("alice")
        path = "/api/v1/profiles/slicer/ahead"
        assert (await script.put(path, json={"on": False})).status_code == 204
        assert await hub.store.ahead(UserId("alice")) == frozenset()


async def test_two_started_ahead() -> None:
    """Who chose two programs finds both running after the log-in."""
    plain = world().settings
    first = replace(plain.profiles[0], start_ahead=True)
    second = replace(first, id="other", title="Other")
    hub = World(replace(plain, profiles=(first, second)))
    hub.gateway.serves_all = True
    async with running(hub):
        for profile in ("slicer", "other"):
            await hub.store.set_ahead(UserId("alice"), profile, on=True)
        for _ in range(2):
            await hub.browser("alice")
            await eventually(lambda: len(hub.app.sessions.all()) == 2)
        assert {one.session.profile for one in hub.app.sessions.all()} == {"slicer", "other"}


async def test_ahead_and_never_used() -> None:
    """What was started ahead and is not opened is stopped after a while, quietly."""
    hub = World(ahead_settings())
    hub.gateway.serves_all = True
    async with running(hub):
        await hub.store.set_ahead(UserId("alice"), "slicer", on=True)
        await hub.browser("alice")
        await eventually(lambda: len(hub.app.sessions.all()) == 1)
        (seen,) = hub.app.sessions.all()
        await hub.until(seen.session.id, Phase.READY)
        hub.gateway.insides[seen.session.id] = Inside(busy=True)
        await hub.spend(560)
        assert hub.phase(seen.session.id) is Phase.READY
        await hub.spend(60)
        await hub.until(seen.session.id, None)
        assert await hub.store.notices(UserId("alice")) == []


async def test_not_offered_ahead(fresh: World) -> None:
    """Where the administrator does not offer it, nothing is started ahead."""
    script = await fresh.script("alice")
    answer = await script.put("/api/v1/profiles/slicer/ahead", json={"on": True})
    assert answer.status_code == 403
    await fresh.store.set_ahead(UserId("alice"), "slicer", on=True)
    await fresh.browser("alice")
    await anyio.wait_all_tasks_blocked()
    assert fresh.app.sessions.all() == []


async def test_warned_before_it_stops(fresh: World) -> None:
    """Before a session is stopped everybody in it and its owner's page are warned; Keep helps."""
    made = await fresh.session("alice", "thesis")
    await fresh.spend(1530)
    (notice,) = fresh.gateway.notices
    assert notice[0] == made
    assert "nobody is using it" in notice[1]
    assert notice[2] is not None
    browser = await fresh.browser("alice")
    page = (await browser.get("/")).text
    assert f"/sessions/{made}/keep" in page
    script = await fresh.script("alice")
    seen = (await script.get(f"/api/v1/sessions/{made}")).json()
    assert seen["stops_at"] is not None
    assert location(await browser.act(f"/sessions/{made}/keep")) == "/"
    assert fresh.gateway.notices[-1] == (made, "", None)
    assert f"/sessions/{made}/keep" not in (await browser.get("/")).text
    await fresh.spend(1500)
    assert fresh.phase(made) is Phase.READY
    assert (await script.post(f"/api/v1/sessions/{made}/keep")).json()["stops_at"] is None


async def test_input_is_activity(fresh: World) -> None:
    """Input that only the session sees keeps it; an open page where nothing happens does not."""
    used, open_only = await fresh.session(), await fresh.session()
    fresh.gateway.insides[open_only] = Inside(last_input_at="2026-01-01T00:00:00+00:00")
    for minute in range(0, 60, 5):
        fresh.gateway.insides[used] = Inside(last_input_at=f"2026-01-01T00:{minute:02}:00+00:00")
        await fresh.spend(300, every=60)
    await fresh.until(open_only, None)
    assert fresh.phase(used) is Phase.READY


async def test_a_session_that_does_not_answer(fresh: World) -> None:
    """A session that does not say whether it is used is not stopped for being idle."""
    made = await fresh.session()
    fresh.gateway.insides[made] = None
    await fresh.spend(7200, every=60)
    assert fresh.phase(made) is Phase.READY


async def test_departed(fresh: World) -> None:
    """Who may no longer use the hub is out at once; what they run stops after a grace."""
    own = await fresh.session("bob")
    shown = await fresh.session("alice")
    alice = await fresh.script("alice")
    await alice.put(f"/api/v1/sessions/{shown}/shares/bob", json={"role": "view"})
    bob = await fresh.script("bob")
    await bob.put(f"/api/v1/sessions/{own}/shares/carol", json={"role": "view"})
    fresh.directory.departed.add(UserId("bob"))
    await fresh.app.housekeeping.call_the_roll()
    assert (await bob.get("/api/v1/me")).status_code == 401
    assert set(fresh.gateway.kicked) >= {(own, "bob"), (shown, "bob")}
    assert fresh.app.grants.of_session(shown) == []
    assert fresh.app.grants.of_session(own) == []
    assert (await alice.get("/api/v1/me")).status_code == 200
    fresh.app.sessions.touch(own)
    fresh.clock.advance(3599)
    await fresh.app.housekeeping.call_the_roll()
    assert fresh.phase(own) is Phase.READY
    fresh.clock.advance(1)
    await fresh.app.housekeeping.call_the_roll()
    await fresh.until(own, None)
    assert fresh.phase(shown) is Phase.READY


async def test_a_departed_owners_guests(fresh: World) -> None:
    """With somebody who may not use the hub any more their guests are out, and their links end."""
    own = await fresh.session("bob")
    bob, carol = await fresh.script("bob"), await fresh.browser("carol")
    where = f"/api/v1/sessions/{own}"
    await bob.put(f"{where}/shares/carol", json={"role": "control"})
    link = (await bob.post(f"{where}/links", json={"role": "view"})).json()["url"]
    assert (await fresh.verify(own, {"Cookie": carol.cookie})).status_code == 200
    fresh.directory.departed.add(UserId("bob"))
    await fresh.app.housekeeping.call_the_roll()
    assert (await fresh.verify(own, {"Cookie": carol.cookie})).status_code == 403
    assert (own, "carol") in fresh.gateway.kicked
    alice = await fresh.browser("alice")
    assert (await alice.get(link)).status_code == 410
    assert fresh.phase(own) is Phase.READY


async def test_one_who_cannot_be_looked_up(fresh: World) -> None:
    """A look-up that fails keeps nobody else from being judged; it is tried again each round."""
    users = ("alice", "bob", "carol")
    scripts = {user: await fresh.script(user) for user in users}
    fresh.directory.unreadable.add(UserId("alice"))
    fresh.directory.departed |= {UserId("alice"), UserId("bob")}
    await fresh.app.housekeeping.call_the_roll()

    async def statuses() -> list[int]:
        return [(await scripts[one].get("/api/v1/me")).status_code for one in users]

    assert await statuses() == [200, 401, 200]
    fresh.directory.unreadable.clear()
    await fresh.app.housekeeping.call_the_roll()
    assert await statuses() == [401, 401, 200]


async def test_a_round_goes_on_where_it_stopped(fresh: World) -> None:
    """A directory that is away is asked three times a round; the next begins with the others."""
    for number in range(9):
        uid = UserId(f"person-{number}")
        fresh.directory.people[uid] = Person(uid, uid)
        await fresh.script(uid)
    fresh.directory.unreadable |= {UserId(f"person-{number}") for number in range(3, 6)}
    asked = fresh.directory.asked
    await fresh.app.housekeeping.call_the_roll()
    assert asked == [f"person-{number}" for number in range(6)]
    asked.clear()
    fresh.directory.departed.add(UserId("person-8"))
    await fresh.app.housekeeping.call_the_roll()
    assert asked == [f"person-{number}" for number in (6, 7, 8, 0, 1, 2, 3, 4, 5)]
    assert not fresh.app.logins.is_in(UserId("person-8"))


async def test_departed_while_in_line() -> None:
    """Who waits in line and may not use the hub any more leaves the line, as what they run ends."""
    hub = World(configured(queue=True, sessions_total=1))
    async with running(hub):
        await hub.session("alice", ready=False)
        await hub.session("bob", ready=False)
        await hub.app.logins.revoke(UserId("bob"))
        hub.directory.departed.add(UserId("bob"))
        await hub.app.housekeeping.call_the_roll()
        assert UserId("bob") in hub.directory.asked
        assert len(await hub.store.tickets()) == 1
        hub.clock.advance(hub.settings.departed_seconds)
        await hub.app.housekeeping.call_the_roll()
        assert await hub.store.tickets() == []


async def test_back_in_time(fresh: World) -> None:
    """Who is back before the grace is over keeps their session."""
    own = await fresh.session("bob")
    fresh.directory.departed.add(UserId("bob"))
    await fresh.app.housekeeping.call_the_roll()
    fresh.directory.departed.clear()
    fresh.clock.advance(3500)
    await fresh.app.housekeeping.call_the_roll()
    fresh.directory.departed.add(UserId("bob"))
    fresh.clock.advance(200)
    await fresh.app.housekeeping.call_the_roll()
    assert fresh.phase(own) is Phase.READY


async def test_a_directory_that_is_away_judges_nobody(fresh: World) -> None:
    """While the directory does not answer nobody is logged out."""
    from controller.core.errors import DirectoryUnavailable

    await fresh.session("bob")
    bob = await fresh.script("bob")
    fresh.directory.fault = DirectoryUnavailable("The directory does not answer.")
    await fresh.app.housekeeping.call_the_roll()
    assert (await bob.get("/api/v1/me")).status_code == 200


async def test_a_directory_that_shows_nobody_any_more(fresh: World) -> None:
    """If all who are here seem gone at once, the hub doubts its rights and logs nobody out."""
    scripts = [await fresh.script(user) for user in ("alice", "bob", "carol")]
    fresh.directory.departed |= {UserId("alice"), UserId("bob"), UserId("carol")}
    await fresh.app.housekeeping.call_the_roll()
    assert {(await one.get("/api/v1/me")).status_code for one in scripts} == {200}


async def test_changed_groups(fresh: World) -> None:
    """Who is no administrator any more is none to the hub, without logging in again."""
    carol = await fresh.script("carol")
    assert (await carol.get("/api/v1/me")).json()["admin"] is True
    fresh.directory.people["carol"] = replace(
        fresh.directory.people["carol"], groups=frozenset({"slicer-users"}), admin=False
    )
    await fresh.app.housekeeping.call_the_roll()
    assert (await carol.get("/api/v1/me")).json()["admin"] is False


async def test_a_place_in_line_is_used_once() -> None:
    """Who was started from the line and then stopped does not start again after restarts.

    Though the controller was killed before it could write down that the place was used.
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
