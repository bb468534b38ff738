"""Two controllers behind one address: whichever is asked, who has just logged in is let in.

Each hears late of what the other has written: only when the test lets it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from controller.config import PATH_MODE, PATH_MODE_SHARING
from controller.model import Offer, Phase, Route, SessionId, UserId
from controller.orchestrators.memory import MemoryOrchestrator
from tests.fakes.replica import Cluster, Replica
from tests.hub import HTML, ORIGIN, Clock, World, eventually, running
from tests.samples import settings

pytestmark = pytest.mark.anyio

NAVIGATION = {"Accept": HTML, "Sec-Fetch-Mode": "navigate"}
JSON = {"Accept": "application/json"}
REDIRECTS = 20  # that browsers follow


class Pair:
    """Two controllers over one engine, one store and one clock."""

    def __init__(self, path: Path, mode: str) -> None:
        """``mode``: where sessions are."""
        self.configured = settings(
            public_url=ORIGIN, session_domain=mode, path_mode_sharing=PATH_MODE_SHARING
        )
        self.cluster = Cluster(path)
        self.clock = Clock()
        self.orchestrator = MemoryOrchestrator(self.configured)
        self.worlds: list[World] = []

    def world(self) -> World:
        """Return one more."""
        made = World(
            self.configured,
            clock=self.clock,
            orchestrator=self.orchestrator,
            store=self.cluster.replica(),
        )
        made.gateway.serves_all = True
        self.worlds.append(made)
        return made

    async def hear(self, world: World) -> None:
        """Let a controller hear of what the other one has written."""
        assert isinstance(world.store, Replica)
        await world.store.hear()
        await world.app.logins.load()

    async def session(self) -> SessionId:
        """Return a session of Alice's that both know to be ready."""
        made = await self.worlds[0].session("alice")
        await eventually(lambda: all(one.phase(made) is Phase.READY for one in self.worlds))
        return made


@pytest.fixture
async def pair(
    tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str
) -> AsyncGenerator[Pair, None]:
    """Give two controllers that run; the parameter: the mode, else path mode."""
    assert anyio_backend == "asyncio"
    made = Pair(tmp_path / "store.sqlite", getattr(request, "param", PATH_MODE))
    offer = Offer(
        where="wiki",
        app="wiki",
        title="The wiki",
        groups="slicer-users",
        routes=(Route(rule="PathPrefix(`/apps/wiki/`)", guarded=True),),
    )
    made.orchestrator.offers.append(offer)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(running(made.world()))
        await eventually(lambda: all(one.app.companions.ready for one in made.worlds))
        yield made


async def follow(pair: Pair, browser: httpx.AsyncClient, path: str) -> httpx.Response:
    """Open a page as a browser and Traefik do it, where each request meets the next controller.

    A page that goes on by itself counts as a redirect, and gives news the time to come.
    """
    turns = cycle(reversed(pair.worlds))  # the second one first
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    for _ in range(REDIRECTS):
        world = next(turns)
        if path.startswith(("/apps/", "/s/")):
            place = "app/wiki" if path.startswith("/apps/") else path.split("/")[2]
            answer = await world.verify(place, NAVIGATION | {"Cookie": cookie}, uri=path)
        else:
            answer = await world.client(Cookie=cookie, **NAVIGATION).get(path)
        if answer.is_redirect:
            path = answer.headers["location"].removeprefix(ORIGIN)
        elif refresh := answer.headers.get("refresh"):
            path = refresh.partition("url=")[2]
            for one in pair.worlds:
                await pair.hear(one)
        else:
            return answer
    pytest.fail("too many redirects")


async def test_logged_in_in_the_answer(pair: Pair) -> None:
    """Sessions, companions, pages and the API know a fresh log-in at the other controller."""
    one, other = pair.worlds
    made = await pair.session()
    cookie = (await one.browser("alice")).cookie
    for kind in (NAVIGATION, JSON, {"Sec-WebSocket-Key": "x", "Origin": ORIGIN}):
        answer = await other.verify(made, kind | {"Cookie": cookie})
        assert answer.status_code == 200
        answer = await other.verify("app/wiki", kind | {"Cookie": cookie})
        assert answer.status_code == 200
        assert answer.headers["x-slicerhub-name"] == "Alice Archer"
        assert answer.headers["x-slicerhub-groups"] == "slicer-users"
    page = await other.client(Cookie=cookie, **NAVIGATION).get("/")
    assert page.status_code == 200
    assert "Alice Archer" in page.text
    script = await one.script("bob")
    bearer = script.headers["Authorization"]
    assert (await other.client(Authorization=bearer).get("/api/v1/me")).json()["user"] == "bob"
    assert (await other.verify(made, {"Authorization": bearer})).status_code == 403


