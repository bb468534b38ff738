"""People who use an installed hub as scripts and as browsers, and what they see of it."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.kubernetes.waiting import until

PAGE = {"Accept": "text/html,application/xhtml+xml"}
KNOCKS = 200  # at least, so that a moment of openness or of a refusal would have been seen
_AT_ONCE = 10
_KNOCK_SECONDS = 0.025  # from one to the next: an address may have 100 a second (limits.yaml)


def client(url: str, **more: Any) -> httpx.Client:  # noqa: ANN401 - httpx's own
    """Return a client that tries to connect again, as browsers do.

    The machine remembers for minutes to which Pod a port of its own led, and once in some thousand
    connections one gets the port of a connection to a Traefik that is gone: "No route to host".
    """
    tries = httpx.HTTPTransport(retries=3)
    return httpx.Client(base_url=url, timeout=30, trust_env=False, transport=tries, **more)


class Person:
    """Somebody who is logged in, as a script (``api``) and as a browser (``browser``)."""

    def __init__(self, url: str, name: str) -> None:
        """Log in both ways; the password of the demo's people is their name."""
        self.url = url
        self.api = client(url)
        answer = self.api.post("/api/v1/login", json={"username": name, "password": name})
        assert answer.status_code == 200, answer.text
        self.api.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self.browser = client(url, headers=PAGE)
        answer = self.browser.post(
            "/login",
            data={"username": name, "password": name, "next": "/"},
            headers={"Origin": url},
        )
        assert answer.status_code == 303, answer.text

    @property
    def cookie(self) -> str:
        """The browser's Cookie header."""
        return "; ".join(f"{key}={value}" for key, value in self.browser.cookies.items())

    @property
    def login_cookie(self) -> str:
        """The same with nothing in it that leads to one of the controllers."""
        cookies = self.browser.cookies.items()
        return "; ".join(f"{key}={value}" for key, value in cookies if key.endswith("-login"))

    def begin(self, name: str) -> str:
        """Launch Slicer and do not wait; return the session's id."""
        answer = self.api.post("/api/v1/sessions", json={"profile": "slicer", "name": name})
        assert answer.status_code == 202, answer.text
        session_id: str = answer.json()["id"]
        return session_id

    def phase(self, session_id: str) -> str:
        """Return the session's phase, or "gone"."""
        answer = self.api.get(f"/api/v1/sessions/{session_id}")
        return "gone" if answer.status_code == 404 else str(answer.json().get("phase"))

    def wait(self, session_id: str, phase: str) -> None:
        """Wait until the session has got so far."""
        until(lambda: self.phase(session_id) == phase, f"phase {phase}")

    def own(self) -> list[str]:
        """Return the ids of this person's sessions."""
        return [one["id"] for one in self.api.get("/api/v1/sessions").json()["items"]]

    def sees(self, session_id: str) -> bool:
        """Tell whether the hub answers, and lists this session as theirs."""
        answer = self.api.get("/api/v1/sessions")
        return answer.status_code == 200 and session_id in answer.text

    def stop(self, session_id: str) -> None:
        """Stop the session and wait until it is gone."""
        answer = self.api.delete(f"/api/v1/sessions/{session_id}")
        assert answer.status_code in {202, 404}, answer.text
        self.wait(session_id, "gone")

    def invite(self, session_id: str, name: str) -> None:
        """Let somebody look on."""
        answer = self.api.put(f"/api/v1/sessions/{session_id}/shares/{name}", json={"role": "view"})
        assert answer.status_code == 200, answer.text

    def handshake(self, session_id: str) -> int:
        """Try to open the session's WebSocket; return the status."""
        try:
            with self.socket(session_id):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    def socket(self, session_id: str) -> ClientConnection:
        """Open the session's WebSocket as this person's browser does."""
        return connect(
            f"{self.url.replace('http', 'ws')}/s/{session_id}/ws",
            additional_headers={"Cookie": self.cookie},
            origin=self.url,  # pyright: ignore[reportArgumentType] - any text may be sent
            proxy=None,
            open_timeout=20,
        )

    def is_served(self, session_id: str) -> bool:
        """Tell whether the session itself answers this person, and not the hub in its place."""
        return self.api.get(f"/s/{session_id}/-/ready").status_code == 200

    def is_reached(self, session_id: str) -> bool:
        """Tell the same where Traefik itself may be away."""
        try:
            return self.is_served(session_id)
        except httpx.TransportError:
            return False

    def leave(self) -> None:
        """Stop everything and close the connections."""
        for session_id in self.own():
            self.stop(session_id)
        self.api.close()
        self.browser.close()


def is_open(socket: ClientConnection) -> bool:
    """Tell whether the session still answers on a WebSocket."""
    try:
        return socket.ping().wait(20)
    except ConnectionClosed:
        return False


def closed_within(socket: ClientConnection, seconds: float) -> bool:
    """Tell whether a WebSocket is closed from the other side in this time."""
    deadline = time.monotonic() + seconds
    while (rest := deadline - time.monotonic()) > 0:
        try:
            socket.recv(timeout=rest)
        except TimeoutError:
            return False
        except ConnectionClosed:
            return True
    return False


def anybody_got_in(answers: Iterable[int]) -> bool:
    """Tell whether one of these answers was of the session itself."""
    return any(200 <= status < 300 for status in answers)


def ask_anew(url: str, path: str, headers: Mapping[str, str], times: int) -> set[int]:
    """Ask for a page so many times, each time on a new connection; return the statuses.

    Some at a time: Traefik asks one gate only about requests that come one after the other.
    """

    def ask(_: int) -> int:
        address = urlsplit(url)
        door = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            door.request("GET", path, headers=dict(headers))
            return door.getresponse().status
        finally:
            door.close()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return set(threads.map(ask, range(times)))


@contextmanager
def knocking(url: str, path: str, headers: Mapping[str, str]) -> Generator[Counter[int]]:
    """Ask for a page again and again, one request after the other; count the answers.

    At a pace that two of them may have: what one address may read is limited.
    """
    answers: Counter[int] = Counter()
    enough = threading.Event()

    def knock() -> None:
        address = urlsplit(url)
        door = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        while not enough.wait(_KNOCK_SECONDS):
            try:
                door.request("GET", path, headers=dict(headers))
                answer = door.getresponse()
                answer.read()
                answers[answer.status] += 1
            except (OSError, http.client.HTTPException):
                answers[0] += 1
                door.close()
        door.close()

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield answers
    finally:
        enough.set()
        thread.join()
