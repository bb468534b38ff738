"""A program that is not on the server yet: it is fetched while the page tells how far."""

from __future__ import annotations

import re
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser.windows import START_MS, Window, held_at_the_progress, log_in, notes_of
from docker import DockerClient
from e2e.stack import SESSIONS, Member
from playwright.sync_api import expect

from tests.support.registry import forget, registry

PORT = 15095
RATE = 4_000_000  # bytes a second: the page is opened after five seconds of fetching
IMAGE = f"127.0.0.1:{PORT}/slicerhub-test/fetched:1"  # as the tests' slicerhub.toml names it

# A web application of a few lines, and a layer that takes a moment to fetch.
DOCKERFILE = r"""
FROM debian:bookworm-slim
RUN useradd --uid 1000 --create-home slicer && head -c 40000000 /dev/urandom >/noise
RUN printf '%s\n' \
    'use IO::Socket::INET;' \
    '$SIG{TERM} = sub { exit };' \
    '$door = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die $!;' \
    'while ($guest = $door->accept) {' \
    '  while (<$guest>) { last if /^\r?$/ }' \
    '  print $guest "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n";' \
    '  print $guest "<h1>Fetched and here</h1>";' \
    '  close $guest;' \
    '}' >/serve.pl
CMD ["perl", "/serve.pl"]
"""

NOTE_DETAILS = """document.addEventListener("DOMContentLoaded", () => {
    const list = document.querySelector("#steps");
    if (!list) return;
    const note = () => {
        for (const detail of list.querySelectorAll(".detail")) noteDown(detail.textContent);
    };
    const watched = { subtree: true, childList: true, characterData: true };
    new MutationObserver(note).observe(list, watched);
    note();
});"""


def pass_on(source: socket.socket, target: socket.socket, *, rate: float = 0) -> None:
    """Pass on until the source ends, at so many bytes a second if a rate is given."""
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
            if rate:
                time.sleep(len(chunk) / rate)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one side has hung up


class Server(socketserver.ThreadingTCPServer):
    """Takes its port although an earlier test has just left it."""

    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def slow_line(far_port: int) -> Generator[None]:
    """While there is a slow line to the registry, at the address that the image names."""

    class Line(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", far_port)) as far:
                asking = threading.Thread(target=pass_on, args=(self.request, far))
                asking.start()
                pass_on(far, self.request, rate=RATE)
                asking.join()

    with Server(("127.0.0.1", PORT), Line) as line:
        serving = threading.Thread(target=line.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield
        line.shutdown()
        serving.join()


@pytest.fixture
def published(engine: DockerClient, tmp_path: Path, free_tcp_port: int) -> Iterator[None]:
    """While a real registry has the program, behind a slow line, and the engine has not."""
    api: Any = engine.api
    with registry(tmp_path, free_tcp_port), slow_line(free_tcp_port):
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", IMAGE, "-"],
            input=DOCKERFILE.encode(),
            check=True,
            capture_output=True,
        )
        for message in api.push(IMAGE, stream=True, decode=True):
            assert "error" not in message, message
        forget(api, IMAGE)
        yield
        forget(api, IMAGE)


@pytest.fixture
def bob() -> Iterator[Member]:
    """Somebody of whom nothing runs."""
    with Member("bob") as member:
        member.stop_all()
        yield member
        member.stop_all()


@pytest.mark.usefixtures("published", "bob")
def test_the_page_tells_how_far_and_opens(window: Window) -> None:
    """The person who starts it reads how many megabytes have arrived, and is in once it runs."""
    page = window.page
    noted: list[str] = notes_of(page)
    page.add_init_script(NOTE_DETAILS)
    log_in(page, "bob", "bob")
    page.get_by_text("Give it a name, or start something else").click()
    with held_at_the_progress(page):
        page.get_by_role("button", name="Start Fetched").click()
        expect(page.get_by_role("heading", name="Starting Fetched")).to_be_visible()
    page.wait_for_url(SESSIONS, timeout=START_MS)
    expect(page.get_by_role("heading", name="Fetched and here")).to_be_visible()
    told = [one for one in noted if re.search(r"the program: [\d,]+ of [\d,]+ MB", one)]
    assert told, noted
