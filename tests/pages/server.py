"""A small server of pages, under the policy that the hub sends.

What is tried with it is what the pages, the stylesheet and the script do, and nothing else.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from controller.gate import answers
from controller.web import render
from controller.web.pages.home import HomeView
from controller.web.render import Renderer

RENDERER = Renderer()
HEARTBEAT_SECONDS = 0.2
SILENCE = ("silence", None)
"""Put among the events: the stream that takes it says nothing more, and stays open."""

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Hub(ThreadingHTTPServer):
    """A server that gives out rendered pages and whatever events a test puts in."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port of the loopback."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.posts: list[tuple[str, dict[str, str]]] = []
        self.events: queue.Queue[tuple[str, object] | None] = queue.Queue()
        self.after_post: dict[str, str] = {}  # what the first page becomes by a POST
        self.answers: dict[str, str] = {}  # to a POST, instead of the way to the first page
        self.queries: list[str] = []
        self.faults: list[str] = []
        self.refusals: dict[str, int] = {}  # the status for a path
        self.away = False
        self.mute: set[str] = set()  # paths that are not answered, until the end
        self.muted: list[str] = []  # paths that were asked for meanwhile
        self.over = threading.Event()
        self.streams = 0  # how often one was opened

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Note what went wrong in an answer; a browser that hangs up is no fault."""
        fault = sys.exc_info()[1]
        if not isinstance(fault, ConnectionError):
            self.faults.append(repr(fault))


class Handler(BaseHTTPRequestHandler):
    """Answers from the dictionaries of ``Hub``."""

    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """A page, a static file or a stream of events."""
        path, query = urlsplit(self.path)[2:4]
        if query:
            self.server.queries.append(query)
        if path in self.server.refusals:
            self._page(self.server.refusals[path], "")
            return
        if path in self.server.mute:
            self.server.muted.append(path)
            self.server.over.wait()
            return
        if path.endswith("/events"):
            self._stream()
        elif path.startswith(RENDERER.static):
            file = render.STATIC_FOLDER / Path(path).name
            self._answer(200, TYPES[file.suffix], file.read_bytes())
        elif path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path in self.server.pages and not self.server.away:
            self._page(200, self.server.pages[path])
        else:
            self._page(503 if self.server.away else 404, "<!doctype html><title>none</title>")

    def do_POST(self) -> None:
        """Note what was sent, and go home unless there is an answer."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posts.append((self.path, dict(parse_qsl(body, keep_blank_values=True))))
        self.server.pages["/"] = self.server.after_post.get(self.path, self.server.pages["/"])
        if self.path in self.server.answers:
            self._page(200, self.server.answers[self.path])
            return
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Keep quiet."""

    def _page(self, status: int, text: str) -> None:
        self._answer(status, "text/html; charset=utf-8", text.encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", answers.CONTENT_SECURITY_POLICY)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        if self.server.away:
            self._page(503, "")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b": open\n\n")
        self.server.streams += 1
        while (event := self._next_event()) is not None:
            if event == SILENCE:
                self.server.over.wait()
                return
            name, data = event
            self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())

    def _next_event(self) -> tuple[str, object] | None:
        try:
            return self.server.events.get(timeout=HEARTBEAT_SECONDS)
        except queue.Empty:
            return ("heartbeat", {})


def home_at(hub: Hub, view: HomeView) -> None:
    """Let the hub's first page be this one."""
    hub.pages["/"] = RENDERER.page(view)
