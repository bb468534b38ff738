"""What an owner shows to whom, what the invited may do, and how it ends."""

from __future__ import annotations

import re

import pytest

from controller.core.model import Phase, Role, SessionId, UserId
from controller.sessions.gateway import Client, Inside
from controller.settings.schema import Settings
from tests.support.hub import (
    ORIGIN,
    World,
    eventually,
    location,
    problem,
    running,
    same_answer,
    world,
)
from tests.support.samples import CREATED

pytestmark = pytest.mark.anyio

BOB = UserId("bob")


async def invite(hub: World, session_id: SessionId, user: str = "bob", role: str = "view") -> None:
    """Invite somebody to a session of Alice's."""
    alice = await hub.script("alice")
    answer = await alice.put(f"/api/v1/sessions/{session_id}/shares/{user}", json={"role": role})
    assert answer.status_code == 200, answer.text


async def cookie(hub: World, user: str) -> dict[str, str]:
    """Return the headers of a person's browser."""
    return {"Cookie": (await hub.browser(user)).cookie}


async def test_invited(fresh: World) -> None:
    """Anyone who is invited passes with the role that was granted; nobody else does."""
    made = await fresh.session()
    bob = await cookie(fresh, "bob")
    assert (await fresh.verify(made, bob)).status_code == 403
    await invite(fresh, made)
    answer = await fresh.verify(made, bob)
    assert answer.status_code == 200
    assert answer.headers["x-slicerhub-role"] == "view"
    assert answer.headers["x-slicerhub-user"] == "bob"
    assert (await fresh.verify(made, await cookie(fresh, "carol"))).status_code == 403
    await invite(fresh, made, role="control")
    assert (await fresh.verify(made, bob)).headers["x-slicerhub-role"] == "control"
    assert fresh.gateway.kicked == [(made, BOB)]


async def test_taken_back(fresh: World) -> None:
    """An invitation that is taken back counts for the very next request, and cuts what is open."""
    made, other = await fresh.session(), await fresh.session()
    await invite(fresh, made)
    await invite(fresh, other)
    bob = await cookie(fresh, "bob")
    alice = await fresh.script("alice")
    answer = await alice.delete(f"/api/v1/sessions/{made}/shares/bob")
    assert answer.json() == {"cut": True}
    assert fresh.gateway.kicked == [(made, BOB)]
    refused, unknown = await fresh.verify(made, bob), await fresh.verify("a" * 26, bob)
    assert refused.status_code == 403
    assert same_answer(refused, unknown)
    assert (await fresh.verify(other, bob)).status_code == 200
    again = await alice.delete(f"/api/v1/sessions/{made}/shares/bob")
    assert again.status_code == 200


async def test_owner_only(fresh: World) -> None:
    """The invited cannot stop, restart, re-share or look at the owner's invitations."""
    made = await fresh.session()
    await invite(fresh, made, role="control")
    bob = await fresh.script("bob")
    where = f"/api/v1/sessions/{made}"
    for method, path, body in (
        ("DELETE", where, None),
        ("POST", f"{where}/restart", None),
        ("GET", f"{where}/shares", None),
        ("PUT", f"{where}/shares/carol", {"role": "view"}),
        ("DELETE", f"{where}/shares/alice", None),
        ("GET", f"{where}/links", None),
        ("POST", f"{where}/links", {"role": "view"}),
        ("DELETE", f"{where}/links/x", None),
    ):
        answer = await bob.request(method, path, json=body)
        assert answer.status_code == 403, (method, path)
        assert "owner" in problem(answer)["detail"]
    page = await fresh.browser("bob")
    assert (await page.get(f"/sessions/{made}/share")).status_code == 403
    assert (await page.act(f"/sessions/{made}/stop")).status_code == 403
    assert (await page.act(f"/sessions/{made}/share", user="carol", role="view")).status_code == 403
    assert fresh.phase(made) is Phase.READY
    assert fresh.app.grants.of_person(UserId("carol")) == []


