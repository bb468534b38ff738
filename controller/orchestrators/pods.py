"""What Kubernetes says of Pods, as far as it matters to a session, and what that means.

Pure. The Structs hold of the engine's answers only what is looked at, whatever else these carry:
so what a watch keeps in memory is bounded, and decoding passes over the rest. Field names are
those of the API (v1 of Pod and Event, PartialObjectMetadata of the others).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from controller.core import labels
from controller.core.model import Observed, Session, Usage
from controller.manifests import kubernetes as manifests
from controller.settings.schema import Settings

_KILLED = 137  # SIGKILL

_ENDED_FROM_OUTSIDE = 143  # SIGTERM: where the engine tells that it ended a Pod, but not how


class OwnerReference(msgspec.Struct, frozen=True):
    """Whom an object goes with."""

    uid: str


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Of any object."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A container that does not run yet."""

    reason: str = ""
    message: str = ""


class Running(msgspec.Struct, frozen=True):
    """A container that runs."""


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """A container that ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class State(msgspec.Struct, frozen=True):
    """One of the three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True):
    """Of one container."""

    name: str
    state: State = State()


class Condition(msgspec.Struct, frozen=True):
    """One of a Pod's conditions."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What has become of a Pod."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(msgspec.Struct, frozen=True):
    """A Pod."""

    metadata: Metadata
    status: PodStatus = PodStatus()


class Thing(msgspec.Struct, frozen=True):
    """Any object of which only the metadata matters."""

    metadata: Metadata


class EventObject(msgspec.Struct, frozen=True):
    """What an event is about."""

    uid: str = ""


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """Something that happened to a Pod."""

    metadata: Metadata
    involved_object: EventObject
    reason: str = ""
    message: str | None = ""
    type: str = "Normal"
    last_timestamp: datetime | None = None
    event_time: datetime | None = None

    @property
    def at(self) -> float:
        """Seconds since the epoch at which it happened last."""
        when = self.last_timestamp or self.event_time
        return when.timestamp() if when else 0.0


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
_FETCH_FAILED = "The program cannot be fetched. The administrator has to look at it."

_START_FAILED = "The program cannot be started. The administrator has to look at it."

_ELSEWHERE = "Your files are still connected elsewhere. Stop your other session, or wait a little."

_NO_MACHINE = "Waiting for a free machine."

_NO_FILES = "Waiting for a place for your files."

_LOST = "The machine that it runs on does not answer."

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
    "TriggeredScaleUp": "Waiting for a new machine to be switched on.",
    "NotTriggerScaleUp": _NO_MACHINE,
    "Scheduled": "A machine was found; your files are being connected.",
    "FailedAttachVolume": "Connecting your files takes longer than usual.",
    "FailedMount": "Connecting your files takes longer than usual.",
    "SuccessfulAttachVolume": "Your files are connected.",
    "Pulling": "Fetching the program. The first time on a machine this takes a while.",
    "Pulled": "The program is there.",
    "Created": "The program is being started.",
    "Started": "The program is being started.",
    "FailedCreatePodSandBox": "The machine has trouble starting it, and tries again.",
    "NodeNotReady": _LOST,
}

_ENDED = {
    "OOMKilled": "It needed more memory than it may have.",
    "Evicted": "The machine that it ran on became short of memory or disk space.",
    "NodeLost": "The machine that it ran on was lost.",
    "NodeShutdown": "The machine that it ran on was switched off.",
    "Terminated": "The machine that it ran on was switched off.",  # NodeShutdown since 1.22
    "Shutdown": "The machine that it ran on was switched off.",
    "Preempting": "It had to make way for something more important.",
    "NodeAffinity": "The machine that it was meant for no longer takes it.",
    "UnexpectedAdmissionError": "The machine that it was meant for had no room for it.",
}


def progress_of(pod: Pod, event: Event | None) -> str:
    """Say in words for the person who waits what a start waits for, or why it ended.

    "" if there is nothing to be said: it runs, or it ended by itself.
    """
    ended = _terminated(pod)
    if pod.status.phase in {"Failed", "Succeeded"} or ended is not None:
        reason = _reason(pod, ended)
        overfull = reason.startswith("OutOf")  # OutOfcpu, OutOfmemory, OutOfpods
        return _ENDED.get("UnexpectedAdmissionError" if overfull else reason, "")
    if _lost(pod):
        return _LOST
    if _runs(pod):
        return ""
    waiting = _waiting(pod)
    if waiting is not None and waiting.reason in _WAITING:
        return _WAITING[waiting.reason]
    unscheduled = _condition(pod, "PodScheduled", "False")
    if unscheduled is not None:
        return _unscheduled(unscheduled, event)
    if event is None:
        return ""
    text = event.message or ""
    if "Multi-Attach" in text or "already exclusively attached" in text:
        return _ELSEWHERE
    if event.reason in {"Failed", "BackOff"}:  # told before the Pod's own state says so
        return _FETCH_FAILED if re.search(r"pull", text, re.IGNORECASE) else _START_FAILED
    return _HAPPENED.get(event.reason, "")


def _unscheduled(condition: Condition, event: Event | None) -> str:
    text = condition.message
    if event is not None and event.reason == "TriggeredScaleUp":
        return _HAPPENED["TriggeredScaleUp"]
    if "ReadWriteOncePod" in text:
        return _ELSEWHERE
    files = re.search(r"persistentvolumeclaim|volume node affinity", text, re.IGNORECASE)
    return _NO_FILES if files else _NO_MACHINE


def message_of(pod: Pod, event: Event | None) -> str:
    """Return the engine's own words for the administrator; "" if all is well."""
    ended = _terminated(pod)
    if ended is not None or pod.status.phase in {"Failed", "Succeeded"}:
        reason = _reason(pod, ended)
        text = pod.status.message or (ended.message if ended else "")
        return _joined("" if reason in {"Error", "Completed"} else reason, text)
    if _lost(pod):
        return "NodeNotReady: the node of the Pod does not answer"
    if _runs(pod):
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
    return pod.status.phase in {"Failed", "Succeeded"} or _terminated(pod) is not None


