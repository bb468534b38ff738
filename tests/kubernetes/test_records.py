"""What controllers keep in the cluster: one key ring, and records that all of them soon know."""

from __future__ import annotations

import time
from contextlib import aclosing
from pathlib import Path

import anyio
import msgspec
import pytest
from kubernetes.aio import client
from msgspec.structs import replace

from controller.cluster import client as cluster_client
from controller.core.errors import ConfigError, StoreUnavailable
from controller.core.model import Role, UserId
from controller.core.records import Memo, Share
from controller.feed.certificates import Proofs
from controller.feed.proofs_secret import CONTROLLER_KEY, ProofSecret
from controller.gate.link import LINK_FILE
from controller.parts import open_store
from controller.people.keys import replace_all, rotate
from controller.settings.schema import Settings
from controller.store.kubernetes.store import KubernetesStore
from tests.kubernetes.conftest import Api, Cluster, Core, until
from tests.kubernetes.controllers import keys_of
from tests.kubernetes.faults import Fault, proxy
from tests.support.hub import Clock, eventually
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

BOB = UserId("bob")


async def test_one_key_ring(configured: Settings) -> None:
    """Controllers that start at once share one key ring, made by the first."""
    stores = [
        KubernetesStore(configured, identity=f"controller-{number}", wall=time.time)
        for number in range(4)
    ]
    rings: list[object] = []

    async def read(store: KubernetesStore) -> None:
        rings.append(await keys_of(store).key_ring())

    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(read, store)
    assert len(rings) == 4
    assert all(ring == rings[0] for ring in rings)
    for store in stores:
        await store.aclose()


async def test_rotated_in_the_cluster(configured: Settings) -> None:
    """Of rotations at once none is lost, and every controller reads the same key ring."""
    stores = [
        KubernetesStore(configured, identity=f"controller-{number}", wall=time.time)
        for number in range(3)
    ]
    with pytest.raises(ConfigError, match="no keys in the Secret kt-keys"):
        await keys_of(stores[0]).key_ring(make=False)
    with pytest.raises(ConfigError, match="no keys"):
        await rotate(keys_of(stores[0]), now=time.time(), seconds=60, expiries=())
    first = (await keys_of(stores[0]).key_ring()).keys

    async def turn(store: KubernetesStore) -> None:
        await rotate(keys_of(store), now=time.time(), seconds=60, expiries=())

    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(turn, store)
    rings = [await keys_of(store).key_ring(make=False) for store in stores]
    assert len({one.kid for one in rings[0].keys}) == 8
    assert all(ring == rings[0] for ring in rings)
    assert [(one.kid, one.secret) for one in rings[0].keys[-2:]] == [
        (one.kid, one.secret) for one in first
    ]
    fresh = await replace_all(keys_of(stores[1]), now=time.time())
    assert await keys_of(stores[2]).key_ring(make=False) == fresh
    assert len(fresh.keys) == 2
    for store in stores:
        await store.aclose()


async def test_keys_of_the_manifests(configured: Settings, api: Api, namespace: str) -> None:
    """An empty Secret that the installation brought is filled and keeps what is written on it."""
    core: Core = client.CoreV1Api(api)
    meta = {"name": "kt-keys", "labels": {"site": "ours"}, "annotations": {"note": "keep"}}
    await core.create_namespaced_secret(namespace, {"metadata": meta})
    store = KubernetesStore(configured, identity="controller-0", wall=time.time)
    ring = await keys_of(store).key_ring()
    found = await core.read_namespaced_secret("kt-keys", namespace)
    assert found.metadata.labels == {"site": "ours"}
    assert found.metadata.annotations["note"] == "keep"
    assert await keys_of(store).key_ring() == ring
    weak = msgspec.json.encode({"keys": [{"kid": "a", "secret": "00"}]})
    content = {"stringData": {"keys.json": weak.decode()}}
    await core.patch_namespaced_secret("kt-keys", namespace, content)
    with pytest.raises(ConfigError, match="Secret kt-keys"):
        await keys_of(store).key_ring()
    await store.aclose()


async def test_proofs_of_gates(configured: Settings, api: Api, namespace: str) -> None:
    """Controllers that start at once fill the empty Secret with one set of proofs, and keep it."""
    core: Core = client.CoreV1Api(api)
    meta = {"name": "kt-gates", "labels": {"site": "ours"}}
    await core.create_namespaced_secret(namespace, {"metadata": meta})
    found: list[Proofs] = []

    async def start() -> None:
        there = cluster_client.Api(configured.kubernetes)
        found.append(await ProofSecret(there, "kt", "kt-gates", time.time).proofs())

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(start)
    await start()
    assert len(found) == 5
    assert all(proofs == found[0] for proofs in found)
    kept = await core.read_namespaced_secret("kt-gates", namespace)
    assert kept.metadata.labels == {"site": "ours"}
    assert kept.data.keys() == {CONTROLLER_KEY, LINK_FILE}
    await core.replace_namespaced_secret("kt-gates", namespace, {"metadata": meta})
    await start()
    assert found[-1] != found[0]


