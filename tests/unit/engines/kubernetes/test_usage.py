"""What a session takes is told where the cluster measures it, and is never made up."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cluster.client import MissingError
from controller.core.model import Session, Usage
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.calls import Calls
from controller.engines.kubernetes.usage import Measurements
from tests.support.fakes.cluster import FakeCluster
from tests.support.samples import session, settings

pytestmark = pytest.mark.anyio

HUB = settings()
ONE, OTHER = session(1), session(2, owner="bob")
QUARTER = Usage(25.0, 20 * 2**20)


class World:
    """A cluster, its clock, and what is known of its sessions."""

    def __init__(self) -> None:
        """Begin at a time that is not zero, as clocks do."""
        self.now = 1000.0
        self.cluster = FakeCluster()
        self.measurements = Measurements(Calls(HUB, self.cluster), lambda: self.now)

    @property
    def asked(self) -> int:
        """Return how often the cluster was asked."""
        return len(self.cluster.asked)


def measured(one: Session, cpu: str = "250m") -> dict[str, Any]:
    """Return what the cluster says of a session."""
    return {
        "metadata": {"name": "x", "labels": {manifests.SESSION: one.id}},
        "containers": [{"name": "session", "usage": {"cpu": cpu, "memory": "20Mi"}}],
    }


async def test_one_question_for_all() -> None:
    """All sessions are measured by one question to the cluster, and again ten seconds later."""
    world = World()
    world.cluster.listed["pods"] = [measured(ONE), measured(OTHER, "1")]
    assert await world.measurements.of(ONE.id) == QUARTER
    assert await world.measurements.of(OTHER.id) == Usage(100.0, 20 * 2**20)
    assert await world.measurements.of(session(3).id) is None
    assert world.asked == 1
    world.now += 10
    world.cluster.listed["pods"] = [measured(OTHER)]
    assert await world.measurements.of(OTHER.id) == QUARTER
    assert await world.measurements.of(ONE.id) is None
    assert world.asked == 2


async def test_a_cluster_that_does_not_measure() -> None:
    """Where nothing is measured nothing is told, and the cluster is seldom asked."""
    world = World()
    world.cluster.refusals["GET", "pods"] = MissingError("no such kind")
    for _ in range(3):
        assert await world.measurements.of(ONE.id) is None
        world.now += 60
    assert world.asked == 1
    world.cluster.refusals.clear()
    world.cluster.listed["pods"] = [measured(ONE)]
    world.now += 120
    assert await world.measurements.of(ONE.id) == QUARTER


async def test_rubbish() -> None:
    """A number that is none leaves its session unmeasured, and the others as they are."""
    world = World()
    world.cluster.listed["pods"] = [measured(OTHER, "much"), measured(ONE)]
    assert await world.measurements.of(OTHER.id) is None
    assert await world.measurements.of(ONE.id) == QUARTER


async def test_a_session_that_is_gone() -> None:
    """Of a session that was stopped no numbers are left."""
    world = World()
    world.cluster.listed["pods"] = [measured(ONE)]
    assert await world.measurements.of(ONE.id) == QUARTER
    world.measurements.forget(ONE.id)
    assert await world.measurements.of(ONE.id) is None
