"""What is told of a session that cannot start or has failed, and of a cluster that is away."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from controller.core.errors import EngineUnavailable, ImageRefused, QuotaReached, SessionStopping
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.engine import KubernetesOrchestrator
from tests.contract.conftest import until_ended
from tests.kubernetes.conftest import Cluster, lines, until
from tests.kubernetes.faults import kubeconfig_of
from tests.kubernetes.lab import NO_GRACE, Lab, session, with_kubernetes

pytestmark = pytest.mark.anyio

STUCK = [
    ("elsewhere", "Waiting for a free machine.", "Unschedulable"),
    ("card", "Waiting for a free machine.", "nvidia.com/gpu"),
    ("missing", "The program cannot be fetched. Tell the administrator.", "none"),
]


@pytest.mark.parametrize(("profile", "told", "message"), STUCK)
async def test_stuck(
    lab: Lab, orchestrator: KubernetesOrchestrator, profile: str, told: str, message: str
) -> None:
    """A start that cannot go on says what it waits for, and can be stopped."""
    made = session(profile=profile)
    await orchestrator.check(profile)
    await orchestrator.ensure(made)
    seen = await until(
        lambda: orchestrator.get(made.id),
        lambda found: str(found.progress) == told and message in found.message,
    )
    assert not seen.running
    assert seen.exit_code is None
    assert await lines(orchestrator, made) == []
    await orchestrator.remove(made.id, grace=NO_GRACE)
    await until(lab.left, lambda found: found == [])


async def test_out_of_memory(orchestrator: KubernetesOrchestrator) -> None:
    """A session that needed too much memory says so."""
    made = session(profile="hungry")
    await orchestrator.ensure(made)
    seen = await until_ended(orchestrator, made)
    assert seen.exit_code == 137
    assert str(seen.progress) == "It needed more memory than it may have."
    assert seen.message.startswith("OOMKilled")


async def test_broken_program(orchestrator: KubernetesOrchestrator) -> None:
    """An image whose program is not there ends, with the engine's words for the administrator."""
    made = session(profile="broken")
    await orchestrator.ensure(made)
    seen = await until(lambda: orchestrator.get(made.id), lambda found: "/nowhere" in found.message)
    assert not seen.running
    await orchestrator.remove(made.id, grace=NO_GRACE)
    assert await orchestrator.list() == []


async def test_lost_node(lab: Lab) -> None:
    """A session on a machine that is lost is told as such, and can be stopped all the same."""
    impatient = lab.orchestrator(with_kubernetes(lab.settings, force_seconds=2))
    made = session()
    profile = lab.settings.profile(made.profile)
    assert profile is not None
    body = manifests.pod(made, profile, lab.settings)
    body["spec"]["nodeName"] = "lost"  # no kubelet of this name will ever do anything about it
    pod = await lab.ask("POST", lab.path("pods"), body)
    pod["status"] = {
        "phase": "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "ContainersReady", "status": "True"},
            {"type": "Ready", "status": "False"},
        ],
        "containerStatuses": [
            {
                "name": manifests.CONTAINER,
                "state": {"running": {"startedAt": "2026-03-05T15:00:00Z"}},
                "ready": True,
                "restartCount": 0,
                "image": "x",
                "imageID": "x",
            }
        ],
    }
    await lab.ask("PUT", f"{lab.pod_path(made)}/status", pod)
    seen = await impatient.get(made.id)
    assert seen is not None
    assert not seen.healthy
    assert str(seen.progress) == "The machine that it runs on does not answer."
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: impatient.remove(made.id, grace=NO_GRACE))
        await until(lambda: impatient.get(made.id), lambda found: found is None or found.deleting)
        # The mark is in the cluster: another controller sees it, and nothing starts meanwhile.
        try:
            await lab.orchestrator().ensure(session(2))
        except SessionStopping:
            pass
        else:
            pytest.fail("a second session was started on the same files")
    assert await impatient.get(made.id) is None
    await until(lab.left, lambda found: found == [])


async def test_quota(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """Where the namespace is full people are told to wait, and nothing is left of the try."""
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    await lab.ask("POST", lab.path("resourcequotas"), quota)
    await until(
        lambda: lab.ask("GET", lab.path("resourcequotas", "none")),
        lambda found: "hard" in found.get("status", {}),
    )
    with pytest.raises(QuotaReached):
        await orchestrator.ensure(session())
    assert await lab.left() == []


async def test_not_admitted(lab: Lab, orchestrator: KubernetesOrchestrator) -> None:
    """A profile that the cluster does not admit is refused by the check and by the start."""
    for call in (
        orchestrator.check("unknown-class"),
        orchestrator.ensure(session(profile="unknown-class")),
    ):
        with pytest.raises(ImageRefused) as caught:
            await call
        assert "no-such-class" in caught.value.cause
    assert await lab.left() == []


async def test_missing_right(lab: Lab, cluster: Cluster, tmp_path: Path) -> None:
    """A right that the hub has not got is named."""
    del cluster
    path = f"{lab.path('serviceaccounts', 'default')}/token"
    made = await lab.ask("POST", path, {"apiVersion": "authentication.k8s.io/v1", "spec": {}})
    server, authority = await lab.address()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(kubeconfig_of(server, authority=authority, token=made["status"]["token"]))
    powerless = lab.orchestrator(with_kubernetes(lab.settings, kubeconfig=str(kubeconfig)))
    with pytest.raises(EngineUnavailable, match="The hub may not list pods") as caught:
        await powerless.ping()
    assert f"system:serviceaccount:{lab.namespace}:default" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kubeconfig": "/nowhere"}, "address is not known"),
        ({"kubeconfig": ""}, "run the controller in the cluster"),
    ],
)
async def test_no_cluster(lab: Lab, changes: dict[str, str], sentence: str) -> None:
    """Where no cluster can be found it is said what to set."""
    lost = lab.orchestrator(with_kubernetes(lab.settings, **changes))
    with pytest.raises(EngineUnavailable, match=sentence):
        await lost.ping()


async def test_no_answer(lab: Lab, tmp_path: Path, free_tcp_port: int) -> None:
    """A cluster that does not answer is unavailable, in words, and asked again later."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(kubeconfig_of(f"http://127.0.0.1:{free_tcp_port}"))
    lost = lab.orchestrator(with_kubernetes(lab.settings, kubeconfig=str(kubeconfig)))
    with pytest.raises(EngineUnavailable, match="Running sessions go on"):
        await lost.list()
