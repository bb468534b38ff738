"""The request that Traefik asks about, read strictly: complete and unambiguous. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from controller.core.errors import InvalidRequest
from controller.gate.answers import ADDRESS_MAX
from controller.rules.credentials import CredentialReader, Credentials
from controller.settings.schema import Settings

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SHOWING = frozenset({"GET", "HEAD"})

_HEADER_MAX = 16_384  # bytes of one header that is looked at

_FORWARDED = ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto")

# Of two headers with one name, different programs may believe different ones.
_SINGLE = frozenset(
    {"authorization", "content-length", "content-type", "host", "origin", "proxy-authorization"}
    | {"referer", "sec-websocket-key", "transfer-encoding", "x-real-ip"}
)

_SINGLE_BEGIN = ("sec-fetch-", "x-forwarded-", "x-slicerhub-")


class Question(msgspec.Struct, frozen=True):
    """The request that Traefik asks about, as far as the verdict depends on it."""

    session_id: str  # as the router's address names it
    method: str
    uri: str  # path and query
    host: str  # with the port if it was named
    credentials: Credentials = Credentials()
    origin: str = ""
    websocket: bool = False
    navigation: bool = False  # a person's browser wants a page
    opens: bool = False  # it is to be a page of its own, in nobody's frame
    fetch_site: str = ""  # where the browser says that it comes from; not asked for in path mode
    forwarded_for: str = ""

    @property
    def address(self) -> str:
        """Return the address that Traefik saw; it adds it at the end."""
        return self.forwarded_for.rpartition(",")[2].strip()[:ADDRESS_MAX]


def check_host(question: Question, settings: Settings) -> None:
    """Raise InvalidRequest unless the request came to this very session's host.

    A session that was started in path mode, or below another domain, cannot be served.
    """
    host = question.host.lower().partition(":")[0]
    if host != f"{question.session_id}.{settings.sessions_at}":
        raise InvalidRequest("There is no session at this host name.")


def parse_forwarded(
    session_id: str, raw: Iterable[tuple[bytes, bytes]], reader: CredentialReader
) -> Question:
    """Read Traefik's question. Raises InvalidRequest if it is incomplete or ambiguous."""
    headers = _decode(raw)
    missing = [name for name in _FORWARDED if not headers.get(name)]
    if missing:
        raise InvalidRequest("{header} is missing. Only Traefik may ask this.", header=missing[0])
    method, uri = headers["x-forwarded-method"], headers["x-forwarded-uri"]
    if method not in _METHODS or not uri.startswith("/") or not uri.isascii():
        raise InvalidRequest("The forwarded method or address cannot be served.")
    if headers["x-forwarded-proto"] not in {"http", "https", "ws", "wss"}:
        raise InvalidRequest("The forwarded protocol cannot be served.")
    host = headers["x-forwarded-host"]
    return _question(session_id, method, uri, host=host, headers=headers, reader=reader)


def parse_direct(
    session_id: str,
    path: str,
    scope: Any,  # noqa: ANN401 - ASGI's own
    reader: CredentialReader,
) -> Question:
    """Read a request to a session without a route, which came to the controller itself."""
    headers = _decode(scope["headers"])
    query = scope["query_string"].decode("ascii", errors="replace")
    uri = quote(path, safe="/") + (f"?{query}" if query else "")
    host = headers.get("host", "")
    return _question(session_id, scope["method"], uri, host=host, headers=headers, reader=reader)


def _question(
    session_id: str,
    method: str,
    uri: str,
    *,
    host: str,
    headers: dict[str, str],
    reader: CredentialReader,
) -> Question:
    mode = headers.get("sec-fetch-mode", "")
    # Traefik removes Connection and Upgrade from its question: these two remain of a handshake.
    websocket = "sec-websocket-key" in headers or mode == "websocket"
    return Question(
        session_id=session_id,
        method=method,
        uri=uri,
        host=host,
        credentials=reader.read(headers.get("cookie", ""), headers.get("authorization", "")),
        origin=headers.get("origin", ""),
        websocket=websocket,
        navigation=not websocket
        and mode in {"", "navigate"}
        and "text/html" in headers.get("accept", ""),
        opens=mode == "navigate" and headers.get("sec-fetch-dest", "") == "document",
        fetch_site=headers.get("sec-fetch-site", ""),
        forwarded_for=headers.get("x-forwarded-for", ""),
    )


def _decode(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name. Raises InvalidRequest for two that must be one."""
    headers: dict[str, str] = {}
    for name, value in raw:
        if len(value) > _HEADER_MAX:
            raise InvalidRequest("A header is too long.")
        key = name.decode("latin-1")
        if key in headers:
            if key in _SINGLE or key.startswith(_SINGLE_BEGIN):
                raise InvalidRequest("{header} was sent twice.", header=key)
            # RFC 9110, 5.3: two lines are one list. RFC 9113 splits cookies, too.
            between = "; " if key == "cookie" else ", "
            headers[key] += between + value.decode("latin-1")
        else:
            headers[key] = value.decode("latin-1")
    return headers
