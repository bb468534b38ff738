"""The limits on sessions: per person, profile, group and resource, and what is short. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from controller.core.model import Person, Session, UserId
from controller.settings.schema import Limits, Settings

_ROUNDING = 1e-6  # cores: three times 1.1 are 3.3, whatever floats make of it


def free_gpus(configured: Sequence[str], sessions: Iterable[Session]) -> tuple[str, ...]:
    """Return the graphics cards that no session holds, in the order of the configuration."""
    leased = {gpu for session in sessions for gpu in session.gpus}
    return tuple(gpu for gpu in configured if gpu not in leased)


class Resource(StrEnum):
    """A resource that may be short for one more session."""

    OWN = "own"  # the person's own limit; waiting does not help
    TOTAL = "total"
    PROFILE = "profile"
    GROUP = "group"
    CPUS = "cpus"
    MEMORY = "memory"
    GPUS = "gpus"


class Shortfall(msgspec.Struct, frozen=True):
    """Why a session cannot start now. ``of``: the profile or group if it is one's limit."""

    resource: Resource
    of: str = ""


def most_sessions(uid: UserId, limits: Limits) -> int:
    """Return how many sessions a person may have."""
    return limits.people.get(uid, limits.sessions_per_user)


def shortfall_of(
    wanted: Session,
    running: Sequence[Session],
    settings: Settings,
    *,
    kept: Sequence[Session] = (),
) -> Shortfall | None:
    """Return which resource is short for starting ``wanted`` now, the person's own limit first.

    ``kept``: sessions in the queue for which resources are reserved: the places of their profiles
    and groups, and graphics cards.
    """
    limits = settings.limits
    profiles = {one.id: one for one in settings.profiles}
    profile = profiles[wanted.profile]
    own = sum(1 for one in running if one.owner == wanted.owner)
    if own >= most_sessions(wanted.owner, limits):
        return Shortfall(Resource.OWN, str(own))
    if len(running) >= limits.sessions_total:
        return Shortfall(Resource.TOTAL)
    taken_or_kept = (*running, *kept)
    same = sum(1 for one in taken_or_kept if one.profile == wanted.profile)
    if profile.max_sessions and same >= profile.max_sessions:
        return Shortfall(Resource.PROFILE, profile.id)
    for group in wanted.groups:
        theirs = sum(1 for one in taken_or_kept if group in one.groups)
        if theirs >= limits.groups.get(group, theirs + 1):
            return Shortfall(Resource.GROUP, group)
    taken = [profiles[one.profile] for one in running if one.profile in profiles]
    cpus = sum(one.cpus for one in taken) + profile.cpus
    if limits.cpus and cpus > limits.cpus + _ROUNDING:
        return Shortfall(Resource.CPUS)
    memory = sum(one.memory_mib for one in taken) + profile.memory_mib
    if limits.memory_mib and memory > limits.memory_mib:
        return Shortfall(Resource.MEMORY)
    if limits.gpus and len(free_gpus(limits.gpus, taken_or_kept)) < profile.gpus:
        return Shortfall(Resource.GPUS)
    return None


def limited_groups(person: Person, limits: Limits) -> tuple[str, ...]:
    """Return those of a person's groups whose sessions are counted, as they are configured."""
    theirs = {group.casefold() for group in person.groups}
    return tuple(sorted(group for group in limits.groups if group.casefold() in theirs))
