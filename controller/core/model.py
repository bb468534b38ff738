"""The nouns of the hub as frozen values: people, profiles, sessions, what an engine observed.

Facts only. What they mean is decided in ``rules``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, NewType

import msgspec

from controller.core.kinds import (
    FAULT,
    Absolute,
    Account,
    MaybeObject,
    NotNegative,
    NotNegativeReal,
    Port,
    Positive,
    PositiveReal,
    Secret,
    Taint,
    text_like,
)
from controller.core.sentence import Phrase, Sentence

SessionId = NewType("SessionId", str)  # 26 letters and digits a-z2-7: 128 random bits in base 32

UserId = NewType("UserId", str)  # the directory's own uid, NFKC-normalised and casefolded

_SESSION_ID = re.compile(r"[a-z2-7]{26}")

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

_ID_LENGTH = 26  # ceil(128 / 5)

_SLUG_TEXT = 12  # readable part of a slug, characters: whole names fit Kubernetes' 63

_SLUG_HASH = 8  # hexadecimal digits: 32 bits, against collisions of the readable part only

_LAST_MOMENT = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()

NAME_MAX = 40
"""Longest session name, in characters."""


_TABLE = r"[a-z][a-z0-9-]{0,31}"

_TABLE_SAYS = "can have only a-z, 0-9 and '-', at most 32 characters."

ProfileId = Annotated[str, text_like(_TABLE, "a letter, then `a-z0-9-`", f"an id {_TABLE_SAYS}")]
"""A profile's id: the name of its table."""

VolumeName = Annotated[str, text_like(_TABLE, "a letter, then `a-z0-9-`", f"a name {_TABLE_SAYS}")]
"""A group volume's name: that of its table."""

MemoryReserved = Annotated[
    int, msgspec.Meta(ge=0, extra={FAULT: "must be 0, or at most memory_mib."})
]
"""MiB set aside for a session."""


class Person(msgspec.Struct, frozen=True):
    """Somebody whom the directory knows and who may use the hub."""

    uid: UserId
    display_name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False


class Egress(StrEnum):
    """What a session may reach outside its own network."""

    NONE = "none"
    INTERNET = "internet"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A kind of session that people may start. The administrator lists all of them."""

    id: ProfileId
    """Name of its table."""
    title: str
    """Title on the pages; without one, the id."""
    image: str
    """Name of the image, as the engine fetches it."""
    description: str = ""
    """A sentence below the title."""
    default: bool = False
    """Whether this profile is the one that people are offered first; at most one profile."""
    port: Port = 8080
    """Port of the web application inside."""
    ready_path: Absolute = "/"
    """Path that answers 2xx or 3xx once a browser gets the page."""
    strip_path: bool = True
    """Whether the application gets requests for `/`; false: for `/s/<id>/` in path mode."""
    endpoints: bool = False
    """Whether the application has `/-/activity`, `/-/kick`, `/-/notice` and `/-/save`."""
    cpus: PositiveReal = 4.0
    """CPU cores."""
    memory_mib: Positive = 8192
    """Memory, in MiB."""
    shm_mib: Positive = 512
    """Shared memory, in MiB; VTK and browsers need more than the engine's default of 64."""
    gpus: NotNegative = 0
    """Graphics cards for this session alone."""
    pids: Positive = 1024
    """Most processes and threads."""
    idle_seconds: NotNegative = 1800
    """Seconds without use after which a session is stopped; 0: never."""
    lifetime_seconds: NotNegative = 86_400
    """Seconds after which a session is stopped in any case; 0: never."""
    max_sessions: NotNegative = 0
    """Sessions of this profile, of all people together; 0: no limit."""
    queue: bool = False
    """Whether people wait in a queue when a limit is reached, instead of being refused."""
    start_ahead: bool = False
    """Whether people can choose that a session starts when they log in."""
    start_seconds: Positive = 180
    """Seconds from creation after which a session that is not ready has failed."""
    busy_cpu_percent: NotNegativeReal = 20.0
    """CPU use in percent of one core, above which a session counts as computing."""
    groups: frozenset[str] = frozenset()
    """Groups of the directory that may start it; empty: everybody who may log in."""
    environment: dict[str, Secret] = {}
    """Environment variables of the program inside."""
    egress: Egress = Egress.NONE
    """What a session may reach outside its own network."""
    home: Absolute = "/home/slicer"
    """Where the person's volume is mounted."""
    uid: Account = 1000
    """User and group id of the process inside."""
    read_only: bool = True
    """Whether the root file system is read-only; `/tmp` and the home stay writable."""
    volumes: tuple[str, ...] = ()
    """Group volumes, by their names in `[volumes]`."""
    cpus_reserved: PositiveReal = 0.5
    """Kubernetes only: cores reserved for a session; it may use free ones up to `cpus`."""
    memory_reserved_mib: MemoryReserved = 0
    """Kubernetes only: memory reserved for a session, in MiB, at most `memory_mib`; 0: all of
    that. With less, the cluster may evict sessions."""
    node_selector: dict[str, str] = {}
    """Kubernetes only: labels of the nodes on which a session may run."""
    tolerations: tuple[Taint, ...] = ()
    """Kubernetes only: taints of nodes that a session tolerates."""
    priority_class: MaybeObject = ""
    """Kubernetes only: priority class of the Pod; empty: the cluster's default."""
    runtime_class: MaybeObject = ""
    """Kubernetes only: runtime class of the Pod, such as `nvidia`; empty: the cluster's default."""


