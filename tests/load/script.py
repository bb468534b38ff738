"""A script under load: it launches by the API, waits until that is ready, and stops it."""

from __future__ import annotations

import time
from typing import Any

import httpx
from e2e.stack import URL, Names
from load.account import Book
from load.answers import words_of
from load.patience import DEADLINE, WAIT_SECONDS, Patience
from load.sessions import Engine, Own
from load.window import ASK_SECONDS


class Script:
    """One person's program, which asks with patience."""

    def __init__(self, name: str, book: Book, patience: Patience, engine: Engine) -> None:
        """``engine``: tells what a session is that the hub says is ready."""
        self._name = name
        self._book = book
        self._patience = patience
        self._engine = engine
        self._api = httpx.Client(base_url=URL, transport=Names(), timeout=ASK_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def ask(self, method: str, url: str, **given: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        """Ask once, whatever is answered."""
        return self._api.request(method, url, **given)

    def told(self, step: str, method: str, path: str, *granted: int, **given: Any) -> Any:  # noqa: ANN401
        """Ask the API; return the answer. Raises Refused."""
        answer = self._patience.insist(
            step, lambda: self._api.request(method, path, **given), granted
        )
        assert answer is not None
        return answer

    def log_in(self) -> None:
        """Log in, and send the new token from now on."""
        wanted = {"username": self._name, "password": self._name}
        self._api.headers.pop("Authorization", None)
        answer = self.told("log in", "POST", "/api/v1/login", 200, json=wanted)
        self._api.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def log_out(self) -> None:
        """Log out, and see that the old log-in opens nothing."""
        self.told("log out", "POST", "/api/v1/logout", 204, 401)
        answer = self.told("use a log-in that is over", "GET", "/api/v1/me", 200, 401)
        if answer.status_code == 200:
            self._book.crossing(f"{self._name}'s log-in opens the hub after its log-out")

    def press(self, name: str) -> tuple[int, str]:
        """Ask for a session once; return the status, and which one it is or why not."""
        wanted = {"profile": "echo", "name": name}
        answer = self._api.post("/api/v1/sessions", json=wanted)
        if answer.status_code not in {202, 409}:
            return answer.status_code, words_of(answer)
        told = answer.json()
        return answer.status_code, told.get("id") or told.get("session", "")

    def launch(self, name: str) -> Own:
        """Launch a session and wait until it is ready. Raises Refused."""
        begun = time.monotonic()
        while True:
            asked = time.monotonic()
            wanted = {"profile": "echo", "name": name}
            answer = self.told("launch", "POST", "/api/v1/sessions", 202, 409, json=wanted)
            told = answer.json()
            session_id: str = told.get("id") or told.get("session", "")
            outcome = self._follow(session_id) if session_id else "the one before still stops"
            if outcome == "ready":
                break
            trouble = self._book.trouble(asked)
            if trouble is None or time.monotonic() - begun > DEADLINE:
                self._patience.fail("launch until ready", outcome)
            self._book.turned_away("launch until ready", outcome, trouble)
            time.sleep(WAIT_SECONDS)
        self._book.done("launch until ready", time.monotonic() - begun)
        marker = self._engine.marker_of(session_id)
        if not marker:
            self._patience.fail("launch until ready", "ready, and the engine has no such session")
        return Own(session_id, name, marker)

    def _follow(self, session_id: str) -> str:
        """Follow the events of a start; return "ready" or what became of it."""
        path = f"/api/v1/sessions/{session_id}"
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                with self._api.stream("GET", f"{path}/events") as events:
                    for _ in events.iter_lines():
                        pass
            except httpx.TransportError:
                pass  # the answer below tells whether that may be
            answer = self.told("look at a session", "GET", path, 200, 404)
            if answer.status_code == 404:
                return "accepted, and gone before it was ready"
            seen = answer.json()
            if seen["phase"] in {"ready", "failed"}:
                return "ready" if seen["phase"] == "ready" else f"failed: {seen['message']}"
            time.sleep(0.2)
        return "not ready in time"

    def stop(self, own: Own) -> None:
        """Stop a session, and wait until it is gone."""
        path = f"/api/v1/sessions/{own.id}"
        begun = time.monotonic()
        self.told("stop", "DELETE", path, 202, 404)
        while True:
            asked = time.monotonic()
            answer = self.told("look at a session", "GET", path, 200, 404)
            if answer.status_code == 404:
                break
            late = asked - begun > DEADLINE
            phase = answer.json()["phase"]
            if phase != "stopping" or late:
                # A controller that was killed may not have begun; then nobody has stopped it.
                trouble = self._book.trouble(begun)
                if trouble is None or late:
                    self._patience.fail("stop until gone", f"it is {phase}")
                self._book.turned_away("stop until gone", f"it is {phase} again", trouble)
                self.told("stop", "DELETE", path, 202, 404)
            time.sleep(0.2)
        self._book.done("stop until gone", time.monotonic() - begun)
