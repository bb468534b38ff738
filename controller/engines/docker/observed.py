"""What Docker says of containers and networks, as far as it matters, and what that means.

Pure. The Structs hold of the engine's answers only what is looked at. What cannot be read stays
with its own object: it is named among the faults, and all others are as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from controller.core import labels
from controller.core.model import Observed, Session, SessionId, parse_session_id
from controller.engines.docker import manifests
from controller.engines.docker.answers import Container, End, Fault, Network

STOPPING = ".stopping"
"""Stands behind the name of a container whose session is being stopped."""


def observe(
    containers: Sequence[Container],
    networks: Sequence[Network],
    ended: Mapping[str, End],
    instance: str,
    unread: Collection[str],
) -> tuple[list[Observed], list[Fault]]:
    """Return what the engine's answers say of the sessions, and what could not be read.

    ``containers``: those of this instance, the hub's Traefik among them; ``ended``: what inspect
    says of those that ended, by their ids; ``unread``: ids of the sessions of which something could
    not be read. Nothing is made of what is there of these: they may well run.
    """
    joined: set[str] = set()
    for one in containers:
        if one.marks.get(labels.COMPONENT) == "traefik" and one.state == "running":
            joined.update(one.networks)
    names = {one.name for one in networks}
    seen: dict[SessionId, Observed] = {}
    faults: list[Fault] = []
    for one in containers:
        if labels.SESSION not in one.marks or one.session in unread:
            continue
        try:
            session = labels.decode(one.marks)
        except labels.NewerSchema:
            glimpsed = labels.glimpse(one.marks)
            if glimpsed is not None:
                seen[glimpsed.id] = Observed(glimpsed, running=one.runs, newer=True)
            continue
        except labels.LabelFault as error:
            faults.append(Fault(f"{one.name or one.id[:12]}: {error}", one.session))
            continue
        network = manifests.network_name(instance, session.id)
        seen[session.id] = _observe_one(
            one, session, complete=network in joined & names, end=ended.get(one.id)
        )
    not_known = {*unread, *(fault.session for fault in faults)}
    for one in networks:
        session_id = parse_session_id(one.session)
        if session_id is None or session_id in seen or session_id in not_known:
            continue
        with contextlib.suppress(labels.LabelFault):
            session = labels.decode(one.marks)
            seen[session_id] = Observed(session=session, complete=False, orphan=True)
    return list(seen.values()), faults


def _observe_one(one: Container, session: Session, *, complete: bool, end: End | None) -> Observed:
    exit_code: int | None = None
    message = ""
    ended_at: datetime | None = None
    if end is not None:
        exit_code = end.exit_code
        message = "out of memory" if end.killed else end.error
        with contextlib.suppress(ValueError):
            ended_at = datetime.fromisoformat(end.finished_at[:19]).replace(tzinfo=UTC)
    return Observed(
        session=session,
        running=one.runs,
        healthy="(unhealthy)" not in one.status,
        complete=complete,
        deleting=one.state == "removing" or not one.name or one.name.endswith(STOPPING),
        exit_code=exit_code,
        ended_at=ended_at,
        message=message,
    )
