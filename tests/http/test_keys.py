"""Another key signs while the hub runs: nobody is logged out, unless that is what is wanted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
from structlog.testing import capture_logs

from controller.core.model import Phase
from controller.people.keys import SIGNS_AFTER, KeyFile, replace_all, rotate
from controller.people.tokens import LEEWAY, Key, KeyRing
from controller.settings.schema import PATH_MODE
from controller.store.sqlite.store import SqliteStore
from tests.support.hub import ORIGIN, Clock, World, eventually, running
from tests.support.own_hosts import ENTRY, JSON, host_of, person
from tests.support.samples import settings

pytestmark = pytest.mark.anyio

HOURS = 12 * 3600
CONFIGURED = settings(public_url=ORIGIN, session_domain=PATH_MODE)


class Fixed:
    """An election whose outcome the test decides."""

    def __init__(self, *, leading: bool) -> None:
        """Lead or do not."""
        self.leading = leading

    async def run(self) -> None:
        """See Election."""


class Pair:
    """Two controllers over one store and one key file; the first one leads."""

    one: World
    two: World

    def __init__(self, folder: Path) -> None:
        """Make what they share."""
        self.clock = Clock()
        self.folder = folder
        self.place = KeyFile(folder / "keys.json", self.clock.wall)

    async def world(self, *, leading: bool) -> World:
        """Return another controller, which has read the keys."""
        return World(
            CONFIGURED,
            clock=self.clock,
            store=SqliteStore(self.folder / "store.sqlite"),
            ring=await self.place.key_ring(),
            key_storage=self.place,
            election=Fixed(leading=leading),
        )

    async def look(self, *worlds: World) -> None:
        """Let controllers look at the keys now, and at what others wrote down."""
        for world in worlds:
            assert world.app.rotation is not None
            await world.app.rotation.refresh()
            await world.app.logins.following.load()

    async def rotate(self) -> None:
        """Do what ``slicerhub keys rotate`` does."""
        expiries = [one.expires for one in await self.one.store.logins(self.clock.wall())]
        await rotate(self.place, now=self.clock.wall(), seconds=HOURS, expiries=expiries)

    async def keys(self) -> int:
        """Return how many keys are kept."""
        return len((await self.place.key_ring(make=False)).keys)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncGenerator[Pair, None]:
    """Give two controllers that run."""
    made = Pair(tmp_path)
    async with AsyncExitStack() as stack:
        made.one = await stack.enter_async_context(running(await made.world(leading=True)))
        made.two = await stack.enter_async_context(running(await made.world(leading=False)))
        yield made


async def stands(world: World, cookie: str) -> bool:
    """Tell whether a controller takes this browser for logged in."""
    answer = await world.client(Cookie=cookie).get("/api/v1/me")
    return answer.status_code == 200


async def test_nobody_is_logged_out(pair: Pair) -> None:
    """Through a whole rotation every log-in stands at every controller until its own end."""
    before = (await pair.one.browser("alice")).cookie
    await pair.look(pair.two)
    await pair.rotate()
    cookies = [before]
    # Each controller hears of it at its own time, within what a new key waits for.
    for looking, after in ((), 0), ((pair.one,), SIGNS_AFTER / 2), ((pair.two,), SIGNS_AFTER / 2):
        pair.clock.advance(after)
        await pair.look(*looking)
        for world in (pair.one, pair.two):
            cookies.append((await world.browser("bob")).cookie)
            other = pair.two if world is pair.one else pair.one
            await other.app.logins.following.load()
            assert all([await stands(one, cookie) for one in (world, other) for cookie in cookies])
    kids = {one.key for one in await pair.one.store.logins(pair.clock.wall())}
    assert len(kids) == 2
    pair.clock.advance(HOURS - SIGNS_AFTER - 1)
    assert await stands(pair.one, before)
    assert await pair.keys() == 4
    # Only when nothing of the old key can be valid any more it is dropped.
    pair.clock.advance(SIGNS_AFTER + LEEWAY)
    await pair.look(pair.one, pair.two)
    assert await pair.keys() == 4
    pair.clock.advance(2)
    await pair.look(pair.two)
    assert await pair.keys() == 4  # who does not keep house drops nothing
    await pair.look(pair.one, pair.two)
    assert await pair.keys() == 2
    assert (await pair.two.browser("carol")).cookie


async def test_forms_of_before(pair: Pair) -> None:
    """A form that was open during the rotation can still be sent, to any controller."""
    alice = await pair.one.browser("alice")
    form = {"csrf": await alice.csrf(), "profile": "x"}
    await pair.look(pair.two)
    await pair.rotate()
    pair.clock.advance(SIGNS_AFTER)
    await pair.look(pair.one, pair.two)
    assert await alice.csrf() != form["csrf"]
    for world in (pair.one, pair.two):
        browser = await world.browser()
        browser.client.headers["Cookie"] = alice.cookie
        assert (await browser.post("/notices/1/dismiss", form)).status_code == 303
        forged = form | {"csrf": form["csrf"][::-1]}
        assert (await browser.post("/notices/1/dismiss", forged)).status_code == 403


async def test_from_before_ed25519(tmp_path: Path) -> None:
    """People of an earlier hub stay logged in and in their sessions until their log-in is over."""
    clock, configured = Clock(), settings(public_url=ORIGIN, session_domain="")
    old = KeyRing((Key("old", "5e" * 32),))
    (tmp_path / "keys.json").write_text('{"keys":[{"kid":"old","secret":"%s"}]}' % ("5e" * 32))
    place = KeyFile(tmp_path / "keys.json", clock.wall)

    def hub(ring: KeyRing, **parts: Any) -> World:  # noqa: ANN401 - what World takes
        store = SqliteStore(tmp_path / "store.sqlite")
        return World(configured, clock=clock, store=store, ring=ring, **parts)

    async with AsyncExitStack() as stack:
        earlier = await stack.enter_async_context(running(hub(old)))
        made = await earlier.session("alice")
        alice, browser = await person(earlier, "alice"), await earlier.browser("alice")
        await alice.enter(made)
        entry = JSON | {"Cookie": f"{ENTRY}={alice.jar[host_of(made)][ENTRY]}"}
        form = {"csrf": await browser.csrf()}
        later = hub(await place.key_ring(), orchestrator=earlier.orchestrator, key_storage=place)
        later.gateway.served.add(made)
        with capture_logs() as logs:
            await stack.enter_async_context(running(later))
            # By itself, as soon as it knows how long log-ins last; not by another round beside it.
            await eventually(lambda: "keys_taken" in [one["event"] for one in logs])
            assert later.app.rotation is not None
            await later.app.rotation.refresh()
        assert [one["event"] for one in logs].count("keys_completed") == 1
        await later.until(made, Phase.READY)
        ring = await place.key_ring(make=False)
        assert ring.complete
        browser.client = later.client(Cookie=browser.cookie)
        for seconds, algorithm in ((1, "HS256"), (SIGNS_AFTER, "EdDSA"), (HOURS - 60, "EdDSA")):
            clock.advance(seconds)
            await later.app.rotation.refresh()
            assert await stands(later, browser.client.headers["Cookie"])
            seen = await later.verify(made, entry, host=host_of(made), uri="/")
            assert seen.status_code == 200
            assert (await browser.post("/notices/1/dismiss", form)).status_code == 303
            fresh = await later.browser("carol")
            token = fresh.cookie.partition("=")[2]
            assert jwt.get_unverified_header(token)["alg"] == algorithm
            assert await stands(later, fresh.cookie)
            bob = await person(later, "bob")
            await bob.code_for(await later.session("bob"))
        clock.advance(SIGNS_AFTER + LEEWAY + 60)
        await later.app.rotation.refresh()
        kept = await place.key_ring(make=False)
        assert kept == KeyRing(ring.keys[:2])
        assert not await stands(later, browser.client.headers["Cookie"])


async def test_on_record(pair: Pair) -> None:
    """The record says that a new key was taken, by its name, and no secret."""
    await pair.rotate()
    new, entry, *_ = (await pair.place.key_ring()).keys
    with capture_logs() as logs:
        await pair.look(pair.one)
        await pair.look(pair.one)
    acts = [one for one in logs if one.get("act") == "keys_rotated"]
    assert [(one["key"], one["at_once"], one["who"]) for one in acts] == [
        (new.kid, False, "controller")
    ]
    assert new.secret not in str(logs)
    assert entry.secret not in str(logs)


async def test_a_leaked_key(pair: Pair) -> None:
    """After ``rotate --now`` nothing of before proves anything, and what is open is closed."""
    made = await pair.one.session("alice")
    alice, script = await pair.one.browser("alice"), await pair.one.script("bob")
    cookie = alice.cookie
    assert (await pair.one.verify(made, {"Cookie": cookie})).status_code == 200
    await pair.look(pair.two)
    assert await stands(pair.two, cookie)
    await replace_all(pair.place, now=pair.clock.wall())
    with capture_logs() as logs:
        await pair.look(pair.two, pair.one)
    assert (await pair.one.verify(made, {"Cookie": cookie})).status_code == 401
    assert (await script.get("/api/v1/me")).status_code == 401
    assert not await stands(pair.two, cookie)
    await eventually(lambda: set(pair.one.gateway.kicked) == {(made, "alice")})
    ended = [one for one in logs if one.get("act") == "logout"]
    assert {one["reason"] for one in ended} == {"keys"}
    assert sorted(one["whose"] for one in ended) == ["alice", "alice", "bob"]
    assert await pair.one.store.logins(0) == []
    await pair.look(pair.two)
    for world in (pair.one, pair.two):
        again = await world.browser("alice")
        await pair.look(pair.one, pair.two)
        assert await stands(pair.one, again.cookie)
        assert await stands(pair.two, again.cookie)


async def test_leaked_while_nothing_ran(pair: Pair) -> None:
    """A controller that starts with other keys takes nobody of before for logged in."""
    await pair.one.browser("alice")
    pair.clock.advance(5)
    await replace_all(pair.place, now=pair.clock.wall())
    async with running(await pair.world(leading=True)) as later:
        assert later.app.logins.standing.people() == frozenset()
        bob = await later.browser("bob")
        await later.app.logins.following.sweep()
        assert [one.person.uid for one in await later.store.logins(0)] == ["bob"]
        assert await stands(later, bob.cookie)


@pytest.mark.parametrize("damage", ["secret", "", '{"keys":[]}', None])
async def test_damaged_while_it_runs(pair: Pair, damage: str | None) -> None:
    """Keys that are spoilt or lost while the hub runs log nobody out, and are told of once."""
    alice = await pair.one.browser("alice")
    path = pair.folder / "keys.json"
    whole = path.read_bytes()
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    with capture_logs() as logs:
        await pair.look(pair.one)
        await pair.look(pair.one)
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["keys_not_read"]
    assert await stands(pair.one, alice.cookie)
    assert path.exists() == (damage is not None)
    path.write_bytes(whole)
    await pair.look(pair.one)
    assert await stands(pair.one, alice.cookie)
