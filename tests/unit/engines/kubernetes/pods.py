"""Pods and events as the cluster tells of them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.answers import Event, Pod
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


RUNNING: Facts = {
    "phase": "Running",
    "conditions": conditions(PodScheduled="True", Ready="True", ContainersReady="True"),
    "containerStatuses": statuses(running={"startedAt": ENDED}),
}
