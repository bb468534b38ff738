"""What Traefik is told of a session: one router, its middlewares and its service, as labels.

And of companions, whose routers are their own: the middlewares that guard them. Only session ids,
port numbers, configured host names and the names of companions stand in here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from controller.model import Profile, SessionId, UserId

VERIFY_ALIASES = 16
"""Network aliases of the controller. Traefik's forwardAuth keeps two idle connections for each
address and opens a new one for every check beyond; sixteen addresses bring that from 65 % of the
checks to 4 % (measured with 32 connections)."""

VERIFY_PORT = 8001
VERIFY_URL = f"http://verify-{{alias}}:{VERIFY_PORT}"  # with Docker
ROUTER_PRIORITY = 1000  # above the hub's own router, whatever the length of the rules
_CLOSED = "closed"
_CLOSING_PRIORITY = 2_000_000_000  # above whatever a companion's labels may say

# Each of these is deleted from the person's request first and then taken from verify's answer:
# so the hub's cookie stays out of the session, and nobody can name themselves.
AUTH_RESPONSE_HEADERS = ("Cookie", "Authorization", "X-Slicerhub-User", "X-Slicerhub-Role")

COMPANION_RESPONSE_HEADERS = (*AUTH_RESPONSE_HEADERS, "X-Slicerhub-Groups", "X-Slicerhub-Name")

# All that verify reads besides X-Forwarded-*; fewer headers are less work for each check.
AUTH_REQUEST_HEADERS = (
    "Accept",
    "Authorization",
    "Cookie",
    "Origin",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-WebSocket-Key",
)

# A page of a session's own may send what it likes; what a companion is told to change must come
# from a page of this origin, which browsers tell in one header more.
COMPANION_REQUEST_HEADERS = (*AUTH_REQUEST_HEADERS, "Sec-Fetch-Site")

MAX_VERIFY_BODY = 1024
"""Bytes of verify's answers. Traefik sets a buffer of this size aside for each check: 64 KiB cost
a fifth of the throughput, 1 KiB a twentieth at most (measured)."""


def session_path(session_id: SessionId) -> str:
    """Path below which a session lives in path mode, with its closing slash."""
    return f"/s/{session_id}/"


def user_header(uid: UserId) -> str:
    """Return a person's id as it stands in a header: ASCII, and for plain names the name itself."""
    return quote(uid, safe="@ ")


def login_cookie(instance: str, *, secure: bool) -> str:
    """Name of the log-in cookie; browsers keep ``__Host-`` names from being set by others."""
    return f"{'__Host-' if secure else ''}{instance}-login"


def verify_alias(session_id: SessionId) -> int:
    """Return which of the controller's addresses a session is verified at, from 0."""
    return _alias(session_id)


def _alias(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % VERIFY_ALIASES


def verify_address(session_id: SessionId) -> str:
    """Return the forwardAuth address of a session, spread evenly over the aliases."""
    return f"{VERIFY_URL.format(alias=verify_alias(session_id))}/verify/{session_id}"


def host_rule(hosts: tuple[str, ...]) -> str:
    """Match exactly the configured hosts, nothing else."""
    return " || ".join(f"Host(`{host}`)" for host in hosts)


def traefik_labels(
    session_id: SessionId, profile: Profile, *, hosts: tuple[str, ...], network: str, cookie: str
) -> dict[str, str]:
    """Return Traefik's labels of a session.

    ``network`` is the network on which Traefik reaches it, ``cookie`` the log-in cookie's name:
    a session can neither read nor set it.
    """
    router = f"traefik.http.routers.{session_id}"
    auth = f"traefik.http.middlewares.{session_id}-auth.forwardauth"
    strip = f"traefik.http.middlewares.{session_id}-strip.stripprefix"
    service = f"traefik.http.services.{session_id}.loadbalancer"
    path = session_path(session_id)
    middlewares = [f"{session_id}-auth"]
    stripping: dict[str, str] = {}
    if profile.strip_path:
        middlewares.append(f"{session_id}-strip")
        stripping[f"{strip}.prefixes"] = path.rstrip("/")
    return {
        "traefik.enable": "true",
        "traefik.docker.network": network,
        f"{router}.entrypoints": "web",
        f"{router}.rule": f"({host_rule(hosts)}) && PathPrefix(`{path}`)",
        f"{router}.priority": str(ROUTER_PRIORITY),
        f"{router}.service": session_id,
        f"{router}.middlewares": ",".join(middlewares),
        f"{auth}.address": verify_address(session_id),
        f"{auth}.trustforwardheader": "false",
        f"{auth}.authrequestheaders": ",".join(AUTH_REQUEST_HEADERS),
        f"{auth}.authresponseheaders": ",".join(AUTH_RESPONSE_HEADERS),
        f"{auth}.addauthcookiestoresponse": cookie,
        f"{auth}.maxresponsebodysize": str(MAX_VERIFY_BODY),
        **stripping,
        f"{service}.server.port": str(profile.port),
        f"{service}.server.scheme": "http",
    }


def companion_path(app: str) -> str:
    """Path below which a companion lives, with its closing slash."""
    return f"/apps/{app}/"


def guard_name(app: str) -> str:
    """Name of the middleware that asks the hub about a companion."""
    return f"slicerhub-{app}"


def groups_header(groups: Iterable[str]) -> str:
    """Return groups as they stand in a header: ASCII, sorted, a comma between two."""
    return ",".join(quote(group, safe="@ ") for group in sorted(groups))


def companions_configuration(
    apps: Iterable[str], closed: Iterable[str], *, cookie: str, verify_url: str
) -> dict[str, Any]:
    """Return what Traefik's HTTP provider is given: the log-in of each companion.

    ``apps``: names of companions, ``closed``: names that were refused. A router that names a
    middleware that is not here serves nothing. One that names none would serve everybody, so below
    the path of a refused name comes another one before it, where verify lets nobody through and
    nothing is behind. ``cookie``: the log-in cookie's name. ``verify_url``: where Traefik reaches
    verify, with ``{alias}`` and ``{port}`` for one of its addresses.
    """

    def guard(app: str) -> dict[str, Any]:
        alias = _alias(app)
        url = verify_url.format(alias=alias, port=VERIFY_PORT + alias)
        return {
            "forwardAuth": {
                "address": f"{url}/verify/app/{app}",
                "trustForwardHeader": False,
                "authRequestHeaders": COMPANION_REQUEST_HEADERS,
                "authResponseHeaders": COMPANION_RESPONSE_HEADERS,
                "addAuthCookiesToResponse": [cookie],
                "maxResponseBodySize": MAX_VERIFY_BODY,
            }
        }

    routers = {
        f"closed-{app}": {
            "rule": f"PathPrefix(`{companion_path(app)}`)",
            "priority": _CLOSING_PRIORITY,
            "middlewares": [_CLOSED],
            "service": "noop@internal",
        }
        for app in closed
    }
    middlewares = {guard_name(app): guard(app) for app in apps}
    if routers:
        middlewares[_CLOSED] = guard("-")  # nobody's name
    # Traefik refuses an empty list of either.
    told = {"middlewares": middlewares, "routers": routers}
    return {"http": found} if (found := {key: one for key, one in told.items() if one}) else {}
