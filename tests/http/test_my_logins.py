"""People see where they are logged in, and end what they do not know."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape

import httpx
import pytest
from structlog.testing import capture_logs

from controller.core.model import UserId
from controller.people.entering import LOGINS_MOST
from tests.support.hub import HTML, Browser, World, location, problem

pytestmark = pytest.mark.anyio

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOSTILE = "<script>alert(1)</script> \"'`{{ 7*7 }}" + "x" * 5000


async def browser(hub: World, user: str, agent: str, address: str = "10.0.0.1") -> Browser:
    """Return somebody's browser that calls itself so."""
    made = await hub.browser(address=address)
    made.client.headers["User-Agent"] = agent
    assert (await made.log_in(user, user)).status_code == 303
    return made


async def listed(client: httpx.AsyncClient) -> list[dict[str, object]]:
    """Return where somebody is logged in, as scripts read it."""
    answer = await client.get("/api/v1/me/logins")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def ids_on(page: httpx.Response) -> list[str]:
    """Return the ids of the log-ins on the page, in its order."""
    assert page.status_code == 200
    return re.findall(r'name="id" value="([^"]*)"', page.text)


async def test_listed(fresh: World) -> None:
    """Each log-in tells since when, last seen, from where and with what; this one is marked."""
    alice = await browser(fresh, "alice", FIREFOX, "2001:db8::7")
    fresh.clock.advance(3600)
    script = await fresh.script("alice")
    await fresh.browser("bob")
    fresh.clock.advance(60)
    found = await listed(script)
    assert [(one["client"], one["address"], one["current"]) for one in found] == [
        ("Script", "10.0.0.1", True),
        ("Firefox on Linux", "2001:db8::7", False),
    ]
    began = datetime.fromtimestamp(1_800_000_000, UTC)
    assert datetime.fromisoformat(str(found[1]["since"])) == began
    assert datetime.fromisoformat(str(found[1]["last_seen_at"])) == began
    page = (await alice.get("/logins")).text
    assert page.index("Firefox on Linux") < page.index("Script")
    assert page.count("this one") == 1
    assert "2001:db8::7" in page
    assert 'href="/logins"' in (await alice.get("/")).text


async def test_the_id_is_no_secret(fresh: World) -> None:
    """What names a log-in on the page is not what proves it."""
    alice = await fresh.browser("alice")
    (login,) = await fresh.store.logins(0)
    page = await alice.get("/logins")
    (shown,) = await ids_on(page)
    assert re.fullmatch("[0-9a-f]{32}", shown)
    api = await fresh.client(Cookie=alice.cookie).get("/api/v1/me/logins")
    for text in (page.text, api.text):
        assert login.sid not in text
        assert login.key not in text


async def test_hostile_browser(fresh: World) -> None:
    """Whatever a browser calls itself is cut, and stands there as text."""
    alice = await browser(fresh, "alice", HOSTILE)
    page = (await alice.get("/logins")).text
    assert "<script>alert" not in page
    assert "<script>alert(1)</script>" in unescape(page)
    assert "x" * 100 not in page
    (login,) = await fresh.store.logins(0)
    assert len(login.agent) == 200


async def test_last_seen(fresh: World) -> None:
    """Use is noted, by Traefik's questions too, and written down every few minutes at most."""
    made = await fresh.session("alice")
    alice = await fresh.browser("alice")
    (before,) = [one for one in await fresh.store.logins(0) if not one.script]
    for step in range(1, 7):
        fresh.clock.advance(60)
        assert (await fresh.verify(made, {"Cookie": alice.cookie})).status_code == 200
        await fresh.app.logins.following.keep_seen()
        (kept,) = [one for one in await fresh.store.logins(0) if not one.script]
        assert kept.seen == (before.created + 300 if step >= 5 else before.created)
    found = await listed(fresh.client(Cookie=alice.cookie))
    assert datetime.fromisoformat(str(found[0]["last_seen_at"])).timestamp() == fresh.clock.wall()


async def test_ended_from_afar(fresh: World) -> None:
    """One log-in is ended from another: it is out at once, what it has open is cut."""
    made = await fresh.session("alice")
    lost, here = await browser(fresh, "alice", FIREFOX), await fresh.browser("alice")
    (target,) = [
        one["id"]
        for one in await listed(fresh.client(Cookie=here.cookie))
        if one["client"] == "Firefox on Linux"
    ]
    with capture_logs() as logs:
        answer = await here.act("/logins/end", id=str(target))
    assert location(answer) == "/logins?done=one"
    assert "That log-in has ended." in (await here.get("/logins?done=one")).text
    assert (await fresh.verify(made, {"Cookie": lost.cookie})).status_code == 401
    assert (await fresh.verify(made, {"Cookie": here.cookie})).status_code == 200
    assert (made, "alice") in fresh.gateway.kicked
    (act,) = [one for one in logs if one.get("act") == "logout"]
    assert (act["who"], act["whose"], act["reason"]) == ("alice", "alice", "elsewhere")
    assert location(await here.act("/logins/end", id=str(target))) == "/logins?done=gone"


async def test_ended_here(fresh: World) -> None:
    """Ending the log-in that one uses is logging out."""
    alice = await fresh.browser("alice")
    (own,) = await ids_on(await alice.get("/logins"))
    answer = await alice.act("/logins/end", id=own)
    assert location(answer) == "/login"
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert await fresh.store.logins(0) == []


