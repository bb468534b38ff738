"""Path mode as it is by default: all on one origin, so that nobody's session is shown to others."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from controller.core.model import Person, Role, UserId
from controller.settings.schema import PATH_MODE_SHARING
from tests.support.hub import HTML, World, problem, running, world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hub(anyio_backend: str) -> AsyncGenerator[World, None]:
    """Run a hub in path mode whose administrator has accepted nothing."""
    assert anyio_backend == "asyncio"
    async with running(world(path_mode_sharing="", admin_may_look="true")) as made:
        yield made


def refused(answer: httpx.Response) -> None:
    """Check that it is refused, with the reason and what the administrator can do."""
    told = problem(answer)["detail"]
    assert answer.status_code == 403
    assert "act as the person who opens it" in told
    assert "session_domain" in told
    assert "path_mode_sharing" in told


async def test_nobody_can_share(hub: World) -> None:
    """Every way to let somebody in is refused in words, and nothing of it happens."""
    alices = await hub.session()
    script = await hub.script("alice")
    where = f"/api/v1/sessions/{alices}"
    refused(await script.put(f"{where}/shares/bob", json={"role": "view"}))
    refused(await script.post(f"{where}/links", json={"role": "view"}))
    refused(await script.post("/api/v1/join", json={"code": "any"}))
    assert (await script.get(f"{where}/shares")).json() == {"items": []}
    assert (await script.get(f"{where}/links")).json() == {"items": []}


async def test_pages_offer_nothing(hub: World) -> None:
    """The person's page has no button for it, and an old link to it says why."""
    alices = await hub.session()
    browser = await hub.browser("alice")
    assert f"/sessions/{alices}/share" not in (await browser.get("/")).text
    for path in (f"/sessions/{alices}/share", "/join/any"):
        page = await browser.get(path)
        assert page.status_code == 403
        assert "Sharing is turned off" in page.text
    answer = await browser.act(f"/sessions/{alices}/share", user="bob", role="view")
    assert answer.status_code == 403
    assert (await browser.act("/join/any")).status_code == 403


async def test_invitations_of_before_do_not_count(hub: World) -> None:
    """A guest invited while it was allowed does not get in any more."""
    alices = await hub.session()
    bob = Person(UserId("bob"), "Bob")
    await hub.app.grant_records.invite(alices, bob, Role.CONTROL, seconds=None)
    browser = await hub.browser("bob")
    answer = await hub.verify(alices, {"Accept": HTML, "Cookie": browser.cookie})
    assert answer.status_code == 403
    script = await hub.script("bob")
    assert (await script.get("/api/v1/sessions")).json()["items"] == []
    assert (await script.get(f"/api/v1/sessions/{alices}")).status_code in {403, 404}


async def test_administrators_do_not_look(hub: World) -> None:
    """Nor do administrators look into sessions: theirs is the name in which most could be done."""
    alices = await hub.session()
    script = await hub.script("carol")
    refused(await script.post(f"/api/v1/admin/sessions/{alices}/look"))


async def test_accepted(anyio_backend: str) -> None:
    """Where an administrator has accepted it in so many words, people share."""
    assert anyio_backend == "asyncio"
    async with running(world(path_mode_sharing=PATH_MODE_SHARING)) as hub:
        alices = await hub.session()
        script = await hub.script("alice")
        where = f"/api/v1/sessions/{alices}/shares/bob"
        assert (await script.put(where, json={"role": "view"})).status_code == 200
        browser = await hub.browser("bob")
        answer = await hub.verify(alices, {"Accept": HTML, "Cookie": browser.cookie})
        assert answer.status_code == 200
