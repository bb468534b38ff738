"""What is taken back counts at once, also while the records cannot be written; and it lasts."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import httpx
import pytest
from structlog.testing import capture_logs

from controller.core.model import Role, SessionId, UserId
from controller.store import SHARES_MOST
from tests.support.fakes.records import Records
from tests.support.hub import HTML, World, eventually, problem, running, world
from tests.support.waits import settled

pytestmark = pytest.mark.anyio

BOB = UserId("bob")


def hub_over(records: Records, before: World | None = None) -> World:
    """Return a hub with these records; one that comes after another goes on with its sessions."""
    if before is None:
        made = World(world().settings, store=records)
    else:
        made = World(
            before.settings,
            clock=before.clock,
            orchestrator=before.orchestrator,
            store=records,
        )
    made.gateway.serves_all = True
    return made


@pytest.fixture
async def records(anyio_backend: str) -> AsyncGenerator[Records, None]:
    """Give records that are there."""
    assert anyio_backend == "asyncio"
    made = Records()
    yield made
    made.close()


async def share(hub: World, session_id: SessionId, user: str, role: str = "view") -> httpx.Response:
    """Invite somebody to a session of Alice's."""
    alice = await hub.script("alice")
    return await alice.put(f"/api/v1/sessions/{session_id}/shares/{user}", json={"role": role})


def says_so(answer: httpx.Response) -> bool:
    """Tell whether an answer says that it is done, and not written down yet."""
    assert answer.status_code == 503
    return "It is done" in problem(answer)["detail"]


async def test_taken_back_while_another_is_invited(records: Records) -> None:
    """No invitation that takes long to write down keeps another from being taken back at once."""
    async with running(hub_over(records)) as hub:
        made = await hub.session()
        await share(hub, made, "bob")
        bob, alice = await hub.browser("bob"), await hub.script("alice")
        records.held = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(share, hub, made, "carol")
            await eventually(lambda: records.waiting == 1)
            group.start_soon(alice.delete, f"/api/v1/sessions/{made}/shares/bob")
            await eventually(lambda: hub.app.grants.role_of(made, BOB) is None)
            assert (await hub.verify(made, {"Cookie": bob.cookie})).status_code == 403
            await eventually(lambda: hub.gateway.kicked == [(made, BOB)])
            records.held.set()
        assert [one.uid for one in await records.shares()] == ["carol"]


async def test_invited_and_taken_back(records: Records) -> None:
    """A guest removed while the invitation is still being written is out, here and on disk."""
    async with running(hub_over(records)) as hub:
        made = await hub.session()
        alice = await hub.script("alice")
        records.held = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(share, hub, made, "bob")
            await eventually(lambda: records.waiting == 1)
            group.start_soon(share, hub, made, "carol")
            group.start_soon(alice.delete, f"/api/v1/sessions/{made}/shares/bob")
            await settled()
            records.held.set()
        assert hub.app.grants.role_of(made, BOB) is None
        assert [one.uid for one in await records.shares()] == ["carol"]
        records.held = None
        assert (await share(hub, made, "bob")).status_code == 200
        assert hub.app.grants.role_of(made, BOB) is Role.VIEW


async def test_taken_back(records: Records) -> None:
    """An invitation is taken back at once, the answer says what is missing, and it stays so."""
    async with running(hub_over(records)) as hub:
        made = await hub.session()
        await share(hub, made, "bob")
        alice, bob = await hub.script("alice"), await hub.browser("bob")
        link = await alice.post(f"/api/v1/sessions/{made}/links", json={"role": "view"})
        records.away = True
        assert says_so(await alice.delete(f"/api/v1/sessions/{made}/shares/bob"))
        assert hub.gateway.kicked == [(made, BOB)]
        records.away = False
        await hub.app.grant_records.load()
        assert (await hub.verify(made, {"Cookie": bob.cookie})).status_code == 403
        code = link.json()["url"].rpartition("/")[2]
        joined = await (await hub.script("bob")).post("/api/v1/join", json={"code": code})
        assert joined.status_code == 410
        await hub.sweep()
        assert await records.shares() == []
    async with running(hub_over(records, hub)) as again:
        assert again.app.grants.role_of(made, BOB) is None


