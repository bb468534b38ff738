"""Limits of people, groups and the server: where they are reached, launches are refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import httpx
import pytest
from msgspec.structs import replace

from controller.core.model import Phase, SessionId
from controller.settings.loading import load
from tests.support.hub import World, problem, running, world
from tests.support.limits import configured, launch, launch_many

pytestmark = pytest.mark.anyio


async def test_quota(fresh: World) -> None:
    """Fifty launches at once of one person end at the quota; a stop makes room again."""
    alice = await fresh.script("alice")
    answers: list[httpx.Response] = []

    async def launch(number: int) -> None:
        answers.append(await alice.post("/api/v1/sessions", json={"name": str(number)}))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(launch, number)
    assert Counter(one.status_code for one in answers) == {202: 3, 429: 47}
    for one in answers:
        if one.status_code == 429:
            assert int(one.headers["retry-after"]) > 0
            assert "You have 3 sessions" in problem(one)["detail"]
    made = next(one.json()["id"] for one in answers if one.status_code == 202)
    await alice.delete(f"/api/v1/sessions/{made}")
    await fresh.until(made, None)
    assert (await alice.post("/api/v1/sessions", json={"name": "new"})).status_code == 202


async def test_total() -> None:
    """All people together end at the number of places."""
    async with running(world(limits_sessions_total="2")) as made:
        await made.session("alice")
        await made.session("bob")
        carol = await made.script("carol")
        answer = await carol.post("/api/v1/sessions", json={})
        assert answer.status_code == 429
        assert "All places are taken" in problem(answer)["detail"]


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


async def test_ones_own_limit_has_no_line() -> None:
    """A person who has as many sessions as allowed is refused: waiting would not help."""
    hub = World(configured(queue=True, sessions_per_user=1))
    async with running(hub):
        alice = await hub.script("alice")
        assert (await launch(alice, "a")).status_code == 202
        answer = await launch(alice, "b")
        assert answer.status_code == 429
        assert "You have 1 session," in problem(answer)["detail"]
        page = (await (await hub.browser("alice")).get("/")).text
        assert "as many as you may have" in page


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
    """Cards are leased one by one; a session that finds none waits in the queue for the next."""
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
