"""Two hundred sessions on a cluster: what they cost the hub, for people to read, and all is right.

Their Pods are real objects with all that they own, but nobody places them: nothing runs, and
what is measured is the hub and not a machine.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from msgspec.structs import replace

from controller.core.model import Observed, Phase, Session
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.children import children
from controller.engines.kubernetes.engine import KubernetesOrchestrator
from controller.settings.schema import Settings
from tests.kubernetes.conftest import Cluster, until
from tests.kubernetes.faults import Fault, proxy
from tests.kubernetes.lab import Lab
from tests.support import samples
from tests.support.hub import HTML, Clock, World, running

# What two hundred cost is for people to read; that each of them is right is decided by few.
pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

FEW, MANY = 5, 200
AT_ONCE = 8
ROUND, ROUNDS = 20, 50
AT_REST = 35.0  # seconds; one list of everything falls into it
RELISTS = 8
KINDS = 6  # of objects that are listed and watched
FLAT = 0.05  # within which memory counts as flat


@pytest.fixture
def configured(lab: Lab) -> Settings:
    """Give settings of a hub whose routes the cluster's Traefik passes over."""
    nobody = replace(lab.settings.kubernetes, ingress_class="nobody")
    return replace(lab.settings, kubernetes=nobody)


class Crowd:
    """Sessions that look as if they ran."""

    def __init__(self, lab: Lab, settings: Settings) -> None:
        """There are none yet."""
        self._lab = lab
        self._settings = settings

    async def grow(self, sessions: Sequence[Session]) -> None:
        """Make these sessions, with all that belongs to them."""
        turn = anyio.CapacityLimiter(AT_ONCE)

        async def make(one: Session) -> None:
            async with turn:
                await self._make(one)

        async with anyio.create_task_group() as group:
            for one in sessions:
                group.start_soon(make, one)

    async def _make(self, one: Session) -> None:
        profile = self._settings.profile(one.profile)
        assert profile is not None
        body = manifests.pod(one, profile, self._settings)
        body["spec"]["schedulerName"] = "nobody"
        pod = await self._lab.ask("POST", self._lab.path("pods"), body)
        started: dict[str, Any] = {
            "name": manifests.CONTAINER,
            "state": {"running": {"startedAt": "2026-03-05T15:00:00Z"}},
            "ready": True,
            "restartCount": 0,
            "image": "x",
            "imageID": "x",
        }
        pod["status"] = {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True"}
                for kind in ("PodScheduled", "ContainersReady", "Ready")
            ],
            "containerStatuses": [started],
        }
        await self._lab.ask("PUT", f"{self._lab.pod_path(one)}/status", pod)
        uid = pod["metadata"]["uid"]
        for child in children(one, profile, self._settings, uid=uid):
            plural = {"NetworkPolicy": "networkpolicies"}.get(
                child["kind"], f"{child['kind'].lower()}s"
            )
            await self._lab.ask("POST", self._lab.path(plural), child)

    async def remove(self, one: Session) -> None:
        """Let a session's Pod be gone at once, as nothing runs in it."""
        at_once = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self._lab.ask("DELETE", self._lab.pod_path(one), at_once)


@pytest.fixture
def crowd(lab: Lab, configured: Settings) -> Crowd:
    """Give a way to make sessions without machines."""
    return Crowd(lab, configured)


def of_number(number: int) -> Session:
    """Return one of alice's many sessions."""
    # Of this moment by the hub's clock: a start that takes too long counts as failed.
    now = datetime.fromtimestamp(Clock().wall(), UTC)
    return samples.session(number, name=f"study {number}", profile="good", created_at=now)


def tell(what: str, value: float, unit: str) -> None:
    """Print a number for people."""
    print(f"{what}: {value:.3g} {unit}")  # noqa: T201 - for people


