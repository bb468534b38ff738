"""Who may do what, and what a request must look like to be believed. Pure decisions.

The session's owner stands in its labels, a person's groups come from the directory; nothing
here asks anybody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from controller.core.errors import InvalidRequest, NotAllowed
from controller.core.model import NAME_MAX, Mount, Person, Profile, Role, Session, UserId
from controller.settings.schema import Limits, Settings

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_NEXT_MAX = 2048  # characters

_ROUNDING = 1e-6  # cores: three times 1.1 are 3.3, whatever floats make of it


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

    Who may write gets it writable, whatever else stands there; who may neither does not see it.
    """
    groups = {group.casefold() for group in person.groups}
    mounts: list[Mount] = []
    for volume in settings.volumes:
        writable = any(group.casefold() in groups for group in volume.write)
        readable = writable or any(group.casefold() in groups for group in volume.read)
        if readable and volume.name in profile.volumes:
            mounts.append(Mount(volume.name, writable))
    return tuple(sorted(mounts, key=lambda mount: mount.name))


def free_gpus(configured: Sequence[str], sessions: Iterable[Session]) -> tuple[str, ...]:
    """Return the graphics cards that no session holds, in the order of the configuration."""
    leased = {gpu for session in sessions for gpu in session.gpus}
    return tuple(gpu for gpu in configured if gpu not in leased)


def clean_name(name: str) -> str:
    """Return a session's name as it is kept: trimmed, Unicode-composed, of one line.

    Raises InvalidRequest if it is too long or has characters that cannot be seen.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if len(cleaned) > NAME_MAX:
        raise InvalidRequest(f"A name has {NAME_MAX} characters at most.")
    if any(unicodedata.category(character)[0] == "C" for character in cleaned):
        raise InvalidRequest("A name cannot have line breaks or invisible characters.")
    return cleaned


class Shortage(StrEnum):
    """What there is not enough of for one more session."""

    OWN = "own"  # of what one person may have; no line helps
    TOTAL = "total"
    PROFILE = "profile"
    GROUP = "group"
    CPUS = "cpus"
    MEMORY = "memory"
    GPUS = "gpus"


class Lack(msgspec.Struct, frozen=True):
    """Why a session cannot start now. ``of``: the profile or group if it is one's limit."""

    shortage: Shortage
    of: str = ""

    @property
    def sentence(self) -> str:
        """Say what helps."""
        match self.shortage:
            case Shortage.OWN:
                many = "1 session" if self.of == "1" else f"{self.of} sessions"
                return (
                    f"You have {many}, as many as one person may have. Stop one to start another."
                )
            case Shortage.GPUS:
                return "All graphics cards are taken. Try again when somebody has stopped."
            case Shortage.CPUS | Shortage.MEMORY:
                return "The server is full. Try again when somebody has stopped."
            case Shortage.GROUP:
                return "All places of your group are taken. Try again when somebody has stopped."
            case Shortage.PROFILE | Shortage.TOTAL:
                return "All places are taken. Try again when somebody has stopped."

    @property
    def waits_for(self) -> str:
        """Name what somebody in line waits for."""
        match self.shortage:
            case Shortage.GPUS:
                return "a graphics card"
            case Shortage.CPUS | Shortage.MEMORY:
                return "room on the server"
            case Shortage.GROUP:
                return "a place of your group"
            case Shortage.OWN | Shortage.PROFILE | Shortage.TOTAL:
                return "a free place"


def most_sessions(uid: UserId, limits: Limits) -> int:
    """Return how many sessions a person may have."""
    return limits.people.get(uid, limits.sessions_per_user)


