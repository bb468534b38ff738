"""The hub sees and touches its own objects of the cluster, and no others."""

from __future__ import annotations

import pytest

from controller.cluster.client import MissingError
from controller.core.errors import EngineUnavailable
from controller.core.model import Session
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.answers import Metadata, Pod, Thing
from controller.engines.kubernetes.calls import Calls
from controller.settings.loading import SLICER
from tests.support.fakes.cluster import FakeCluster
from tests.support.samples import session, settings

pytestmark = pytest.mark.anyio

HUB = settings()
ONE, OTHER = session(1), session(2, owner="bob")


@pytest.fixture
def cluster() -> FakeCluster:
    """Give a cluster with nothing in it."""
    return FakeCluster()


@pytest.fixture
def calls(cluster: FakeCluster) -> Calls:
    """Give the hub's calls of that cluster."""
    return Calls(HUB, cluster)


def pod(made: Session, instance: str = "") -> manifests.Body:
    """Return the Pod of a session, of another hub if that is named."""
    hub = settings(instance=instance) if instance else HUB
    return manifests.pod(made, SLICER, hub)


async def test_sessions_are_told_apart(calls: Calls) -> None:
    """Of one session its own Pods are seen, of all sessions those of this hub alone."""
    for body in (pod(ONE), pod(OTHER), pod(ONE, instance="neighbour")):
        await calls.post(body)
    names = {manifests.pod_name(one, HUB.instance) for one in (ONE, OTHER)}
    found, faults = await calls.listed("Pod", Pod, None)
    assert ({one.metadata.name for one in found}, faults) == (names, [])
    (mine,) = await calls.pods(ONE.id)
    assert mine.metadata.name == manifests.pod_name(ONE, HUB.instance)


async def test_what_is_of_no_session(calls: Calls) -> None:
    """What carries this hub's name and is of no session is found, and is among no session's."""
    await calls.post(manifests.claim(ONE.owner, HUB))
    found, _ = await calls.ours("PersistentVolumeClaim", Thing)
    assert len(found) == 1
    assert await calls.listed("PersistentVolumeClaim", Thing, None) == ([], [])


async def test_an_unreadable_pod(cluster: FakeCluster, calls: Calls) -> None:
    """A session of which a Pod cannot be read is not taken for one that is gone."""
    cluster.listed["pods"] = [{"metadata": {"name": "odd"}, "status": {"phase": 7}}]
    found, faults = await calls.listed("Pod", Pod, ONE.id)
    assert found == []
    assert [one[:9] for one in faults] == ["Pod odd: "]
    with pytest.raises(EngineUnavailable, match="cannot be read: Pod odd"):
        await calls.pods(ONE.id)


async def test_missing(calls: Calls) -> None:
    """What is not there is told as such."""
    assert await calls.get("Service", "none") is None
    assert await calls.read_pod("none") is None
    await calls.delete_pod(Metadata(name="none", uid="x"), seconds=1)
    await calls.delete_claim("none", uid="x")


async def test_a_later_one_of_the_name_stays(cluster: FakeCluster, calls: Calls) -> None:
    """Deleting a session does not delete the next one, though it has the same name."""
    await calls.post(pod(ONE))
    name = manifests.pod_name(ONE, HUB.instance)
    await calls.delete_pod(Metadata(name=name, uid="an-earlier-one"), seconds=0)
    assert cluster.names("pods") == [name]
    found = await calls.get("Pod", name)
    assert found is not None
    await calls.delete_pod(found, seconds=0)
    assert cluster.names("pods") == []


async def test_a_try_makes_nothing(cluster: FakeCluster, calls: Calls) -> None:
    """A Pod that is only tried is not there afterwards."""
    await calls.try_pod(pod(ONE))
    assert cluster.objects == {}


async def test_log(cluster: FakeCluster, calls: Calls) -> None:
    """As many of a program's last lines are read as were asked for."""
    cluster.logs["one"] = "first\nsecond\nthird\n"
    assert await calls.log_of(Metadata(name="one"), tail=2) == b"second\nthird"


async def test_traefik_is_missing(cluster: FakeCluster, calls: Calls) -> None:
    """Whether the cluster answers, and what it lacks for sessions to be reached, is told."""
    await calls.ping()
    cluster.refusals["GET", "ingressroutes"] = MissingError("the server could not find it")
    with pytest.raises(EngineUnavailable, match="CustomResourceDefinitions"):
        await calls.ping()