async def test_strangers(fresh: World) -> None:
    """To those who are not invited a session's sharing is as if it was not there."""
    made = await fresh.session()
    carol = await fresh.script("carol")
    for method, path in (
        ("GET", "shares"),
        ("PUT", "shares/carol"),
        ("DELETE", "shares/carol"),
        ("GET", "links"),
        ("POST", "links"),
        ("POST", "ask"),
        ("POST", "keep"),
        ("POST", "restart"),
    ):
        body = {"role": "control"} if method in {"PUT", "POST"} else None
        theirs = await carol.request(method, f"/api/v1/sessions/{made}/{path}", json=body)
        unknown = await carol.request(method, f"/api/v1/sessions/{'a' * 26}/{path}", json=body)
        assert theirs.status_code == 404, path
        assert theirs.content == unknown.content


async def test_shared_with_me(fresh: World) -> None:
    """The invited see whose session it is and what they may; they can leave, and are gone then."""
    made = await fresh.session("alice", "planning")
    await invite(fresh, made)
    bob = await fresh.script("bob")
    (listed,) = (await bob.get("/api/v1/sessions")).json()["items"]
    assert (listed["id"], listed["owner"], listed["role"]) == (made, "alice", "view")
    browser = await fresh.browser("bob")
    page = (await browser.get("/")).text
    assert "Shared with you" in page
    assert f"/sessions/{made}/leave" in page
    assert f"/sessions/{made}/stop" not in page
    assert location(await browser.act(f"/sessions/{made}/leave")) == "/"
    assert "planning" not in (await browser.get("/")).text
    assert (await fresh.verify(made, await cookie(fresh, "bob"))).status_code == 403
    assert fresh.gateway.kicked == [(made, BOB)]
    assert location(await browser.act(f"/sessions/{made}/leave")) == "/"


async def test_who_can_be_invited(fresh: World) -> None:
    """A name that is nobody's, one's own name and an odd role are refused with a sentence."""
    made = await fresh.session()
    alice = await fresh.script("alice")
    where = f"/api/v1/sessions/{made}/shares"
    for user, words in (("mallory", "Nobody"), ("alice", "already yours"), ("*", "user name")):
        answer = await alice.put(f"{where}/{user}", json={"role": "view"})
        assert answer.status_code == 400
        assert words in problem(answer)["detail"]
    for body in ({"role": "owner"}, {"role": "service"}, {}, {"role": "view", "expires_in": 0}):
        assert (await alice.put(f"{where}/bob", json=body)).status_code == 400
    assert (await alice.get(where)).json() == {"items": []}
    assert (await alice.put(f"{where}/BOB", json={"role": "view"})).json()["user"] == "bob"


async def test_a_directory_that_cannot_look_people_up(fresh: World) -> None:
    """Where people cannot be looked up the name is taken as typed: it opens nothing to others."""
    fresh.directory.can_find = False
    made = await fresh.session()
    alice = await fresh.script("alice")
    where = f"/api/v1/sessions/{made}/shares/bob"
    assert (await alice.put(where, json={"role": "view"})).status_code == 200
    assert (await fresh.verify(made, await cookie(fresh, "bob"))).status_code == 200
    assert (await alice.get("/api/v1/people?q=bob")).json() == {"items": []}


async def test_an_invitation_that_ends(fresh: World) -> None:
    """An invitation ends by itself at its time, and what is open is closed then."""
    made = await fresh.session()
    alice = await fresh.script("alice")
    await alice.put(
        f"/api/v1/sessions/{made}/shares/bob", json={"role": "view", "expires_in": 3600}
    )
    bob = await cookie(fresh, "bob")
    fresh.clock.advance(3599)
    assert (await fresh.verify(made, bob)).status_code == 200
    fresh.clock.advance(1)
    assert (await fresh.verify(made, bob)).status_code == 403
    fresh.app.sessions.touch(made)
    await fresh.sweep()
    assert fresh.gateway.kicked == [(made, BOB)]
    assert await fresh.store.shares() == []