class GroupVolume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files that groups of the directory share; the case of group names does not matter."""

    name: VolumeName
    """Name of its table."""
    read: frozenset[str] = frozenset()
    """Groups that may read; a volume needs a group in `read` or `write`."""
    write: frozenset[str] = frozenset()
    """Groups that may write, and read."""


class Mount(msgspec.Struct, frozen=True):
    """A group's volume in one session, at ``/groups/<name>``."""

    name: str
    writable: bool


class Session(msgspec.Struct, frozen=True):
    """What a session is from the moment it is made: exactly what its labels say."""

    id: SessionId
    owner: UserId
    profile: str
    name: str  # as the owner typed it; may be empty
    created_at: datetime  # UTC
    volumes: tuple[Mount, ...] = ()  # of groups, sorted by name
    gpus: tuple[str, ...] = ()  # devices leased to it, as the engine names them
    groups: tuple[str, ...] = ()  # of the owner's, those whose sessions are counted


class Observed(msgspec.Struct, frozen=True):
    """What the engine says of a session now. Facts only; ``rules.lifecycle`` decides on them."""

    session: Session
    running: bool = False
    healthy: bool = True  # false only if the engine itself reports the session unhealthy
    complete: bool = True  # network, volume and Traefik's connection to the network all exist
    deleting: bool = False
    orphan: bool = False  # only parts of it exist, without the object that records it
    exit_code: int | None = None  # None: has not ended
    ended_at: datetime | None = None  # UTC
    message: str = ""  # the engine's reason, for the administrator
    progress: Phrase | None = None  # what a start waits for, for the person who waits
    served: bool = False  # seen through Traefik; filled in by ``sessions``
    refused: Sentence | None = None  # why the engine would not take it; filled in by ``sessions``
    newer: bool = False  # made by a newer hub: administrators see it, and the hub leaves it alone


class Phase(StrEnum):
    """Where a session stands, as people and the API see it."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


class Route(msgspec.Struct, frozen=True):
    """One of the routes by which Traefik reaches a companion."""

    rule: str
    guarded: bool  # the hub is asked before anything else happens to a request
    priority: int | None = None  # None: Traefik's own, by the rule's length


class Offer(msgspec.Struct, frozen=True):
    """A service that wants the hub's log-in, as its owner labelled it. Nothing in it is trusted.

    Whether it becomes a companion is decided in ``companions``.
    """

    where: str  # the engine's name for the service, for the log; replicas share one
    app: str
    title: str = ""
    groups: str = ""  # comma separated
    routes: tuple[Route, ...] = ()
    names: frozenset[str] = frozenset()  # all that it defines for Traefik, or routes people to
    claims: tuple[str, ...] = ()  # labels that only the hub's own objects carry


class Usage(msgspec.Struct, frozen=True):
    """What a session uses at the moment."""

    cpu_percent: float  # of one core: 400 is four cores
    memory_bytes: int


class Volume(msgspec.Struct, frozen=True):
    """A person's files."""

    owner: UserId
    name: str  # as the engine calls it
    size: int | None = None  # bytes; None: not known
    reserved: bool = False  # ``size`` is the reserved size, not the used one


class Role(StrEnum):
    """What somebody may do in a session; ``service`` is the hub itself."""

    OWNER = "owner"
    CONTROL = "control"
    VIEW = "view"
    SERVICE = "service"

    @property
    def may_change(self) -> bool:
        """Tell whether somebody can work in the session, and not only view it."""
        return self in {Role.OWNER, Role.CONTROL}


def moment(seconds: float) -> datetime:
    """Return a time of a record (seconds since the epoch) in UTC.

    A time outside the calendar becomes the nearest one in it, so that a damaged record cannot
    break the page that shows it.
    """
    return datetime.fromtimestamp(min(max(0.0, seconds), _LAST_MOMENT), UTC)


def canonical_uid(uid: str) -> UserId:
    """Return one spelling for all variants of a name: Unicode compatibility form, casefolded."""
    folded = unicodedata.normalize("NFKC", uid).casefold()
    # Casefolding can decompose characters (ß with an accent); compose them again.
    return UserId(unicodedata.normalize("NFKC", folded))


def new_session_id(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> SessionId:
    """Return 128 random bits as 26 lower-case base-32 characters, valid as a DNS label."""
    number = int.from_bytes(random_bytes(16), "big")
    return SessionId("".join(_BASE32[(number >> (5 * i)) & 31] for i in range(_ID_LENGTH)))


def parse_session_id(text: str) -> SessionId | None:
    """Return the id if ``text`` has the form of one, else None. Nothing is corrected."""
    return SessionId(text) if _SESSION_ID.fullmatch(text) else None


def slug(text: str) -> str:
    """Return a readable, unique name of ``[a-z0-9-]`` only: ``a.b`` -> ``a-b-3e7f9c01``.

    The hash covers the whole text, so two texts with the same readable part differ.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:_SLUG_TEXT].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:_SLUG_HASH]
    return f"{readable}-{digest}" if readable else digest


def object_name(instance: str, owner: UserId, name: str) -> str:
    """Return the name of a session's main object in the engine: one per person and session name.

    So the engine itself refuses a second one: double clicks, two tabs and two controllers
    make one session (threats.md row 40).
    """
    return f"{instance}-{slug(owner)}-{slug(name.casefold())}"


def volume_name(instance: str, owner: UserId) -> str:
    """Return the name of the volume with a person's files, which outlives every session."""
    return f"{instance}-home-{slug(owner)}"


def group_volume_name(instance: str, name: str) -> str:
    """Return the name of the volume with a group's files."""
    return f"{instance}-group-{slug(name)}"
