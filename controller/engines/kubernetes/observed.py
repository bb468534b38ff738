"""What Kubernetes says of Pods, as far as it matters to a session, and what that means.

Pure. The Structs hold of the engine's answers only what is looked at, whatever else these carry:
so what a watch keeps in memory is bounded, and decoding passes over the rest. Field names are
those of the API (v1 of Pod and Event, PartialObjectMetadata of the others).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from controller.core import labels
from controller.core.model import Observed, Session
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.answers import Event, Pod
from controller.engines.kubernetes.children import child_names
from controller.engines.kubernetes.progress import (
    ENDED_FROM_OUTSIDE,
    KILLED,
    is_lost,
    message_of,
    progress_of,
    reason_of,
    runs,
    terminated_of,
)
from controller.settings.schema import Settings


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
        wanted = child_names(session.id, profile, settings) if profile else ()
        whole = all((kind, name, pod.metadata.uid) in children for kind, name in wanted)
        seen.append(_observe_one(pod, session, events.get(pod.metadata.uid), complete=whole))
    return seen, faults


def _observe_one(pod: Pod, session: Session, event: Event | None, *, complete: bool) -> Observed:
    ended = terminated_of(pod)
    exit_code: int | None = None
    ended_at: datetime | None = None
    if ended is not None:
        exit_code, ended_at = ended.exit_code, ended.finished_at
    elif pod.status.phase == "Succeeded":
        exit_code = 0
    elif pod.status.phase == "Failed":
        exit_code = ENDED_FROM_OUTSIDE
    if exit_code == 0 and pod.status.phase == "Failed":
        exit_code = ENDED_FROM_OUTSIDE  # it was evicted and ended in order
    if reason_of(pod, ended) == "OOMKilled":
        exit_code = KILLED
    return Observed(
        session=session,
        running=exit_code is None and runs(pod),
        healthy=not is_lost(pod),
        complete=complete,
        deleting=pod.metadata.deletion_timestamp is not None,
        exit_code=exit_code,
        ended_at=ended_at,
        message=message_of(pod, event),
        progress=progress_of(pod, event),
    )