async def make_link(hub: World, session_id: SessionId, **wanted: object) -> str:
    """Make a link to a session of Alice's and return its code."""
    alice = await hub.script("alice")
    answer = await alice.post(
        f"/api/v1/sessions/{session_id}/links", json={"role": "view", **wanted}
    )
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    assert url.startswith(f"{ORIGIN}/join/")
    return url.rpartition("/")[2]


async def test_join_by_link(fresh: World) -> None:
    """A person with a link logs in, reads who shows what, joins, and is in."""
    made = await fresh.session("alice", "planning")
    code = await make_link(fresh, made)
    browser = await fresh.browser()
    asked = await browser.get(f"/join/{code}")
    assert asked.status_code == 302
    assert location(asked) == f"/login?next=%2Fjoin%2F{code}"
    assert location(await browser.log_in("bob", "bob", f"/join/{code}")) == f"/join/{code}"
    page = (await browser.get(f"/join/{code}")).text
    assert "alice" in page
    assert "planning" in page
    assert (await fresh.verify(made, {"Cookie": browser.cookie})).status_code == 403
    assert location(await browser.act(f"/join/{code}")) == f"/starting/{made}"
    assert (await fresh.verify(made, {"Cookie": browser.cookie})).status_code == 200
    alice = await fresh.script("alice")
    (guest,) = (await alice.get(f"/api/v1/sessions/{made}/shares")).json()["items"]
    assert (guest["user"], guest["role"]) == ("bob", "view")


async def test_a_link_is_used_up(fresh: World) -> None:
    """A link for one is over once one has used it; the page says so, and what to do."""
    made = await fresh.session()
    code = await make_link(fresh, made, max_uses=1)
    bob, carol = await fresh.script("bob"), await fresh.script("carol")
    assert (await bob.post("/api/v1/join", json={"code": code})).json()["role"] == "view"
    assert (await bob.post("/api/v1/join", json={"code": code})).status_code == 410
    assert (await fresh.verify(made, await cookie(fresh, "bob"))).status_code == 200
    for asked in (code, "never-given-out"):
        answer = await carol.post("/api/v1/join", json={"code": asked})
        assert answer.status_code == 410
        assert "Ask for a new one" in problem(answer)["detail"]
        page = await (await fresh.browser("carol")).get(f"/join/{asked}")
        assert page.status_code == 410
        assert "Ask for a new one" in page.text
    assert (await fresh.verify(made, await cookie(fresh, "carol"))).status_code == 403


async def test_a_link_that_is_over(fresh: World) -> None:
    """A link that ended, by its time or by its owner, lets nobody in any more."""
    made = await fresh.session()
    late, ended = await make_link(fresh, made, expires_in=60), await make_link(fresh, made)
    alice, bob = await fresh.script("alice"), await fresh.script("bob")
    where = f"/api/v1/sessions/{made}/links"
    first, second = (await alice.get(where)).json()["items"]
    assert "url" not in first or first["url"] is None
    fresh.clock.advance(61)
    assert (await bob.post("/api/v1/join", json={"code": late})).status_code == 410
    assert [one["id"] for one in (await alice.get(where)).json()["items"]] == [second["id"]]
    assert (await alice.delete(f"{where}/{second['id']}")).status_code == 204
    assert (await bob.post("/api/v1/join", json={"code": ended})).status_code == 410


async def test_removed_for_good(fresh: World) -> None:
    """A removed guest does not come back by the link that is still open."""
    made = await fresh.session()
    code = await make_link(fresh, made)
    bob, alice = await fresh.script("bob"), await fresh.script("alice")
    await bob.post("/api/v1/join", json={"code": code})
    await alice.delete(f"/api/v1/sessions/{made}/shares/bob")
    assert (await bob.post("/api/v1/join", json={"code": code})).status_code == 410
    assert (await fresh.verify(made, await cookie(fresh, "bob"))).status_code == 403