async def test_no_loop_after_a_log_in(pair: Pair) -> None:
    """Who logs in at one controller comes to where they wanted, whichever is asked on the way."""
    one, _ = pair.worlds
    made = await pair.session()
    for path in ("/", "/apps/wiki/", f"/s/{made}/", "/login?next=/apps/wiki/"):
        browser = await one.browser("alice")
        assert (await follow(pair, browser.client, path)).status_code == 200


@pytest.mark.parametrize("path", ["/apps/wiki/", "/"])
async def test_no_loop_after_a_log_out(pair: Pair, path: str) -> None:
    """Who was logged out from afar gets the log-in page, though one controller has not heard."""
    one, other = pair.worlds
    browser = await one.browser("alice")
    for world in pair.worlds:
        await pair.hear(world)
    assert await other.app.logins.revoke(UserId("alice")) == 1
    page = await follow(pair, browser.client, path)
    assert page.status_code == 200
    assert 'name="password"' in page.text


async def test_replayed_after_a_log_out(pair: Pair) -> None:
    """After a log-out a cookie is worth nothing there at once, elsewhere once it is heard of."""
    one, other = pair.worlds
    made = await pair.session()
    for out, behind in ((one, other), (other, one)):
        browser = await one.browser("alice")
        cookie = browser.cookie
        browser.client = out.client(Cookie=cookie, Accept=HTML)
        answer = await browser.act("/logout")
        assert answer.status_code == 303
        for kind in (JSON, {"Sec-WebSocket-Key": "x", "Origin": ORIGIN}):
            assert (await out.verify(made, kind | {"Cookie": cookie})).status_code == 401
            assert (await out.verify("app/wiki", kind | {"Cookie": cookie})).status_code == 401
        await pair.hear(behind)
        for world in pair.worlds:
            assert (await world.verify(made, JSON | {"Cookie": cookie})).status_code == 401


async def test_logged_out_everywhere(pair: Pair) -> None:
    """Who ends all log-ins by way of a controller that has not heard of this one ends it, too."""
    one, other = pair.worlds
    browser = await one.browser("alice")
    cookie = browser.cookie
    browser.client = other.client(Cookie=cookie, Accept=HTML)
    page = await browser.get("/logins")
    assert page.text.count("this one") == 1
    assert (await browser.act("/logins/all")).headers["location"] == "/login"
    assert (await other.client(Cookie=cookie, **JSON).get("/api/v1/me")).status_code == 401
    await pair.hear(one)
    assert (await one.client(Cookie=cookie, **JSON).get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize("pair", [""], indirect=True)
async def test_handed_off(pair: Pair) -> None:
    """A fresh log-in enters a session's own host, though each step meets another controller."""
    one, other = pair.worlds
    made = await pair.session()
    host = f"{made}.localhost:8080"
    cookie = (await one.browser("alice")).cookie
    begun = await other.verify(made, NAVIGATION, host=host, uri="/page")
    state = begun.headers["set-cookie"].partition(";")[0]
    sent = await one.client(Cookie=cookie, **NAVIGATION).get(begun.headers["location"])
    enter = sent.headers["location"].removeprefix(f"http://{host}")
    entered = await other.verify(made, NAVIGATION | {"Cookie": state}, host=host, uri=enter)
    assert entered.headers["location"] == f"http://{host}/page"
    entry = entered.headers.get_list("set-cookie")[0].partition(";")[0]
    for world in pair.worlds:
        answer = await world.verify(made, NAVIGATION | {"Cookie": entry}, host=host, uri="/page")
        assert answer.status_code == 200
        assert "cookie" not in answer.headers