async def test_invited_anew_before_it_is_written_down(records: Records) -> None:
    """A link that is made after somebody was taken back lets them in, whenever that was written."""
    async with running(hub_over(records)) as hub:
        made = await hub.session()
        await share(hub, made, "bob")
        alice, bob = await hub.script("alice"), await hub.script("bob")
        records.away = True
        assert says_so(await alice.delete(f"/api/v1/sessions/{made}/shares/bob"))
        records.away = False
        link = await alice.post(f"/api/v1/sessions/{made}/links", json={"role": "view"})
        await hub.sweep()
        code = link.json()["url"].rpartition("/")[2]
        assert (await bob.post("/api/v1/join", json={"code": code})).status_code == 200


async def test_who_was_taken_back_makes_room(records: Records) -> None:
    """A removed guest is not counted among the invited, though that is not written down yet."""
    async with running(hub_over(records)) as hub:
        hub.directory.can_find = False
        made = await hub.session()
        alice = await hub.script("alice")
        where = f"/api/v1/sessions/{made}/shares"
        for number in range(SHARES_MOST):
            await alice.put(f"{where}/guest{number}", json={"role": "view"})
        records.away = True
        assert says_so(await alice.delete(f"{where}/guest7"))
        records.away = False
        assert (await share(hub, made, "bob")).status_code == 200


async def test_control_taken_back(records: Records) -> None:
    """A guest who may only view from now on does so at once, and after a restart."""
    async with running(hub_over(records)) as hub:
        made = await hub.session()
        for act in ("change", "invite"):
            await share(hub, made, "bob", "control")
            bob, alice = await hub.browser("bob"), await hub.browser("alice")
            hub.gateway.kicked.clear()
            path = f"/sessions/{made}/share" + ("/change" if act == "change" else "")
            csrf = await alice.csrf()
            records.away = True
            with capture_logs() as logs:
                answer = await alice.post(path, {"csrf": csrf, "user": "bob", "role": "view"})
            assert answer.status_code == 503
            assert "It is done" in answer.text
            records.away = False
            assert hub.gateway.kicked == [(made, BOB)]
            verified = await hub.verify(made, {"Cookie": bob.cookie})
            assert verified.headers["x-slicerhub-role"] == "view"
            assert len([one for one in logs if one.get("act") == "role_changed"]) == 1
            await hub.sweep()
            assert [one.role for one in await records.shares()] == [Role.VIEW]


async def test_an_invitation_that_ends(records: Records) -> None:
    """An invitation whose time is over is cut and put on record once, written down or not."""
    async with running(hub_over(records)) as hub:
        made = await hub.session()
        alice = await hub.script("alice")
        await alice.put(
            f"/api/v1/sessions/{made}/shares/bob", json={"role": "view", "expires_in": 60}
        )
        hub.clock.advance(60)
        records.away = True
        with capture_logs() as logs:
            await hub.sweep()
            await hub.sweep()
            assert hub.gateway.kicked == [(made, BOB)]
            records.away = False
            await hub.sweep()
        (act,) = [one for one in logs if one.get("act") == "revoke"]
        assert (act["guest"], act["reason"]) == ("bob", "expired")
        assert await records.shares() == []


async def test_written_down_at_the_end(records: Records) -> None:
    """What could not be written down is tried once more when the hub ends in order."""
    async with running(hub_over(records)) as hub:
        made = await hub.session()
        await share(hub, made, "bob")
        alice, bob = await hub.script("alice"), await hub.script("bob")
        records.away = True
        assert says_so(await alice.delete(f"/api/v1/sessions/{made}/shares/bob"))
        assert says_so(await bob.post("/api/v1/logout"))
        records.away = False
    assert await records.shares() == []
    assert UserId("bob") not in {one.person.uid for one in await records.logins(0)}


