"""People who may not use the hub any more: they are out, and what they run ends a while later."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.core.model import Person, Phase, UserId
from tests.support.hub import World, running
from tests.support.limits import configured

pytestmark = pytest.mark.anyio


async def test_departed(fresh: World) -> None:
    """A person who may no longer use the hub is out at once; what they run stops after a grace."""
    own = await fresh.session("bob")
    shown = await fresh.session("alice")
    alice = await fresh.script("alice")
    await alice.put(f"/api/v1/sessions/{shown}/shares/bob", json={"role": "view"})
    bob = await fresh.script("bob")
    await bob.put(f"/api/v1/sessions/{own}/shares/carol", json={"role": "view"})
    fresh.directory.departed.add(UserId("bob"))
    await fresh.app.housekeeping.call_the_roll()
    assert (await bob.get("/api/v1/me")).status_code == 401
    assert set(fresh.gateway.kicked) >= {(own, "bob"), (shown, "bob")}
    assert fresh.app.grants.of_session(shown) == []
    assert fresh.app.grants.of_session(own) == []
    assert (await alice.get("/api/v1/me")).status_code == 200
    fresh.app.sessions.touch(own)
    fresh.clock.advance(3599)
    await fresh.app.housekeeping.call_the_roll()
    assert fresh.phase(own) is Phase.READY
    fresh.clock.advance(1)
    await fresh.app.housekeeping.call_the_roll()
    await fresh.until(own, None)
    assert fresh.phase(shown) is Phase.READY


async def test_a_departed_owners_guests(fresh: World) -> None:
    """With somebody who may not use the hub any more their guests are out, and their links end."""
    own = await fresh.session("bob")
    bob, carol = await fresh.script("bob"), await fresh.browser("carol")
    where = f"/api/v1/sessions/{own}"
    await bob.put(f"{where}/shares/carol", json={"role": "control"})
    link = (await bob.post(f"{where}/links", json={"role": "view"})).json()["url"]
    assert (await fresh.verify(own, {"Cookie": carol.cookie})).status_code == 200
    fresh.directory.departed.add(UserId("bob"))
    await fresh.app.housekeeping.call_the_roll()
    assert (await fresh.verify(own, {"Cookie": carol.cookie})).status_code == 403
    assert (own, "carol") in fresh.gateway.kicked
    alice = await fresh.browser("alice")
    assert (await alice.get(link)).status_code == 410
    assert fresh.phase(own) is Phase.READY


async def test_one_who_cannot_be_looked_up(fresh: World) -> None:
    """A look-up that fails keeps nobody else from being judged; it is tried again each round."""
    users = ("alice", "bob", "carol")
    scripts = {user: await fresh.script(user) for user in users}
    fresh.directory.unreadable.add(UserId("alice"))
    fresh.directory.departed |= {UserId("alice"), UserId("bob")}
    await fresh.app.housekeeping.call_the_roll()

    async def statuses() -> list[int]:
        return [(await scripts[one].get("/api/v1/me")).status_code for one in users]

    assert await statuses() == [200, 401, 200]
    fresh.directory.unreadable.clear()
    await fresh.app.housekeeping.call_the_roll()
    assert await statuses() == [401, 401, 200]


async def test_a_round_goes_on_where_it_stopped(fresh: World) -> None:
    """A directory that is away is asked three times a round; the next begins with the others."""
    for number in range(9):
        uid = UserId(f"person-{number}")
        fresh.directory.people[uid] = Person(uid, uid)
        await fresh.script(uid)
    fresh.directory.unreadable |= {UserId(f"person-{number}") for number in range(3, 6)}
    asked = fresh.directory.asked
    await fresh.app.housekeeping.call_the_roll()
    assert asked == [f"person-{number}" for number in range(6)]
    asked.clear()
    fresh.directory.departed.add(UserId("person-8"))
    await fresh.app.housekeeping.call_the_roll()
    assert asked == [f"person-{number}" for number in (6, 7, 8, 0, 1, 2, 3, 4, 5)]
    assert not fresh.app.logins.standing.is_in(UserId("person-8"))


async def test_departed_while_in_line() -> None:
    """A person who may no longer use the hub leaves the queue, and what they run ends."""
    hub = World(configured(queue=True, sessions_total=1))
    async with running(hub):
        await hub.session("alice", ready=False)
        await hub.session("bob", ready=False)
        await hub.app.logins.revoke(UserId("bob"))
        hub.directory.departed.add(UserId("bob"))
        await hub.app.housekeeping.call_the_roll()
        assert UserId("bob") in hub.directory.asked
        assert len(await hub.store.tickets()) == 1
        hub.clock.advance(hub.settings.departed_seconds)
        await hub.app.housekeeping.call_the_roll()
        assert await hub.store.tickets() == []


async def test_back_in_time(fresh: World) -> None:
    """A person who is back before the grace is over keeps the session."""
    own = await fresh.session("bob")
    fresh.directory.departed.add(UserId("bob"))
    await fresh.app.housekeeping.call_the_roll()
    fresh.directory.departed.clear()
    fresh.clock.advance(3500)
    await fresh.app.housekeeping.call_the_roll()
    fresh.directory.departed.add(UserId("bob"))
    fresh.clock.advance(200)
    await fresh.app.housekeeping.call_the_roll()
    assert fresh.phase(own) is Phase.READY


async def test_a_directory_that_is_away_judges_nobody(fresh: World) -> None:
    """While the directory does not answer nobody is logged out."""
    from controller.core.errors import DirectoryUnavailable

    await fresh.session("bob")
    bob = await fresh.script("bob")
    fresh.directory.fault = DirectoryUnavailable("The directory does not answer.")
    await fresh.app.housekeeping.call_the_roll()
    assert (await bob.get("/api/v1/me")).status_code == 200


async def test_a_directory_that_shows_nobody_any_more(fresh: World) -> None:
    """If all who are here seem gone at once, the hub doubts its rights and logs nobody out."""
    scripts = [await fresh.script(user) for user in ("alice", "bob", "carol")]
    fresh.directory.departed |= {UserId("alice"), UserId("bob"), UserId("carol")}
    await fresh.app.housekeeping.call_the_roll()
    assert {(await one.get("/api/v1/me")).status_code for one in scripts} == {200}


async def test_changed_groups(fresh: World) -> None:
    """A former administrator is none to the hub, without logging in again."""
    carol = await fresh.script("carol")
    assert (await carol.get("/api/v1/me")).json()["admin"] is True
    fresh.directory.people["carol"] = replace(
        fresh.directory.people["carol"], groups=frozenset({"slicer-users"}), admin=False
    )
    await fresh.app.housekeeping.call_the_roll()
    assert (await carol.get("/api/v1/me")).json()["admin"] is False
