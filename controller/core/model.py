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
from typing import NewType

import msgspec

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


class Person(msgspec.Struct, frozen=True):
    """Somebody that the directory knows and lets in."""

    uid: UserId
    display_name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False


class Egress(StrEnum):
    """What a session may reach outside its own network."""

    NONE = "none"
    INTERNET = "internet"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A kind of session that people may start: a closed list, made by the administrator."""

    id: str
    title: str
    image: str
    description: str = ""
    default: bool = False
    port: int = 8080  # of the web application inside
    ready_path: str = "/"  # answers 2xx or 3xx once a browser gets the page
    strip_path: bool = True  # the application is asked for /; false: in path mode for /s/<id>/
    endpoints: bool = False  # it has /-/activity, /-/kick, /-/notice and /-/save
    cpus: float = 4.0  # cores
    memory_mib: int = 8192
    shm_mib: int = 512  # shared memory; VTK and browsers inside need more than the engine's 64
    gpus: int = 0  # graphics cards for this session alone
    pids: int = 1024  # processes and threads
    idle_seconds: int = 1800  # 0: never stopped for idleness
    lifetime_seconds: int = 86_400  # 0: without limit
    max_sessions: int = 0  # of this profile, of all people together; 0: without limit
    queue: bool = False  # over a limit people wait in line instead of being refused
    start_ahead: bool = False  # people may have it started when they log in
    start_seconds: int = 180  # longer than this from creation to ready is a failure
    busy_cpu_percent: float = 20.0  # of one core; above it a session counts as computing
    groups: frozenset[str] = frozenset()  # empty: everyone who may log in
    environment: dict[str, str] = {}
    egress: Egress = Egress.NONE
    home: str = "/home/slicer"  # where the user's volume is mounted
    uid: int = 1000  # user and group id of the process inside
    read_only: bool = True  # root file system; /tmp and the home stay writable
    volumes: tuple[str, ...] = ()  # of groups, by their names in [volumes]
    # The rest is for Kubernetes only.
    cpus_reserved: float = 0.5  # cores set aside for it; up to ``cpus`` while others leave some
    memory_reserved_mib: int = 0  # 0: all of ``memory_mib``; with less some may be evicted
    node_selector: dict[str, str] = {}  # labels of the nodes that it may run on
    tolerations: tuple[str, ...] = ()  # taints it bears: "gpu=true:NoSchedule", "gpu:NoExecute"
    priority_class: str = ""
    runtime_class: str = ""


class GroupVolume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files that groups share. Groups are those of the directory; their case does not matter."""

    name: str
    read: frozenset[str] = frozenset()
    write: frozenset[str] = frozenset()  # who writes also reads


class Mount(msgspec.Struct, frozen=True):
    """A group's volume in one session, at ``/groups/<name>``."""

    name: str
    writable: bool


class Session(msgspec.Struct, frozen=True):
    """What a session is from its first moment on: exactly what its labels say."""

    id: SessionId
    owner: UserId
    profile: str
    name: str  # as the owner typed it; may be empty
    created_at: datetime  # UTC
    volumes: tuple[Mount, ...] = ()  # of groups, sorted by name
    gpus: tuple[str, ...] = ()  # devices leased to it, as the engine names them
    groups: tuple[str, ...] = ()  # of the owner's, those whose sessions are counted


class Observed(msgspec.Struct, frozen=True):
    """What the engine says of a session now. Facts; verdicts are ``rules.lifecycle``'s."""

    session: Session
    running: bool = False
    healthy: bool = True  # false only if the engine itself reports the session unhealthy
    complete: bool = True  # network, volume and Traefik's place in the network are all there
    deleting: bool = False
    orphan: bool = False  # only parts of it are there, and not the object that records it
    exit_code: int | None = None  # None: has not ended
    ended_at: datetime | None = None  # UTC
    message: str = ""  # the engine's reason, for the administrator
    progress: str = ""  # what a start waits for, in words for the person who waits
    served: bool = False  # seen through Traefik; filled in by ``sessions``
    refused: str = ""  # why the engine would not take it, as a sentence; filled in by ``sessions``
    newer: bool = False  # made by a newer hub: shown to administrators, and left alone