def lack_of(
    wanted: Session,
    running: Sequence[Session],
    settings: Settings,
    *,
    kept: Sequence[Session] = (),
) -> Lack | None:
    """Return what there is not enough of to start ``wanted`` now, the person's own limit first.

    ``kept``: sessions for which places of profiles and groups, and graphics cards, are kept free.
    """
    limits = settings.limits
    profiles = {one.id: one for one in settings.profiles}
    profile = profiles[wanted.profile]
    own = sum(1 for one in running if one.owner == wanted.owner)
    if own >= most_sessions(wanted.owner, limits):
        return Lack(Shortage.OWN, str(own))
    if len(running) >= limits.sessions_total:
        return Lack(Shortage.TOTAL)
    taken_or_kept = (*running, *kept)
    same = sum(1 for one in taken_or_kept if one.profile == wanted.profile)
    if profile.max_sessions and same >= profile.max_sessions:
        return Lack(Shortage.PROFILE, profile.id)
    for group in wanted.groups:
        theirs = sum(1 for one in taken_or_kept if group in one.groups)
        if theirs >= limits.groups.get(group, theirs + 1):
            return Lack(Shortage.GROUP, group)
    taken = [profiles[one.profile] for one in running if one.profile in profiles]
    cpus = sum(one.cpus for one in taken) + profile.cpus
    if limits.cpus and cpus > limits.cpus + _ROUNDING:
        return Lack(Shortage.CPUS)
    memory = sum(one.memory_mib for one in taken) + profile.memory_mib
    if limits.memory_mib and memory > limits.memory_mib:
        return Lack(Shortage.MEMORY)
    if limits.gpus and len(free_gpus(limits.gpus, taken_or_kept)) < profile.gpus:
        return Lack(Shortage.GPUS)
    return None


def limited_groups(person: Person, limits: Limits) -> tuple[str, ...]:
    """Return those of a person's groups whose sessions are counted, as they are configured."""
    theirs = {group.casefold() for group in person.groups}
    return tuple(sorted(group for group in limits.groups if group.casefold() in theirs))


@lru_cache  # verify asks for the same few at every request, and taking them apart is slow
def origin_of(url: str) -> str:
    """Return the origin of a configured address, spelled as browsers spell it."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"


def public_url_for(host: str, settings: Settings) -> str:
    """Return the configured address that a request to ``host`` came by, else the canonical one.

    Links are made of configured addresses only, never of what a request claims.
    """
    for url in settings.urls:
        origin = origin_of(url)
        if origin.partition("://")[2] == host.lower():
            return origin
    return origin_of(settings.public_url)


def is_forged(method: str, *, host: str, origin: str, fetch_site: str, settings: Settings) -> bool:
    """Tell whether a request that a cookie speaks for may come from a foreign page.

    A changing request must name the hub's own origin, the one it was sent to; where the browser
    says how it was made (Sec-Fetch-Site), that must be same-origin: a subdomain is same-site and
    no friend.
    """
    if method in _SAFE_METHODS:
        return False
    expected = public_url_for(host, settings)
    return origin != expected or fetch_site not in {"", "same-origin"}


def is_foreign(
    method: str,
    *,
    own: str,
    origin: str,
    websocket: bool,
    fetch_site: str = "",
    opens: bool = False,
) -> bool:
    """Tell whether a request to a session, for which a cookie speaks, is another page's doing.

    ``own``: the session's origin. Other sessions are same-site with it: their pages' requests
    carry its cookie. ``opens``: it is to be a page of its own, in nobody's frame. A handshake names
    its origin always, what changes things nearly always, and where the browser says how a request
    was made (Sec-Fetch-Site) no other page may have made it, but by a link.
    """
    if websocket:
        return origin != own
    if method not in _SAFE_METHODS and origin not in {"", own}:
        return True
    by_link = opens and method in _SAFE_METHODS
    return fetch_site not in {"", "same-origin", "none"} and not by_link


def safe_next(target: str) -> str:
    """Return ``target`` if it is a plain path of this hub, else "/".

    Browsers read ``//host``, a backslash for a slash, and paths with tabs or line breaks in them
    as other hosts' addresses; whatever is not plainly a path is dropped.
    """
    if not target.startswith("/") or len(target) > _NEXT_MAX or not target.isascii():
        return "/"
    if target.startswith("//") or "\\" in target or "%5c" in target.lower():
        return "/"
    if any(character <= " " or character == "\x7f" for character in target):
        return "/"
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or parts.path.startswith("//"):
        return "/"
    if any(segment in {".", ".."} for segment in parts.path.split("/")):
        return "/"
    return target
