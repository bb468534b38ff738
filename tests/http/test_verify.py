"""May this request go to this session? Every kind of asker, every kind of request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

import anyio
import pytest
from structlog.testing import capture_logs

from controller.core.model import Observed, Person, Phase, SessionId, UserId
from controller.engines.memory import MemoryOrchestrator
from controller.people.tokens import Audience, Claims
from controller.rules import routes
from tests.support.hub import HTML, ORIGIN, RING, World, problem, running, same_answer, world
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

NAVIGATION = {"Accept": HTML}
JSON = {"Accept": "application/json"}
HANDSHAKE = {"Accept": "*/*", "Sec-WebSocket-Key": "eA==", "Origin": ORIGIN}
KINDS = {"navigation": NAVIGATION, "json": JSON, "handshake": HANDSHAKE}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
UNKNOWN = session_id(4711)


async def test_anonymous_navigation(hub: World) -> None:
    """A link to a session leads people who are not logged in to the log-in and back."""
    alices = await hub.session()
    for wanted in (alices, UNKNOWN, "nonsense"):
        answer = await hub.verify(wanted, NAVIGATION, uri=f"/s/{wanted}/?a=b&c=d")
        assert answer.status_code == 302
        assert answer.headers["location"] == (
            f"{ORIGIN}/login?next=%2Fs%2F{wanted}%2F%3Fa%3Db%26c%3Dd"
        )
        assert answer.content == b""


@pytest.mark.parametrize("host", ["evil.example", "localhost:8080.evil.example", "127.0.0.1:8080"])
async def test_redirects_stay_here(hub: World, host: str) -> None:
    """A redirect leads to a configured address, whatever host the request names."""
    answer = await hub.verify(UNKNOWN, NAVIGATION, host=host)
    origin = f"http://{host}" if host == "127.0.0.1:8080" else ORIGIN
    assert answer.headers["location"].startswith(f"{origin}/login?next=%2F")


async def test_redirects_lead_to_paths(hub: World) -> None:
    """A strange address is not carried through the log-in."""
    answer = await hub.verify(UNKNOWN, NAVIGATION, uri="//evil.example/")
    assert answer.headers["location"] == f"{ORIGIN}/login?next=%2F"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
async def test_anonymous(hub: World, kind: str, method: str) -> None:
    """Without a log-in nobody passes; programs and handshakes are told so without a redirect."""
    answer = await hub.verify(await hub.session(), KINDS[kind], method=method)
    if kind == "navigation" and method in {"GET", "HEAD"}:
        assert answer.status_code == 302
    else:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        problem(answer)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
async def test_foreign(hub: World, kind: str, method: str) -> None:
    """Nobody enters another person's session, by any method; administrators neither."""
    alices = await hub.session()
    for user in ("bob", "carol"):
        browser = await hub.browser(user)
        answer = await hub.verify(alices, KINDS[kind] | {"Cookie": browser.cookie}, method=method)
        assert answer.status_code == 403
        assert "location" not in answer.headers


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
async def test_owner(hub: World, kind: str, method: str) -> None:
    """The owner passes; the session learns who it is, and never gets the hub's cookie."""
    alices = await hub.session()
    browser = await hub.browser("alice")
    cookies = f"theme=dark; {browser.cookie}; {browser.cookie.upper()}; view=3"
    answer = await hub.verify(alices, KINDS[kind] | {"Cookie": cookies}, method=method)
    assert answer.status_code == 200
    assert answer.headers["x-slicerhub-user"] == "alice"
    assert answer.headers["x-slicerhub-role"] == "owner"
    assert answer.headers["cookie"] == "theme=dark; view=3"
    assert "authorization" not in answer.headers
    assert answer.content == b""


async def test_only_the_hubs_cookie(hub: World) -> None:
    """Where the hub's cookie was the only one the session gets none."""
    browser = await hub.browser("alice")
    answer = await hub.verify(await hub.session(), NAVIGATION | {"Cookie": browser.cookie})
    assert answer.status_code == 200
    assert "cookie" not in answer.headers


async def test_script(hub: World) -> None:
    """A program passes with its owner's token: no page and no origin is asked of it."""
    alices = await hub.session()
    for user, status in (("alice", 200), ("bob", 403)):
        bearer = {"Authorization": (await hub.script(user)).headers["Authorization"]}
        for kind in (JSON, {"Accept": "*/*", "Sec-WebSocket-Key": "eA=="}):
            answer = await hub.verify(alices, kind | bearer)
            assert answer.status_code == status


