"""What the real cluster makes of a session, and what survives crashes, neighbours and faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from msgspec.structs import replace

from controller.core.errors import EngineUnavailable, SessionExists
from controller.core.model import Mount, Observed, Offer, Route, Session, Usage, volume_name
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.engine import KubernetesOrchestrator
from controller.rules import routes
from controller.settings.schema import PATH_MODE
from tests.kubernetes.conftest import Cluster, lines, running, until
from tests.kubernetes.faults import Fault, Proxy, proxy
from tests.kubernetes.lab import NO_GRACE, Lab, session, with_kubernetes

pytestmark = pytest.mark.anyio


@pytest.mark.row(34)
async def test_hardened(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """A session is as closed in as it was asked to be, and inside it shows."""
    made = session(profile="telling")
    await orchestrator.ensure(made)
    await running(orchestrator, made)
    said = await until(lambda: lines(orchestrator, made), lambda found: "started" in found)
    assert said[:4] == [
        "1000",
        "CapBnd:0000000000000000",
        "CapEff:0000000000000000",
        "NoNewPrivs:1",
    ]
    assert any("/x': Read-only file system" in line for line in said)
    assert "writable" in said
    assert any("No such file" in line for line in said)  # no account of the cluster's
    # The cluster's own address is all that it tells of its services.
    assert int(said[said.index("started") - 1]) <= 1
    found = await lab.ask("GET", lab.pod_path(made))
    assert found["status"]["phase"] == "Running"


async def test_files_outlive_sessions(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """What a person wrote is there in the next session, and in no other person's."""
    said: dict[int, list[str]] = {}
    for number, owner in ((1, "alice"), (2, "alice"), (3, "bob")):
        made = session(number, owner=owner, profile="noting")
        await orchestrator.ensure(made)
        await running(orchestrator, made)
        said[number] = await until(
            lambda made=made: lines(orchestrator, made), lambda found: "started" in found
        )
        await orchestrator.remove(made.id, grace=NO_GRACE)
    assert "No such file" in said[1][0]
    assert said[2][0] == "mine"
    assert "No such file" in said[3][0]
    await until(lab.left, lambda found: found == [])
    claims = [one["metadata"]["name"] for one in await lab.objects("persistentvolumeclaims")]
    instance = lab.settings.instance
    assert sorted(claims) == sorted(
        {volume_name(instance, session(owner=owner).owner) for owner in ("alice", "bob")}
    )


async def test_files_of_groups(orchestrator: KubernetesOrchestrator) -> None:
    """The files of groups are where a session expects them."""
    volumes = (Mount("atlas", writable=False), Mount("cases", writable=True))
    made = replace(session(profile="noting"), volumes=volumes)
    await orchestrator.ensure(made)
    await running(orchestrator, made)
    said = await until(lambda: lines(orchestrator, made), lambda found: "started" in found)
    assert said[-3:-1] == ["atlas", "cases"]


