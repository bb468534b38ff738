"""What the end-to-end tests say and do: people, waiting, and a look at the engine."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, Self
from urllib.parse import urlsplit

import docker
import httpx
from docker import DockerClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.waits import until

URL = os.environ.get("SLICERHUB_TEST_URL", "http://localhost:18080")
INSTANCE = os.environ.get("SLICERHUB_TEST_INSTANCE", "slicerhub-test")
PAGE = {"Accept": "text/html,application/xhtml+xml"}
# As the stack was started: see deploy/guide/addresses.md, "Where sessions are".
PATH_MODE = os.environ.get("SLICERHUB_SESSION_DOMAIN", "") == "path"
DOMAIN = os.environ.get("SLICERHUB_SESSION_DOMAIN", "") or urlsplit(URL).hostname or ""
OUTSIDE = 403 if PATH_MODE else 401
"""What a program or a handshake of somebody gets whom a session's own host has never let in."""

START_SECONDS = 190.0
"""A little more than the hub itself lets a start take."""

NOBODY = "a" * 26
"""The form of a session's id, and none."""


class Names(httpx.HTTPTransport):
    """Finds every name below localhost where browsers find it: on this machine."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Connect there; the request names whom it wants all the same."""
        if not request.url.host.endswith(".localhost"):
            return super().handle_request(request)
        here = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return super().handle_request(here)


def session_url(session_id: str) -> str:
    """Return where a session is, as the hub says it in ``url``; it need not be there."""
    if PATH_MODE:
        return f"{URL}/s/{session_id}/"
    parts = urlsplit(URL)
    return f"{parts.scheme}://{session_id}.{DOMAIN}:{parts.port}/"


SESSIONS = session_url("*") + "**"
"""Where sessions are, as a pattern for browsers."""


def session_id_at(url: str) -> str | None:
    """Return the id of the session that an address leads to; None: it leads elsewhere."""
    found = re.match(re.escape(session_url(NOBODY)).replace(NOBODY, "([a-z2-7]{26})"), url)
    return found[1] if found else None


def place_of(session: dict[str, Any]) -> str:
    """Return the session's address, with a slash at its end."""
    assert session["url"] == session_url(session["id"])
    return session["url"]


def origin_of(url: str) -> str:
    """Return the origin of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def request(method: str, url: str, **given: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
    """Send one request as nobody in particular."""
    with httpx.Client(base_url=URL, transport=Names(), timeout=30) as client:
        return client.request(method, url, **given)


@contextmanager
def running_engine() -> Generator[DockerClient]:
    """Give the engine that the stack runs on."""
    with closing(docker.from_env()) as client:
        client.ping()
        yield client


def running_stack(part: str) -> str:
    """Return the stack's address; fail if nobody has started it. ``part``: of deploy/test."""
    answer = httpx.get(f"{URL}/login")
    assert answer.status_code == 200, f"the stack does not answer: start it with deploy/test {part}"
    return URL


def hub_answers() -> bool:
    """Tell whether the hub answers through Traefik, and knows who is logged in and what runs."""
    try:
        known = {"Authorization": f"Bearer {_somebodys_token()}"}
        answer = httpx.get(f"{URL}/api/v1/sessions", headers=known, timeout=5)
    except httpx.HTTPError:
        return False
    return answer.status_code in {200, 401}  # that log-in may have ended


@cache
def _somebodys_token() -> str:
    """Log in. Raises httpx.HTTPError if that is not possible now."""
    who = {"username": "bob", "password": "bob"}
    answer = httpx.post(f"{URL}/api/v1/login", json=who, timeout=30)
    answer.raise_for_status()
    return answer.json()["token"]


def open_socket(
    url: str,
    headers: dict[str, str],
    *,
    origin: str | None = "own",
    ping_interval: float | None = 20,
) -> ClientConnection:
    """Open a WebSocket through Traefik, as a page of the same origin unless another is named.

    ``ping_interval``: seconds between two looks whether the other side is there, after which it is
    closed from here; None: never, as browsers do. Raises InvalidStatus if it is refused.
    """
    parts = urlsplit(url)
    host = "127.0.0.1" if (parts.hostname or "").endswith("localhost") else parts.hostname
    return connect(
        url.replace("http", "ws", 1),
        sock=socket.create_connection((host, parts.port), timeout=20),
        additional_headers=headers,
        origin=origin_of(url) if origin == "own" else origin,  # pyright: ignore[reportArgumentType] - any text may be sent
        proxy=None,
        open_timeout=20,
        ping_interval=ping_interval,
    )


