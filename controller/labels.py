"""The labels that make an engine's object a session: one table, encoded and decoded here.

They are the session's only record. A label holds what the hub made (ids, times) or what a
person typed (``name``); nothing typed ever goes into a ``traefik.*`` label, a rule, an object's
name or a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from controller.model import Session, UserId, parse_session_id

INSTANCE = "slicerhub.instance"
SESSION = "slicerhub.session"
OWNER = "slicerhub.owner"
PROFILE = "slicerhub.profile"
NAME = "slicerhub.name"
CREATED = "slicerhub.created"
SCHEMA = "slicerhub.schema"
COMPONENT = "slicerhub.component"  # of the hub's own parts: "traefik"; never on a session

SCHEMA_VERSION = "1"


class LabelFault(ValueError):
    """An object of ours carries labels that say no session; the message says which and why."""


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
    }


def decode(labels: Mapping[str, str]) -> Session:
    """Return the session that ``labels`` record.

    Raises LabelFault if a label is missing or unreadable, or of another schema.
    """
    schema = labels.get(SCHEMA, "")
    if schema != SCHEMA_VERSION:
        raise LabelFault(f"{SCHEMA} is {schema!r}, this hub reads {SCHEMA_VERSION!r}")
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
        )
    except KeyError as error:
        raise LabelFault(f"{error.args[0]} is missing") from error
    except (ValueError, OverflowError) as error:
        raise LabelFault(f"{CREATED} is no time: {error}") from error
    if created_at.tzinfo is None or not session.owner:
        raise LabelFault(f"{CREATED} or {OWNER} is incomplete")
    return session