async def test_the_pod_owns_all(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """Whoever deletes a session's Pod deletes all of the session, and not its files."""
    made = session()
    await orchestrator.ensure(made)
    assert len(await lab.left()) == 7
    await lab.ask("DELETE", lab.pod_path(made))
    await until(lab.left, lambda found: found == [])
    assert await orchestrator.list() == []
    assert len(await lab.objects("persistentvolumeclaims")) == 1


async def test_order(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """A session is closed in before it is reachable, and its route comes last."""
    await orchestrator.ensure(session())
    made: list[tuple[int, str]] = []
    for plural in ("pods", "networkpolicies", "services", "middlewares", "ingressroutes"):
        for one in await lab.objects(plural):
            times = one["metadata"]
            # A Pod changes all the time; the others are as they were made.
            made += [] if plural == "pods" else [(int(times["resourceVersion"]), plural)]
    assert [plural for _, plural in sorted(made)] == [
        "networkpolicies",
        "services",
        "middlewares",
        "middlewares",
        "middlewares",
        "ingressroutes",
    ]


async def test_repair(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """Whatever of a session is deleted by hand is missed, and made again."""
    made = session()
    await orchestrator.ensure(made)
    await running(orchestrator, made)
    for one in await lab.left():
        plural, _, name = one.partition("/")
        if plural == "pods":
            continue
        await lab.ask("DELETE", lab.path(plural, name))
        seen = await orchestrator.get(made.id)
        assert seen is not None
        assert not seen.complete, one
        await orchestrator.ensure(made)
        assert await orchestrator.get(made.id) == Observed(made, running=True)


async def test_half_made(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """A Pod that a crash left alone is a session that lacks something; ensure completes it."""
    made = session()
    profile = lab.settings.profile(made.profile)
    assert profile is not None
    await lab.ask("POST", lab.path("pods"), manifests.pod(made, profile, lab.settings))
    seen = await orchestrator.get(made.id)
    assert seen is not None
    assert not seen.complete
    await orchestrator.ensure(made)
    await running(orchestrator, made)


async def test_two_hubs(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """Two hubs in one namespace know nothing of each other's sessions, nor of foreign Pods."""
    neighbour = lab.orchestrator(replace(lab.settings, instance="other"))
    mine, theirs = session(1), session(2)
    await orchestrator.ensure(mine)
    await neighbour.ensure(theirs)
    foreign = manifests.pod(session(3, name="foreign"), lab.settings.profiles[0], lab.settings)
    del foreign["metadata"]["labels"], foreign["metadata"]["annotations"]
    await lab.ask("POST", lab.path("pods"), foreign)
    assert [one.session for one in await orchestrator.list()] == [mine]
    assert [one.session for one in await neighbour.list()] == [theirs]
    await orchestrator.remove(theirs.id, grace=NO_GRACE)
    with pytest.raises(SessionExists):
        await orchestrator.ensure(session(4, name="foreign"))
    assert [one.session for one in await neighbour.list()] == [theirs]
    assert await lab.ask("GET", lab.path("pods", foreign["metadata"]["name"])) is not None


async def test_a_claim_of_somebody_else(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """Files that are not marked as a person's are not given to them."""
    made = session()
    body = manifests.claim(session(owner="mallory").owner, lab.settings)
    body["metadata"]["name"] = volume_name(lab.settings.instance, made.owner)
    await lab.ask("POST", lab.path("persistentvolumeclaims"), body)
    with pytest.raises(EngineUnavailable, match="not annotated as alice's"):
        await orchestrator.ensure(made)
    assert await lab.left() == []


@pytest.fixture
async def spoiled(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> AsyncIterator[tuple[Proxy, KubernetesOrchestrator]]:
    """Give a proxy that can spoil watches, and an orchestrator behind it."""
    async with proxy(cluster.kubeconfig, tmp_path) as (made, kubeconfig):
        behind = lab.orchestrator(with_kubernetes(lab.settings, kubeconfig=str(kubeconfig)))
        yield made, behind
        await behind.aclose()


@pytest.mark.row(43)
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [one for one in Fault if one is not Fault.NONE])
async def test_watch_faults(
    orchestrator: KubernetesOrchestrator,
    spoiled: tuple[Proxy, KubernetesOrchestrator],
    fault: Fault,
) -> None:
    """Whatever happens to its watches, the hub soon knows the truth again, without a storm."""
    between, behind = spoiled
    snapshots: list[Sequence[Observed]] = []

    async def follow() -> None:
        async with aclosing(behind.watch()) as watching:
            async for snapshot in watching:
                snapshots.append(snapshot)  # noqa: PERF401 - it never ends

    async def newest() -> list[Session]:
        return [one.session for one in snapshots[-1]] if snapshots else [session(99)]

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await until(newest, lambda found: found == [])
        between.spoil(fault)
        started, before = anyio.current_time(), between.lists
        await orchestrator.ensure(session())
        await until(newest, lambda found: found == [session()])
        await orchestrator.remove(session().id, grace=NO_GRACE)
        await until(newest, lambda found: found == [])
        rounds = anyio.current_time() - started + 2
        assert between.lists - before <= 6 * rounds  # one list of each kind a second at most
        between.spoil(Fault.NONE)
        await orchestrator.ensure(session(2))
        await until(newest, lambda found: found == [session(2)])
        group.cancel_scope.cancel()


async def test_usage(
    orchestrator: KubernetesOrchestrator, spoiled: tuple[Proxy, KubernetesOrchestrator]
) -> None:
    """Where the cluster measures, what a session takes is known; else it is not made up."""
    between, behind = spoiled
    await orchestrator.ensure(session())
    between.metrics = {
        "kind": "PodMetricsList",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": "x", "labels": {"slicerhub/session": session().id}},
                "timestamp": "2026-03-05T15:00:00Z",
                "window": "15s",
                "containers": [{"name": "session", "usage": {"cpu": "250m", "memory": "20Mi"}}],
            }
        ],
    }
    assert await behind.usage(session().id) == Usage(25.0, 20 * 2**20)
    assert await behind.usage(session(2).id) is None


async def test_companions(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """Services that want the hub's log-in are found by their annotations, and no others."""
    marked = {"slicerhub/app": "wiki", "slicerhub/title": "Wiki", "slicerhub/groups": "staff"}
    rule = "PathPrefix(`/apps/wiki/`)"
    await lab.offer("wiki", marked, rule=rule)
    await lab.offer("plain", {}, rule=rule)
    await lab.offer("theirs", marked, rule=rule, instance="another")
    assert await orchestrator.apps() == []
    asked = lab.orchestrator(with_kubernetes(lab.settings, apps_namespace=lab.namespace))
    assert await asked.apps() == [
        Offer(
            where=f"{lab.namespace}/wiki",
            app="wiki",
            title="Wiki",
            groups="staff",
            routes=(Route(rule="PathPrefix(`/apps/wiki/`)", guarded=True),),
        )
    ]
    assert await asked.list() == []


@pytest.mark.parametrize("domain", [PATH_MODE, ""], ids=["path", "own host"])
async def test_served_by_traefik(lab: Lab, cluster: Cluster, domain: str) -> None:
    """Traefik serves a session to those whom verify lets through, and never to anybody else."""
    address = f"http://verify.{lab.namespace}.svc:{{port}}"
    there = replace(lab.settings, session_domain=domain)
    orchestrator = lab.orchestrator(with_kubernetes(there, verify_url=address))
    await start_verify(lab)
    made = session(profile="web")
    where = urlsplit(routes.session_url(made.id, there, "http://localhost"))
    url = cluster.traefik_url + where.path
    seen: set[int] = set()

    async def ask(authorization: str) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"Authorization": authorization, "Host": where.netloc}
            answer = await client.get(url, headers=headers)
            return answer.status_code

    async def knock() -> None:
        while True:
            seen.add(await ask("Bearer no"))
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as group:
        group.start_soon(knock)
        await orchestrator.ensure(made)
        await until(lambda: ask("Bearer yes"), lambda status: status == 200)
        await orchestrator.remove(made.id, grace=NO_GRACE)
        await until(lambda: ask("Bearer yes"), lambda status: status == 404)
        group.cancel_scope.cancel()
    assert 401 in seen
    assert not any(status < 400 for status in seen), seen


async def start_verify(lab: Lab) -> None:
    """Start what Traefik asks, behind one Service with as many ports as the controller has."""
    profile = lab.settings.profile("verify")
    assert profile is not None
    pod = {
        "metadata": {"name": "verify", "labels": {"app": "verify"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {"name": "verify", "image": profile.image, "imagePullPolicy": "IfNotPresent"}
            ],
        },
    }
    first = routes.VERIFY_PORT
    ports = [
        {"name": f"verify-{port - first}", "port": port, "targetPort": first}
        for port in range(first, first + routes.VERIFY_ALIASES)
    ]
    service = {
        "metadata": {"name": "verify"},
        "spec": {"selector": {"app": "verify"}, "ports": ports},
    }
    await lab.ask("POST", lab.path("pods"), pod)
    await lab.ask("POST", lab.path("services"), service)
    await until(
        lambda: lab.ask("GET", lab.path("pods", "verify")),
        lambda found: cast("dict[str, Any]", found)["status"]["phase"] == "Running",
    )