def handshake(url: str, headers: dict[str, str], *, origin: str | None = "own") -> int:
    """Try a WebSocket handshake; return its status."""
    try:
        with open_socket(url, headers, origin=origin):
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


class Browser(httpx.Client):
    """A browser: comes to a session's own host by the hand-off, the first time."""

    def __init__(self) -> None:
        """Know nobody, and begin at the hub."""
        super().__init__(base_url=URL, transport=Names(), timeout=30, headers=PAGE)

    def request(self, method: str, url: httpx.URL | str, **given: Any) -> httpx.Response:  # noqa: ANN401
        """Send a request; if the hub does not let this person in, that answer is the answer."""
        wanted = str(self._merge_url(url))
        if self._is_session(wanted) and not self._entered(wanted):
            refusal = self.enter(wanted)
            if refusal is not None:
                return refusal
        return super().request(method, url, **given)

    def enter(self, url: str) -> httpx.Response | None:
        """Enter a session's host; None: entered, else what the hub or the host answers."""
        asked = self.step(origin_of(url) + "/")
        if asked.status_code != 302:
            return asked
        sent = self.step(asked.headers["location"])
        if sent.status_code != 302 or not self._is_session(sent.headers["location"]):
            return sent
        back = self.step(sent.headers["location"])
        return None if self._entered(url) else back

    def step(self, url: str) -> httpx.Response:
        """Ask for this page as it is, without entering."""
        return super().request("GET", url)

    def cookie_at(self, url: str) -> str:
        """Return the Cookie header for an address."""
        host = urlsplit(url).hostname or ""
        names = {host, f"{host}.local"}  # what Python's cookie jar makes of a name without a dot
        kept = [one for one in self.cookies.jar if one.domain in names]
        return "; ".join(f"{one.name}={one.value}" for one in kept)

    def _is_session(self, url: str) -> bool:
        return not PATH_MODE and (urlsplit(url).hostname or "").endswith(f".{DOMAIN}")

    def _entered(self, url: str) -> bool:
        return f"{INSTANCE}-entry=" in self.cookie_at(url)


class Member:
    """Somebody who is logged in, as a script (``api``) and as a browser (``browser``)."""

    def __init__(self, name: str) -> None:
        """Log in both ways; the password of the demo's people is their name."""
        self.name = name
        self.api = httpx.Client(base_url=URL, transport=Names(), timeout=30)
        answer = self.api.post("/api/v1/login", json={"username": name, "password": name})
        assert answer.status_code == 200, answer.text
        self.token: str = answer.json()["token"]
        self.api.headers["Authorization"] = f"Bearer {self.token}"
        self.browser = Browser()
        answer = self.browser.post(
            "/login",
            data={"username": name, "password": name, "next": "/"},
            headers={"Origin": URL},
        )
        assert answer.status_code == 303, answer.text

    @property
    def cookie(self) -> str:
        """The browser's Cookie header at the hub."""
        return self.browser.cookie_at(URL)

    def cookie_in(self, session: dict[str, Any]) -> dict[str, str]:
        """Return the Cookie header at a session, which this person enters; empty: they cannot."""
        url = place_of(session)
        if PATH_MODE:
            return {"Cookie": self.cookie}
        self.browser.enter(url)
        found = self.browser.cookie_at(url)
        return {"Cookie": found} if found else {}

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
        return self.wait(self.begin(profile, name)["id"], "ready", seconds=START_SECONDS)

    def invite(self, session: dict[str, Any], user: str, role: str) -> None:
        """Invite somebody to a session of this person's, or change what they may."""
        answer = self.api.put(
            f"/api/v1/sessions/{session['id']}/shares/{user}", json={"role": role}
        )
        assert answer.status_code == 200, answer.text

    def phase(self, session_id: str) -> str:
        """Return the session's phase, or "gone"."""
        answer = self.api.get(f"/api/v1/sessions/{session_id}")
        match answer.status_code:
            case 404:
                return "gone"
            case 503:
                return "unknown"  # a hub that has just started, or has lost its engine
            case _:
                return answer.json()["phase"]

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
