"""What a Pod waits for or why it ended, in words for its owner. Pure."""

from __future__ import annotations

import re

from controller.core.sentence import Sentence
from controller.engines.kubernetes.answers import Condition, Event, Pod, State, Terminated, Waiting

KILLED = 137  # SIGKILL

ENDED_FROM_OUTSIDE = 143  # SIGTERM: where the engine tells that it ended a Pod, but not how


# The order in which these happen to a Pod: their times are whole seconds only.
_ORDER = (
    "FailedScheduling",
    "TriggeredScaleUp",
    "Scheduled",
    "FailedAttachVolume",
    "SuccessfulAttachVolume",
    "FailedMount",
    "Pulling",
    "Failed",
    "BackOff",
    "Pulled",
    "Created",
    "Started",
)


def newer(one: Event, other: Event | None) -> bool:
    """Tell whether ``one`` says more of the present than ``other``."""
    return other is None or _moment(one) >= _moment(other)


def _moment(event: Event) -> tuple[float, int]:
    known = event.reason in _ORDER
    return event.at, _ORDER.index(event.reason) if known else -1


# What people are told while they wait, by what the engine calls it. They know of no Pods, images
# or containers; what is named here names what they can understand or do.
_FETCH_FAILED = Sentence("The program cannot be fetched. Tell the administrator.")

_START_FAILED = Sentence("The program cannot be started. Tell the administrator.")

_ELSEWHERE = Sentence(
    "Your files are still connected elsewhere. Stop your other session, or wait a little."
)

_NO_MACHINE = Sentence("Waiting for a free machine.")

_NO_FILES = Sentence("Waiting for storage for your files.")

_LOST = Sentence("The machine that it runs on does not answer.")

_WAITING = {
    "ErrImagePull": _FETCH_FAILED,
    "ImagePullBackOff": _FETCH_FAILED,
    "InvalidImageName": _FETCH_FAILED,
    "ErrImageNeverPull": _FETCH_FAILED,
    "ImageInspectError": _FETCH_FAILED,
    "RegistryUnavailable": _FETCH_FAILED,
    "CreateContainerConfigError": _START_FAILED,
    "CreateContainerError": _START_FAILED,
    "RunContainerError": _START_FAILED,
}

_HAPPENED = {
    "TriggeredScaleUp": Sentence("Waiting for a new machine to start."),
    "NotTriggerScaleUp": _NO_MACHINE,
    "Scheduled": Sentence("A machine was found; your files are being connected."),
    "FailedAttachVolume": Sentence("Connecting your files takes longer than usual."),
    "FailedMount": Sentence("Connecting your files takes longer than usual."),
    "SuccessfulAttachVolume": Sentence("Your files are connected."),
    "Pulling": Sentence("Fetching the program. The first time on a machine this takes a while."),
    "Pulled": Sentence("The program is there."),
    "Created": Sentence("The program is being started."),
    "Started": Sentence("The program is being started."),
    "FailedCreatePodSandBox": Sentence("The machine has trouble starting it, and tries again."),
    "NodeNotReady": _LOST,
}

_ENDED = {
    "OOMKilled": Sentence("It needed more memory than it may have."),
    "Evicted": Sentence("The machine that it ran on ran short of memory or disk space."),
    "NodeLost": Sentence("The machine that it ran on was lost."),
    "NodeShutdown": Sentence("The machine that it ran on was switched off."),
    "Terminated": Sentence(
        "The machine that it ran on was switched off."
    ),  # NodeShutdown since 1.22
    "Shutdown": Sentence("The machine that it ran on was switched off."),
    "Preempting": Sentence("It was stopped to make room for something more important."),
    "NodeAffinity": Sentence("The machine that was chosen for it no longer accepts it."),
    "UnexpectedAdmissionError": Sentence("The machine that was chosen for it had no room."),
}


