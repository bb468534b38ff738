"""Who may do what, and what a request must look like to be believed. Pure decisions.

The session's owner stands in its labels, a person's groups come from the directory; nothing
here asks anybody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from urllib.parse import urlsplit

from controller.config import Limits, Settings
from controller.errors import InvalidRequest, NotAllowed, QuotaReached
from controller.model import NAME_MAX, Person, Profile, Role, Session, UserId

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NEXT_MAX = 2048  # characters


def role_in(session: Session, uid: UserId) -> Role | None:
    """Return what this person may do in the session; None: nothing at all."""
    return Role.OWNER if session.owner == uid else None


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


def check_quota(uid: UserId, sessions: Sequence[Session], limits: Limits) -> None:
    """Raise QuotaReached if this person may not have one more now."""
    own = sum(1 for one in sessions if one.owner == uid)
    if own >= limits.sessions_per_user:
        raise QuotaReached(
            f"You have {own} sessions, as many as one person may have. Stop one to start another."
        )
    if len(sessions) >= limits.sessions_total:
        raise QuotaReached("All places are taken. Try again when somebody has stopped.")


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
        if urlsplit(origin_of(url)).netloc == host.lower():
            return origin_of(url)
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