async def test_the_owners_own_link(fresh: World) -> None:
    """An owner who follows their own link comes to their session and uses nothing up."""
    made = await fresh.session()
    code = await make_link(fresh, made, max_uses=1)
    browser = await fresh.browser("alice")
    assert location(await browser.get(f"/join/{code}")) == f"/starting/{made}"
    bob = await fresh.script("bob")
    assert (await bob.post("/api/v1/join", json={"code": code})).status_code == 200


async def test_grants_survive_a_restart_and_end_with_the_session() -> None:
    """Invitations outlive the controller; with their session they are gone for good."""
    one = world()
    async with running(one):
        made = await one.session()
        await invite(one, made)
    other = World(one.settings, clock=one.clock, orchestrator=one.orchestrator, store=one.store)
    other.gateway.served.add(made)
    async with running(other):
        await other.until(made, Phase.READY)
        assert (await other.verify(made, await cookie(other, "bob"))).status_code == 200
        alice = await other.script("alice")
        await alice.delete(f"/api/v1/sessions/{made}")
        await other.until(made, None)
        assert (await (await other.script("bob")).get("/api/v1/sessions")).json() == {"items": []}
        other.clock.advance(120)
        await other.sweep()
        assert await other.store.shares() == []


async def test_the_share_page(fresh: World) -> None:
    """The owner invites, changes, removes and links on a page of plain forms."""
    made = await fresh.session("alice", "planning")
    browser = await fresh.browser("alice")
    where = f"/sessions/{made}/share"
    assert "planning" in (await browser.get(where)).text
    assert location(await browser.act(where, user="bob", role="view", expires="3600")) == where
    page = (await browser.get(where)).text
    assert "Bob Baker" in page
    assert location(await browser.act(f"{where}/change", user="bob", role="control")) == where
    bob = await cookie(fresh, "bob")
    assert (await fresh.verify(made, bob)).headers["x-slicerhub-role"] == "control"
    refused = await browser.act(where, user="mallory", role="view")
    assert refused.status_code == 400
    assert "Nobody of that name" in refused.text
    assert 'value="mallory"' in refused.text
    assert location(await browser.act(f"{where}/remove", user="bob")) == where
    assert (await fresh.verify(made, bob)).status_code == 403
    linked = await browser.act(
        f"/sessions/{made}/links", role="view", expires="86400", max_uses="2"
    )
    found = re.search(rf"{ORIGIN}/join/([\w-]+)", linked.text)
    assert found is not None
    assert "<path" in linked.text
    page = (await browser.get(where)).text
    assert found[1] not in page
    link = re.search(r'name="link" value="([^"]+)"', page)
    assert link is not None
    assert location(await browser.act(f"/sessions/{made}/links/end", link=link[1])) == where
    joined = await (await fresh.script("bob")).post("/api/v1/join", json={"code": found[1]})
    assert joined.status_code == 410
    for role, expires, uses in (("owner", "60", ""), ("view", "", ""), ("view", "60", "x")):
        odd = await browser.act(
            f"/sessions/{made}/links", role=role, expires=expires, max_uses=uses
        )
        assert odd.status_code == 400


