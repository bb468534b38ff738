"""The API by itself: what it says of the caller and of itself, and how it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from tests.support.hub import ORIGIN, World, problem
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio


async def test_me(hub: World) -> None:
    """People learn who they are to the hub, and what they may launch."""
    carol = await hub.script("carol")
    assert (await carol.get("/api/v1/me")).json() == {
        "user": "carol",
        "display_name": "Carol Clark",
        "groups": ["slicer-admins", "slicer-users"],
        "admin": True,
    }
    (profile,) = (await carol.get("/api/v1/profiles")).json()["items"]
    assert profile["id"] == "slicer"
    assert profile["default"] is True


async def test_token(hub: World) -> None:
    """The API's log-in tells until when its token is good."""
    answer = await hub.client().post(
        "/api/v1/login", json={"username": "alice", "password": "alice"}
    )
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    ends = datetime.fromisoformat(answer.json()["expires_at"])
    assert ends.timestamp() == pytest.approx(hub.clock.wall() + 12 * 3600, abs=1)


BIG = "a" * 70_000


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/api/nothing", {}, 404),
        ("GET", "/api/v1/nothing", {}, 404),
        ("GET", "/api/v1/sessions/nonsense", {}, 404),
        ("GET", f"/api/v1/sessions/{session_id(5)}", {}, 404),
        ("GET", f"/api/v1/sessions/{session_id(5)}/events", {}, 404),
        ("DELETE", f"/api/v1/sessions/{session_id(5)}", {}, 404),
        ("PUT", "/api/v1/sessions", {"json": {}}, 405),
        ("POST", "/api/v1/me", {"json": {}}, 405),
        ("POST", "/api/v1/sessions", {"json": {"profile": "none"}}, 403),
        ("POST", "/api/v1/sessions", {"json": {"nme": "x"}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": 5}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": "a\nb"}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": "a" * 41}}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": "a" * 500}}, 400),
        ("POST", "/api/v1/sessions", {"json": []}, 400),
        ("POST", "/api/v1/sessions", {"json": {"name": BIG}}, 413),
        ("POST", "/api/v1/sessions", {"content": b"{", "headers": {}}, 400),
        ("POST", "/api/v1/sessions", {"content": b""}, 400),
        ("POST", "/api/v1/login", {"json": {"username": "a"}}, 400),
        ("POST", "/api/v1/login", {"json": {"username": "a" * 300, "password": "x"}}, 400),
        ("POST", "/api/v1/login", {"json": {"username": "a", "password": BIG}}, 413),
        ("POST", "/api/v1/login", {"content": b"\xff\xfe"}, 400),
    ],
)
async def test_problems(
    hub: World, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    """Whatever is wrong with a request to the API, the answer is a problem in plain words."""
    alice = await hub.script("alice")
    answer = await alice.request(method, path, **sent)
    assert answer.status_code == status, answer.text
    problem(answer)
    assert "Traceback" not in answer.text
    assert "controller" not in answer.text


async def test_problems_for_browsers(hub: World) -> None:
    """The API answers a browser in the address line as it answers programs."""
    browser = await hub.browser()
    for path in ("/api/v1/me", "/api/v1/sessions", "/api/v1/nothing"):
        answer = await browser.get(path)
        assert answer.status_code in {401, 404}
        problem(answer)


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/sessions", "/api/v1/profiles"])
@pytest.mark.parametrize("bearer", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YWxpY2U6"])
async def test_not_logged_in(hub: World, path: str, bearer: str) -> None:
    """Without a token that stands, the API gives nothing."""
    answer = await hub.client().get(path, headers={"Authorization": bearer})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(answer)


async def test_streamed_body(hub: World) -> None:
    """A body that does not say how long it is ends at the same limit."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"a" * 10_000

    alice = await hub.script("alice")
    answer = await alice.post(
        "/api/v1/sessions", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    problem(answer)
    browser = await hub.browser()
    form = {"username": "alice", "password": BIG}
    assert (await browser.post("/login", form)).status_code == 413


async def test_openapi(hub: World) -> None:
    """The API describes itself: each address of the contract, and how to log in."""
    document = (await hub.client().get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert {
        "/api/v1/login",
        "/api/v1/me",
        "/api/v1/profiles",
        "/api/v1/sessions",
        "/api/v1/sessions/{session_id}",
        "/api/v1/sessions/{session_id}/events",
    } <= document["paths"].keys()
    assert not [path for path in document["paths"] if not path.startswith("/api/")]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["security"] == [{"bearer": []}]
    page = await hub.client().get("/api/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/v1/sessions" in page.text
    assert "://" not in page.text.replace(ORIGIN, "").replace("http://www.w3.org", "")
