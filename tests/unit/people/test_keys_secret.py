"""The key ring in a Secret: every controller reads the same one, and no change of it is lost."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from controller.cluster.client import Api
from controller.core.errors import ConfigError, StoreUnavailable
from controller.people.keys import rotate
from controller.people.keys_secret import KeySecret
from controller.people.tokens import KeyRing
from controller.settings.schema import Kubernetes
from tests.support.fakes.api_server import ApiServer, api_server

pytestmark = pytest.mark.anyio

NAME = "slicerhub-keys"
NOW = 1_800_000_000.0
META = {"name": NAME, "labels": {"site": "ours"}, "annotations": {"note": "keep"}}


class Cluster:
    """A cluster and what controllers do with its Secret."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        """Each controller reaches this server by a connection of its own."""
        self.server = server
        there = Kubernetes(hub_namespace="n", kubeconfig=str(kubeconfig))
        self.apis = [Api(there) for _ in range(4)]
        self.controllers = [KeySecret(api, "slicerhub", lambda: NOW) for api in self.apis]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncGenerator[Cluster, None]:
    """Give a cluster without the Secret."""
    async with api_server(tmp_path) as (server, path):
        made = Cluster(server, path)
        yield made
        for api in made.apis:
            await api.aclose()


@pytest.mark.parametrize("there", [False, True])
async def test_first_starts_at_once(cluster: Cluster, *, there: bool) -> None:
    """Controllers that start at once share the ring of the first, in a Secret of their own label.

    One that the installation has brought keeps what is written on it.
    """
    if there:
        cluster.server.put({"kind": "Secret", "metadata": META})
    rings: list[KeyRing] = []

    async def start(one: KeySecret) -> None:
        rings.append(await one.key_ring())

    async with anyio.create_task_group() as group:
        for one in cluster.controllers:
            group.start_soon(start, one)
    assert len(rings) == len(cluster.controllers)
    assert all(ring == rings[0] for ring in rings)
    meta = cluster.server.named(NAME)["metadata"]
    assert meta["labels"] == (META["labels"] if there else {"slicerhub/instance": "slicerhub"})
    assert meta.get("annotations") == (META["annotations"] if there else None)


async def test_rotations_at_once(cluster: Cluster) -> None:
    """Of changes at once none is lost, and what else is in the Secret stays."""
    other = b64encode(b"kept").decode()
    cluster.server.put({"kind": "Secret", "metadata": META, "data": {"other": other}})
    first = await cluster.controllers[0].key_ring()

    async def turn(one: KeySecret) -> None:
        await rotate(one, now=NOW, seconds=60, expiries=())

    async with anyio.create_task_group() as group:
        for one in cluster.controllers:
            group.start_soon(turn, one)
    ring = await cluster.controllers[0].key_ring(make=False)
    assert len(ring.keys) == len(first.keys) + 2 * len(cluster.controllers)
    assert cluster.server.named(NAME)["data"]["other"] == other


async def test_what_cannot_be_read(cluster: Cluster) -> None:
    """A missing ring, an unsafe one and a cluster that does not answer are told apart."""
    one = cluster.controllers[0]
    with pytest.raises(ConfigError, match="no keys in the Secret slicerhub-keys"):
        await one.key_ring(make=False)
    weak = b64encode(b'{"keys":[{"kid":"a","secret":"00"}]}').decode()
    cluster.server.put({"kind": "Secret", "metadata": META, "data": {"keys.json": weak}})
    with pytest.raises(ConfigError, match="Secret slicerhub-keys"):
        await one.key_ring()
    cluster.server.down = True
    with pytest.raises(StoreUnavailable):
        await one.key_ring()
