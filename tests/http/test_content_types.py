"""Every answer says once what it is."""

from __future__ import annotations

import pytest

from tests.support.hub import HTML, ORIGIN, World, running, world
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

TYPED = "text/html; charset=utf-8"


async def test_pages_say_once_that_they_are_html(hub: World) -> None:
    """A browser and every proxy on the way read one type and one charset."""
    starting = await hub.session("carol", ready=False)
    ready = await hub.session("carol")
    nobody, bob, carol = [await hub.browser(user) for user in ("", "bob", "carol")]
    pages = {
        nobody: {"/login": 200, "/nothing": 404, "/api/docs": 200},
        bob: {f"/s/{session_id(77)}/": 403, f"/sessions/{ready}/stop": 404},
        carol: {
            "/": 200,
            "/logins": 200,
            f"/starting/{starting}": 200,
            f"/sessions/{ready}/stop": 200,
            f"/sessions/{ready}/share": 200,
            "/admin": 200,
            "/nothing": 404,
        },
    }
    for browser, addresses in pages.items():
        for path, status in addresses.items():
            answer = await browser.get(path)
            assert answer.status_code == status, path
            assert answer.headers.get_list("content-type") == [TYPED], path


async def test_the_page_between_log_in_and_session_says_it_once() -> None:
    """The page that leads from the log-in to a session's own host is as plain as the others."""
    async with running(world(session_domain="")) as hub:
        page = await hub.client(Accept=HTML).post(
            "/login",
            data={"username": "alice", "password": "alice", "next": f"/enter/{session_id(1)}"},
            headers={"Origin": ORIGIN},
        )
        assert page.status_code == 200
        assert page.headers.get_list("content-type") == [TYPED]


async def test_static_files_say_once_what_they_are(hub: World) -> None:
    """A browser that is not to guess takes each script and stylesheet for what it is."""
    static = hub.app.services.renderer.static
    script = {"text/javascript", "application/javascript"}  # as the system calls it
    for file, kinds in (("hub.css", {"text/css"}), ("page.js", script)):
        answer = await hub.client().get(f"{static}/{file}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] in kinds
        assert answer.headers["content-type"].count("charset") <= 1
