"""Sessions on a cluster that says something of one of them that nobody expects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from controller.core.model import Observed
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.engine import KubernetesOrchestrator
from controller.settings.loading import SLICER
from controller.settings.schema import Kubernetes
from tests.support.fakes.api_server import api_server
from tests.support.samples import session, settings

pytestmark = pytest.mark.anyio

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