async def test_foreign_objects(configured: Settings, api: Api, namespace: str) -> None:
    """An object of that name that is not the hub's is neither believed nor written over."""
    core: Core = client.CoreV1Api(api)
    name = f"kt-grants-{session_id(1)}"
    await core.create_namespaced_config_map(
        namespace, {"metadata": {"name": name}, "data": {"body": "{}"}}
    )
    store = KubernetesStore(configured, identity="controller-0", wall=time.time)
    with pytest.raises(StoreUnavailable) as caught:
        await store.add_share(Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0))
    assert "not the hub's" in str(caught.value.__notes__)
    found = await core.read_namespaced_config_map(name, namespace)
    assert found.data == {"body": "{}"}
    await store.aclose()


async def test_instances(configured: Settings) -> None:
    """Two hubs in one namespace know nothing of each other's people."""
    ours = KubernetesStore(configured, identity="controller-0", wall=time.time)
    theirs = KubernetesStore(replace(configured, instance="other"), identity="c", wall=time.time)
    share = Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0)
    await ours.add_share(share)
    assert await theirs.shares() == []
    await theirs.remove_person(BOB)
    assert await ours.shares() == [share]
    assert await keys_of(ours).key_ring() != await keys_of(theirs, instance="other").key_ring()
    for store in (ours, theirs):
        await store.aclose()


async def test_memos_of_others(configured: Settings) -> None:
    """A controller hears how idle sessions are by the others, as long as those run."""
    clock = Clock()
    one, other = (
        KubernetesStore(configured, identity=name, wall=clock.wall) for name in ("one", "other")
    )
    await one.put_memos({session_id(1): Memo(age=100.0, idle=50.0, served=True)})
    clock.step(10)
    await other.put_memos({session_id(1): Memo(age=90.0, idle=5.0, served=True)})
    assert await one.others_memos() == {session_id(1): Memo(age=90.0, idle=5.0, served=True)}
    assert await other.others_memos() == {session_id(1): Memo(age=100.0, idle=60.0, served=True)}
    assert await one.memos() == {session_id(1): Memo(age=90.0, idle=5.0, served=True)}
    clock.step(3700)
    assert await one.others_memos() == {}
    await one.put_memos({})
    assert await one.memos() == {}
    for store in (one, other):
        await store.aclose()


FAULTS = sorted(set(Fault) - {Fault.NONE, Fault.BOOKMARKS})


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
async def test_watch_faults(
    configured: Settings, cluster: Cluster, tmp_path: Path, fault: Fault
) -> None:
    """Whatever happens to its watch, a controller soon knows what another wrote."""
    share = Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0)
    async with proxy(cluster.kubeconfig, tmp_path) as (between, path):
        there = replace(configured.kubernetes, kubeconfig=str(path))
        behind = replace(configured, kubernetes=there)
        follower = KubernetesStore(behind, identity="follower", wall=time.time)
        writer = KubernetesStore(configured, identity="writer", wall=time.time)
        seen: list[list[Share]] = []

        async def follow() -> None:
            async with aclosing(follower.changes()) as changes:
                async for _ in changes:
                    try:
                        seen.append(await follower.shares())
                    except StoreUnavailable:
                        continue  # it is told again

        async def newest() -> list[Share]:
            return seen[-1]

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await eventually(lambda: seen == [[]])
            between.spoil(fault)
            await writer.add_share(share)
            await until(newest, lambda found: found == [share])
            await writer.remove_share(share.session, BOB, bar=True)
            await until(newest, lambda found: found == [])
            group.cancel_scope.cancel()
        await follower.aclose()
        await writer.aclose()


async def test_what_the_settings_name(configured: Settings) -> None:
    """A controller that is told to keep its records in the cluster does so, keys included."""
    store, key_storage = open_store(replace(configured, store="kubernetes"), "controller-0")
    own = KubernetesStore(configured, identity="another", wall=time.time)
    assert await keys_of(own).key_ring() == await key_storage.key_ring(make=False)
    await store.add_share(Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0))
    assert len(await own.shares()) == 1
    for one in (store, own):
        await one.aclose()
