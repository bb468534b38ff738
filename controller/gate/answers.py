"""Finished answers for handlers that speak ASGI or HTTP themselves. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from http import HTTPStatus
from urllib.parse import quote

import msgspec

from controller.core.errors import HubError, NotLoggedIn
from controller.rules import origins

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The policy of every page of the hub; the pages are tested under it."""

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

NO_STORE = {"Cache-Control": "no-store"}

ADDRESS_MAX = 45  # characters: the longest form of an IPv6 address

ENTER = "/enter/"
"""Path of the hub followed by the session that somebody wants to enter, in subdomain mode."""

ENTER_PATH = "/.slicerhub/enter"
"""Path at a session's own host where the hand-off ends. It never reaches the session."""

STARTING = "/starting/"

PROBLEM = "application/problem+json"

HTML = "text/html; charset=utf-8"


Headers = Sequence[tuple[bytes, bytes]]
"""Of a request, as they came from the wire; the names in lower case."""


class Answer(msgspec.Struct, frozen=True, dict=True):
    """A finished answer, for handlers that speak ASGI or HTTP themselves."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    @cached_property
    def head(self) -> bytes:
        """The status line and the headers of HTTP/1.1, without the empty line after them."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}".encode()]
        lines += [b"%b: %b" % header for header in self.headers]
        return b"\r\n".join((*lines, b""))

    @cached_property
    def wire(self) -> bytes:
        """The whole answer of HTTP/1.1, after which the connection stays open."""
        return self.head + b"\r\n" + self.body


def answer(
    status: int, headers: dict[str, str], body: bytes = b"", *, cookies: tuple[str, ...] = ()
) -> Answer:
    """Make an Answer; ``content-length`` is added. ``cookies``: one Set-Cookie each."""
    given = [*headers.items(), ("Content-Length", str(len(body)))]
    given += [("Set-Cookie", cookie) for cookie in cookies]
    return Answer(
        status,
        tuple((name.lower().encode(), value.encode()) for name, value in given),
        body,
    )


def problem(status: int, title: str, detail: str, **extra: object) -> bytes:
    """Return a problem document (RFC 9457)."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail} | extra
    return json.dumps(document, ensure_ascii=False).encode()


def problem_answer(error: HubError) -> Answer:
    """Return an error for a program."""
    headers = SECURITY_HEADERS | NO_STORE | {"Content-Type": PROBLEM}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == NotLoggedIn.status:
        headers["WWW-Authenticate"] = "Bearer"
    return answer(error.status, headers, problem(error.status, error.title, str(error)))


def redirect(location: str, status: int = 302, *, cookies: tuple[str, ...] = ()) -> Answer:
    """Redirect the browser; ``location`` is made of configured addresses only."""
    headers = SECURITY_HEADERS | NO_STORE | {"Location": location}
    return answer(status, headers, cookies=cookies)


def login_url(public_url: str, target: str) -> str:
    """Return the address of the log-in page that leads on to ``target``."""
    return f"{public_url}/login?next={quote(origins.safe_next(target), safe='')}"
