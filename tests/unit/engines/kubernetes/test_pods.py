"""What the cluster says of a Pod, told to the person who waits and to the administrator."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from controller.core.model import Observed, Usage
from controller.engines.kubernetes import answers, manifests, observed, progress
from controller.engines.kubernetes.answers import ContainerMetrics, Event, Pod
from controller.engines.kubernetes.children import child_names
from controller.settings.loading import SLICER
from tests.support.samples import session, settings

HUB = settings()
UID = "5d3a776b-283e-442a-9f71-90299085fd95"
FORBIDDEN_WORDS = re.compile(r"\b(containers?|pods?|images?|routes?|tokens?)\b", re.IGNORECASE)
ENDED = "2026-03-05T15:00:00Z"

Facts = dict[str, Any]  # as the engine's JSON


def pod(status: Facts, **metadata: Any) -> Pod:  # noqa: ANN401
    """Return the Pod of a session as the engine tells of it, with fields that nobody looks at."""
    made = manifests.pod(session(), SLICER, HUB)
    facts = {
        **made,
        "metadata": made["metadata"] | {"uid": UID, "managedFields": [{}]} | metadata,
        "status": {"qosClass": "Burstable", **status},
    }
    return msgspec.json.decode(msgspec.json.encode(facts), type=Pod)


def event(reason: str, message: str = "", *, kind: str = "Normal", at: str = ENDED) -> Event:
    """Return an event of that Pod."""
    facts = {
        "metadata": {"name": f"x.{reason}"},
        "involvedObject": {"kind": "Pod", "uid": UID},
        "reason": reason,
        "message": message,
        "type": kind,
        "lastTimestamp": at,
        "eventTime": None,
    }
    return msgspec.json.decode(msgspec.json.encode(facts), type=Event)


def statuses(**state: Facts) -> list[Facts]:
    """Return the status of the one container."""
    return [{"name": "session", "state": state, "restartCount": 0}]


def conditions(**found: str | tuple[str, str, str]) -> list[Facts]:
    """Return conditions by name: their status, or (status, reason, message)."""
    made: list[Facts] = []
    for kind, said in found.items():
        status, reason, message = said if isinstance(said, tuple) else (said, "", "")
        made.append({"type": kind, "status": status, "reason": reason, "message": message})
    return made


PENDING: Facts = {"phase": "Pending", "conditions": conditions(PodScheduled="True")}
UNBOUND = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
BUSY = "0/3 nodes are available: 3 Insufficient memory."
MULTI = 'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node'
RUNNING: Facts = {
    "phase": "Running",
    "conditions": conditions(PodScheduled="True", Ready="True", ContainersReady="True"),
    "containerStatuses": statuses(running={"startedAt": ENDED}),
}


def unschedulable(message: str) -> Facts:
    """Return the status of a Pod for which there is no node."""
    return {
        "phase": "Pending",
        "conditions": conditions(PodScheduled=("False", "Unschedulable", message)),
    }


def waiting(reason: str, message: str = "") -> Facts:
    """Return the status of a Pod whose container does not come to run."""
    return PENDING | {"containerStatuses": statuses(waiting={"reason": reason, "message": message})}


# What is so, what happened last, what the person is told, what the administrator is told.
STARTS: list[tuple[Facts, Event | None, str, str]] = [
    ({"phase": "Pending"}, None, "", ""),
    (unschedulable(BUSY), None, "Waiting for a free machine.", f"Unschedulable: {BUSY}"),
    (
        unschedulable(UNBOUND),
        event("FailedScheduling", UNBOUND, kind="Warning"),
        "Waiting for storage for your files.",
        f"Unschedulable: {UNBOUND}",
    ),
    (
        unschedulable(BUSY),
        event("TriggeredScaleUp", "pod triggered scale-up"),
        "Waiting for a new machine to start.",
        f"Unschedulable: {BUSY}",
    ),
    (PENDING, event("Scheduled"), "A machine was found; your files are being connected.", ""),
    (
        PENDING,
        event("FailedAttachVolume", MULTI, kind="Warning"),
        "Your files are still connected elsewhere. Stop your other session, or wait a little.",
        f"FailedAttachVolume: {MULTI}",
    ),
    (
        waiting("ContainerCreating"),
        event("FailedMount", "timed out waiting for the condition", kind="Warning"),
        "Connecting your files takes longer than usual.",
        "FailedMount: timed out waiting for the condition",
    ),
    (
        waiting("ContainerCreating"),
        event("Pulling", 'Pulling image "x"'),
        "Fetching the program. The first time on a machine this takes a while.",
        "",
    ),
    (
        waiting("ContainerCreating"),
        event("Failed", "Failed to pull image: denied", kind="Warning"),
        "The program cannot be fetched. Tell the administrator.",
        "Failed: Failed to pull image: denied",
    ),
    (
        waiting("ImagePullBackOff", "Back-off pulling"),
        event("Pulling"),
        "The program cannot be fetched. Tell the administrator.",
        "ImagePullBackOff: Back-off pulling",
    ),
    (
        waiting("CreateContainerConfigError", "runAsNonRoot"),
        None,
        "The program cannot be started. Tell the administrator.",
        "CreateContainerConfigError: runAsNonRoot",
    ),
    (RUNNING, event("Started"), "", ""),
    (RUNNING, event("FailedMount", "an old one", kind="Warning"), "", ""),
    (
        RUNNING | {"conditions": conditions(Ready="False", ContainersReady="True")},
        event("NodeNotReady", "Node is not ready", kind="Warning"),
        "The machine that it runs on does not answer.",
        "NodeNotReady: the node of the Pod does not answer",
    ),
]


@pytest.mark.parametrize(("status", "last", "told", "message"), STARTS)
def test_a_start(status: Facts, last: Event | None, told: str, message: str) -> None:
    """A person who waits is told what for, in plain words; the administrator gets the engine's."""
    found = pod(status)
    assert str(progress.progress_of(found, last) or "") == told
    assert progress.message_of(found, last) == message
    assert not FORBIDDEN_WORDS.search(told)


