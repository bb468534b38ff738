"""Programs that are not there yet: they are fetched before their sessions start."""

from __future__ import annotations

import anyio
import pytest

from controller.core.model import Phase, SessionId
from controller.engines.memory import Fetch
from tests.support.hub import World, running
from tests.support.limits import configured, launch

pytestmark = pytest.mark.anyio


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
