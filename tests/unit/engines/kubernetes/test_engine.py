"""A session on a cluster is made whole or not at all, and all of it goes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from controller.cluster.client import BrokenError, NotAdmittedError
from controller.core.errors import (
    EngineUnavailable,
    FilesInUse,
    ImageRefused,
    SessionExists,
    SessionStopping,
)
from controller.core.model import Observed, volume_name
from controller.core.sentence import Phrase
from controller.engines.kubernetes import engine as module
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.engine import KubernetesOrchestrator
from controller.settings.loading import SLICER
from controller.settings.schema import Kubernetes
from tests.support.fakes.api_server import api_server
from tests.support.fakes.cluster import FakeCluster
from tests.support.samples import session, settings

pytestmark = pytest.mark.anyio

# A program has a second at least to end; by this it is not waited for.
HUB = replace(settings(), kubernetes=Kubernetes(force_seconds=-1))
POD = manifests.pod_name(session(), HUB.instance)
CLAIM = "persistentvolumeclaims"
NO_GRACE = timedelta(0)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Give a cluster, which the engine takes for the real one."""
    made = FakeCluster()

    def connect(_: Kubernetes) -> FakeCluster:
        return made

    monkeypatch.setattr(module, "Api", connect)
    monkeypatch.setattr(module, "_GONE_SECONDS", 0.001)
    return made


@pytest.fixture
def engine(cluster: FakeCluster) -> KubernetesOrchestrator:
    """Give the engine on that cluster."""
    del cluster  # it is found by its name
    return KubernetesOrchestrator(HUB)


def left(cluster: FakeCluster) -> int:
    """Return how much there is of sessions, without files."""
    return sum(place.plural != CLAIM for place in cluster.objects)


