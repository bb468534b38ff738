"""However a log-in ends, what it has open is closed: its streams, and its views of sessions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from controller.core.model import UserId
from controller.core.records import Login
from controller.people.entering import LOGINS_MOST
from controller.people.keys import KeyFile, replace_all
from controller.people.standing import login_id
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.replica import Cluster, Replica
from tests.support.hub import DEADLINE, HTML, Browser, Clock, World, eventually, running, world
from tests.support.waits import settled

pytestmark = pytest.mark.anyio

ALICE = UserId("alice")


class Place:
    """A hub that shares its store and its keys with others, and a log-in at it that will end."""

    here: World
    lost: Browser  # Alice's
    login: Login  # by which it is logged in

    def __init__(self, folder: Path) -> None:
        """``folder``: for what they share."""
        self.clock = Clock()
        self.cluster = Cluster(folder / "store.sqlite", self.clock.monotonic)
        self.keys = KeyFile(folder / "keys.json", self.clock.wall)

    async def hub(self, beside: World | None = None) -> World:
        """Return one more controller."""
        return World(
            world().settings,
            clock=self.clock,
            orchestrator=beside.orchestrator if beside else None,
            store=self.cluster.replica(),
            ring=await self.keys.key_ring(),
            key_storage=self.keys,
        )

    async def other_browser(self) -> Browser:
        """Return another browser of Alice's."""
        return await self.here.browser("alice")


async def log_out(place: Place) -> None:
    """Press the button."""
    await place.lost.act("/logout")


async def log_out_by_api(place: Place) -> None:
    """Ask the API."""
    answer = await place.lost.client.post("/api/v1/logout", headers=place.lost.own_page)
    assert answer.status_code == 204


async def end_from_afar(place: Place) -> None:
    """End it from another browser."""
    await (await place.other_browser()).act("/logins/end", id=login_id(place.login))


async def end_the_others(place: Place) -> None:
    """Log out everywhere else."""
    await (await place.other_browser()).act("/logins/all", but_here="1")


async def end_all(place: Place) -> None:
    """Log out everywhere."""
    await place.lost.act("/logins/all", but_here="")


async def log_in_again(place: Place) -> None:
    """Log in once more in the same browser."""
    assert (await place.lost.log_in("alice", "alice")).status_code == 303


async def by_an_administrator(place: Place) -> None:
    """Let an administrator log them out."""
    carol = await place.here.script("carol")
    assert (await carol.post("/api/v1/admin/users/alice/logout")).status_code == 200


async def depart(place: Place) -> None:
    """Leave the directory."""
    await place.here.script("carol")  # else it would seem that everybody is gone
    place.here.directory.departed.add(ALICE)
    await place.here.app.housekeeping.call_the_roll()


async def make_room(place: Place) -> None:
    """Log in elsewhere, again and again."""
    for _ in range(LOGINS_MOST):
        place.clock.advance(1)
        await place.other_browser()


async def let_time_pass(place: Place) -> None:
    """Come to its own end."""
    place.clock.advance(place.login.expires - place.clock.wall())
    await place.here.app.logins.following.sweep()


async def replace_keys(place: Place) -> None:
    """Replace all keys, after one has leaked."""
    place.clock.advance(1)
    await replace_all(place.keys, now=place.clock.wall())
    assert place.here.app.rotation is not None
    await place.here.app.rotation.refresh()


async def at_another_controller(place: Place) -> None:
    """Log out by way of another controller, of which this one hears."""
    there = await place.hub(place.here)
    async with running(there):
        async with there.client(Cookie=place.lost.cookie, **place.lost.own_page) as elsewhere:
            assert (await elsewhere.post("/api/v1/logout")).status_code == 204
        assert isinstance(place.here.store, Replica)
        await place.here.store.hear()
        await place.here.app.logins.following.load()


async def lose_the_record(place: Place) -> None:
    """Lose it with the store."""
    store = place.here.store
    assert isinstance(store, SqliteStore)
    await store.remove_login(place.login.sid)
    place.clock.advance(3600)
    await place.here.app.logins.following.load()


WAYS: tuple[Callable[[Place], Awaitable[None]], ...] = (
    log_out,
    log_out_by_api,
    end_from_afar,
    end_the_others,
    end_all,
    log_in_again,
    by_an_administrator,
    depart,
    make_room,
    let_time_pass,
    replace_keys,
    at_another_controller,
    lose_the_record,
)


@asynccontextmanager
async def listening(hub: World, login: Login) -> AsyncGenerator[None, None]:
    """Let a log-in follow the events; at the end that has to be over."""

    async def follow() -> None:
        async for _ in hub.app.services.streams.changes(login, at_least_every=DEADLINE):
            pass
        over.set()

    over = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await settled()
        assert not over.is_set()
        yield
        with anyio.fail_after(DEADLINE):
            await over.wait()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_all_ways_are_alike(tmp_path: Path, way: Callable[[Place], Awaitable[None]]) -> None:
    """A log-in that has ended is refused, its streams end, and the session is told to cut."""
    place = Place(tmp_path)
    place.here = hub = await place.hub()
    async with running(hub):
        made = await hub.session("alice")
        place.lost = lost = await hub.browser("alice")
        (place.login,) = [one for one in hub.app.logins.standing.of_person(ALICE) if not one.script]
        cookie = lost.cookie
        page = {"Cookie": cookie, "Accept": HTML}
        assert (await hub.verify(made, page)).status_code == 200
        assert hub.gateway.kicked == []
        async with listening(hub, place.login):
            await way(place)
        assert (await hub.verify(made, {"Cookie": cookie})).status_code == 401
        await eventually(lambda: (made, ALICE) in hub.gateway.kicked)
