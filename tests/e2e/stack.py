"""What the end-to-end tests say and do: people, waiting, and a look at the engine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import httpx
import pytest
from docker import DockerClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

T = TypeVar("T")

URL = os.environ.get("SLICERHUB_TEST_URL", "http://localhost:18080")
INSTANCE = os.environ.get("SLICERHUB_TEST_INSTANCE", "slicerhub-test")
PAGE = {"Accept": "text/html,application/xhtml+xml"}


def until(look: Callable[[], T | None], *, seconds: float = 30, what: str = "it") -> T:
    """Look again and again until something is seen; fail the test after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.05)
    pytest.fail(f"waited {seconds:.0f} s for {what}")


def hub_answers() -> bool:
    """Tell whether the hub answers, and Traefik with it."""
    try:
        return httpx.get(f"{URL}/login", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def path_of(session: dict[str, Any]) -> str:
    """Return the session's path, as the page links to it."""
    return f"/s/{session['id']}/"


def open_socket(
    path: str, headers: dict[str, str], *, origin: str | None = URL
) -> ClientConnection:
    """Open a WebSocket through Traefik. Raises InvalidStatus if it is refused."""
    return connect(
        URL.replace("http", "ws") + path,
        additional_headers=headers,
        origin=origin,  # pyright: ignore[reportArgumentType] - any text may be sent
        proxy=None,
        open_timeout=20,
    )


def handshake(path: str, headers: dict[str, str], *, origin: str | None = URL) -> int:
    """Try a WebSocket handshake; return its status."""
    try:
        with open_socket(path, headers, origin=origin):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def is_open(socket: ClientConnection) -> bool:
    """Tell whether the session still answers on a WebSocket."""
    try:
        return socket.ping().wait(20)
    except ConnectionClosed:
        return False


def is_closed(socket: ClientConnection) -> bool:
    """Tell whether a WebSocket has been closed from the other side."""
    try:
        socket.recv(timeout=0)
    except TimeoutError:
        return False
    except ConnectionClosed:
        return True
    return False


class Member:
    """Somebody who is logged in, as a script (``api``) and as a browser (``browser``)."""

    def __init__(self, name: str) -> None:
        """Log in both ways; the password of the demo's people is their name."""
        self.name = name
        self.api = httpx.Client(base_url=URL, timeout=30)
        answer = self.api.post("/api/v1/login", json={"username": name, "password": name})
        assert answer.status_code == 200, answer.text
        self.token: str = answer.json()["token"]
        self.api.headers["Authorization"] = f"Bearer {self.token}"
        self.browser = httpx.Client(base_url=URL, timeout=30, headers=PAGE)
        answer = self.browser.post(
            "/login",
            data={"username": name, "password": name, "next": "/"},
            headers={"Origin": URL},
        )
        assert answer.status_code == 303, answer.text

    @property
    def cookie(self) -> str:
        """The browser's Cookie header."""
        return "; ".join(f"{key}={value}" for key, value in self.browser.cookies.items())

    def csrf(self) -> str:
        """What this person's forms carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.browser.get("/").text)
        assert found, "no form on the page"
        return found[1]

    def act(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of the hub's, as this person's browser does."""
        form = {"csrf": self.csrf(), **fields}
        return self.browser.post(path, data=form, headers={"Origin": URL})

    def begin(self, profile: str, name: str) -> dict[str, Any]:
        """Launch, and do not wait."""
        answer = self.api.post("/api/v1/sessions", json={"profile": profile, "name": name})
        assert answer.status_code == 202, answer.text
        begun: dict[str, Any] = answer.json()
        return begun

    def launch(self, profile: str, name: str) -> dict[str, Any]:
        """Launch and wait until it is ready."""
        return self.wait(self.begin(profile, name)["id"], "ready", seconds=120)

    def invite(self, session: dict[str, Any], user: str, role: str) -> None:
        """Invite somebody to a session of this person's, or change what they may."""
        answer = self.api.put(
            f"/api/v1/sessions/{session['id']}/shares/{user}", json={"role": role}
        )
        assert answer.status_code == 200, answer.text

    def phase(self, session_id: str) -> str:
        """Return the session's phase, or "gone"."""
        answer = self.api.get(f"/api/v1/sessions/{session_id}")
        return "gone" if answer.status_code == 404 else answer.json()["phase"]

    def wait(self, session_id: str, phase: str, *, seconds: float = 60) -> dict[str, Any]:
        """Wait until the session has got so far."""
        until(lambda: self.phase(session_id) == phase, seconds=seconds, what=f"phase {phase}")
        answer = self.api.get(f"/api/v1/sessions/{session_id}")
        found: dict[str, Any] = answer.json()
        return found

    def stop(self, session_id: str) -> None:
        """Stop the session and wait until it is gone."""
        answer = self.api.delete(f"/api/v1/sessions/{session_id}")
        assert answer.status_code in {202, 404}, answer.text
        self.wait(session_id, "gone")

    def stop_all(self) -> None:
        """Stop all that is this person's own."""
        found = self.api.get("/api/v1/sessions").json()["items"]
        own = [one["id"] for one in found if one["owner"] == self.name]
        for session_id in own:
            self.api.delete(f"/api/v1/sessions/{session_id}")
        for session_id in own:
            self.wait(session_id, "gone")

    def leave(self) -> None:
        """Close the connections; the sessions go on."""
        self.api.close()
        self.browser.close()

    def __enter__(self) -> Self:
        """Is here for a while."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves."""
        self.leave()


def container_of(engine: DockerClient, session_id: str) -> Any:  # noqa: ANN401
    """Return the engine's object of a session."""
    found = engine.containers.list(all=True, filters={"label": [f"slicerhub.session={session_id}"]})
    assert len(found) == 1, f"{len(found)} containers of one session"
    return found[0]


def part(engine: DockerClient, service: str) -> Any:  # noqa: ANN401
    """Return the container of one of the stack's own services."""
    found = engine.containers.list(
        all=True,
        filters={
            "label": [
                f"com.docker.compose.project={INSTANCE}",
                f"com.docker.compose.service={service}",
            ]
        },
    )
    assert len(found) == 1, f"{len(found)} containers of {service}"
    return found[0]


def networks_of(engine: DockerClient) -> list[dict[str, Any]]:
    """Return what the engine says of the networks of all sessions."""
    labels = [f"slicerhub.instance={INSTANCE}", "slicerhub.session"]
    api: Any = engine.api
    return api.networks(filters={"label": labels})


def remove_files(engine: DockerClient, user: str) -> None:
    """Take away the files of somebody of whom nothing runs: as if they had never been here."""
    labels = [f"slicerhub.instance={INSTANCE}", f"slicerhub.owner={user}"]
    for volume in engine.volumes.list(filters={"label": labels}):
        volume.remove()