async def test_made_and_removed(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """A session that was asked for twice is there once, and after its end only its files are."""
    await engine.ensure(session())
    made = left(cluster)
    await engine.ensure(session())
    assert left(cluster) == made > 1
    (seen,) = await engine.list()
    assert (seen.session, seen.complete) == (session(), True)
    assert await engine.get(session(2).id) is None
    await engine.remove(session().id, grace=NO_GRACE)
    assert left(cluster) == 0
    assert cluster.names(CLAIM) == [volume_name(HUB.instance, session().owner)]


async def test_half_made(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """Of a start that fails half-way nothing is left."""
    cluster.refusals["POST", "ingressroutes"] = BrokenError("a fault of its own")
    with pytest.raises(BrokenError):
        await engine.ensure(session())
    assert left(cluster) == 0


async def test_not_admitted(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """A start that the cluster refuses is told with its words."""
    cluster.refusals["POST", "pods"] = NotAdmittedError("no such class")
    with pytest.raises(ImageRefused) as caught:
        await engine.ensure(session())
    assert "no such class" in caught.value.cause
    assert left(cluster) == 0


async def test_the_name_is_taken(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """A name is one session's, until the last of that session is gone."""
    await engine.ensure(session(1))
    with pytest.raises(SessionExists):
        await engine.ensure(session(2))
    cluster.stuck.add(POD)
    found = next(one for place, one in cluster.objects.items() if place.name == POD)
    found["metadata"]["deletionTimestamp"] = "2026-03-05T15:00:00Z"
    with pytest.raises(SessionStopping):
        await engine.ensure(session(2))


async def test_a_name_that_is_not_the_hubs(
    cluster: FakeCluster, engine: KubernetesOrchestrator
) -> None:
    """What the site has made itself under a session's name is not taken for the session's."""
    await engine.ensure(session())
    service = next(one for place, one in cluster.objects.items() if place.plural == "services")
    service["metadata"]["labels"] = {}
    with pytest.raises(EngineUnavailable, match="not the hub's"):
        await engine.ensure(session())


async def test_a_lost_machine(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """A session on a machine that does not answer is ended by force, after a while."""
    await engine.ensure(session())
    cluster.stuck.add(POD)
    await engine.remove(session().id, grace=NO_GRACE)
    assert left(cluster) == 0
    assert cluster.calls("DELETE", "pods") == 2


async def test_files_in_use(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """Files are not taken from under a session."""
    await engine.make_volume(session().owner)
    await engine.ensure(session())
    with pytest.raises(FilesInUse):
        await engine.remove_volume(session().owner)
    await engine.remove(session().id, grace=NO_GRACE)
    assert [one.owner for one in await engine.volumes()] == [session().owner]
    await engine.remove_volume(session().owner)
    assert cluster.objects == {}


async def test_log(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """What a program wrote is read; before it has started there is nothing to read."""
    await engine.ensure(session())
    assert [line async for line in engine.logs(session().id, tail=1)] == []
    cluster.logs[POD] = "one\ntwo\n"
    assert [line async for line in engine.logs(session().id, tail=1)] == ["two"]


async def test_companions(cluster: FakeCluster) -> None:
    """Services of the site are looked for where the settings say, and nowhere by default."""
    assert await KubernetesOrchestrator(HUB).apps() == []
    assert cluster.asked == []
    there = replace(HUB, kubernetes=Kubernetes(apps_namespace="apps"))
    cluster.listed["ingressroutes"] = [
        {"metadata": {"name": "wiki", "annotations": {"slicerhub/app": "wiki"}}},
        {"metadata": {"name": "plain"}},
        {"metadata": None},
    ]
    found = await KubernetesOrchestrator(there).apps()
    assert [one.app for one in found] == ["wiki"]
    assert {place.namespace for _, place in cluster.asked} == {"apps"}


async def test_small_calls(cluster: FakeCluster, engine: KubernetesOrchestrator) -> None:
    """A profile is checked, the cluster is asked whether it answers, and let go."""
    await engine.check(SLICER.id)
    await engine.fetch(SLICER.id, list[Phrase]().append)
    assert await engine.usage(session().id) is None
    await engine.ping()
    await engine.aclose()
    assert cluster.closed


DEADLINE = 20.0  # seconds
ONE, OTHER = session(1), session(2, owner="bob")
KINDS = ("networkpolicies", "services", "middlewares", "ingressroutes", "events")
Facts = dict[str, Any]  # as the cluster's JSON


def pod(number: int, **status: Any) -> Facts:  # noqa: ANN401
    """Return the Pod of a session, as the cluster tells of it."""
    made = manifests.pod(ONE if number == 1 else OTHER, SLICER, settings())
    return made | {"metadata": made["metadata"] | {"uid": f"uid-{number}"}, "status": status}


@pytest.mark.parametrize(
    "odd",
    [
        pod(1, phase=7),
        pod(1, conditions={"Ready": True}),
        pod(1, containerStatuses=[{"state": None}]),
        {"metadata": {"name": "odd", "labels": ["a"]}},
        {"metadata": None},
        {},
        7,
        None,
    ],
)
async def test_unreadable(tmp_path: Path, odd: object) -> None:
    """A Pod in no known form is left out and counted; the sessions beside it are as they are."""
    async with api_server(tmp_path) as (server, kubeconfig):
        server.others = {"pods": [odd, pod(2, phase="Pending")], **{one: [] for one in KINDS}}
        there = Kubernetes(namespace="n", hub_namespace="n", kubeconfig=str(kubeconfig))
        engine = KubernetesOrchestrator(replace(settings(), kubernetes=there))
        assert [one.session for one in await engine.list()] == [OTHER]
        assert engine.unread == 1
        snapshots: list[Sequence[Observed]] = []
        seen = anyio.Event()

        async def watch() -> None:
            async with aclosing(engine.watch()) as watching:
                async for snapshot in watching:
                    snapshots.append(snapshot)
                    seen.set()

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            with anyio.fail_after(DEADLINE):
                await seen.wait()
            group.cancel_scope.cancel()
        assert [one.session for one in snapshots[0]] == [OTHER]
        assert engine.unread == 1
        await engine.aclose()