async def test_logged_out(records: Records) -> None:
    """After a log-out everything is cut at once; the browser and the records forget the log-in."""
    async with running(hub_over(records)) as hub:
        own = await hub.session("bob")
        bob = await hub.browser("bob")
        cookie, csrf = bob.cookie, await bob.csrf()
        records.away = True
        answer = await bob.post("/logout", {"csrf": csrf})
        assert answer.status_code == 503
        assert "It is done" in answer.text
        assert "max-age=0" in answer.headers["set-cookie"].lower()
        assert (await hub.verify(own, {"Cookie": cookie})).status_code == 401
        await eventually(lambda: (own, BOB) in hub.gateway.kicked)
        records.away = False
        await hub.app.logins.following.load()
        assert (await hub.verify(own, {"Cookie": cookie})).status_code == 401
        await hub.sweep()
    async with running(hub_over(records, hub)) as again:
        assert (await again.verify(own, {"Cookie": cookie})).status_code == 401


@pytest.mark.parametrize("act", ["one", "others", "all", "admin"])
async def test_log_ins_ended_from_afar(records: Records, act: str) -> None:
    """Log-ins that somebody ends from elsewhere are over at once, and for good."""
    async with running(hub_over(records)) as hub:
        own = await hub.session("bob")
        lost, here = await hub.browser("bob"), await hub.script("bob")
        admin = await hub.script("carol")
        found = (await here.get("/api/v1/me/logins")).json()["items"]
        (lost_id,) = [one["id"] for one in found if one["client"] != "Script"]
        records.away = True
        answer = {
            "one": lambda: here.delete(f"/api/v1/me/logins/{lost_id}"),
            "others": lambda: here.delete("/api/v1/me/logins?but_here=true"),
            "all": lambda: here.delete("/api/v1/me/logins"),
            "admin": lambda: admin.post("/api/v1/admin/users/bob/logout"),
        }[act]
        assert says_so(await answer())
        assert (await hub.verify(own, {"Cookie": lost.cookie})).status_code == 401
        await eventually(lambda: (own, BOB) in hub.gateway.kicked)
        records.away = False
        await hub.sweep()
        left = {one.person.uid for one in await records.logins(0) if not one.script}
        assert left == set()


async def test_logged_in_anew(records: Records) -> None:
    """Anyone who logs in over another's log-in ends that, and closes what it had open."""
    async with running(hub_over(records)) as hub:
        own = await hub.session("bob")
        browser = await hub.browser("bob")
        bobs = browser.cookie
        assert (await browser.log_in("alice", "alice")).status_code == 303
        assert (await hub.verify(own, {"Cookie": bobs})).status_code == 401
        await eventually(lambda: (own, BOB) in hub.gateway.kicked)


async def test_a_departed_owner(records: Records) -> None:
    """Guests of somebody who may not use the hub any more are out with them, records or not."""
    async with running(hub_over(records)) as hub:
        own = await hub.session("bob")
        bob, carol = await hub.script("bob"), await hub.browser("carol")
        where = f"/api/v1/sessions/{own}"
        await bob.put(f"{where}/shares/carol", json={"role": "control"})
        link = (await bob.post(f"{where}/links", json={"role": "view"})).json()["url"]
        alice = hub.client(
            Accept=HTML, Authorization=(await hub.script("alice")).headers["Authorization"]
        )
        hub.directory.departed.add(BOB)
        records.away = True
        await hub.app.housekeeping.call_the_roll()
        assert (await hub.verify(own, {"Cookie": carol.cookie})).status_code == 403
        assert (own, "carol") in hub.gateway.kicked
        records.away = False
        assert (await alice.get(link)).status_code == 410
        assert hub.find(own) is not None
        await hub.sweep()
        assert await records.shares() == []
        assert await records.links(own) == []
