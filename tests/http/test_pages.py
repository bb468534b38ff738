"""The pages as people use them, by forms alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from controller.core.model import Phase, UserId
from controller.core.records import Drain
from controller.web.answers import closed_pages
from controller.web.public import public_app
from controller.web.render import Renderer
from tests.support.hub import HTML, ORIGIN, World, location, running, world
from tests.support.samples import session_id

pytestmark = pytest.mark.anyio

HARDENED = {
    "content-security-policy": "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


async def test_a_whole_visit(fresh: World) -> None:
    """Log in, start, wait, open, stop: each step leads to the next."""
    browser = await fresh.browser("alice")
    page = await browser.get("/")
    assert page.status_code == 200
    assert "Alice Archer" in page.text
    answer = await browser.act("/launch", profile="slicer", name="thesis")
    assert answer.status_code == 303
    progress = location(answer)
    (seen,) = fresh.app.sessions.all()
    made = seen.session.id
    assert progress == f"/starting/{made}"
    page = await browser.get(progress)
    assert page.status_code == 200
    assert "thesis" in page.text
    again = await browser.act("/launch", profile="slicer", name="Thesis")
    assert location(again) == progress
    fresh.gateway.served.add(made)
    await fresh.until(made, Phase.READY)
    assert location(await browser.get(progress)) == f"/s/{made}/"
    page = await browser.get("/")
    assert f'href="/s/{made}/"' in page.text
    page = await browser.get(f"/sessions/{made}/stop")
    assert page.status_code == 200
    assert f'action="/sessions/{made}/stop"' in page.text
    answer = await browser.act(f"/sessions/{made}/stop")
    assert location(answer) == "/"
    await fresh.until(made, None)
    assert "thesis" not in (await browser.get("/")).text
    assert location(await browser.act(f"/sessions/{made}/stop")) == "/"


async def test_place_of_a_starting_session(fresh: World) -> None:
    """Anyone who opens a session's address while it starts sees the progress there."""
    made = await fresh.session("alice", "thesis", ready=False)
    browser = await fresh.browser("alice")
    page = await browser.get(f"/s/{made}/view?x=y")
    assert page.status_code == 200
    assert "thesis" in page.text
    assert page.headers["cache-control"] == "no-store"
    answer = await fresh.client(Cookie=browser.cookie).get(f"/s/{made}/", headers={"Accept": "*/*"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    head = await fresh.client(Cookie=browser.cookie, Accept=HTML).head(f"/s/{made}/")
    assert head.status_code == 200
    assert head.content == b""
    answer = await browser.get(f"/s/{made}")
    assert answer.status_code == 307
    assert location(answer) == f"/s/{made}/"
    fresh.gateway.served.add(made)
    await fresh.until(made, Phase.READY)
    page = await browser.get(f"/s/{made}/")
    assert page.status_code == 200
    assert page.headers["refresh"] == "1"


@pytest.mark.parametrize("path", ["/s", "/s/", "/s//", "/s/x", "/s/x/", "/s/%2e%2e/login"])
async def test_places_of_no_session(hub: World, path: str) -> None:
    """Where no session can be, people read that it is not open to them."""
    browser = await hub.browser("alice")
    answer = await browser.get(path)
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")


async def test_places_and_bad_requests(hub: World) -> None:
    """A request with oversized or doubled headers is refused there, too, without a fault."""
    client = hub.client()
    path = f"/s/{session_id(1)}/"
    for headers in (
        [("Cookie", "a" * 20_000)],
        [("Origin", ORIGIN), ("Origin", "http://evil.example")],
        [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
    ):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 400


async def test_failure(fresh: World) -> None:
    """A start that failed says why, shows the last lines, and offers another try."""
    made = await fresh.session("alice", "thesis", ready=False)
    fresh.orchestrator.crash(made, exit_code=3, message="no <b>licence</b>")
    await fresh.until(made, Phase.FAILED)
    browser = await fresh.browser("alice")
    for path in ("/", f"/starting/{made}", f"/s/{made}/"):
        page = await browser.get(path)
        assert page.status_code == 200
        assert "exit code 3" in page.text
        assert "no &lt;b&gt;licence&lt;/b&gt;" in page.text


async def test_a_guest_sees_no_log(fresh: World) -> None:
    """Whom a failed session was shown to reads that it failed, and none of its owner's lines."""
    made = await fresh.session("alice", "thesis")
    alice = await fresh.script("alice")
    share = f"/api/v1/sessions/{made}/shares/bob"
    assert (await alice.put(share, json={"role": "control"})).status_code == 200
    fresh.orchestrator.crash(made, exit_code=3, message="cannot read smith_john_1958.nrrd")
    await fresh.until(made, Phase.FAILED)
    bob = await fresh.browser("bob")
    for path in ("/", f"/starting/{made}", f"/s/{made}/"):
        page = await bob.get(path)
        assert page.status_code == 200
        assert "smith" not in page.text
    assert "did not start" in (await bob.get(f"/starting/{made}")).text
    assert "smith" in (await (await fresh.browser("alice")).get(f"/starting/{made}")).text


async def test_a_notice_that_cannot_be(fresh: World) -> None:
    """A number that no notice has is put away like one that is gone, or is none."""
    browser = await fresh.browser("alice")
    for number, status in ((0, 303), (2**63 - 1, 303), (2**63, 400), (99999999999999999999, 400)):
        assert (await browser.act(f"/notices/{number}/dismiss")).status_code == status, number


async def test_a_time_that_no_calendar_has(fresh: World) -> None:
    """A record with an impossible time takes nobody's page away."""
    for at in (1e15, -1e15):
        await fresh.store.set_drain(Drain(UserId("carol"), at, "New disks.", at))
        await fresh.app.sessions.rule_book.load()
        await fresh.store.add_notice(UserId("alice"), "It was stopped at", ".", at)
        page = await (await fresh.browser("alice")).get("/")
        assert page.status_code == 200
        assert "New disks." in page.text
        carol = await fresh.browser("carol")
        for path in ("/admin", "/admin/drain", "/api/v1/admin/drain"):
            assert (await carol.get(path)).status_code == 200


class CountingRenderer(Renderer):
    """Counts how often the API's page is worked out."""

    def __init__(self) -> None:
        """None yet."""
        super().__init__()
        self.worked = 0

    def docs(self, document: Mapping[str, object]) -> str:
        """See Renderer."""
        self.worked += 1
        return super().docs(document)


async def test_the_apis_page_is_made_once(fresh: World) -> None:
    """However often strangers ask for the API's page, it is worked out once."""
    renderer = CountingRenderer()
    closed = closed_pages(renderer, fresh.app.settings)
    app: Any = public_app(replace(fresh.app.services, renderer=renderer), closed)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as stranger:
        for path in ("/api/docs", "/api/openapi.json"):
            first, *others = [await stranger.get(path) for _ in range(5)]
            assert first.status_code == 200
            assert {one.content for one in others} == {first.content}
    assert renderer.worked == 1


async def test_stopped_for_idleness(fresh: World) -> None:
    """The owner of a stopped session reads why, until they put the notice away."""
    made = await fresh.session("alice", "thesis")
    await fresh.spend(1860)
    await fresh.until(made, None)
    browser = await fresh.browser("alice")
    page = await browser.get("/")
    assert "thesis was stopped" in page.text
    assert "after 30 minutes unused. Your files are there." in page.text
    found = re.search(r'action="/notices/(\d+)/dismiss"', page.text)
    assert found is not None
    other = await fresh.browser("bob")
    assert "was stopped" not in (await other.get("/")).text
    await other.act(f"/notices/{found[1]}/dismiss")
    assert "was stopped" in (await browser.get("/")).text
    assert location(await browser.act(f"/notices/{found[1]}/dismiss")) == "/"
    assert "was stopped" not in (await browser.get("/")).text


async def test_stopped_and_saved(fresh: World) -> None:
    """If the scene was saved before the stop, the notice says that it is offered again."""
    made = await fresh.session("alice", "thesis")
    fresh.gateway.saves.add(made)
    await fresh.spend(1860)
    await fresh.until(made, None)
    page = await (await fresh.browser("alice")).get("/")
    assert "Your scene was saved; it is offered when you start again." in page.text


async def test_refused_launches() -> None:
    """A launch that cannot be says why on the page, and keeps the name that was typed."""
    async with running(world(limits_sessions_per_user="1")) as hub:
        browser = await hub.browser("alice")
        answer = await browser.act("/launch", profile="none", name="thesis")
        assert answer.status_code == 403
        assert "There is no such profile" in answer.text
        answer = await browser.act("/launch", profile="slicer", name="a" * 41)
        assert answer.status_code == 400
        assert "A name can have at most 40 characters." in answer.text
        await browser.act("/launch", profile="slicer", name="one")
        answer = await browser.act("/launch", profile="slicer", name="two")
        assert answer.status_code == 429
        assert "You have 1 session" in answer.text
        assert int(answer.headers["retry-after"]) > 0


async def test_foreign_pages(hub: World) -> None:
    """Pages about another's session are as if there were none."""
    made = await hub.session("alice")
    browser = await hub.browser("bob")
    for path in ("/starting/{}", "/sessions/{}/stop"):
        theirs, unknown = [await browser.get(path.format(one)) for one in (made, session_id(4711))]
        assert theirs.status_code == 404
        assert theirs.text == unknown.text
    assert location(await browser.act(f"/sessions/{made}/stop")) == "/"
    assert hub.phase(made) is Phase.READY


@pytest.mark.parametrize(
    "path",
    [
        "/login",
        "/",
        "/nothing",
        "/s/x/",
        "/api/docs",
        "/api/openapi.json",
        "/api/v1/me",
        "/static/x",
    ],
)
async def test_hardened_headers(hub: World, path: str) -> None:
    """Every answer keeps other sites from framing, sniffing and reading it."""
    for browser in (await hub.browser(), await hub.browser("alice")):
        answer = await browser.get(path)
        for name, value in HARDENED.items():
            assert value in answer.headers[name]
        assert "unsafe" not in answer.headers["content-security-policy"]


async def test_private_answers_are_not_kept(hub: World) -> None:
    """No cache keeps a page of a person; files of the hub itself are kept for good."""
    browser = await hub.browser("alice")
    page = await browser.get("/")
    assert page.headers["cache-control"] == "no-store"
    found = re.search(r'href="(/[^"]+\.css)"', page.text)
    assert found is not None
    answer = await browser.get(found[1])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")


async def test_not_found(hub: World) -> None:
    """A wrong address shows a page with the way home; a program gets a problem."""
    browser = await hub.browser("alice")
    page = await browser.get("/nothing")
    assert page.status_code == 404
    assert 'href="/"' in page.text
    answer = await hub.client().get("/nothing")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/dashboard/", "/metrics", "/readyz", "/healthz", "/verify/x"])
async def test_nothing_private_is_public(hub: World, path: str) -> None:
    """What is for Traefik and the monitoring alone does not stand on the public side."""
    for browser in (await hub.browser("carol"), await hub.browser()):
        assert (await browser.get(path)).status_code == 404


async def test_hostile_host(hub: World) -> None:
    """A foreign host in a request appears in no answer."""
    client = hub.client(Accept=HTML, Host="evil.example")
    for path in ("/", "/login", "/nothing", f"/s/{session_id(1)}/"):
        answer = await client.get(path)
        assert "evil.example" not in answer.text + str(answer.headers)
