"""A session is ready once a browser would be served, and not before."""

from __future__ import annotations

import anyio
import pytest

from controller.core.model import Phase
from controller.core.records import CONTROLLER
from controller.sessions.readiness import pause_after
from tests.support.fakes.parts import ALICE, Parts
from tests.support.hub import eventually


@pytest.mark.anyio
async def test_it_is_ready_when_it_is_served() -> None:
    """That it runs is not enough; and how long it took is what the next one is told."""
    parts = Parts()
    async with anyio.create_task_group() as group:
        group.start_soon(parts.sessions.run)
        await eventually(lambda: parts.sessions.ready)
        profile = parts.settings.profiles[0]
        seen = await parts.sessions.launching.launch(ALICE, profile, "thesis", by=CONTROLLER)
        assert parts.sessions.phase(seen) is Phase.STARTING
        parts.spend(4)
        parts.gateway.served.add(seen.session.id)
        await eventually(lambda: parts.sessions.phase(parts.sessions.all()[0]) is Phase.READY)
        await eventually(lambda: bool(parts.sessions.readiness._usual))  # pyright: ignore[reportPrivateUsage]
        other = await parts.sessions.launching.launch(ALICE, profile, "other", by=CONTROLLER)
        details = [step.detail for step in parts.sessions.readiness.progress(other)]
        assert "usually 4 s" in details
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("age", "pause"), [(0, 0.1), (3, 0.1), (10, 0.3), (20, 0.6), (60, 1.0), (86_400, 1.0)]
)
def test_probes_back_off(age: float, pause: float) -> None:
    """A start is noticed late by three hundredths of its time at most, after the first seconds."""
    assert pause_after(age) == pytest.approx(pause)
