"""A controller needs the few rights that the manual names, and says which of them it lacks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from kubernetes.aio import client
from msgspec.structs import replace

from controller.core.errors import StoreUnavailable
from controller.core.model import Role, UserId
from controller.core.records import Share
from controller.settings.schema import Settings
from controller.store.kubernetes.store import KubernetesStore
from tests.kubernetes.conftest import DEADLINE, Api, Core
from tests.kubernetes.controllers import election_of, keys_of, leads
from tests.kubernetes.faults import kubeconfig_of
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

ALICE, BOB = UserId("alice"), UserId("bob")

Rules = list[dict[str, Any]]

RULES: Rules = [
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "verbs": ["get", "list", "watch", "create", "update", "delete"],
    },
    {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["kt-keys"],
        "verbs": ["get", "update"],
    },
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["kt-controller"],
        "verbs": ["get", "update"],
    },
]

Limited = Callable[[Rules], Awaitable[Settings]]


@pytest.fixture
async def account(configured: Settings, api: Api, namespace: str, tmp_path: Path) -> Limited:
    """Give a way to get the settings of a controller that has exactly these rights."""
    core: Core = client.CoreV1Api(api)
    rights: Core = client.RbacAuthorizationV1Api(api)
    reached: Any = cast("Any", api).configuration

    async def limited(rules: Rules) -> Settings:
        name = f"limited-{uuid.uuid4().hex[:10]}"
        meta: dict[str, Any] = {"metadata": {"name": name}}
        await core.create_namespaced_service_account(namespace, meta)
        await rights.create_namespaced_role(namespace, meta | {"rules": rules})
        group = "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        role = {"apiGroup": group, "kind": "Role", "name": name}
        await rights.create_namespaced_role_binding(
            namespace, meta | {"subjects": [subject], "roleRef": role}
        )
        asked: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "spec": {}}
        made = await core.create_namespaced_service_account_token(name, namespace, asked)
        path = tmp_path / name
        path.write_text(
            kubeconfig_of(
                str(reached.host), authority=str(reached.ssl_ca_cert), token=made.status.token
            )
        )
        there = replace(configured.kubernetes, kubeconfig=str(path))
        return replace(configured, kubernetes=there)

    return limited


async def live(configured: Settings) -> None:
    """Do with the store and the Lease all that a controller does."""
    store = KubernetesStore(configured, identity="controller-0", wall=time.time)
    await keys_of(store).key_ring()
    await store.ping()
    await store.add_share(Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0))
    with anyio.fail_after(DEADLINE):
        async with aclosing(store.changes()) as followed:
            await anext(followed)
            await store.remove_share(session_id(1), BOB, bar=True)
            await store.add_share(Share(session_id(2), BOB, Role.VIEW, "Bob", created=1.0))
            await store.add_share(Share(session_id(2), ALICE, Role.VIEW, "Alice", created=1.0))
            await anext(followed)
    assert len(await store.shares()) == 2
    await store.aclose()
    election = election_of(configured, "controller-0", time.monotonic)
    async with anyio.create_task_group() as group:
        group.start_soon(election.run)
        await leads(election)
        group.cancel_scope.cancel()


async def test_least_rights(account: Limited, api: Api, namespace: str) -> None:
    """The few rights that the manual names suffice, with an empty Secret for the keys."""
    core: Core = client.CoreV1Api(api)
    await core.create_namespaced_secret(namespace, {"metadata": {"name": "kt-keys"}})
    configured = await account(RULES)
    await live(configured)


async def test_no_rights(account: Limited) -> None:
    """A controller without its rights says which one is missing."""
    store = KubernetesStore(await account([]), identity="controller-0", wall=time.time)
    for call in (store.ping(), store.shares(), keys_of(store).key_ring()):
        with pytest.raises(StoreUnavailable) as caught:
            await call
        assert "The hub may not" in str(caught.value.__notes__)
    await store.aclose()
