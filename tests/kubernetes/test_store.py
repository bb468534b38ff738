"""What every store must do, shown with objects of a real cluster: the suite of tests/contract."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import pytest
from msgspec.structs import replace

from controller.settings.schema import Kubernetes, Settings
from controller.store import Store
from controller.store.kubernetes.store import KubernetesStore
from tests.contract.conftest import Opened
from tests.contract.test_store import *  # noqa: F403 - the tests themselves
from tests.contract.test_store_grants import *  # noqa: F403 - the same
from tests.kubernetes.conftest import Cluster
from tests.support.samples import settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def configured(cluster: Cluster, namespace: str) -> Settings:
    """Give the settings of a hub whose own objects are in an empty namespace."""
    return replace(
        settings(instance="kt"),
        kubernetes=Kubernetes(
            namespace=namespace,
            hub_namespace=namespace,
            kubeconfig=str(cluster.kubeconfig),
            timeout_seconds=60,
        ),
    )


@pytest.fixture
async def opened(configured: Settings) -> AsyncGenerator[Opened, None]:
    """Give a way to open the same records once more, as another controller or a later one does."""
    made: list[KubernetesStore] = []

    def again() -> KubernetesStore:
        name = f"controller-{len(made)}"
        made.append(KubernetesStore(configured, identity=name, wall=time.time))
        return made[-1]

    yield again
    for one in made:
        await one.aclose()


@pytest.fixture
def store(opened: Opened) -> Store:
    """Give an empty store."""
    return opened()
