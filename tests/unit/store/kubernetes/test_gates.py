"""The roster of gates, when several controllers keep it in the cluster's records."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import StoreUnavailable
from controller.core.records import Gate
from controller.settings.schema import Kubernetes
from controller.store import GATES_MOST
from controller.store.kubernetes.store import KubernetesStore
from tests.support.fakes.api_server import ApiServer, api_server
from tests.support.samples import settings

pytestmark = pytest.mark.anyio

DEADLINE = 20.0  # seconds

NOW = time.time()

FIRST, SECOND = Gate("gate-1", "boot-a", NOW), Gate("gate-2", "boot-b", NOW)


class Pair:
    """Two controllers of one hub."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        """Both reach this server."""
        self.server = server
        there = Kubernetes(namespace="n", hub_namespace="n", kubeconfig=str(kubeconfig))
        configured = replace(settings(), kubernetes=there)
        self.one, self.other = (
            KubernetesStore(configured, identity=name, wall=time.time) for name in ("one", "other")
        )


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncGenerator[Pair, None]:
    """Give two controllers, whose roster is empty."""
    async with api_server(tmp_path) as (server, path):
        made = Pair(server, path)
        yield made
        for store in (made.one, made.other):
            await store.aclose()


async def test_both_at_once(pair: Pair) -> None:
    """Gates that come to two controllers at the same moment are all on the roster."""
    gates = [Gate(f"gate-{number:02}", "boot-a", NOW + number) for number in range(10)]
    async with anyio.create_task_group() as group:
        for number, gate in enumerate(gates):
            store = pair.other if number % 2 else pair.one
            group.start_soon(store.put_gate, gate)
    for store in (pair.one, pair.other):
        assert await store.gates() == tuple(gates)


async def test_known_before_it_is_told(pair: Pair) -> None:
    """A gate of another controller is known at once, even if news arrive late."""
    following = anyio.Event()

    async def follow() -> None:
        async with aclosing(pair.other.changes()) as changes:
            async for _ in changes:
                following.set()

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        with anyio.fail_after(DEADLINE):
            await following.wait()
        pair.server.held = True
        await pair.one.put_gate(FIRST)
        assert await pair.other.gates() == (FIRST,)
        await pair.one.remove_gate(FIRST)
        assert await pair.other.gates() == ()
        group.cancel_scope.cancel()


async def test_goodbye_to_another_controller(pair: Pair) -> None:
    """A gate may say goodbye to a controller that it did not come to; a later start stays."""
    for gate in (FIRST, SECOND):
        await pair.one.put_gate(gate)
    restarted = replace(FIRST, boot="boot-c")
    await pair.one.put_gate(restarted)
    await pair.other.remove_gate(FIRST)
    await pair.other.remove_gate(SECOND)
    assert await pair.one.gates() == (restarted,)


async def test_full_for_both(pair: Pair) -> None:
    """The bound holds for the gates of all controllers together."""
    for number in range(GATES_MOST):
        await pair.one.put_gate(Gate(f"gate-{number:02}", "boot-a", NOW))
    with pytest.raises(StoreUnavailable, match=f"{GATES_MOST} gates already"):
        await pair.other.put_gate(Gate("gate-late", "boot-a", NOW))
    assert len(await pair.one.gates()) == GATES_MOST