async def test_tokens_are_no_cookies(hub: World) -> None:
    """A program's token in the cookie's place, and the cookie's in the program's, prove nothing."""
    alices = await hub.session()
    bearer = (await hub.script("alice")).headers["Authorization"].partition(" ")[2]
    cookie = (await hub.browser("alice")).cookie
    name, _, value = cookie.partition("=")
    for headers in ({"Cookie": f"{name}={bearer}"}, {"Authorization": f"Bearer {value}"}):
        assert (await hub.verify(alices, JSON | headers)).status_code == 401


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "http://localhost",
        "https://localhost:8080",
        "http://session.localhost:8080",
        "http://127.0.0.1:8080",
    ],
)
async def test_handshakes_of_foreign_pages(hub: World, origin: str | None) -> None:
    """No foreign page opens a WebSocket with a person's cookie."""
    headers = {"Sec-WebSocket-Key": "eA==", "Cookie": (await hub.browser("alice")).cookie}
    if origin is not None:
        headers["Origin"] = origin
    alices = await hub.session()
    answer = await hub.verify(alices, headers)
    assert answer.status_code == 403
    del headers["Sec-WebSocket-Key"]
    answer = await hub.verify(alices, headers | {"Sec-Fetch-Mode": "websocket"})
    assert answer.status_code == 403


async def test_handshake_at_the_other_address(hub: World) -> None:
    """Anyone who came by another configured address opens WebSockets there."""
    cookie = (await hub.browser("alice")).cookie
    headers = {"Sec-WebSocket-Key": "eA==", "Cookie": cookie, "Origin": "http://127.0.0.1:8080"}
    answer = await hub.verify(await hub.session(), headers, host="127.0.0.1:8080")
    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["method", "uri", "host", "proto"])
async def test_missing_forwarded(hub: World, name: str) -> None:
    """A question that lost a part on the way is refused, the owner's too."""
    cookie = (await hub.browser("alice")).cookie
    answer = await hub.verify(await hub.session(), JSON | {"Cookie": cookie}, **{name: ""})
    assert answer.status_code == 400
    assert f"x-forwarded-{name}" in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("method", "BREW"), ("uri", "nowhere"), ("uri", "http://evil.example/"), ("proto", "gopher")],
)
async def test_malformed_forwarded(hub: World, name: str, value: str) -> None:
    """A question that Traefik would not ask is refused, the owner's too."""
    cookie = (await hub.browser("alice")).cookie
    answer = await hub.verify(await hub.session(), JSON | {"Cookie": cookie}, **{name: value})
    assert answer.status_code == 400
    problem(answer)


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Proto"]
)
async def test_doubled_forwarded(hub: World, name: str) -> None:
    """Of two different claims neither is believed."""
    cookie = (await hub.browser("alice")).cookie
    answer = await hub.verify(await hub.session(), [("Cookie", cookie), (name, "x")])
    assert answer.status_code == 400


async def test_forwarded_say_nothing_of_the_session(hub: World) -> None:
    """Whose session it is depends on the matched router alone, not on the path that was asked."""
    alices, bobs = await hub.session(), await hub.session("bob")
    cookie = {"Cookie": (await hub.browser("bob")).cookie}
    assert (await hub.verify(alices, cookie, uri=f"/s/{bobs}/")).status_code == 403
    assert (await hub.verify(bobs, cookie, uri=f"/s/{alices}/")).status_code == 200


async def test_nothing_tells_ids_apart(hub: World) -> None:
    """Unknown, foreign, stopped and misspelt sessions look alike, from verify and from the hub."""
    alices, stopped = await hub.session(), await hub.session()
    script = await hub.script("alice")
    await script.delete(f"/api/v1/sessions/{stopped}")
    await hub.until(stopped, None)
    browser = await hub.browser("bob")
    for kind in (NAVIGATION, JSON):
        headers = kind | {"Cookie": browser.cookie}
        first = await hub.verify(alices, headers)
        assert first.status_code == 403
        for other in (UNKNOWN, stopped, "nonsense", alices.upper()):
            assert same_answer(first, await hub.verify(other, headers)), other
        for other in (alices, UNKNOWN, stopped, "nonsense", alices.upper()):
            answer = await hub.client().get(f"/s/{other}/", headers=headers)
            assert same_answer(first, answer), other


async def test_anonymous_ids(hub: World) -> None:
    """Without a log-in nothing can be learnt of any id, from verify or from the hub."""
    alices = await hub.session()
    first = await hub.verify(alices, JSON)
    for other in (UNKNOWN, "nonsense"):
        assert same_answer(first, await hub.verify(other, JSON))
        assert same_answer(first, await hub.client().get(f"/s/{other}/", headers=JSON))