def _joined(reason: str, text: str) -> str:
    return ": ".join(part for part in (reason, text.strip()) if part)


def _state(pod: Pod) -> State:
    found = (one.state for one in pod.status.container_statuses or ())
    return next(found, State())  # a session's Pod has one container


def _terminated(pod: Pod) -> Terminated | None:
    return _state(pod).terminated


def _waiting(pod: Pod) -> Waiting | None:
    return _state(pod).waiting


def _reason(pod: Pod, ended: Terminated | None) -> str:
    """Return why a Pod ended: the engine's reason for the whole Pod says more than the program's.

    Some ends have a condition only (DisruptionTarget, since 1.26).
    """
    disrupted = _condition(pod, "DisruptionTarget", "True")
    if pod.status.reason:
        return pod.status.reason
    if disrupted is not None and disrupted.reason == "PreemptionByScheduler":
        return "Preempting"
    return ended.reason if ended else ""


def _runs(pod: Pod) -> bool:
    return pod.status.phase == "Running" and _state(pod).running is not None


def _lost(pod: Pod) -> bool:
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


def observe(
    pods: Sequence[Pod],
    children: Collection[tuple[str, str, str]],
    events: Mapping[str, Event],
    settings: Settings,
) -> tuple[list[Observed], list[str]]:
    """Return what the engine's answers say of the sessions, and what could not be read.

    ``children``: (kind, name, uid of the owning Pod) of everything that Pods of sessions own;
    ``events``: the newest of each Pod by its uid. A Pod whose annotations say no session is left
    out and named, with the reason, among the faults.
    """
    seen: list[Observed] = []
    faults: list[str] = []
    for pod in pods:
        try:
            session = manifests.decode(pod.metadata.annotations or {})
        except labels.NewerSchema:
            glimpsed = labels.glimpse(manifests.plain(pod.metadata.annotations or {}))
            if glimpsed is not None:
                running = pod.status.phase == "Running"
                seen.append(Observed(glimpsed, running=running, newer=True))
            continue
        except labels.LabelFault as fault:
            faults.append(f"{pod.metadata.name}: {fault}")
            continue
        profile = settings.profile(session.profile)
        # Without a profile nobody could make them again.
        wanted = manifests.child_names(session.id, profile, settings) if profile else ()
        whole = all((kind, name, pod.metadata.uid) in children for kind, name in wanted)
        seen.append(_observe_one(pod, session, events.get(pod.metadata.uid), complete=whole))
    return seen, faults


def _observe_one(pod: Pod, session: Session, event: Event | None, *, complete: bool) -> Observed:
    ended = _terminated(pod)
    exit_code: int | None = None
    ended_at: datetime | None = None
    if ended is not None:
        exit_code, ended_at = ended.exit_code, ended.finished_at
    elif pod.status.phase == "Succeeded":
        exit_code = 0
    elif pod.status.phase == "Failed":
        exit_code = _ENDED_FROM_OUTSIDE
    if exit_code == 0 and pod.status.phase == "Failed":
        exit_code = _ENDED_FROM_OUTSIDE  # it was evicted and ended in order
    if _reason(pod, ended) == "OOMKilled":
        exit_code = _KILLED
    return Observed(
        session=session,
        running=exit_code is None and _runs(pod),
        healthy=not _lost(pod),
        complete=complete,
        deleting=pod.metadata.deletion_timestamp is not None,
        exit_code=exit_code,
        ended_at=ended_at,
        message=message_of(pod, event),
        progress=progress_of(pod, event),
    )


_QUANTITY = re.compile(r"([0-9.]+)([a-zA-Z]*)")

_UNITS = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    **{unit: 1000.0**power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", 1)},
}


def quantity(text: str) -> float:
    """``250m`` -> 0.25, ``12Ki`` -> 12288. Raises ValueError for anything else than a quantity."""
    found = _QUANTITY.fullmatch(text)
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{text!r} is no quantity")
    return float(found[1]) * _UNITS[found[2]]


class _Used(msgspec.Struct, frozen=True):
    cpu: str = "0"
    memory: str = "0"


class ContainerMetrics(msgspec.Struct, frozen=True):
    """What metrics.k8s.io says of a container."""

    usage: _Used = _Used()


def usage_of(containers: Sequence[ContainerMetrics]) -> Usage | None:
    """Return what a Pod takes; None if nothing has been measured yet.

    Raises ValueError for numbers that are none.
    """
    if not containers:
        return None
    return Usage(
        cpu_percent=100 * sum(quantity(one.usage.cpu) for one in containers),
        memory_bytes=round(sum(quantity(one.usage.memory) for one in containers)),
    )
