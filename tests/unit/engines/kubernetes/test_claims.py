"""People get their own files, and nobody else does."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.cluster.client import ConflictError, NotAdmittedError
from controller.core.errors import EngineUnavailable
from controller.core.model import Mount, UserId, Volume, group_volume_name, volume_name
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.calls import Calls
from controller.engines.kubernetes.claims import Claims
from controller.settings.schema import Kubernetes
from tests.support.fakes.cluster import FakeCluster
from tests.support.samples import session, settings

pytestmark = pytest.mark.anyio

HUB = replace(settings(), kubernetes=Kubernetes(claims={"cases": "pacs-export"}))
ALICE, BOB = UserId("alice"), UserId("bob")
PLURAL = "persistentvolumeclaims"


@pytest.fixture
def cluster() -> FakeCluster:
    """Give a cluster with nothing in it."""
    return FakeCluster()


@pytest.fixture
def claims(cluster: FakeCluster) -> Claims:
    """Give the hub's claims on that cluster."""
    return Claims(HUB, Calls(HUB, cluster))


async def test_files_stay(cluster: FakeCluster, claims: Claims) -> None:
    """A person has the same files at every start."""
    await claims.ensure(ALICE)
    before = dict(cluster.objects)
    await claims.ensure(ALICE)
    assert cluster.objects == before
    assert cluster.names(PLURAL) == [volume_name(HUB.instance, ALICE)]


async def test_files_of_groups(cluster: FakeCluster, claims: Claims) -> None:
    """Files of groups are the hub's to make, unless the site has named its own."""
    volumes = (Mount("atlas", writable=False), Mount("cases", writable=True))
    await claims.ensure_of(replace(session(), volumes=volumes))
    wanted = [volume_name(HUB.instance, ALICE), group_volume_name(HUB.instance, "atlas")]
    assert cluster.names(PLURAL) == sorted(wanted)


async def test_files_of_somebody_else(claims: Claims, cluster: FakeCluster) -> None:
    """Files that are not marked as a person's are neither given to them nor removed for them."""
    body = manifests.claim(BOB, HUB)
    body["metadata"]["name"] = volume_name(HUB.instance, ALICE)
    await Calls(HUB, cluster).post(body)
    with pytest.raises(EngineUnavailable, match="not annotated as alice's"):
        await claims.ensure(ALICE)
    with pytest.raises(EngineUnavailable, match="was not changed"):
        await claims.remove(ALICE)
    assert len(cluster.names(PLURAL)) == 1


async def test_two_starts_at_once(cluster: FakeCluster, claims: Claims) -> None:
    """The second of two starts at once uses the files that the first has made."""
    cluster.refusals["POST", PLURAL] = ConflictError("already exists")
    await claims.ensure(ALICE)
    assert cluster.calls("GET", PLURAL) == 2


async def test_no_place(cluster: FakeCluster, claims: Claims) -> None:
    """Where the cluster gives no place for files, its own words say why."""
    cluster.refusals["POST", PLURAL] = NotAdmittedError("exceeded quota: storage")
    with pytest.raises(EngineUnavailable, match="gives no storage for files: exceeded quota"):
        await claims.ensure(ALICE)


async def test_all(cluster: FakeCluster, claims: Claims) -> None:
    """All people's files are listed with what was set aside; groups' and deleted ones are not."""
    volumes = (Mount("atlas", writable=False),)
    await claims.ensure_of(replace(session(), volumes=volumes))
    await claims.ensure(BOB)
    await claims.ensure(UserId("carol"))
    for place, one in cluster.objects.items():
        if place.name == volume_name(HUB.instance, ALICE):
            one["status"] = {"capacity": {"storage": "10Gi"}}
        if place.name == volume_name(HUB.instance, UserId("carol")):
            one["metadata"]["deletionTimestamp"] = "2026-03-05T15:00:00Z"
    found = sorted(await claims.all(), key=lambda one: one.owner)
    assert found == [
        Volume(ALICE, volume_name(HUB.instance, ALICE), 10 * 2**30, reserved=True),
        Volume(BOB, volume_name(HUB.instance, BOB), None, reserved=True),
    ]


async def test_removal(cluster: FakeCluster, claims: Claims) -> None:
    """Files that are removed are gone, and removing them twice is no fault."""
    await claims.ensure(ALICE)
    await claims.ensure(BOB)
    for _ in range(2):
        await claims.remove(ALICE)
        assert cluster.names(PLURAL) == [volume_name(HUB.instance, BOB)]
