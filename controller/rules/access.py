"""Who may do what. Pure decisions.

A session's labels name its owner, and the directory names a person's groups; nothing here does I/O.
"""

from __future__ import annotations

import unicodedata

import msgspec

from controller.core.errors import InvalidRequest, NotAllowed
from controller.core.model import NAME_MAX, Mount, Person, Phase, Profile, Role, Session, UserId
from controller.settings.schema import Settings


def role_in(session: Session, uid: UserId, granted: Role | None) -> Role | None:
    """Return what this person may do in the session; None: nothing at all.

    ``granted``: what its owner has granted them, if anything.
    """
    return Role.OWNER if session.owner == uid else granted


def may_launch(person: Person, profile: Profile) -> bool:
    """Tell whether the profile is open to one of this person's groups; case does not matter."""
    wanted = {group.casefold() for group in profile.groups}
    return not wanted or any(group.casefold() in wanted for group in person.groups)


def choose_profile(settings: Settings, person: Person, profile_id: str) -> Profile:
    """Return the profile; "" means the default one.

    Raises NotAllowed for an unknown profile and for one of others alike.
    """
    profiles = [one for one in settings.profiles if may_launch(person, one)]
    if profile_id:
        chosen = next((one for one in profiles if one.id == profile_id), None)
    else:
        chosen = next((one for one in profiles if one.default), next(iter(profiles), None))
    if chosen is None:
        raise NotAllowed("There is no such profile, or it is not open to you.")
    return chosen


def volumes_for(person: Person, profile: Profile, settings: Settings) -> tuple[Mount, ...]:
    """Return which of the profile's volumes this person gets, sorted by name.

    The right to write wins over the right to read. People with neither right do not see a volume.
    """
    groups = {group.casefold() for group in person.groups}
    mounts: list[Mount] = []
    for volume in settings.volumes:
        writable = any(group.casefold() in groups for group in volume.write)
        readable = writable or any(group.casefold() in groups for group in volume.read)
        if readable and volume.name in profile.volumes:
            mounts.append(Mount(volume.name, writable))
    return tuple(sorted(mounts, key=lambda mount: mount.name))


def clean_name(name: str) -> str:
    """Return a session's name as the hub keeps it: trimmed, Unicode-composed, on one line.

    Raises InvalidRequest if it is too long or has characters that cannot be seen.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if len(cleaned) > NAME_MAX:
        raise InvalidRequest("A name can have at most {most} characters.", most=NAME_MAX)
    if any(unicodedata.category(character)[0] == "C" for character in cleaned):
        raise InvalidRequest("A name cannot have line breaks or invisible characters.")
    return cleaned


class Access(msgspec.Struct, frozen=True):
    """What verify needs to know of a session for one person."""

    role: Role | None
    phase: Phase