@pytest.mark.parametrize("but_here", ["", "1"])
async def test_everywhere(fresh: World, but_here: str) -> None:
    """All log-ins end, scripts' too, with this one or without; nobody else's does."""
    made = await fresh.session("alice")
    here, there = await fresh.browser("alice"), await browser(fresh, "alice", FIREFOX)
    script, bob = await fresh.script("alice"), await fresh.script("bob")
    cookie = here.cookie
    answer = await here.act("/logins/all", but_here=but_here)
    assert location(answer) == ("/logins?done=others" if but_here else "/login")
    assert (await script.get("/api/v1/me")).status_code == 401
    assert (await fresh.verify(made, {"Cookie": there.cookie})).status_code == 401
    left = await fresh.verify(made, {"Cookie": cookie})
    assert left.status_code == (200 if but_here else 401)
    assert (await bob.get("/api/v1/me")).status_code == 200
    assert (made, "alice") in fresh.gateway.kicked
    people = {UserId("bob"), UserId("alice")} if but_here else {UserId("bob")}
    assert fresh.app.logins.standing.people() == people
    assert {one.person.uid for one in await fresh.store.logins(0)} == people


async def test_by_api(fresh: World) -> None:
    """Scripts do the same; another's log-in, an unknown and an ended one are answered alike."""
    script, other, bob = [await fresh.script(one) for one in ("alice", "alice", "bob")]
    (bobs,) = [one["id"] for one in await listed(bob)]
    (others,) = [one["id"] for one in await listed(other) if one["current"]]
    assert (await script.delete(f"/api/v1/me/logins/{others}")).status_code == 204
    assert (await other.get("/api/v1/me")).status_code == 401
    answers = [
        await script.delete(f"/api/v1/me/logins/{one}") for one in (others, bobs, "x", "f" * 32)
    ]
    assert {one.status_code for one in answers} == {404}
    assert len({problem(one)["detail"] for one in answers}) == 1
    assert (await bob.get("/api/v1/me")).status_code == 200
    third = await fresh.script("alice")
    answer = await script.delete("/api/v1/me/logins", params={"but_here": "true"})
    assert answer.json() == {"ended": 1}
    assert (await third.get("/api/v1/me")).status_code == 401
    assert (await script.delete("/api/v1/me/logins")).json() == {"ended": 1}
    assert (await script.get("/api/v1/me/logins")).status_code == 401


async def test_forged(fresh: World) -> None:
    """No foreign page ends a log-in, and nobody without one sees any."""
    alice = await fresh.browser("alice")
    (own,) = await ids_on(await alice.get("/logins"))
    csrf = await alice.csrf()
    for path in ("/logins/end", "/logins/all"):
        assert (await alice.post(path, {"id": own, "csrf": "x"})).status_code == 403
        cross = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await alice.post(path, {"id": own, "csrf": csrf}, cross)).status_code == 403
    assert (await alice.get("/logins")).status_code == 200
    own_api = fresh.client(Cookie=alice.cookie, Origin="https://evil.example")
    assert (await own_api.delete("/api/v1/me/logins")).status_code == 403
    stranger = await fresh.browser()
    assert location(await stranger.get("/logins")).startswith("/login?")
    assert (await fresh.client().get("/api/v1/me/logins")).status_code == 401


async def test_hundreds(fresh: World) -> None:
    """Whose script logs in again and again has 25 log-ins of it, the last used; browsers' stay."""
    alice = await fresh.browser("alice")
    other = await fresh.script("bob")
    scripts: list[httpx.AsyncClient] = []
    with capture_logs() as logs:
        for _ in range(60):
            fresh.clock.advance(1)
            scripts.append(await fresh.script("alice"))
            assert (await scripts[0].get("/api/v1/me")).status_code == 200  # used all the time
    ended = [one for one in logs if one.get("act") == "logout"]
    assert [(one["who"], one["whose"], one["reason"]) for one in ended] == [
        ("controller", "alice", "too_many")
    ] * (60 - LOGINS_MOST)
    assert len(await ids_on(await alice.get("/logins"))) == LOGINS_MOST + 1
    theirs = [one for one in await fresh.store.logins(0) if one.person.uid == "alice"]
    assert len(theirs) == LOGINS_MOST + 1
    statuses = [(await one.get("/api/v1/me")).status_code for one in scripts]
    assert statuses == [200] + [401] * (60 - LOGINS_MOST) + [200] * (LOGINS_MOST - 1)
    assert (await other.get("/api/v1/me")).status_code == 200
    assert (await alice.act("/logins/all", but_here="1")).status_code == 303
    assert len(await fresh.store.logins(0)) == 2


async def test_the_log_in_that_made_room_is_out(fresh: World) -> None:
    """What a log-in had opened that had to make room for another is closed."""
    made = await fresh.session("alice", "thesis")
    oldest = await fresh.browser("alice")
    assert (await fresh.verify(made, {"Cookie": oldest.cookie, "Accept": HTML})).status_code == 200
    for _ in range(LOGINS_MOST):
        fresh.clock.advance(1)
        assert fresh.gateway.kicked == []
        await fresh.browser("alice")
    assert (await fresh.verify(made, {"Cookie": oldest.cookie})).status_code == 401
    assert fresh.gateway.kicked == [(made, "alice")]


async def test_a_program_that_makes_room_cuts_nobody(fresh: World) -> None:
    """Whose program logs in again and again is not thrown out of what they look at by that."""
    made = await fresh.session("alice", "thesis")
    watching = await fresh.browser("alice")
    assert (await fresh.verify(made, {"Cookie": watching.cookie, "Accept": HTML})).is_success
    for _ in range(LOGINS_MOST + 5):
        fresh.clock.advance(1)
        await fresh.script("alice")
    assert fresh.gateway.kicked == []