def progress_of(pod: Pod, event: Event | None) -> Sentence | None:
    """Say for the person who waits what a start waits for, or why it ended.

    None if there is nothing to be said: it runs, or it ended by itself.
    """
    ended = terminated_of(pod)
    if pod.status.phase in {"Failed", "Succeeded"} or ended is not None:
        reason = reason_of(pod, ended)
        overfull = reason.startswith("OutOf")  # OutOfcpu, OutOfmemory, OutOfpods
        return _ENDED.get("UnexpectedAdmissionError" if overfull else reason)
    if is_lost(pod):
        return _LOST
    if runs(pod):
        return None
    waiting = _waiting(pod)
    if waiting is not None and waiting.reason in _WAITING:
        return _WAITING[waiting.reason]
    unscheduled = _condition(pod, "PodScheduled", "False")
    if unscheduled is not None:
        return _unscheduled(unscheduled, event)
    if event is None:
        return None
    text = event.message or ""
    if "Multi-Attach" in text or "already exclusively attached" in text:
        return _ELSEWHERE
    if event.reason in {"Failed", "BackOff"}:  # told before the Pod's own state says so
        return _FETCH_FAILED if re.search(r"pull", text, re.IGNORECASE) else _START_FAILED
    return _HAPPENED.get(event.reason)


def _unscheduled(condition: Condition, event: Event | None) -> Sentence:
    text = condition.message
    if event is not None and event.reason == "TriggeredScaleUp":
        return _HAPPENED["TriggeredScaleUp"]
    if "ReadWriteOncePod" in text:
        return _ELSEWHERE
    files = re.search(r"persistentvolumeclaim|volume node affinity", text, re.IGNORECASE)
    return _NO_FILES if files else _NO_MACHINE


def message_of(pod: Pod, event: Event | None) -> str:
    """Return the engine's own words for the administrator; "" if all is well."""
    ended = terminated_of(pod)
    if ended is not None or pod.status.phase in {"Failed", "Succeeded"}:
        reason = reason_of(pod, ended)
        text = pod.status.message or (ended.message if ended else "")
        return _joined("" if reason in {"Error", "Completed"} else reason, text)
    if is_lost(pod):
        return "NodeNotReady: the node of the Pod does not answer"
    if runs(pod):
        return ""
    waiting = _waiting(pod)
    if waiting is not None and (waiting.message or waiting.reason in _WAITING):
        return _joined(waiting.reason, waiting.message)
    unscheduled = _condition(pod, "PodScheduled", "False")
    if unscheduled is not None:
        return _joined(unscheduled.reason, unscheduled.message)
    if event is not None and event.type == "Warning":
        return _joined(event.reason, event.message or "")
    return ""


def has_ended(pod: Pod) -> bool:
    """Tell whether the Pod's node has said that its program runs no more."""
    return pod.status.phase in {"Failed", "Succeeded"} or terminated_of(pod) is not None


def _joined(reason: str, text: str) -> str:
    return ": ".join(part for part in (reason, text.strip()) if part)


def _state(pod: Pod) -> State:
    found = (one.state for one in pod.status.container_statuses or ())
    return next(found, State())  # a session's Pod has one container


def terminated_of(pod: Pod) -> Terminated | None:
    """Return how the program ended; None: it has not."""
    return _state(pod).terminated


def _waiting(pod: Pod) -> Waiting | None:
    return _state(pod).waiting


def reason_of(pod: Pod, ended: Terminated | None) -> str:
    """Return why a Pod ended: the engine's reason for the whole Pod says more than the program's.

    Some ends have a condition only (DisruptionTarget, since 1.26).
    """
    disrupted = _condition(pod, "DisruptionTarget", "True")
    if pod.status.reason:
        return pod.status.reason
    if disrupted is not None and disrupted.reason == "PreemptionByScheduler":
        return "Preempting"
    return ended.reason if ended else ""


def runs(pod: Pod) -> bool:
    """Tell whether the program runs."""
    return pod.status.phase == "Running" and _state(pod).running is not None


def is_lost(pod: Pod) -> bool:
    """Tell whether the engine has given up on the Pod's node.

    It then says itself that the Pod is not ready; that of the containers is what the node said
    last. Without readiness probes and gates the two differ for no other reason.
    """
    not_ready = _condition(pod, "Ready", "False") or _condition(pod, "Ready", "Unknown")
    contained = _condition(pod, "ContainersReady", "True")
    return pod.status.reason == "NodeLost" or (not_ready is not None and contained is not None)


def _condition(pod: Pod, kind: str, status: str) -> Condition | None:
    found = (one for one in pod.status.conditions or () if (one.type, one.status) == (kind, status))
    return next(found, None)
