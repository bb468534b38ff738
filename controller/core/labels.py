"""The labels that make an engine's object a session: one table, encoded and decoded here.

They are the session's only record. A label holds what the hub made (ids, times) or what a
person typed (``name``); nothing typed ever goes into a ``traefik.*`` label, a rule, an object's
name or a path.

The people who run companions write the labels of those; ``engines`` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from controller.core.model import Mount, Session, UserId, parse_session_id

Upgrade = Callable[[Mapping[str, str]], Mapping[str, str]]

INSTANCE = "slicerhub.instance"

SESSION = "slicerhub.session"

OWNER = "slicerhub.owner"

PROFILE = "slicerhub.profile"

NAME = "slicerhub.name"

CREATED = "slicerhub.created"

GROUPS = "slicerhub.groups"

VOLUMES = "slicerhub.volumes"  # of groups: "atlas:ro,cases:rw"; absent: none

GPUS = "slicerhub.gpus"  # leased devices: "0,1"; absent: none

SCHEMA = "slicerhub.schema"

COMPONENT = "slicerhub.component"  # of the hub's own parts: "traefik"; never on a session

VOLUME = "slicerhub.volume"  # on a group's volume and what prepares it: its name

APP = "slicerhub.app"  # of a companion: its name

TITLE = "slicerhub.title"  # of a companion: what people read; GROUPS: who may use it

ALL = frozenset(
    {INSTANCE, SESSION, OWNER, PROFILE, NAME, CREATED, GROUPS, VOLUMES, GPUS, SCHEMA}
    | {COMPONENT, VOLUME, APP, TITLE}
)
"""All labels that the hub reads, which an image must therefore not have."""

UPGRADES: tuple[Upgrade, ...] = ()
"""The n-th function turns labels of schema n into those of schema n + 1, so that sessions of an
older controller are adopted. A label that may be absent needs none. Append, never change."""

SCHEMA_VERSION = str(len(UPGRADES) + 1)

_SCHEMA = re.compile(r"[1-9][0-9]{0,8}")

_MOUNT = re.compile(r"([a-z][a-z0-9-]{0,31}):(ro|rw)")

_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/=-]*")


class LabelFault(ValueError):
    """An object of the hub has labels that describe no session; the message says why."""


class NewerSchema(LabelFault):
    """The object was made by a newer controller and must not be touched."""


def encode(session: Session, instance: str) -> dict[str, str]:
    """Return the labels that record ``session``."""
    return {
        INSTANCE: instance,
        SCHEMA: SCHEMA_VERSION,
        SESSION: session.id,
        OWNER: session.owner,
        PROFILE: session.profile,
        NAME: session.name,
        CREATED: session.created_at.astimezone(UTC).isoformat(),
        **({GROUPS: ",".join(session.groups)} if session.groups else {}),
        **({VOLUMES: _mounts(session.volumes)} if session.volumes else {}),
        **({GPUS: ",".join(session.gpus)} if session.gpus else {}),
    }


def decode(labels: Mapping[str, str]) -> Session:
    """Return the session that ``labels`` record.

    Labels of an older schema are converted to the present one. Raises NewerSchema for those
    of a newer one, LabelFault if a label is missing or unreadable.
    """
    schema = labels.get(SCHEMA, "")
    number = int(schema) if _SCHEMA.fullmatch(schema) else 0
    if number > len(UPGRADES) + 1:
        raise NewerSchema(f"{SCHEMA} is {schema!r}, this hub reads up to {len(UPGRADES) + 1}")
    if number == 0:
        raise LabelFault(f"{SCHEMA} is {schema!r}, and no number")
    for upgrade in UPGRADES[number - 1 :]:
        labels = upgrade(labels)
    session_id = parse_session_id(labels.get(SESSION, ""))
    if session_id is None:
        raise LabelFault(f"{SESSION} is no session id")
    try:
        created_at = datetime.fromisoformat(labels[CREATED])
        session = Session(
            id=session_id,
            owner=UserId(labels[OWNER]),
            profile=labels[PROFILE],
            name=labels[NAME],
            created_at=created_at.astimezone(UTC),
            groups=tuple(name for name in labels.get(GROUPS, "").split(",") if name),
            volumes=_read_mounts(labels.get(VOLUMES)),
            gpus=_read_gpus(labels.get(GPUS)),
        )
    except LabelFault:
        raise
    except KeyError as error:
        raise LabelFault(f"{error.args[0]} is missing") from error
    except (ValueError, OverflowError) as error:
        raise LabelFault(f"{CREATED} is no time: {error}") from error
    if created_at.tzinfo is None or not session.owner:
        raise LabelFault(f"{CREATED} or {OWNER} is incomplete")
    return session


def glimpse(labels: Mapping[str, str]) -> Session | None:
    """Return what can be read of a newer controller's session, only to show it."""
    session_id = parse_session_id(labels.get(SESSION, ""))
    if session_id is None:
        return None
    try:
        created_at = datetime.fromisoformat(labels.get(CREATED, "")).astimezone(UTC)
    except (ValueError, OverflowError):
        created_at = datetime.fromtimestamp(0, UTC)
    return Session(
        id=session_id,
        owner=UserId(labels.get(OWNER, "")),
        profile=labels.get(PROFILE, ""),
        name=labels.get(NAME, ""),
        created_at=created_at,
    )


def _mounts(mounts: tuple[Mount, ...]) -> str:
    return ",".join(f"{mount.name}:{'rw' if mount.writable else 'ro'}" for mount in mounts)


def _read_mounts(text: str | None) -> tuple[Mount, ...]:
    if text is None:
        return ()
    found = [_MOUNT.fullmatch(part) for part in text.split(",")]
    mounts = tuple(Mount(one[1], one[2] == "rw") for one in found if one is not None)
    if len(mounts) < len(found) or len({mount.name for mount in mounts}) < len(mounts):
        raise LabelFault(f"{VOLUMES} is no list of volumes: {text!r}")
    return mounts


def _read_gpus(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    gpus = tuple(text.split(","))
    if len(set(gpus)) < len(gpus) or not all(_GPU.fullmatch(gpu) for gpu in gpus):
        raise LabelFault(f"{GPUS} is no list of devices: {text!r}")
    return gpus


def key(label: str) -> str:
    """``slicerhub.session`` -> ``slicerhub/session``."""
    return label.replace(".", "/", 1)
