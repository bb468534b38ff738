"""Two controllers behind one address: whichever is asked, it lets in and tells the same.

Each hears late of what the other has written: only when the test lets it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from controller.core.model import Offer, Phase, Role, Route, SessionId, UserId
from controller.core.records import Reason
from controller.engines.memory import MemoryOrchestrator
from controller.people.entering import LOGINS_MOST
from controller.sessions.gateway import Client, Inside
from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING
from tests.support.fakes.replica import Cluster, Replica
from tests.support.hub import HTML, ORIGIN, Clock, World, eventually, running
from tests.support.samples import CREATED, settings

pytestmark = pytest.mark.anyio

NAVIGATION = {"Accept": HTML, "Sec-Fetch-Mode": "navigate"}
JSON = {"Accept": "application/json"}
REDIRECTS = 20  # that browsers follow


class Follower:
    """There is another controller that leads."""

    leading = False

    async def run(self) -> None:
        """See Election."""


class Pair:
    """Two controllers over one engine, one store and one clock."""

    def __init__(self, path: Path, mode: str) -> None:
        """``mode``: where sessions are."""
        self.configured = settings(
            public_url=ORIGIN, session_domain=mode, path_mode_sharing=PATH_MODE_SHARING
        )
        self.clock = Clock()
        self.cluster = Cluster(path, self.clock.monotonic)
        self.orchestrator = MemoryOrchestrator(self.configured)
        self.worlds: list[World] = []

    def world(self) -> World:
        """Return one more; the first one leads."""
        made = World(
            self.configured,
            clock=self.clock,
            orchestrator=self.orchestrator,
            store=self.cluster.replica(),
            election=Follower() if self.worlds else None,
        )
        made.gateway.serves_all = True
        self.worlds.append(made)
        return made

    async def hear(self, world: World) -> None:
        """Let a controller hear of what the other one has written."""
        assert isinstance(world.store, Replica)
        await world.store.hear()
        await world.app.store_sync.hear()

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
    """People who log in at one controller get where they wanted, whichever is asked on the way."""
    one, _ = pair.worlds
    made = await pair.session()
    for path in ("/", "/apps/wiki/", f"/s/{made}/", "/login?next=/apps/wiki/"):
        browser = await one.browser("alice")
        assert (await follow(pair, browser.client, path)).status_code == 200


@pytest.mark.parametrize("path", ["/apps/wiki/", "/"])
async def test_no_loop_after_a_log_out(pair: Pair, path: str) -> None:
    """After a remote log-out people get the log-in page, though one controller has not heard."""
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
    """Ending all log-ins at a controller that has not heard of this one ends it, too."""
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


async def test_log_ins_are_so_many_at_both(pair: Pair) -> None:
    """A person who logs in again and again, here and there, has as many log-ins as one may."""
    for number in range(LOGINS_MOST + 10):
        pair.clock.advance(1)
        await pair.worlds[number % 2].script("alice")
        for one in pair.worlds:
            await pair.hear(one)
    assert len(await pair.worlds[0].store.logins(0)) == LOGINS_MOST


async def home(world: World, user: str) -> str:
    """Return somebody's first page, as this controller shows it."""
    return (await (await world.browser(user)).get("/")).text


def stop_of(world: World, made: SessionId) -> tuple[Reason, int] | None:
    """Return why and when a session will be stopped, to the second; None: it will not."""
    found = world.app.sessions.usage.warned(world.app.sessions.any(made))
    return None if found is None else (found[0], round(found[1].timestamp()))


async def rounds(pair: Pair) -> None:
    """Let each controller do its rounds, the leader first."""
    for world in pair.worlds:
        await world.app.housekeeping.poll()
        await world.sweep()


async def test_warned_at_both(pair: Pair) -> None:
    """A stop is announced on the owner's page, and taken back, whichever controller shows it."""
    one, other = pair.worlds
    made = await pair.session()
    pair.clock.advance(1510)
    await rounds(pair)
    assert [text for _, text, _ in one.gateway.notices] == [
        "This session is about to stop, because nobody is using it."
    ]
    assert other.gateway.notices == []  # it is said once
    for world in pair.worlds:
        assert "Stops at" in (await home(world, "alice")), world
    pair.clock.advance(10)
    await rounds(pair)
    assert stop_of(other, made) == stop_of(one, made)
    # Used by way of the one that has not warned.
    browser = await other.browser("alice")
    await browser.act(f"/sessions/{made}/keep")
    assert other.gateway.notices == [(made, "", None)]
    assert stop_of(other, made) is None
    for _ in range(2):
        pair.clock.advance(10)
        for world in reversed(pair.worlds):
            await world.sweep()
        assert stop_of(other, made) is None
    assert stop_of(one, made) is None
    assert one.phase(made) is Phase.READY