class Phase(StrEnum):
    """Where a session stands, as people and the API see it."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


class QueuePosition(msgspec.Struct, frozen=True):
    """Where somebody stands in line for a session."""

    position: int  # 1: next
    waits_for: str  # "a free place", "a graphics card"


class Route(msgspec.Struct, frozen=True):
    """One of the ways by which Traefik is told to reach a companion."""

    rule: str
    guarded: bool  # the hub is asked before anything else happens to a request
    priority: int | None = None  # None: Traefik's own, by the rule's length


class Offer(msgspec.Struct, frozen=True):
    """A service that wants the hub's log-in, as its owner labelled it. Facts, believed by nobody.

    Whether it becomes a companion is decided in ``companions``.
    """

    where: str  # the engine's name for the service, for the log; replicas share one
    app: str
    title: str = ""
    groups: str = ""  # comma separated
    routes: tuple[Route, ...] = ()
    names: frozenset[str] = frozenset()  # all that it defines for Traefik, or leads people to
    claims: tuple[str, ...] = ()  # labels that only the hub's own objects carry


class Usage(msgspec.Struct, frozen=True):
    """What a session takes at the moment."""

    cpu_percent: float  # of one core: 400 is four cores
    memory_bytes: int


class Volume(msgspec.Struct, frozen=True):
    """A person's files."""

    owner: UserId
    name: str  # as the engine calls it
    size: int | None = None  # bytes; None: not known
    reserved: bool = False  # ``size`` is what was set aside for it, not what is in it


class Role(StrEnum):
    """What somebody may do in a session; ``service`` is the hub itself."""

    OWNER = "owner"
    CONTROL = "control"
    VIEW = "view"
    SERVICE = "service"

    @property
    def may_change(self) -> bool:
        """Tell whether somebody works in the session, and does not only look on."""
        return self in {Role.OWNER, Role.CONTROL}


def moment(seconds: float) -> datetime:
    """Return a time of a record (seconds since the epoch) in UTC.

    One that no calendar has becomes the calendar's end: a record that should not be there must not
    take from people the page that tells of it.
    """
    return datetime.fromtimestamp(min(max(0.0, seconds), _LAST_MOMENT), UTC)


def canonical_uid(uid: str) -> UserId:
    """One spelling for all twins of a name: Unicode compatibility form, casefolded."""
    folded = unicodedata.normalize("NFKC", uid).casefold()
    # Casefolding takes signs apart (ß with an accent) that must be put together again.
    return UserId(unicodedata.normalize("NFKC", folded))


def new_session_id(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> SessionId:
    """128 random bits as 26 lower-case base-32 characters, fit for a DNS label."""
    number = int.from_bytes(random_bytes(16), "big")
    return SessionId("".join(_BASE32[(number >> (5 * i)) & 31] for i in range(_ID_LENGTH)))


def parse_session_id(text: str) -> SessionId | None:
    """Return the id if ``text`` has the form of one, else None. Nothing is corrected."""
    return SessionId(text) if _SESSION_ID.fullmatch(text) else None


def slug(text: str) -> str:
    """Readable and never colliding: ``a.b`` -> ``a-b-3e7f9c01``; only ``[a-z0-9-]`` in it.

    The hash is that of the whole text, so two texts with the same readable part stay apart.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:_SLUG_TEXT].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:_SLUG_HASH]
    return f"{readable}-{digest}" if readable else digest


def object_name(instance: str, owner: UserId, name: str) -> str:
    """Name of a session's main object in the engine: same person, same name, same object.

    So the engine itself refuses a second one: double clicks, two tabs and two controllers
    make one session (threats.md row 40).
    """
    return f"{instance}-{slug(owner)}-{slug(name.casefold())}"


def volume_name(instance: str, owner: UserId) -> str:
    """Name of the volume with a person's files; it outlives every session."""
    return f"{instance}-home-{slug(owner)}"


def group_volume_name(instance: str, name: str) -> str:
    """Name of the engine's volume with a group's files."""
    return f"{instance}-group-{slug(name)}"
