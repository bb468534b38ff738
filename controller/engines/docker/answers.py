"""What the Docker engine answers, decoded: only what the hub reads of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar, cast

import msgspec

from controller.core import labels
from controller.core.errors import EngineUnavailable

_T = TypeVar("_T")


class UnreadableError(EngineUnavailable):
    """The engine says something of an object that the hub does not understand."""


class Labelled(msgspec.Struct, frozen=True, rename="pascal"):
    """Whatever carries labels. The engine says null for none."""

    labels: dict[str, str] | None = None

    @property
    def marks(self) -> Mapping[str, str]:
        """Return the labels."""
        return self.labels or {}

    @property
    def session(self) -> str:
        """Return the id of the session that it belongs to, as it stands there; "" for none."""
        return self.marks.get(labels.SESSION, "")


class _Joined(msgspec.Struct, frozen=True, rename="pascal"):
    networks: dict[str, object] | None = None


class Container(Labelled, frozen=True, rename="pascal", kw_only=True):
    """A container, as the engine lists it."""

    id: str
    names: tuple[str, ...] | None = None
    state: str = ""
    status: str = ""
    network_settings: _Joined | None = None

    @property
    def name(self) -> str:
        """Return its name; "" once its removal has begun and was cut short."""
        return next(iter(self.names or ()), "").lstrip("/")

    @property
    def runs(self) -> bool:
        """Tell whether its program is there."""
        return self.state in {"running", "paused"}

    @property
    def ended(self) -> bool:
        """Tell whether its program has ended."""
        return self.state in {"exited", "dead"}

    @property
    def networks(self) -> Collection[str]:
        """Return the names of the networks that it has joined."""
        return (self.network_settings.networks if self.network_settings else None) or ()

    @property
    def service(self) -> str:
        """Return the Compose service that it belongs to, else what it is called."""
        project = self.marks.get("com.docker.compose.project", "")
        service = self.marks.get("com.docker.compose.service", "")
        return f"{project}/{service}" if project and service else self.name or self.id[:12]


class End(msgspec.Struct, frozen=True, rename="pascal"):
    """How the program of a container ended."""

    exit_code: int = 0
    error: str = ""
    finished_at: str = ""
    killed: bool = msgspec.field(name="OOMKilled", default=False)


class Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    """A container, as the engine tells of it alone."""

    id: str
    config: Labelled = Labelled()
    state: End = End()


class Made(msgspec.Struct, frozen=True, rename="pascal"):
    """A container that has just been made."""

    id: str


class Image(msgspec.Struct, frozen=True, rename="pascal"):
    """An image, as far as it would have a say in a session."""

    config: Labelled


class _Pool(msgspec.Struct, frozen=True, rename="pascal"):
    subnet: str = ""


class _Addresses(msgspec.Struct, frozen=True, rename="pascal"):
    config: tuple[_Pool, ...] | None = None


class Network(Labelled, frozen=True, rename="pascal", kw_only=True):
    """A network, as the engine lists it."""

    name: str
    addresses: _Addresses | None = msgspec.field(name="IPAM", default=None)

    @property
    def subnets(self) -> list[str]:
        """Return its ranges of addresses."""
        pools = (self.addresses.config if self.addresses else None) or ()
        return [pool.subnet for pool in pools if pool.subnet]


class Members(msgspec.Struct, frozen=True, rename="pascal"):
    """Who is in a network, by the ids of the containers."""

    containers: dict[str, object] | None = None


class _Size(msgspec.Struct, frozen=True, rename="pascal"):
    size: int = -1  # of a driver that cannot say


class Stored(Labelled, frozen=True, rename="pascal", kw_only=True):
    """A volume, as the engine lists it."""

    name: str
    usage_data: _Size | None = None

    @property
    def size(self) -> int | None:
        """Return its bytes; None if they were not measured."""
        size = self.usage_data.size if self.usage_data else -1
        return None if size < 0 else size


class StoredList(msgspec.Struct, frozen=True, rename="pascal"):
    """The volumes, as the engine lists them. It says null for none."""

    volumes: list[object] | None = None


class _Device(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="ID", default="")


class Info(msgspec.Struct, frozen=True, rename="pascal"):
    """What the engine says of itself."""

    runtimes: dict[str, object] | None = None
    discovered_devices: tuple[_Device, ...] | None = None

    @property
    def offers_gpu(self) -> bool:
        """Tell whether the engine can give graphics cards.

        The NVIDIA container toolkit adds a runtime of its name; engines since 28 list devices.
        """
        if "nvidia" in (self.runtimes or {}):
            return True
        return any("gpu" in device.id for device in self.discovered_devices or ())


class _Transferred(msgspec.Struct, frozen=True):
    current: int = 0  # bytes
    total: int = 0  # bytes; -1: the registry does not say


class PullMessage(msgspec.Struct, frozen=True):
    """A word on a transfer: one of the messages of ``POST /images/create``."""

    status: str = ""
    id: str = ""  # of the layer
    detail: _Transferred | None = msgspec.field(name="progressDetail", default=None)
    error: str = ""  # the last word, if the transfer failed


class _Processor(msgspec.Struct, frozen=True):
    total_usage: int  # nanoseconds


class _Cpu(msgspec.Struct, frozen=True):
    cpu_usage: _Processor


class _Memory(msgspec.Struct, frozen=True):
    usage: int = 0


class Stats(msgspec.Struct, frozen=True):
    """What a container takes; of one that does not run half of it is missing."""

    read: str
    cpu_stats: _Cpu
    memory_stats: _Memory


class Fault(msgspec.Struct, frozen=True):
    """Something that could not be read, and of which session it is, as far as that can be told."""

    words: str
    session: str = ""


def read(facts: object, what: type[_T]) -> _T:
    """Return one of the engine's answers. Raises UnreadableError."""
    try:
        return msgspec.convert(facts, what)
    except msgspec.ValidationError as error:
        raise UnreadableError(
            "The engine's answer cannot be read: {error}.", error=str(error)
        ) from error


def read_json(line: bytes, what: type[_T]) -> _T:
    """Return one of the engine's answers, from its JSON. Raises UnreadableError."""
    try:
        return msgspec.json.decode(line, type=what)
    except msgspec.DecodeError as error:
        raise UnreadableError(
            "The engine's answer cannot be read: {error}.", error=str(error)
        ) from error


def read_each(facts: object, what: type[_T]) -> tuple[list[_T], list[Fault]]:
    """Return what could be read of one of the engine's lists, and what could not.

    Raises UnreadableError if it is no list.
    """
    found: list[_T] = []
    faults: list[Fault] = []
    for one in read(facts, list[object]):
        try:
            found.append(read(one, what))
        except UnreadableError as error:
            faults.append(_fault(one, error))
    return found, faults


def _fault(facts: object, error: UnreadableError) -> Fault:
    said = _mapping(facts)
    called = str(said.get("Id") or said.get("Name") or "something without a name")
    return Fault(
        f"{called[:64]}: {error}", str(_mapping(said.get("Labels")).get(labels.SESSION, ""))
    )


def _mapping(facts: object) -> Mapping[str, object]:
    none: dict[str, object] = {}
    return cast("dict[str, object]", facts) if isinstance(facts, dict) else none