def resident() -> int:
    """Return how many bytes of memory this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def cost(work: Callable[[], Awaitable[object]], times: int = 1) -> float:
    """Return how many seconds of CPU this takes on average."""
    began = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - began) / times


async def cost_alone(work: Callable[[], Awaitable[object]]) -> float:
    """Return how many seconds of CPU this takes when nothing else is done meanwhile.

    The process also follows the cluster; the least of many short rounds is one without that
    (as `timeit` has it: higher values are others' interference).
    """
    return min([await cost(work, ROUND) for _ in range(ROUNDS)])


async def share_at_rest(seconds: float) -> float:
    """Return which share of a CPU goes to what runs by itself."""
    began = time.process_time()
    await anyio.sleep(seconds)
    return (time.process_time() - began) / seconds


async def test_two_hundred(configured: Settings, lab: Lab, crowd: Crowd) -> None:
    """All of two hundred sessions are found again, listed, verified and kept house for."""
    everybody = [of_number(number) for number in range(1, MANY + 1)]
    await crowd.grow(everybody[:FEW])
    wide = replace(
        configured, limits=replace(configured.limits, sessions_per_user=MANY, sessions_total=MANY)
    )
    world = World(wide, orchestrator=cast("Any", lab.orchestrator(wide)))
    world.gateway.serves_all = True
    async with running(world) as hub:
        alice, carol = await hub.browser("alice"), await hub.browser("carol")
        headers = {"Accept": HTML, "Sec-Fetch-Mode": "navigate", "Cookie": alice.cookie}

        async def ask() -> None:
            answer = await hub.verify(everybody[0].id, headers)
            assert answer.status_code == 200, answer.text

        await hub.until(everybody[0].id, Phase.READY)
        few = await cost_alone(ask)
        await crowd.grow(everybody[FEW:])

        async def ready() -> int:
            return sum(hub.phase(one.id) is Phase.READY for one in everybody)

        await until(ready, lambda found: found == MANY)
        many = await cost_alone(ask)
        tell("verify, CPU with 200 sessions of that with 5", many / few, "x")
        tell("the hub at rest with 200 sessions", await share_at_rest(AT_REST), "of a CPU")
        for name, browser, path in (
            ("a person's page with 200 sessions", alice, "/"),
            ("the administrators' page", carol, "/admin"),
        ):
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            tell(name, await cost(lambda b=browser, p=path: b.get(p), 5) * 1000, "ms of CPU")
        tell("a round of housekeeping", await cost(hub.sweep), "s of CPU")
        assert await ready() == MANY
    orchestrator = lab.orchestrator(wide)
    began = time.monotonic()
    tell("a list of all", await cost(orchestrator.list), "s of CPU")
    tell("a list of all", time.monotonic() - began, "s")
    assert {one.session.id for one in await orchestrator.list() if one.complete} == {
        one.id for one in everybody
    }
    again = World(wide, orchestrator=cast("Any", lab.orchestrator(wide)))
    again.gateway.serves_all = True
    gc.collect()
    before = resident()
    began, worked = time.monotonic(), time.process_time()
    async with running(again) as hub:
        assert len(hub.app.sessions.all()) == MANY
        tell("a restart knows all", time.monotonic() - began, "s")
        tell("a restart knows all", time.process_time() - worked, "s of CPU")
        tell("what it has in memory more", (resident() - before) / 2**20, "MiB")


@pytest.mark.usefixtures("impatient")
async def test_hours_of_a_quiet_watch(
    configured: Settings,
    lab: Lab,
    crowd: Crowd,
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    """Bookmarks of many hours and list after list leave memory as it was, and the truth known.

    Each watch brings an hour of bookmarks and nothing else; the half minute until the next list
    is shortened.
    """
    everybody = [of_number(number) for number in range(1, 41)]
    await crowd.grow(everybody)
    snapshots: list[Sequence[Observed]] = []

    async def follow(behind: KubernetesOrchestrator) -> None:
        async with aclosing(behind.watch()) as watching:
            async for snapshot in watching:
                snapshots[:] = [snapshot]

    async def known() -> int:
        return len(snapshots[0]) if snapshots else -1

    async with proxy(cluster.kubeconfig, tmp_path) as (between, path):
        between.spoil(Fault.BOOKMARKS)
        there = replace(configured.kubernetes, kubeconfig=str(path))
        behind = lab.orchestrator(replace(configured, kubernetes=there))

        async def blocks_after(lists: int) -> int:
            async def heard() -> int:
                return between.lists

            await until(heard, lambda found: found >= lists)
            gc.collect()
            return sys.getallocatedblocks()

        async with anyio.create_task_group() as group:
            group.start_soon(follow, behind)
            await until(known, lambda found: found == len(everybody))
            first = await blocks_after(between.lists + 2 * KINDS)
            last = await blocks_after(between.lists + RELISTS * KINDS)
            tell("blocks of memory after eight more lists", last / first, "x")
            assert last <= first * (1 + FLAT)
            await crowd.remove(everybody[0])
            await until(known, lambda found: found == len(everybody) - 1)
            group.cancel_scope.cancel()
        await behind.aclose()
