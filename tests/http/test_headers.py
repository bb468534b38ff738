"""What every answer of the hub carries, asked of every address that the hub has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from litestar.routes import HTTPRoute

from controller.core.model import SessionId
from controller.web.public import pages_and_api
from tests.support.hub import HTML, World, running, world
from tests.support.hub import ORIGIN as HUB
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

ORIGIN = "https://slicer.example.org"
EXACT = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
POWERS = ("camera", "display-capture", "geolocation", "microphone", "usb")
STRICT_TRANSPORT = "strict-transport-security"
# Outside the routes: places of sessions, addresses that are none, and odd spellings of those.
BESIDE = (
    "/s",
    "/s/",
    "/s/x/",
    "/s/{id}/",
    "/nothing",
    "/api/nothing",
    "/api/v1/nothing",
    "/static/nothing",
    "/login/",
    "/%zz",
    "/" + "a" * 3000,
)


def routes(hub: World) -> Iterator[tuple[str, str]]:
    """Return method and path of everything that the hub answers to, as it tells itself."""
    for route in pages_and_api(hub.app.services).routes:
        assert isinstance(route, HTTPRoute), f"{route.path} is no plain route: test it, too"
        for method in sorted(route.methods):
            yield method, route.path


def with_id(path: str, made: SessionId) -> str:
    """Put the session's id, or a word, in the place of a parameter."""
    path = re.sub(r"\{session_id[^}]*\}|\{id\}", made, path)
    return re.sub(r"\{[^}]*\}", "some", path)


async def start_of(
    hub: World, method: str, path: str, headers: dict[str, str]
) -> tuple[int, dict[str, list[str]]]:
    """Send a request; return status and headers as soon as they are there: some never end."""
    started = anyio.Event()
    seen: dict[str, Any] = {}
    bare, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": bare,
        "raw_path": bare.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        "client": ("10.0.0.1", 50_000),
        "server": ("localhost", 8000),
        "state": {},
        "extensions": {},
    }
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await anyio.sleep_forever()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own looseness
        if message["type"] == "http.response.start":
            seen.update(message)
            started.set()

    async with anyio.create_task_group() as group:
        group.start_soon(hub.app.public, scope, receive, send)  # pyright: ignore[reportArgumentType] - two spellings of ASGI's types
        with anyio.fail_after(20):
            await started.wait()
        group.cancel_scope.cancel()
    found: dict[str, list[str]] = {}
    for name, text in seen["headers"]:
        found.setdefault(name.decode().lower(), []).append(text.decode())
    return seen["status"], found


def check(asked: str, status: int, headers: dict[str, list[str]], *, https: bool) -> None:
    """Hold one answer against all that it has to carry."""
    for name, text in EXACT.items():
        assert headers.get(name) == [text], f"{asked}: {name}"
    (policy,) = headers["content-security-policy"]
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";") if part.strip()}
    assert directives["default-src"] == ["'none'"], asked
    assert directives["frame-ancestors"] == ["'none'"], asked
    assert directives["base-uri"] == ["'none'"], asked
    assert "form-action" in directives, asked
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:"} & {
        source for sources in directives.values() for source in sources
    }, asked
    (powers,) = headers["permissions-policy"]
    for power in POWERS:
        assert f"{power}=()" in powers, asked
    assert headers.get(STRICT_TRANSPORT) == (["max-age=31536000"] if https else None), asked
    (kept,) = headers["cache-control"]
    if asked.partition(" ")[2].startswith("/static/") and status < 300:
        assert "immutable" in kept, asked
    else:
        assert kept == "no-store", asked


@pytest.mark.parametrize("https", [True, False])
async def test_every_answer_carries_all_headers(*, https: bool) -> None:
    """Whatever is asked, by whom, and however it ends: no answer lacks one of the headers."""
    made = world(public_url=ORIGIN) if https else world()
    async with running(made) as hub:
        alice = await hub.session("alice")
        script = {
            user: (await hub.script(user)).headers["Authorization"] for user in ("alice", "carol")
        }
        asked = [*routes(hub), *(("GET", path) for path in BESIDE)]
        assert len(asked) > 60, "the hub has more addresses than that"
        assert ("GET", "/api/v1/sessions/{session_id:str}/events") in asked
        statuses: set[int] = set()
        for method, path in asked:
            whole = with_id(path, alice)
            # A change that succeeds would change what the next one is asked of.
            people: tuple[dict[str, str], ...] = ({},)
            if method in {"GET", "HEAD"}:
                people = ({}, *({"Authorization": one} for one in script.values()))
            for who in people:
                for accept in (HTML, "application/json"):
                    headers = {"Host": "localhost:8080", "Accept": accept} | who
                    status, found = await start_of(hub, method, whole, headers)
                    check(f"{method} {whole}", status, found, https=https)
                    statuses.add(status)
        static = hub.app.services.renderer.static
        for file in ("hub.css", "page.js", "nothing.css"):
            status, found = await start_of(hub, "GET", f"{static}/{file}", {})
            check(f"GET {static}/{file}", status, found, https=https)
            statuses.add(status)
        # Pages, redirections, refusals and what is not there were all among them.
        assert {200, 302, 401, 403, 404} <= statuses


async def test_faults_carry_all_headers(fresh: World) -> None:
    """Even when the hub itself breaks, its answer is as closed as the others."""
    fresh.directory.fault = RuntimeError("broken")
    form = {"username": "alice", "password": "alice"}
    for asked in (
        fresh.client(Accept=HTML).post("/login", data=form, headers={"Origin": HUB}),
        fresh.client().post("/api/v1/login", json=form),
    ):
        answer = await asked
        assert answer.status_code == 500
        assert "broken" not in answer.text
        found = {name: answer.headers.get_list(name) for name in answer.headers}
        check(f"POST {answer.url.path}", 500, found, https=False)


async def test_unknown_places_carry_all_headers(hub: World) -> None:
    """Places of sessions that are not there are no exception."""
    for accept in (HTML, "application/json"):
        path = f"/s/{session_id(77)}/"
        status, found = await start_of(hub, "GET", path, {"Accept": accept})
        check(f"GET {path}", status, found, https=False)
