"""The request that Traefik asks about, read strictly: complete and unambiguous. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from controller.core.errors import InvalidRequest
from controller.gate.answers import ADDRESS_MAX, Headers
from controller.rules import origins
from controller.rules.credentials import CredentialReader, Credentials
from controller.settings.schema import Settings

_METHODS = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}

_PROTOCOLS = frozenset({b"http", b"https", b"ws", b"wss"})

SHOWING = frozenset({"GET", "HEAD"})

_HEADER_MAX = 16_384  # bytes of one header that is looked at

_FORWARDED = (
    b"x-forwarded-method",
    b"x-forwarded-uri",
    b"x-forwarded-host",
    b"x-forwarded-proto",
)

# Of two headers with one name, different programs may believe different ones.
_SINGLE = frozenset(
    {b"authorization", b"content-length", b"content-type", b"host", b"origin"}
    | {b"proxy-authorization", b"referer", b"sec-websocket-key", b"transfer-encoding"}
    | {b"x-real-ip"}
)

_SINGLE_BEGIN = (b"sec-fetch-", b"x-forwarded-", b"x-slicerhub-")


class Question(msgspec.Struct, frozen=True, gc=False):
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
    def plain(self) -> bool:
        """Tell whether it reads only, and the browser says nothing of where it comes from."""
        return not (self.websocket or self.fetch_site) and self.method in origins.SAFE_METHODS

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


def parse_forwarded(session_id: str, raw: Headers, reader: CredentialReader) -> Question:
    """Read Traefik's question. Raises InvalidRequest if it is incomplete or ambiguous."""
    headers = _by_name(raw)
    for name in _FORWARDED:
        if not headers.get(name):
            text = name.decode()
            raise InvalidRequest("{header} is missing. Only Traefik may ask this.", header=text)
    method = _METHODS.get(headers[b"x-forwarded-method"])
    uri = headers[b"x-forwarded-uri"]
    if method is None or not uri.startswith(b"/") or not uri.isascii():
        raise InvalidRequest("The forwarded method or address cannot be served.")
    if headers[b"x-forwarded-proto"] not in _PROTOCOLS:
        raise InvalidRequest("The forwarded protocol cannot be served.")
    host = headers[b"x-forwarded-host"].decode("latin-1")
    return _question(session_id, method, uri.decode(), host=host, headers=headers, reader=reader)


def parse_direct(
    session_id: str,
    path: str,
    scope: Any,  # noqa: ANN401 - ASGI's own
    reader: CredentialReader,
) -> Question:
    """Read a request to a session without a route, which came to the controller itself."""
    headers = _by_name(scope["headers"])
    query = scope["query_string"].decode("ascii", errors="replace")
    uri = quote(path, safe="/") + (f"?{query}" if query else "")
    host = headers.get(b"host", b"").decode("latin-1")
    return _question(session_id, scope["method"], uri, host=host, headers=headers, reader=reader)


def _question(
    session_id: str,
    method: str,
    uri: str,
    *,
    host: str,
    headers: dict[bytes, bytes],
    reader: CredentialReader,
) -> Question:
    get = headers.get
    mode = get(b"sec-fetch-mode", b"")
    # Traefik removes Connection and Upgrade from its question: these two remain of a handshake.
    websocket = b"sec-websocket-key" in headers or mode == b"websocket"
    return Question(
        session_id,
        method,
        uri,
        host,
        reader.read(
            get(b"cookie", b"").decode("latin-1"), get(b"authorization", b"").decode("latin-1")
        ),
        origin=get(b"origin", b"").decode("latin-1"),
        websocket=websocket,
        navigation=not websocket
        and mode in {b"", b"navigate"}
        and b"text/html" in get(b"accept", b""),
        opens=mode == b"navigate" and get(b"sec-fetch-dest") == b"document",
        fetch_site=get(b"sec-fetch-site", b"").decode("latin-1"),
        forwarded_for=get(b"x-forwarded-for", b"").decode("latin-1"),
    )


def _by_name(raw: Headers) -> dict[bytes, bytes]:
    """Return headers by name. Raises InvalidRequest for two that must be one."""
    headers = dict(raw)
    # Nearly all requests have no header twice, and less in all than one of them may have.
    if len(headers) == len(raw) and sum(map(len, headers.values())) <= _HEADER_MAX:
        return headers
    headers.clear()
    for name, value in raw:
        if len(value) > _HEADER_MAX:
            raise InvalidRequest("A header is too long.")
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE or name.startswith(_SINGLE_BEGIN):
            raise InvalidRequest("{header} was sent twice.", header=name.decode("latin-1"))
        else:
            # RFC 9110, 5.3: two lines are one list. RFC 9113 splits cookies, too.
            headers[name] += (b"; " if name == b"cookie" else b", ") + value
    return headers
