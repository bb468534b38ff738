"""What the cluster answers, decoded: only what the hub reads of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from controller.core.model import Usage

CHILDREN = ("NetworkPolicy", "Service", "Middleware", "IngressRoute")

# Of children only the metadata is sent: the rest is large and known.
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class Capacity(msgspec.Struct, frozen=True):
    """How large a claim is."""

    storage: str = ""


class ClaimStatus(msgspec.Struct, frozen=True):
    """What the cluster says of a claim."""

    capacity: Capacity = Capacity()


class Claim(msgspec.Struct, frozen=True):
    """A claim: somebody's files."""

    metadata: Metadata
    status: ClaimStatus = ClaimStatus()

    @property
    def size(self) -> int | None:
        """Bytes; None while the claim has none."""
        try:
            return round(quantity(self.status.capacity.storage))
        except ValueError:
            return None


class Measured(msgspec.Struct, frozen=True):
    """What the containers of a Pod use."""

    metadata: Metadata
    containers: tuple[ContainerMetrics, ...] = ()


class OwnerReference(msgspec.Struct, frozen=True):
    """The object that owns another one, which is removed with it."""

    uid: str


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The metadata of any object."""

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
    """The state of a container: one of the three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True):
    """The status of one container."""

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