def ended(reason: str, code: int, phase: str = "Failed") -> Facts:
    """Return the status of a Pod whose program ended."""
    end = {"exitCode": code, "reason": reason, "finishedAt": ENDED}
    return {"phase": phase, "containerStatuses": statuses(terminated=end)}


ENDS: list[tuple[Facts, int, str, str]] = [
    (ended("Error", 3), 3, "", ""),
    (ended("Completed", 0, "Succeeded"), 0, "", ""),
    ({"phase": "Succeeded"}, 0, "", ""),
    (ended("OOMKilled", 137), 137, "It needed more memory than it may have.", "OOMKilled"),
    (ended("OOMKilled", 0), 137, "It needed more memory than it may have.", "OOMKilled"),
    (
        ended("Completed", 0)
        | {"reason": "Evicted", "message": "The node was low on resource: memory."},
        143,
        "The machine that it ran on ran short of memory or disk space.",
        "Evicted: The node was low on resource: memory.",
    ),
    (
        {"phase": "Failed", "reason": "Evicted", "message": "Pod ephemeral local storage"},
        143,
        "The machine that it ran on ran short of memory or disk space.",
        "Evicted: Pod ephemeral local storage",
    ),
    (
        {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource"},
        143,
        "The machine that was chosen for it had no room.",
        "OutOfcpu: Node didn't have enough resource",
    ),
    (
        ended("Error", 137)
        | {"conditions": conditions(DisruptionTarget=("True", "PreemptionByScheduler", ""))},
        137,
        "It was stopped to make room for something more important.",
        "Preempting",
    ),
    (
        {"phase": "Failed", "reason": "Terminated", "message": "node shutdown"},
        143,
        "The machine that it ran on was switched off.",
        "Terminated: node shutdown",
    ),
]


@pytest.mark.parametrize(("status", "code", "told", "message"), ENDS)
def test_an_end(status: Facts, code: int, told: str, message: str) -> None:
    """Why a session ended is told as far as it did not end by itself."""
    found = pod(status)
    assert progress.has_ended(found)
    (seen,), faults = observed.observe([found], set(), {}, HUB)
    assert not faults
    assert (seen.exit_code, str(seen.progress or ""), seen.message) == (code, told, message)
    assert not seen.running
    assert not FORBIDDEN_WORDS.search(told)


def test_whole() -> None:
    """A running Pod with all that belongs to it is a whole session, and nothing is said of it."""
    wanted = child_names(session().id, SLICER, HUB)
    children = {(kind, name, UID) for kind, name in wanted}
    seen, _ = observed.observe([pod(RUNNING)], children, {}, HUB)
    assert seen == [Observed(session=session(), running=True)]
    for missing in children:
        (seen,), _ = observed.observe([pod(RUNNING)], children - {missing}, {}, HUB)
        assert not seen.complete
    foreign = {(kind, name, "another Pod") for kind, name in wanted}
    (seen,), _ = observed.observe([pod(RUNNING)], foreign, {}, HUB)
    assert not seen.complete


def test_being_deleted() -> None:
    """A Pod that is being deleted is a session that is stopping, whatever it does yet."""
    (seen,), _ = observed.observe([pod(RUNNING, deletionTimestamp=ENDED)], set(), {}, HUB)
    assert seen.deleting
    assert seen.running


def test_lost_node() -> None:
    """A session on a machine that does not answer is not healthy."""
    lost = RUNNING | {"conditions": conditions(Ready="False", ContainersReady="True")}
    (seen,), _ = observed.observe([pod(lost)], set(), {}, HUB)
    assert not seen.healthy


def test_end_time() -> None:
    """When a program ended is known."""
    (seen,), _ = observed.observe([pod(ended("Error", 3))], set(), {}, HUB)
    assert seen.ended_at == datetime(2026, 3, 5, 15, tzinfo=UTC)


def test_profile_gone() -> None:
    """A session whose profile is no longer configured counts as whole: nothing can be mended."""
    without = replace(HUB, profiles=())
    (seen,), _ = observed.observe([pod(RUNNING)], set(), {}, without)
    assert seen.complete


def test_unreadable() -> None:
    """A Pod that records no session is left out, and it is said why."""
    seen, faults = observed.observe(
        [pod(RUNNING, annotations={"slicerhub/schema": "?"})], (), {}, HUB
    )
    assert seen == []
    assert "slicerhub.schema is '?'" in faults[0]


def test_of_a_newer_hub() -> None:
    """A Pod of a newer hub is shown as such; it is no fault, and nothing else is said of it."""
    record = {"slicerhub/schema": "9", "slicerhub/session": session().id}
    (seen,), faults = observed.observe([pod(RUNNING, annotations=record)], (), {}, HUB)
    assert (seen.newer, seen.running, seen.session.id) == (True, True, session().id)
    assert faults == []


def test_newer() -> None:
    """Of two events of one second that one counts which comes later in a start."""
    pulling, scheduled = event("Pulling"), event("Scheduled")
    later = event("FailedMount", at="2026-03-05T15:00:01Z")
    assert progress.newer(pulling, None)
    assert progress.newer(pulling, scheduled)
    assert not progress.newer(scheduled, pulling)
    assert progress.newer(later, pulling)


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("123456789n", 0.123456789), ("12Ki", 12288), ("2", 2), ("1M", 1e6)],
)
def test_quantity(text: str, value: float) -> None:
    """Quantities are read as the cluster means them."""
    assert answers.quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "1X", "-1", "1..2"])
def test_no_quantity(text: str) -> None:
    """What is no quantity is no number."""
    with pytest.raises(ValueError, match=r"."):
        answers.quantity(text)


def test_usage() -> None:
    """What a session takes is the sum over its containers; before the first measurement nothing."""
    found = msgspec.json.decode(
        b'[{"name": "session", "usage": {"cpu": "1500m", "memory": "64Mi"}}]',
        type=tuple[ContainerMetrics, ...],
    )
    assert answers.usage_of(found) == Usage(cpu_percent=150.0, memory_bytes=64 * 2**20)
    assert answers.usage_of(()) is None
