"""What ``bench.feel`` measures: a page of which all is known, and a session of the hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from bench.hand import WATCH, Subject
from bench.steps import Box
from e2e.stack import URL, Member, container_of, remove_files, running_engine, session_url

USER = "alice"
PROFILE = "slicer"
DELAY = 80
"""Milliseconds from an input to its picture on the page of which all is known."""

_KNOWN = Box(0, 0, 620, 366)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
        """Say nothing."""


@contextmanager
def known() -> Generator[Subject]:
    """Serve the page of which all is known."""
    handler = partial(_Quiet, directory=str(WATCH.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        url = f"http://127.0.0.1:{port}/known.html?delay={DELAY}"
        views = {"brain": _KNOWN, "slice": _KNOWN}
        yield Subject("known", "127.0.0.1", port, url, views=views, is_far=False)
        server.shutdown()


@contextmanager
def session() -> Generator[Subject]:
    """Start a session of the hub; it is stopped afterwards.

    The files of its person are removed: a session shows the brain to whom it has none to offer.
    """
    with Member(USER) as member, running_engine() as engine:
        member.stop_all()
        remove_files(engine, USER)
        session_id = member.launch(PROFILE, "bench feel")["id"]
        container = container_of(engine, session_id)
        api: Any = engine.api  # without types

        def cores() -> float:
            seen: Any = api.stats(container.id, stream=False, one_shot=True)
            return seen["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9

        hub = urlsplit(URL)
        try:
            yield Subject(
                "session",
                "127.0.0.1" if hub.hostname == "localhost" else hub.hostname or "",
                hub.port or 80,
                session_url(session_id),
                home=URL,
                cookies=dict(one.split("=", 1) for one in member.cookie.split("; ")),
                cores=cores,
            )
        finally:
            member.stop(session_id)


SUBJECTS: Mapping[str, Callable[[], AbstractContextManager[Subject]]] = {
    "known": known,
    "session": session,
}