async def test_starting(hub: World) -> None:
    """Until a session is ready its owner sees the progress, and programs are told to wait."""
    alices = await hub.session(ready=False)
    cookie = {"Cookie": (await hub.browser("alice")).cookie}
    answer = await hub.verify(alices, NAVIGATION | cookie)
    assert answer.status_code == 302
    assert answer.headers["location"] == f"{ORIGIN}/starting/{alices}"
    for kind in (JSON, HANDSHAKE):
        answer = await hub.verify(alices, kind | cookie)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        problem(answer)
    others = {"Cookie": (await hub.browser("bob")).cookie}
    assert (await hub.verify(alices, NAVIGATION | others)).status_code == 403
    hub.gateway.served.add(alices)
    await hub.until(alices, Phase.READY)
    assert (await hub.verify(alices, NAVIGATION | cookie)).status_code == 200


async def test_not_read_yet() -> None:
    """As long as the hub does not know the sessions it lets nobody in, and says so."""

    class Silent(MemoryOrchestrator):
        async def watch(self) -> AsyncGenerator[Sequence[Observed], None]:
            await anyio.sleep_forever()
            yield []

    made = World(
        settings(public_url=ORIGIN, session_domain="path"), orchestrator=Silent(settings())
    )
    async with anyio.create_task_group() as group:
        group.start_soon(made.app.run)
        cookie = {"Cookie": (await made.browser("alice")).cookie}
        for kind in KINDS.values():
            answer = await made.verify(UNKNOWN, kind | cookie)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            problem(answer)
        group.cancel_scope.cancel()


async def test_fault_of_ours(fresh: World) -> None:
    """A fault inside the hub lets nobody in and does not look like a refusal."""
    alices = await fresh.session()
    cookie = {"Cookie": (await fresh.browser("alice")).cookie}
    fresh.clock.broken = True
    for kind in KINDS.values():
        answer = await fresh.verify(alices, kind | cookie)
        assert answer.status_code == 503
        assert "broken" not in answer.text
    fresh.clock.broken = False
    assert (await fresh.verify(alices, JSON | cookie)).status_code == 200


def service(session: str, *, audience: Audience = Audience.SERVICE, now: float) -> dict[str, str]:
    """Return the header that the controller itself sends."""
    claims = Claims("controller", session, audience, iat=now, exp=now + 60)
    return {"Authorization": f"Bearer {RING.issue(claims)}"}


async def test_service(fresh: World) -> None:
    """The controller's own token opens one session for a minute, and no other."""
    alices, bobs = await fresh.session(ready=False), await fresh.session("bob")
    now = fresh.clock.wall()
    answer = await fresh.verify(alices, service(alices, now=now))
    assert answer.status_code == 200
    assert answer.headers["x-slicerhub-user"] == "controller"
    assert answer.headers["x-slicerhub-role"] == "service"
    assert (await fresh.verify(bobs, service(alices, now=now))).status_code == 401
    for audience in (Audience.API, Audience.LOGIN):
        headers = service(alices, audience=audience, now=now)
        assert (await fresh.verify(alices, headers)).status_code == 401
    headers = service(alices, now=now)
    fresh.clock.advance(200)
    assert (await fresh.verify(alices, headers)).status_code == 401


async def test_service_token_sees_nothing_of_the_hub(hub: World) -> None:
    """The controller's own look at a session that has no place yet finds nothing there."""
    alices = await hub.session(ready=False)
    headers = service(alices, now=hub.clock.wall())
    assert (await hub.client().get(f"/s/{alices}/", headers=headers)).status_code == 401
    assert (await hub.client().get("/api/v1/me", headers=headers)).status_code == 401


def last_activity(hub: World, session: SessionId) -> datetime:
    """Return when the session was used."""
    seen = hub.find(session)
    assert seen is not None
    return hub.app.sessions.usage.last_activity(seen)


async def test_activity(fresh: World) -> None:
    """A request of its owner keeps a session from being idle; refused ones and the hub's do not."""
    alices = await fresh.session()
    owner, other = (await fresh.browser("alice")).cookie, (await fresh.browser("bob")).cookie
    before = last_activity(fresh, alices)
    fresh.clock.advance(100)
    await fresh.verify(alices, {"Cookie": other})
    await fresh.verify(alices, service(alices, now=fresh.clock.wall()))
    assert before == last_activity(fresh, alices)
    await fresh.verify(alices, {"Cookie": owner})
    assert (last_activity(fresh, alices) - before).total_seconds() == 100


