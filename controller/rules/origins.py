"""Origins: which page sent a request, which address it used, and safe redirects. Pure."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from controller.settings.schema import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_NEXT_MAX = 2048  # characters


@lru_cache  # verify asks for the same few at every request, and taking them apart is slow
def origin_of(url: str) -> str:
    """Return the origin of a configured address, in the spelling of browsers."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"


def public_url_for(host: str, settings: Settings) -> str:
    """Return the configured address that a request to ``host`` used, or the canonical one.

    Links use configured addresses only, never a host name from a request.
    """
    for url in settings.urls:
        origin = origin_of(url)
        if origin.partition("://")[2] == host.lower():
            return origin
    return origin_of(settings.public_url)


def is_forged(method: str, *, host: str, origin: str, fetch_site: str, settings: Settings) -> bool:
    """Tell whether a request with a cookie may come from a foreign page.

    A changing request must have the hub's own origin, the one it was sent to. If the browser sends
    Sec-Fetch-Site, it must be same-origin: a subdomain is same-site and not trusted.
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
    """Tell whether another page sent a request to a session with a cookie.

    ``own``: the session's origin. Other sessions are same-site with it, so requests of their pages
    carry its cookie. ``opens``: the request opens a page of its own, not in a frame. A handshake
    always has an origin, a changing request nearly always. If the browser sends Sec-Fetch-Site,
    another page may only have linked to the session.
    """
    if websocket:
        return origin != own
    if method not in SAFE_METHODS and origin not in {"", own}:
        return True
    by_link = opens and method in SAFE_METHODS
    return fetch_site not in {"", "same-origin", "none"} and not by_link


def safe_next(target: str) -> str:
    """Return ``target`` if it is a plain path of this hub, else "/".

    Browsers read ``//host``, a backslash for a slash, and paths with tabs or line breaks as
    addresses of other hosts. Anything that is not plainly a path becomes "/".
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
