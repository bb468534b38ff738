"""Starts ahead: sessions that run already when those who chose so have logged in."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.core.model import Phase, UserId
from controller.sessions.gateway import Inside
from controller.settings.schema import Settings
from tests.support.hub import World, eventually, location, running, world
from tests.support.waits import settled

pytestmark = pytest.mark.anyio


def ahead_settings() -> Settings:
    """Return settings whose profile may be started at log-in."""
    plain = world().settings
    return replace(plain, profiles=(replace(plain.profiles[0], start_ahead=True),))


async def test_started_ahead() -> None:
    """People who chose so find their session running after the log-in; nobody else does."""
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
    """Anyone who chose two programs finds both running after the log-in."""
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
    await settled()
    assert fresh.app.sessions.all() == []
