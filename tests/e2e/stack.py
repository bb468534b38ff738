"""What the end-to-end tests say and do: people, waiting, and a look at the engine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest
from docker import DockerClient

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

    def launch(self, profile: str, name: str) -> dict[str, Any]:
        """Launch and wait until it is ready."""
        answer = self.api.post("/api/v1/sessions", json={"profile": profile, "name": name})
        assert answer.status_code == 202, answer.text
        return self.wait(answer.json()["id"], "ready", seconds=120)

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
        """Stop all that this person has."""
        own = [one["id"] for one in self.api.get("/api/v1/sessions").json()["items"]]
        for session_id in own:
            self.api.delete(f"/api/v1/sessions/{session_id}")
        for session_id in own:
            self.wait(session_id, "gone")

    def leave(self) -> None:
        """Close the connections; the sessions go on."""
        self.api.close()
        self.browser.close()


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
