"""A complete HTTP answer of the first process, as bytes."""

from __future__ import annotations

import msgspec


def http_answer(status: str, body: object, method: str, *, kind: str = "text/plain") -> bytes:
    """A complete response. ``body``: text of that kind, or a value that becomes JSON."""
    if isinstance(body, str):
        content = body.encode()
    else:
        content, kind = msgspec.json.encode(body), "application/json"
    retry = "Retry-After: 1\r\n" if status.startswith("503") else ""
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Cache-Control: no-store\r\n"
        f"{retry}"
        "Connection: close\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline';"
        " script-src 'unsafe-inline'; connect-src 'self'; img-src data:\r\n"
        "\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else content)
