"""Addresses of sessions, and their labels for Traefik: router, middlewares, service.

A session has a host of its own below ``Settings.sessions_at`` (subdomain mode) or, if that is
empty, a path ``/s/<id>/`` at the hub's hosts (path mode). Companions have routers of their own,
and use middlewares that Traefik gets from here. The labels contain only session ids, port numbers,
configured host names and the names of companions.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from urllib.parse import quote, urlsplit

from controller.core.model import Profile, SessionId, UserId
from controller.rules import origins
from controller.rules.cookies import own_cookies
from controller.settings.schema import Settings

VERIFY_ALIASES = 16
"""Network aliases of the controller. Traefik's forwardAuth keeps two idle connections for each
address and opens a new one for every check beyond; sixteen addresses bring that from 65 % of the
checks to 4 % (measured with 32 connections)."""

VERIFY_PORT = 8001

VERIFY_URL = f"http://verify-{{alias}}:{VERIFY_PORT}"  # with Docker

PLACES_PRIORITY = 1000
"""Priority of the hub's router for hosts of sessions that do not exist (traefik/dynamic/hub.yml).
Companions stay below it: an answer at such a host would reveal which sessions exist."""

ROUTER_PRIORITY = 1001  # of sessions: above the hub's own routers, however long the rules are

# Traefik removes these headers from a request and takes them from verify's answer. So the session
# never sees the hub's cookie, and nobody can claim to be somebody else.
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

# For a session with a host of its own, and for a companion, it matters whether a page of the same
# origin sent a request. One more header of the browser tells that.
COMPANION_REQUEST_HEADERS = (*AUTH_REQUEST_HEADERS, "Sec-Fetch-Site")

MAX_VERIFY_BODY = 1024
"""Bytes of verify's answers. Traefik sets a buffer of this size aside for each check: 64 KiB cost
a fifth of the throughput, 1 KiB a twentieth at most (measured)."""


def session_path(session_id: SessionId) -> str:
    """Path below which a session lives in path mode, with its closing slash."""
    return f"/s/{session_id}/"


def session_origin(session_id: SessionId, settings: Settings) -> str:
    """Return a session's own origin in subdomain mode."""
    scheme, port = _around(settings.public_url)
    return f"{scheme}://{session_id}.{settings.sessions_at}{port}"


@lru_cache  # verify asks for it at every request
def _around(public_url: str) -> tuple[str, str]:
    """Return the scheme and the port of an address's origin; the port with ":", or empty."""
    parts = urlsplit(origins.origin_of(public_url))
    return parts.scheme, f":{parts.port}" if parts.port else ""


def session_url(session_id: SessionId, settings: Settings, hub: str = "") -> str:
    """Return the address of a session for a browser.

    ``hub``: the hub's address before the session's path; it has no effect in subdomain mode.
    """
    if settings.sessions_at:
        return f"{session_origin(session_id, settings)}/"
    return hub + session_path(session_id)


def session_label(host: str, settings: Settings) -> str | None:
    """Return the part of a Host header before the sessions' domain; None: not a session's host.

    Every host below that domain counts as a session's, except the hub's own hosts.
    """
    if not settings.sessions_at:
        return None
    name = host.partition(":")[0].lower().removesuffix(".")
    label = name.removesuffix(f".{settings.sessions_at}")
    return label if label != name and name not in settings.hosts else None


def user_header(uid: UserId) -> str:
    """Return a person's id in the form of a header: ASCII, which plain names already are."""
    return quote(uid, safe="@ ")


def verify_alias(session_id: SessionId) -> int:
    """Return the number of the controller's address that verifies a session, from 0."""
    return alias_of(session_id)


def alias_of(name: str) -> int:
    """Return the number of the alias for a name; it is always the same."""
    return hashlib.sha256(name.encode()).digest()[0] % VERIFY_ALIASES


def verify_address(session_id: SessionId) -> str:
    """Return the forwardAuth address of a session, spread evenly over the aliases."""
    return f"{VERIFY_URL.format(alias=verify_alias(session_id))}/verify/{session_id}"


def host_rule(hosts: tuple[str, ...]) -> str:
    """Match exactly the configured hosts, nothing else."""
    return " || ".join(f"Host(`{host}`)" for host in hosts)


def session_rule(session_id: SessionId, settings: Settings) -> str:
    """Match a session's own host, or its path at the hub's."""
    if settings.sessions_at:
        return host_rule((f"{session_id}.{settings.sessions_at}",))
    return f"({host_rule(settings.hosts)}) && PathPrefix(`{session_path(session_id)}`)"


def request_headers(settings: Settings) -> tuple[str, ...]:
    """Return the headers of a request to a session that verify gets besides X-Forwarded-*."""
    return COMPANION_REQUEST_HEADERS if settings.sessions_at else AUTH_REQUEST_HEADERS


def strips_path(profile: Profile, settings: Settings) -> bool:
    """Tell whether Traefik removes the session's path, which only path mode has."""
    return profile.strip_path and not settings.sessions_at


def traefik_labels(
    session_id: SessionId, profile: Profile, settings: Settings, *, network: str
) -> dict[str, str]:
    """Return Traefik's labels of a session; ``network``: where Traefik reaches it."""
    router = f"traefik.http.routers.{session_id}"
    auth = f"traefik.http.middlewares.{session_id}-auth.forwardauth"
    strip = f"traefik.http.middlewares.{session_id}-strip.stripprefix"
    service = f"traefik.http.services.{session_id}.loadbalancer"
    middlewares = [f"{session_id}-auth"]
    stripping: dict[str, str] = {}
    if strips_path(profile, settings):
        middlewares.append(f"{session_id}-strip")
        stripping[f"{strip}.prefixes"] = session_path(session_id).rstrip("/")
    return {
        "traefik.enable": "true",
        "traefik.docker.network": network,
        f"{router}.entrypoints": "web",
        f"{router}.rule": session_rule(session_id, settings),
        f"{router}.priority": str(ROUTER_PRIORITY),
        f"{router}.service": session_id,
        f"{router}.middlewares": ",".join(middlewares),
        f"{auth}.address": verify_address(session_id),
        f"{auth}.trustforwardheader": "false",
        f"{auth}.authrequestheaders": ",".join(request_headers(settings)),
        f"{auth}.authresponseheaders": ",".join(AUTH_RESPONSE_HEADERS),
        f"{auth}.addauthcookiestoresponse": ",".join(own_cookies(settings)),
        f"{auth}.maxresponsebodysize": str(MAX_VERIFY_BODY),
        **stripping,
        f"{service}.server.port": str(profile.port),
        f"{service}.server.scheme": "http",
    }
