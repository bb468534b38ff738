"""The cluster that tests/kubernetes/cluster starts, or the one that somebody names.

By hand: ``eval "$(tests/kubernetes/cluster env)"``, then pytest.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from kubernetes.aio import client, config
from msgspec.structs import replace

from controller.cluster import watching
from controller.core.model import Observed, Session
from controller.engines.kubernetes.engine import KubernetesOrchestrator
from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING, Kubernetes, Settings
from tests.kubernetes.deployment import Deployment
from tests.kubernetes.lab import Lab, build, forget
from tests.kubernetes.running_cluster import Cluster
from tests.kubernetes.visitors import Person
from tests.kubernetes.waiting import until as seen
from tests.support.samples import settings

DEADLINE = 120.0  # seconds; the machine may be busy with other things

Api = client.ApiClient
# The client's calls, which take plain dicts as well as its models, and say only the latter.
Core = Any
Custom = Any


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the installed hub last: it is there once, and beside no others."""
    here = Path(__file__).parent

    def needs_the_hub(item: pytest.Item) -> bool:
        return (
            isinstance(item, pytest.Function)
            and here in item.path.parents
            and "hub" in item.fixturenames
        )

    items.sort(key=needs_the_hub)


_VARIABLES = {
    "kubeconfig": "KUBECONFIG",
    "traefik_url": "SLICERHUB_TEST_TRAEFIK_URL",
    "storage_class": "SLICERHUB_TEST_STORAGE_CLASS",
}


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Give a cluster that answers.

    Without one the test is skipped, or fails where all parts must be there
    (SLICERHUB_TEST_STRICT).
    """
    values = {field: os.environ.get(name, "") for field, name in _VARIABLES.items()}
    missing = [_VARIABLES[field] for field, value in values.items() if not value]
    fault = f"{', '.join(missing)} not set" if missing else ""
    if not fault:
        try:
            asyncio.run(_ask(values["kubeconfig"]))
        except Exception as error:  # noqa: BLE001, whatever it is, it is told
            fault = f"it does not answer: {error}"
    if fault:
        sentence = f"no cluster: {fault}; start one with tests/kubernetes/cluster up"
        if os.environ.get("SLICERHUB_TEST_STRICT"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return Cluster(
        kubeconfig=Path(values["kubeconfig"]),
        traefik_url=values["traefik_url"],
        storage_class=values["storage_class"],
    )


async def _connect(kubeconfig: str) -> Api:
    return await cast("Any", config).new_client_from_config(config_file=kubeconfig)


async def _ask(kubeconfig: str) -> None:
    async with await _connect(kubeconfig) as api:
        await client.VersionApi(api).get_code(_request_timeout=20)


@pytest.fixture
async def api(cluster: Cluster, anyio_backend: str) -> AsyncIterator[Api]:
    """Give a client that may do everything."""
    assert anyio_backend == "asyncio"
    async with await _connect(str(cluster.kubeconfig)) as made:
        yield made


async def until(read: Callable[[], Awaitable[Any]], good: Callable[[Any], bool]) -> Any:  # noqa: ANN401
    """Read again until it is good, and return that; the last value is told if it never is."""
    value: Any = None
    try:
        with anyio.fail_after(DEADLINE):
            while True:
                value = await read()
                if good(value):
                    return value
                await anyio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"still {value!r} after {DEADLINE} s")


@pytest.fixture
async def namespace(api: Api) -> AsyncIterator[str]:
    """Give an empty namespace in which pods can be made; everything in it goes with it."""
    core: Core = client.CoreV1Api(api)
    name = f"test-{uuid.uuid4().hex[:10]}"
    await core.create_namespace({"metadata": {"name": name}})
    try:
        # No pod can be made before its account is there.
        await until(
            lambda: core.list_namespaced_service_account(name), lambda found: bool(found.items)
        )
        yield name
    finally:
        await core.delete_namespace(name)


@pytest.fixture
def configured(cluster: Cluster, namespace: str) -> Settings:
    """Give the settings of a hub whose own objects are in an empty namespace."""
    return replace(
        settings(instance="kt", session_domain=PATH_MODE, path_mode_sharing=PATH_MODE_SHARING),
        kubernetes=Kubernetes(
            namespace=namespace,
            hub_namespace=namespace,
            kubeconfig=str(cluster.kubeconfig),
            timeout_seconds=60,
        ),
    )


@pytest.fixture
def impatient() -> Iterator[None]:
    """Let the half minute between two lists be a second: nothing is learnt by waiting for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "_RELIST_SECONDS", 1.0)
        yield


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Iterator[str]:
    """Give the name of images that the cluster's node has, before the colon."""
    del cluster  # without one there is nothing to build for
    name = f"kt-{uuid.uuid4().hex[:10]}"
    build(name)
    yield name
    forget(name)


@pytest.fixture
async def lab(cluster: Cluster, images: str, namespace: str) -> AsyncIterator[Lab]:
    """Give an instance of the hub in a namespace of its own."""
    made = Lab(cluster.kubeconfig, cluster.storage_class, namespace, images, "kt")
    yield made
    await made.close()


@pytest.fixture
async def orchestrator(lab: Lab) -> KubernetesOrchestrator:
    """Give the orchestrator of the lab's instance."""
    return lab.orchestrator()


async def running(orchestrator: KubernetesOrchestrator, made: Session) -> None:
    """Wait until a session runs and is whole."""
    await until(
        lambda: orchestrator.get(made.id), lambda seen: seen == Observed(made, running=True)
    )


async def lines(orchestrator: KubernetesOrchestrator, made: Session) -> list[str]:
    """Return what a session has said."""
    return [line async for line in orchestrator.logs(made.id, tail=100)]


@pytest.fixture(scope="session")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The hub, installed; it is gone afterwards."""
    deployment = Deployment(cluster, tmp_path_factory.mktemp("overlay"))
    try:
        deployment.install()
        yield deployment
    finally:
        deployment.remove()


@pytest.fixture(scope="session")
def alice(hub: Deployment) -> Iterator[Person]:
    """Somebody who may use the hub."""
    person = Person(hub.url, "alice")
    yield person
    person.leave()


@pytest.fixture(scope="session")
def bob(hub: Deployment) -> Iterator[Person]:
    """Somebody else who may use the hub."""
    person = Person(hub.url, "bob")
    yield person
    person.leave()


@pytest.fixture
def session(alice: Person) -> str:
    """The id of a session of alice's that is ready."""
    running = next(iter(alice.own()), None) or alice.begin("thesis")
    alice.wait(running, "ready")
    seen(lambda: alice.is_served(running), "the session itself")
    return running