async def test_who_looks_on_does_not_keep_it(fresh: World) -> None:
    """Requests of somebody who may only view are no use of a session; with control they are."""
    made = await fresh.session("alice")
    alice, bob = await fresh.script("alice"), await fresh.script("bob")
    share = f"/api/v1/sessions/{made}/shares/bob"
    assert (await alice.put(share, json={"role": "view"})).status_code == 200
    bearer = {"Authorization": bob.headers["Authorization"]}
    before = last_activity(fresh, made)
    fresh.clock.advance(100)
    assert (await fresh.verify(made, bearer)).status_code == 200
    refused = await bob.post(f"/api/v1/sessions/{made}/keep")
    assert refused.status_code == 403
    assert "Ask its owner" in problem(refused)["detail"]
    assert last_activity(fresh, made) == before
    assert (await alice.put(share, json={"role": "control"})).status_code == 200
    assert (await fresh.verify(made, bearer)).status_code == 200
    assert (last_activity(fresh, made) - before).total_seconds() == 100
    fresh.clock.advance(100)
    assert (await bob.post(f"/api/v1/sessions/{made}/keep")).status_code == 200
    assert (last_activity(fresh, made) - before).total_seconds() == 200


async def test_answers_fit_traefik(hub: World) -> None:
    """No answer is longer than what Traefik takes: it would make a fault of it."""
    alices, starting = await hub.session(), await hub.session(ready=False)
    sizes: list[int] = []
    for user in ("", "alice", "bob"):
        cookie = {"Cookie": (await hub.browser(user)).cookie}
        for kind in KINDS.values():
            for wanted in (alices, starting, UNKNOWN):
                for method in ("GET", "BREW"):
                    answer = await hub.verify(wanted, kind | cookie, method=method)
                    sizes.append(len(answer.content))
    assert max(sizes) <= routes.MAX_VERIFY_BODY


async def test_long_headers(hub: World) -> None:
    """A megabyte of cookies is refused, not looked at."""
    answer = await hub.verify(UNKNOWN, {"Cookie": "a" * 1_000_000})
    assert answer.status_code == 400


async def test_nobody_is_let_in_by_a_lost_store() -> None:
    """If the store is lost everyone logs in again; a log-in of before proves nothing."""
    one = world()
    async with running(one):
        alices = await one.session()
        cookie = {"Cookie": (await one.browser("alice")).cookie}
        assert (await one.verify(alices, JSON | cookie)).status_code == 200
    other = World(one.settings, clock=one.clock, orchestrator=one.orchestrator)
    async with running(other):
        assert (await other.verify(alices, JSON | cookie)).status_code == 401
        again = {"Cookie": (await other.browser("alice")).cookie}
        other.gateway.served.add(alices)
        await other.until(alices, Phase.READY)
        assert (await other.verify(alices, JSON | again)).status_code == 200


async def test_a_restart_loses_nothing() -> None:
    """After a restart people are logged in as before and their sessions are theirs."""
    one = world()
    async with running(one):
        alices = await one.session()
        cookie = {"Cookie": (await one.browser("alice")).cookie}
    other = World(one.settings, clock=one.clock, orchestrator=one.orchestrator, store=one.store)
    other.gateway.served.add(alices)
    async with running(other):
        await other.until(alices, Phase.READY)
        assert (await other.verify(alices, JSON | cookie)).status_code == 200


async def test_a_person_called_like_the_hub(fresh: World) -> None:
    """Somebody whose user name is the hub's word for itself enters and is told of as a person."""
    uid = UserId("controller")
    fresh.directory.people[uid] = Person(uid, "Con Troller", frozenset({"slicer-users"}))
    with capture_logs() as logs:
        made = await fresh.session(uid, ready=False)
        browser = await fresh.browser(uid)
        page = await browser.get(f"/s/{made}/")
        assert page.status_code == 200
        assert "Your files connected" in page.text
        fresh.gateway.served.add(made)
        await fresh.until(made, Phase.READY)
        before = fresh.app.sessions.usage.last_activity(fresh.app.sessions.any(made))
        fresh.clock.advance(60)
        asked = {"Cookie": browser.cookie, "Accept": HTML, "X-Forwarded-For": "10.0.0.1"}
        answer = await fresh.verify(made, asked)
        assert answer.headers["x-slicerhub-role"] == "owner"
        assert fresh.app.sessions.usage.last_activity(fresh.app.sessions.any(made)) > before
    whose = {one["act"]: one["from"] for one in logs if one.get("log") == "audit"}
    assert whose == {"login": "10.0.0.1", "start": "10.0.0.1", "ready": None, "open": "10.0.0.1"}
