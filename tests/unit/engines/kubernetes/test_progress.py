"""How far a start is, told to the person who waits and to the administrator."""

from __future__ import annotations

import pytest

from controller.engines.kubernetes import progress
from controller.engines.kubernetes.answers import Event
from tests.unit.engines.kubernetes.pods import (
    FORBIDDEN_WORDS,
    RUNNING,
    Facts,
    conditions,
    event,
    pod,
    statuses,
)

PENDING: Facts = {"phase": "Pending", "conditions": conditions(PodScheduled="True")}
UNBOUND = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
BUSY = "0/3 nodes are available: 3 Insufficient memory."
MULTI = 'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node'


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


def test_newer() -> None:
    """Of two events of one second that one counts which comes later in a start."""
    pulling, scheduled = event("Pulling"), event("Scheduled")
    later = event("FailedMount", at="2026-03-05T15:00:01Z")
    assert progress.newer(pulling, None)
    assert progress.newer(pulling, scheduled)
    assert not progress.newer(scheduled, pulling)
    assert progress.newer(later, pulling)
