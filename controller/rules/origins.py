"""Which page speaks: origins, the address that was used, and where a browser may be sent. Pure."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from controller.settings.schema import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_NEXT_MAX = 2048  # characters


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
    if method in SAFE_METHODS:
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
    if method not in SAFE_METHODS and origin not in {"", own}:
        return True
    by_link = opens and method in SAFE_METHODS
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