async def test_a_warning_outlives_who_gave_it(pair: Pair) -> None:
    """The next leader keeps to the stop that people were told of."""
    one, other = pair.worlds
    made = await pair.session()
    pair.clock.advance(1510)
    await rounds(pair)
    told = stop_of(one, made)
    assert told is not None
    other.app.election.leading = True  # pyright: ignore[reportAttributeAccessIssue] - a Follower
    pair.clock.advance(60)
    await other.app.housekeeping.poll()
    await other.sweep()
    assert stop_of(other, made) == told
    assert other.gateway.notices == []


async def test_asked_for_control_at_the_other(pair: Pair) -> None:
    """An owner reads who asks for control, whichever controller each of them meets."""
    one, other = pair.worlds
    made = await pair.session()
    alice = await one.script("alice")
    where = f"/api/v1/sessions/{made}/shares"
    assert (await alice.put(f"{where}/bob", json={"role": "view"})).status_code == 200
    await pair.hear(other)
    bob = await other.browser("bob")
    assert (await bob.act(f"/sessions/{made}/ask")).status_code == 303
    await pair.hear(one)
    assert (await alice.get(where)).json()["items"][0]["asks"] is True
    assert (await alice.put(f"{where}/bob", json={"role": "control"})).status_code == 200
    await pair.hear(other)
    for world in pair.worlds:
        script = await world.script("alice")
        assert (await script.get(where)).json()["items"][0]["asks"] is False


async def test_asked_for_control_after_it_was_taken_back(pair: Pair) -> None:
    """A guest is invited no more, also at a controller that has not heard of the end yet."""
    one, other = pair.worlds
    made = await pair.session()
    alice = await one.script("alice")
    where = f"/api/v1/sessions/{made}/shares"
    assert (await alice.put(f"{where}/bob", json={"role": "view"})).status_code == 200
    await pair.hear(other)
    assert (await alice.delete(f"{where}/bob")).status_code in {200, 204}
    bob = await other.browser("bob")
    await bob.act(f"/sessions/{made}/ask")
    for world in pair.worlds:
        await pair.hear(world)
        script = await world.script("alice")
        assert (await script.get(where)).json()["items"] == []


async def test_a_message_by_way_of_the_other(pair: Pair) -> None:
    """A session shows an administrator's message as long as it should, at each controller."""
    one, other = pair.worlds
    made = await pair.session()
    carol = await other.script("carol")
    said = {"text": "Lunch soon"}
    answer = await carol.post(f"/api/v1/admin/sessions/{made}/message", json=said)
    assert answer.json() == {"shown": True}
    words = "The administrator says: Lunch soon"
    assert other.gateway.notices == [(made, words, None)]
    await pair.hear(one)
    await rounds(pair)
    assert one.gateway.notices == [(made, words, None)]
    for world in pair.worlds:
        assert "about Slicer" in (await home(world, "alice"))
    pair.clock.advance(601)
    await rounds(pair)
    assert one.gateway.notices[-1] == (made, "", None)
    assert (await one.store.rules()).messages == {}


async def test_connected_by_way_of_the_other(pair: Pair) -> None:
    """Nobody is cut for what a controller has not heard of yet; but for what it has heard of."""
    one, other = pair.worlds
    made = await pair.session()
    await pair.hear(other)
    alice, bob = await one.script("alice"), await one.script("bob")
    where = f"/api/v1/sessions/{made}/shares/bob"
    assert (await alice.put(where, json={"role": "view"})).status_code == 200
    there = Client(UserId("bob"), Role.VIEW, CREATED)
    other.gateway.insides[made] = Inside(clients=(there,))
    await other.app.housekeeping.poll()  # neither the log-in nor the invitation is known here
    pair.clock.advance(1)
    await other.app.housekeeping.poll()
    await pair.hear(other)
    await other.app.grant_records.load()
    pair.clock.advance(5)
    await other.app.housekeeping.poll()
    assert other.gateway.kicked == []
    # As if the one that takes it back was killed before it could cut.
    one.app.grants.withdraw(made, UserId("bob"))
    await one.app.grant_records.withdrawals.write_down()
    await pair.hear(other)

    def cut() -> bool:
        pair.clock.advance(0.1)
        return (made, "bob") in other.gateway.kicked

    await eventually(cut)
    other.gateway.kicked.clear()
    assert (await bob.post("/api/v1/logout")).status_code == 204
    assert (await alice.put(where, json={"role": "view"})).status_code == 200
    await other.app.grant_records.load()
    await pair.hear(other)
    await eventually(lambda: (made, "bob") in other.gateway.kicked)
