"""An administrator learns whether a profile can be started before anybody tries it."""

from __future__ import annotations

import pytest

from controller.cluster.client import NotAdmittedError
from controller.core.errors import ImageRefused, QuotaReached
from controller.engines.kubernetes.calls import Calls
from controller.engines.kubernetes.images import Images
from controller.settings.loading import SLICER
from tests.support.fakes.cluster import FakeCluster
from tests.support.samples import settings

pytestmark = pytest.mark.anyio

HUB = settings()


@pytest.fixture
def cluster() -> FakeCluster:
    """Give a cluster that takes everything."""
    return FakeCluster()


@pytest.fixture
def images(cluster: FakeCluster) -> Images:
    """Give the programs of the hub's profiles on that cluster."""
    return Images(HUB, Calls(HUB, cluster))


async def test_admitted(images: Images, cluster: FakeCluster) -> None:
    """A profile that the cluster would take is in order, and nothing was started."""
    await images.check(SLICER.id)
    assert cluster.objects == {}
    assert cluster.calls("POST", "pods") == 1


async def test_no_such_profile(images: Images, cluster: FakeCluster) -> None:
    """A profile that was taken out of the settings is told as such, without asking anybody."""
    with pytest.raises(ImageRefused) as caught:
        await images.check("gone")
    assert "profile gone no longer exists" in caught.value.cause
    assert cluster.asked == []


async def test_not_admitted(images: Images, cluster: FakeCluster) -> None:
    """A profile that the cluster refuses is refused with its words."""
    cluster.refusals["POST", "pods"] = NotAdmittedError("no PriorityClass with name x was found")
    with pytest.raises(ImageRefused) as caught:
        await images.check(SLICER.id)
    assert "no PriorityClass" in caught.value.cause


async def test_quota(images: Images, cluster: FakeCluster) -> None:
    """Where the namespace is full people are told to wait, not that the profile is wrong."""
    cluster.refusals["POST", "pods"] = NotAdmittedError("pods is forbidden: exceeded quota: none")
    with pytest.raises(QuotaReached):
        await images.check(SLICER.id)


async def test_a_site_that_cannot_be_tried(images: Images, cluster: FakeCluster) -> None:
    """A site whose own rules cannot be tried is no reason to call a profile wrong."""
    cluster.refusals["POST", "pods"] = NotAdmittedError("webhook x does not support dry run")
    await images.check(SLICER.id)
