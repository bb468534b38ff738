"""Breaks one part of the hub after the other, and sees when all of it works again."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from itertools import cycle
from typing import Any, NamedTuple, Self

import httpx
from docker import DockerClient
from docker.errors import APIError
from e2e.stack import URL, Names, part, session_url
from load.account import Book, Trouble

from tests.support.breakage import healthy

PARTS = ("controller", "engine-proxy", "engine-proxy-traefik", "ldap", "traefik")
PAUSE_SECONDS = 8.0
RIGHT_SECONDS = 180.0  # in which all must work again: machines are slow, deadlocks last for ever
_STARTED_SECONDS = 120.0
_FROZEN_SECONDS = 60.0
_BREATH_SECONDS = 10.0  # at least, in which nothing is broken: what fails then is a failure
_LOOK_SECONDS = 0.25


class Deed(NamedTuple):
    """What is done to a part."""

    part: str
    what: str  # killed, restarted or paused


def round_robin() -> list[Deed]:
    """Return one round: each kind of end, and a pause of each part in turn."""
    ends = [
        Deed("controller", "killed"),
        Deed("traefik", "restarted"),
        Deed("engine-proxy", "restarted"),
        Deed("ldap", "restarted"),
        Deed("controller", "restarted"),
        Deed("engine-proxy-traefik", "restarted"),
    ]
    paused = ("controller", "traefik", "ldap", "engine-proxy", "engine-proxy-traefik")
    pauses = [Deed(one, "paused") for one in paused]
    deeds: list[Deed] = []
    while ends or pauses:
        deeds += ends[:2] + pauses[:1]
        del ends[:2], pauses[:1]
    return deeds


class Watch:
    """Somebody who finds out whether all of the hub works: the directory, routes, the engine."""

    def __init__(self, name: str) -> None:
        """``name``: of the directory; the password is the name."""
        self._name = name
        self._api = httpx.Client(base_url=URL, transport=Names(), timeout=20)
        self._kept = ""  # a session that stays

    def __enter__(self) -> Self:
        """Launch what is looked at after each deed. Raises AssertionError if nothing works."""
        assert self._log_in(), "the watch cannot log in"
        found = self._launch("kept")
        assert found, "the watch cannot launch"
        self._kept = found
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        with closing(self._api):
            self._api.delete(f"/api/v1/sessions/{self._kept}")

    def is_right(self) -> bool:
        """Tell whether somebody can log in, enter what runs, launch, and stop."""
        try:
            return self._log_in() and self._is_served(self._kept) and self._can_launch()
        except httpx.TransportError:
            return False

    def _log_in(self) -> bool:
        wanted = {"username": self._name, "password": self._name}
        answer = self._api.post("/api/v1/login", json=wanted)
        if answer.status_code != 200:
            return False
        self._api.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return True

    def _is_served(self, session_id: str) -> bool:
        return self._api.get(session_url(session_id)).status_code == 200

    def _launch(self, name: str) -> str:
        """Launch until it is ready; "": it was refused."""
        answer = self._api.post("/api/v1/sessions", json={"profile": "echo", "name": name})
        if answer.status_code not in {202, 409}:
            return ""
        told = answer.json()
        session_id: str = told.get("id") or told.get("session", "")
        deadline = time.monotonic() + _STARTED_SECONDS
        while session_id and time.monotonic() < deadline:
            answer = self._api.get(f"/api/v1/sessions/{session_id}")
            if answer.status_code != 200 or answer.json()["phase"] == "failed":
                return ""
            if answer.json()["phase"] == "ready":
                return session_id
            time.sleep(_LOOK_SECONDS)
        return ""

    def _can_launch(self) -> bool:
        session_id = self._launch("looked at")
        if not session_id or not self._is_served(session_id):
            return False
        if self._api.delete(f"/api/v1/sessions/{session_id}").status_code != 202:
            return False
        deadline = time.monotonic() + _STARTED_SECONDS
        while time.monotonic() < deadline:
            status = self._api.get(f"/api/v1/sessions/{session_id}").status_code
            if status != 200:
                return status == 404
            time.sleep(_LOOK_SECONDS)
        return False


class Mischief:
    """Does the deeds, each when the one before has been mended."""

    def __init__(self, engine: DockerClient, book: Book, watch: Watch, *, every: float) -> None:
        """``every``: seconds from one deed to the next."""
        self._engine = engine
        self._book = book
        self._watch = watch
        self._every = every

    def run(self, over: threading.Event) -> None:
        """Break something again and again until it is over; leaves nothing broken behind."""
        pause = _BREATH_SECONDS
        for deed in cycle(round_robin()):
            if over.wait(pause):
                return
            begun = time.monotonic()
            self._do(deed)
            pause = max(_BREATH_SECONDS, self._every - (time.monotonic() - begun))

    def _do(self, deed: Deed) -> None:
        container = part(self._engine, deed.part)
        self._book.break_in(Trouble(deed.part, deed.what, time.monotonic()))
        match deed.what:
            case "killed":
                container.kill(signal="SIGKILL")
                container.start()  # the engine's own restart policy does not act on a kill by hand
            case "paused":
                _pause(container)
                try:
                    time.sleep(PAUSE_SECONDS)
                finally:
                    container.unpause()
            case _:
                container.restart(timeout=30)
        deadline = time.monotonic() + RIGHT_SECONDS
        while time.monotonic() < deadline:
            if self._all_healthy() and self._watch.is_right():
                self._book.mended()
                return
            time.sleep(_LOOK_SECONDS)
        self._book.failed(
            "recovery", f"{deed.part} {deed.what}: not right in {RIGHT_SECONDS:.0f} s"
        )

    def _all_healthy(self) -> bool:
        return all(healthy(self._engine, one) for one in PARTS)


def _pause(container: Any) -> None:  # noqa: ANN401 - the client's own
    """Pause a container; a busy machine may need several tries to freeze all of its threads."""
    deadline = time.monotonic() + _FROZEN_SECONDS
    while True:
        try:
            container.pause()
        except APIError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return
