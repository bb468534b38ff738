"""Where sessions are, and what Traefik is told of them: router, middlewares, service, as labels.

A session is at a host of its own below ``Settings.sessions_at`` (subdomain mode) or, where that
is empty, below ``/s/<id>/`` at the hub's hosts (path mode). And of companions, whose routers are
their own, Traefik is told the middlewares that guard them. Only session ids, port numbers,
configured host names and the names of companions stand in here.
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
"""Of the hub's router for hosts of sessions that are not there (traefik/dynamic/hub.yml).
Companions stay below: what else answered at such a host would tell which sessions there are."""

ROUTER_PRIORITY = 1001  # of sessions: above the hub's own routers, however long the rules are

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

# Of a session that has a host to itself, and of a companion, it matters whether a page of the same
# origin has sent a request, which browsers tell in one header more.
COMPANION_REQUEST_HEADERS = (*AUTH_REQUEST_HEADERS, "Sec-Fetch-Site")

MAX_VERIFY_BODY = 1024
"""Bytes of verify's answers. Traefik sets a buffer of this size aside for each check: 64 KiB cost
a fifth of the throughput, 1 KiB a twentieth at most (measured)."""


def session_path(session_id: SessionId) -> str:
    """Path below which a session lives in path mode, with its closing slash."""
    return f"/s/{session_id}/"


def session_origin(session_id: SessionId, settings: Settings) -> str:
    """Return the origin that a session has for itself in subdomain mode."""
    scheme, port = _around(settings.public_url)
    return f"{scheme}://{session_id}.{settings.sessions_at}{port}"


@lru_cache  # verify asks for it at every request
def _around(public_url: str) -> tuple[str, str]:
    """Return what stands before and after the host in an address's origin; the port with ":"."""
    parts = urlsplit(origins.origin_of(public_url))
    return parts.scheme, f":{parts.port}" if parts.port else ""


def session_url(session_id: SessionId, settings: Settings, hub: str = "") -> str:
    """Return where a browser finds a session.

    ``hub``: the hub's address, as it stands before a session's path; in subdomain mode it does not
    matter.
    """
    if settings.sessions_at:
        return f"{session_origin(session_id, settings)}/"
    return hub + session_path(session_id)


def session_label(host: str, settings: Settings) -> str | None:
    """Return what stands before the sessions' domain in a Host header; None: no session's host.

    Whatever lies below that domain and is none of the hub's own hosts counts as a session's.
    """
    if not settings.sessions_at:
        return None
    name = host.partition(":")[0].lower().removesuffix(".")
    label = name.removesuffix(f".{settings.sessions_at}")
    return label if label != name and name not in settings.hosts else None


def user_header(uid: UserId) -> str:
    """Return a person's id as it stands in a header: ASCII, and for plain names the name itself."""
    return quote(uid, safe="@ ")


def verify_alias(session_id: SessionId) -> int:
    """Return which of the controller's addresses a session is verified at, from 0."""
    return alias_of(session_id)


def alias_of(name: str) -> int:
    """Return which of the aliases a name is asked about at: always the same one."""
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
    """Return what of a request to a session verify is told, besides X-Forwarded-*."""
    return COMPANION_REQUEST_HEADERS if settings.sessions_at else AUTH_REQUEST_HEADERS


def strips_path(profile: Profile, settings: Settings) -> bool:
    """Tell whether Traefik takes the session's path off: at a host of its own there is none."""
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