async def test_forged_forms(fresh: World) -> None:
    """No form of another page shares, joins or leaves in somebody's name."""
    made = await fresh.session()
    await invite(fresh, made)
    browser = await fresh.browser("alice")
    csrf = await browser.csrf()
    for path in ("share", "share/change", "share/remove", "links", "links/end", "leave", "ask"):
        for form, headers in (
            ({"csrf": "wrong"}, None),
            ({}, None),
            ({"csrf": csrf}, {"Origin": "http://evil.example"}),
            ({"csrf": csrf}, {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"}),
        ):
            answer = await browser.post(f"/sessions/{made}/{path}", form, headers)
            assert answer.status_code == 403, path
    assert [one.uid for one in fresh.app.grants.of_session(made)] == ["bob"]


def inside(*users: tuple[str, Role]) -> Inside:
    """Return what a session with these people in it says."""
    clients = tuple(Client(UserId(user), role, CREATED) for user, role in users)
    return Inside(clients=clients)


async def test_who_is_there(fresh: World) -> None:
    """The owner sees who is connected, on their page and where they share."""
    made = await fresh.session()
    await invite(fresh, made)
    fresh.gateway.insides[made] = inside(("alice", Role.OWNER), ("bob", Role.VIEW))
    await fresh.app.housekeeping.poll()
    browser = await fresh.browser("alice")
    assert "Bob Baker is watching" in (await browser.get("/")).text
    alice = await fresh.script("alice")
    (guest,) = (await alice.get(f"/api/v1/sessions/{made}/shares")).json()["items"]
    assert guest["connected"] is True


async def test_asking_for_control(fresh: World) -> None:
    """A viewer may ask for control once; the owner sees who asks until they have decided."""
    made = await fresh.session()
    await invite(fresh, made)
    bob = await fresh.browser("bob")
    for _ in range(2):
        assert location(await bob.act(f"/sessions/{made}/ask")) == "/"
    alice = await fresh.script("alice")
    where = f"/api/v1/sessions/{made}/shares"
    assert (await alice.get(where)).json()["items"][0]["asks"] is True
    await alice.put(f"{where}/bob", json={"role": "control"})
    assert (await alice.get(where)).json()["items"][0]["asks"] is False
    assert (await bob.act(f"/sessions/{made}/ask")).status_code == 400


async def test_suggestions_are_bounded(fresh: World) -> None:
    """Names are suggested to a person who types one; asking for more has to wait."""
    alice = await fresh.script("alice")
    found = (await alice.get("/api/v1/people?q=bob")).json()["items"]
    assert found == [{"user": "bob", "display_name": "Bob Baker"}]
    assert (await alice.get("/api/v1/people?q=ali")).json() == {"items": []}
    for _ in range(28):
        assert (await alice.get("/api/v1/people?q=b")).json() == {"items": []}
    answer = await alice.get("/api/v1/people?q=bob")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "60"
    assert (await (await fresh.script("bob")).get("/api/v1/people?q=car")).status_code == 200
    fresh.clock.advance(61)
    assert (await alice.get("/api/v1/people?q=bob")).status_code == 200


async def test_logging_out_cuts_what_is_open(fresh: World) -> None:
    """A log-out cuts a person off everywhere; another log-in of theirs comes back by itself."""
    own = await fresh.session("bob")
    shown = await fresh.session("alice")
    await invite(fresh, shown)
    bob = await fresh.browser("bob")
    await bob.act("/logout")
    await eventually(lambda: set(fresh.gateway.kicked) == {(own, BOB), (shown, BOB)})
    script = await fresh.script("bob")
    assert (await script.post("/api/v1/logout")).status_code == 204
    assert (await script.get("/api/v1/me")).status_code == 401


def without_endpoints(configured: Settings) -> Settings:
    """Return settings whose profile is somebody else's application."""
    from msgspec.structs import replace

    return replace(configured, profiles=(replace(configured.profiles[0], endpoints=False),))


async def test_foreign_images() -> None:
    """What cannot cut a view says so; a restart does, and everyone has to be invited anew."""
    async with running(World(without_endpoints(world().settings))) as hub:
        hub.gateway.serves_all = True
        made = await hub.session("alice", "thesis")
        await invite(hub, made)
        alice = await hub.script("alice")
        answer = await alice.delete(f"/api/v1/sessions/{made}/shares/bob")
        assert answer.json() == {"cut": False}
        browser = await hub.browser("alice")
        assert f"/sessions/{made}/restart" in (await browser.get(f"/sessions/{made}/share")).text
        assert (await browser.get(f"/sessions/{made}/restart")).status_code == 200
        assert location(await browser.act(f"/sessions/{made}/restart")) == "/"
        await hub.until(made, None)
        await eventually(lambda: len(hub.app.sessions.owned_by(UserId("alice"))) == 1)
        (anew,) = hub.app.sessions.owned_by(UserId("alice"))
        assert anew.session.name == "thesis"
        assert anew.session.id != made
