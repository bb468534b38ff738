"""A notice board: everybody who may see it reads all notes and adds their own.

It has no log-in: the headers that the hub sets say who writes, and only Traefik reaches it. The
last hundred notes are kept until it stops.
"""

# ruff: noqa: INP001 - a program of its own, in no package

from __future__ import annotations

import html
import signal
import sys
from collections import deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PATH = "/apps/board/"
BODY_MAX = 4096  # bytes of a form
NOTE_MAX = 500  # characters

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notice board</title>
<p><a href="/">Back to the hub</a></p>
<h1>Notice board</h1>
<p>You are {name} ({user}).</p>
<form method="post">
<label>Note <input name="note" maxlength="{longest}" required></label>
<button>Put it up</button>
</form>
<ul>{notes}</ul>
</html>
"""

notes: deque[tuple[str, str]] = deque(maxlen=100)


class Board(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Show all notes, the newest first."""
        if urlsplit(self.path).path != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        items = [
            f"<li><b>{html.escape(who)}</b>: {html.escape(note)}</li>"
            for who, note in reversed(notes)
        ]
        page = PAGE.format(
            name=html.escape(self.told("X-Slicerhub-Name")),
            user=html.escape(self.told("X-Slicerhub-User")),
            longest=NOTE_MAX,
            notes="".join(items),
        )
        body = page.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; form-action 'self'")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Put a note up."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_MAX:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        form = parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"))
        note = form.get("note", [""])[0].strip()[:NOTE_MAX]
        if note:
            notes.append((self.told("X-Slicerhub-User"), note))
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", PATH)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def told(self, header: str) -> str:
        """Return what the hub says; it writes everything but plain text as %XX."""
        return unquote(self.headers.get(header, ""))


def leave(number: int, frame: object) -> None:
    """End at once."""
    del number, frame
    sys.exit(0)


# The first process of a container is ended by no signal that it does not handle.
signal.signal(signal.SIGTERM, leave)
ThreadingHTTPServer(("0.0.0.0", 8080), Board).serve_forever()  # noqa: S104 - its network is its own
