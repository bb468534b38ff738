"""People and programs that are refused are told why, in a form that they can use."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.params import FromPath

from controller.core.errors import (
    NotAllowed,
    NotLoggedIn,
    NotReadyYet,
    NotWrittenDown,
)
from controller.people.logins import Logins
from controller.people.tokens import Audience, Keys
from controller.web.errors import Errors
from controller.web.render import Renderer
from tests.support.fakes.directory import FakeDirectory
from tests.support.fakes.parts import Parts
from tests.support.hub import HTML, RING

pytestmark = pytest.mark.anyio

FAULTS: dict[str, Exception] = {
    "login": NotLoggedIn(),
    "allowed": NotAllowed("This is for administrators."),
    "ready": NotReadyYet(),
    "unwritten": NotWrittenDown(),
    "deep": RecursionError(),
    "fault": ValueError("the secret"),
}


@get(["/fails/{how:str}", "/api/fails/{how:str}"])
async def fails(how: FromPath[str]) -> None:
    """Fail."""
    raise FAULTS[how]


@post("/fails/{how:str}")
async def fails_to_do(how: FromPath[str]) -> None:
    """Fail."""
    raise FAULTS[how]


class Site:
    """Addresses that fail."""

    def __init__(self) -> None:
        """Nobody is logged in."""
        parts = Parts()
        self.logins = Logins(
            parts.settings,
            FakeDirectory(),
            parts.store,
            Keys(RING),
            audit=parts.audit,
            metrics=parts.metrics,
            wall=parts.epoch,
        )
        errors = Errors(parts.settings, self.logins, Renderer())
        self.app: Any = Litestar(
            [fails, fails_to_do],
            exception_handlers=errors.handlers,
            openapi_config=None,
            logging_config=None,
        )

    async def ask(
        self, path: str, *, method: str = "GET", accept: str = HTML, cookie: str = ""
    ) -> httpx.Response:
        """Return an answer."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"Accept": accept, "Cookie": cookie}
            return await client.request(method, path, headers=headers)


@pytest.fixture
async def site() -> Site:
    """Give a site whose records have been read."""
    made = Site()
    await made.logins.following.load()
    return made


async def test_people_get_a_page_and_programs_a_problem(site: Site) -> None:
    """Both say the same, and the API answers programs whatever they accept."""
    page = await site.ask("/fails/allowed")
    assert page.status_code == 403
    assert page.headers["content-type"].startswith("text/html")
    assert "This is for administrators." in page.text
    for path, accept in (("/fails/allowed", "*/*"), ("/api/fails/allowed", HTML)):
        answer = await site.ask(path, accept=accept)
        assert answer.status_code == 403
        assert answer.json()["detail"] == "This is for administrators."


async def test_strangers_are_led_to_the_log_in(site: Site) -> None:
    """They come back to where they wanted to be; a form cannot be sent again by itself."""
    answer = await site.ask("/fails/login?x=1")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/login?next=%2Ffails%2Flogin%3Fx%3D1"
    answer = await site.ask("/fails/login", method="POST")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F")
    answer = await site.ask("/api/fails/login")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_when_to_try_again(site: Site) -> None:
    """A page tries again by itself, unless a form was sent; a program is told when."""
    page = await site.ask("/fails/ready")
    assert (
        page.headers["retry-after"] == (await site.ask("/api/fails/ready")).headers["retry-after"]
    )
    assert 'http-equiv="refresh"' in page.text
    assert 'http-equiv="refresh"' not in (await site.ask("/fails/ready", method="POST")).text


async def test_a_fault_tells_nothing(site: Site) -> None:
    """What went wrong stands in the hub's log, and nowhere else."""
    for path in ("/fails/fault", "/api/fails/fault"):
        answer = await site.ask(path)
        assert answer.status_code == 500
        assert "secret" not in answer.text
    assert (await site.ask("/api/fails/deep")).status_code == 400
    assert (await site.ask("/api/nothing")).status_code == 404


async def test_a_browser_that_has_logged_out_forgets_its_cookie(site: Site) -> None:
    """Though the end of a log-in could not be written down, its browser does not come back."""
    answer = await site.ask("/fails/unwritten")
    assert f"{site.logins.proofs.cookie}=" in answer.headers["set-cookie"]
    fresh = await site.logins.entering.enter(
        "bob", "bob", address="10.0.0.1", audience=Audience.LOGIN
    )
    answer = await site.ask("/fails/unwritten", cookie=f"{site.logins.proofs.cookie}={fresh.token}")
    assert "set-cookie" not in answer.headers
    assert "Bob Baker" in answer.text
