"""What ``bench.feel`` measures: sessions, other viewers, and a page of which all is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import click
from bench.hand import WATCH, Part, Subject
from bench.references import CPUS, Reference, stock_viewer, vnc_brain
from bench.start import PORT, READY, wait_for_200
from bench.steps import Box
from docker import DockerClient
from e2e.stack import URL, Member, container_of, remove_files, running_engine, session_url

USER = "alice"
PROFILE = "slicer"
DELAY = 80
"""Milliseconds from an input to its picture on the page of which all is known."""

_KNOWN = Part("canvas", 0, Box(0, 0, 620, 366))
_LOCAL = "http://localhost"  # what each server is called, so that browsers take it as secure


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
        url = f"{_LOCAL}:{port}/known.html?delay={DELAY}"
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
        hub = urlsplit(URL)
        try:
            yield Subject(
                "session",
                "127.0.0.1" if hub.hostname == "localhost" else hub.hostname or "",
                hub.port or 80,
                session_url(session_id),
                home=URL,
                cookies=dict(one.split("=", 1) for one in member.cookie.split("; ")),
                cores=partial(cores_of, engine, container.id),
            )
        finally:
            member.stop(session_id)


@contextmanager
def stock() -> Generator[Subject]:
    """Run trame-slicer's own viewer."""
    with stock_viewer() as viewer, running_engine() as engine:
        yield _of(viewer, engine, "stock")


@contextmanager
def vnc() -> Generator[Subject]:
    """Run a desktop program behind TigerVNC and noVNC."""
    with vnc_brain() as desktop, running_engine() as engine:
        views = {
            name: Part(view.selector, view.nth, Box(*view.box))
            for name, view in desktop.views._asdict().items()
        }
        yield _of(desktop, engine, "vnc")._replace(views=views, cases=frozenset({"turn", "scroll"}))


def _of(viewer: Reference, engine: DockerClient, name: str) -> Subject:
    return Subject(
        name,
        viewer.host,
        viewer.port,
        f"{_LOCAL}:{viewer.port}{viewer.path}",
        cores=partial(cores_of, engine, _container_at(engine, viewer.host)),
    )


def _container_at(engine: DockerClient, address: str) -> str:
    """Return the id of the container that has this address in the engine's usual network."""
    network: Any = engine.networks.get("bridge")
    for container_id, seen in network.attrs["Containers"].items():
        if seen["IPv4Address"].partition("/")[0] == address:
            return container_id
    raise click.ClickException(f"No container has the address {address}.")


@contextmanager
def image(name: str) -> Generator[Subject]:
    """Run an image of sessions by itself, as another build of them to measure beside."""
    with running_engine() as engine:
        containers: Any = engine.containers
        container = containers.run(
            name,
            detach=True,
            environment={"SLICERHUB_STANDALONE": "1"},
            nano_cpus=CPUS * 10**9,
            mem_limit="4g",
        )
        try:
            container.reload()
            host: str = container.attrs["NetworkSettings"]["IPAddress"]
            wait_for_200(host, PORT, READY, {}, time.monotonic())
            yield Subject(
                "image",
                host,
                PORT,
                f"{_LOCAL}:{PORT}/",
                cores=partial(cores_of, engine, container.id),
            )
        finally:
            container.remove(force=True, v=True)


def cores_of(engine: DockerClient, container_id: str) -> float:
    """Return the seconds of processor time that a container has used so far."""
    api: Any = engine.api  # without types
    seen: Any = api.stats(container_id, stream=False, one_shot=True)
    return seen["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9


SUBJECTS: Mapping[str, Callable[[], AbstractContextManager[Subject]]] = {
    "known": known,
    "session": session,
    "stock": stock,
    "vnc": vnc,
}
