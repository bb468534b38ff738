"""A whole hub in this process, over the memory engine, and browsers and scripts that use it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx

from controller.app import Application
from controller.core.model import Observed, Phase, SessionId
from controller.engines.memory import MemoryOrchestrator
from controller.feed.proofs import ProofStorage
from controller.housekeeping.election import Election
from controller.people.keys import KeyStorage
from controller.people.tokens import Key, KeyRing, Keys, Use
from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING, Settings
from controller.store import Store
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.directory import FakeDirectory
from tests.support.fakes.gateway import FakeGateway
from tests.support.samples import settings
from tests.support.waits import settled

ORIGIN = "http://localhost:8080"
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
RING = KeyRing(
    (
        Key("test", "5a" * 32, algorithm="EdDSA"),
        Key("test-entry", "6b" * 32, algorithm="EdDSA", use=Use.ENTRY),
    )
)
DEADLINE = 10.0  # seconds until something that must happen counts as not happening

Headers = Mapping[str, str] | list[tuple[str, str]]


class Clock:
    """Both clocks of a hub; the test lets time pass."""

    def __init__(self) -> None:
        """``broken``: reading it is a fault."""
        self.seconds = 1000.0
        self.epoch = 1_800_000_000.0
        self.broken = False

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        if self.broken:
            raise RuntimeError("the clock is broken")
        return self.seconds

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return self.epoch

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.epoch += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock to another time; no time passes."""
        self.epoch += seconds


class World:
    """A hub and its surroundings."""

    def __init__(
        self,
        configured: Settings,
        *,
        clock: Clock | None = None,
        orchestrator: MemoryOrchestrator | None = None,
        store: Store | None = None,
        ring: KeyRing = RING,
        key_storage: KeyStorage | None = None,
        election: Election | None = None,
        proofs: ProofStorage | None = None,
    ) -> None:
        """Make the parts; those that are given belong to another hub, too.

        ``proofs``: gates may follow.
        """
        self.settings = configured
        self.clock = clock or Clock()
        self.orchestrator = orchestrator or MemoryOrchestrator(configured)
        self.store: Store = store or SqliteStore(":memory:")
        self.key_storage = key_storage
        self.gateway = FakeGateway()
        self.launched = 0
        self.expected_faults: set[str] = set()  # kinds of work in which one was kept to itself
        self.directory = FakeDirectory()
        self.app = Application(
            configured,
            orchestrator=self.orchestrator,
            gateway=self.gateway,
            directory=self.directory,
            store=self.store,
            keys=Keys(ring),
            key_storage=key_storage,
            election=election,
            proofs=proofs,
            clock=self.clock.monotonic,
            wall=self.clock.wall,
        )

    def faults(self) -> set[str]:
        """Return in which kinds of work there was a fault that the hub kept to itself."""
        text = self.app.metrics.text().decode()
        found = re.findall(r'^slicerhub_faults_total{work="(\w+)"} (\S+)$', text, re.MULTILINE)
        return {work for work, number in found if float(number)}

    def client(self, *, address: str = "10.0.0.1", **headers: str) -> httpx.AsyncClient:
        """Return a client of the public entry point that sends what it is told."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app.public),  # pyright: ignore[reportArgumentType] - two spellings of ASGI's types
            base_url=ORIGIN,
            headers={"X-Real-Ip": address} | headers,
        )

    def private(self) -> httpx.AsyncClient:
        """Return a client of the private listener."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app.private),  # pyright: ignore[reportArgumentType] - the same
            base_url="http://verify-0:8001",
        )

    async def browser(self, user: str = "", *, address: str = "10.0.0.1") -> Browser:
        """Return a browser, logged in if a user is named."""
        browser = Browser(self.client(address=address, Accept=HTML))
        if user:
            answer = await browser.log_in(user, user)
            assert answer.status_code == 303, answer.text
        return browser

    async def script(self, user: str) -> httpx.AsyncClient:
        """Return a program's client with a bearer token."""
        client = self.client()
        answer = await client.post("/api/v1/login", json={"username": user, "password": user})
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    async def session(
        self, user: str = "alice", name: str | None = None, *, ready: bool = True
    ) -> SessionId:
        """Launch a session as this person, by a name that is not taken."""
        self.launched += 1
        called = f"session {self.launched}" if name is None else name
        script = await self.script(user)
        answer = await script.post("/api/v1/sessions", json={"name": called})
        assert answer.status_code == 202, answer.text
        session_id = SessionId(answer.json()["id"])
        if ready:
            self.gateway.served.add(session_id)
            await self.until(session_id, Phase.READY)
        return session_id

    def find(self, session_id: SessionId) -> Observed | None:
        """Return what the hub knows of a session."""
        known = self.app.sessions.all()
        return next((one for one in known if one.session.id == session_id), None)

    def phase(self, session_id: SessionId) -> Phase | None:
        """Return where a session stands; None: it is gone."""
        seen = self.find(session_id)
        return self.app.sessions.phase(seen) if seen else None

    async def until(self, session_id: SessionId, phase: Phase | None) -> None:
        """Wait until a session has come to this phase."""
        await eventually(lambda: self.phase(session_id) is phase)

    async def sweep(self) -> None:
        """Do one round of housekeeping, once the hub has heard of everything."""
        await settled()
        await self.app.housekeeping.sweep()

    async def spend(self, seconds: float, *, every: float = 30) -> None:
        """Let time pass the way it does: with a round of housekeeping every now and then."""
        await settled()
        while seconds > 0:
            self.clock.advance(min(every, seconds))
            seconds -= every
            await self.app.housekeeping.poll()
            await self.app.housekeeping.sweep()

    async def verify(
        self, session_id: str, headers: Headers | None = None, **forwarded: str
    ) -> httpx.Response:
        """Ask as Traefik does for a request with these headers; ``method``, ``uri`` and so on."""
        asked = {
            "X-Forwarded-Method": forwarded.get("method", "GET"),
            "X-Forwarded-Uri": forwarded.get("uri", f"/s/{session_id}/"),
            "X-Forwarded-Host": forwarded.get("host", "localhost:8080"),
            "X-Forwarded-Proto": forwarded.get("proto", "http"),
        }
        given = list(headers.items()) if isinstance(headers, Mapping) else headers or []
        async with self.private() as traefik:
            return await traefik.get(f"/verify/{session_id}", headers=[*asked.items(), *given])


class Browser:
    """A person's browser: it keeps the cookies and sends what the hub's own pages send."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """Use this client."""
        self.client = client
        self.own_page = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path, headers=headers)

    async def post(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a form of the hub's own page; ``headers`` replaces what tells so."""
        sent = self.own_page if headers is None else headers
        return await self.client.post(path, data=dict(form or {}), headers=sent)

    async def log_in(self, user: str, password: str, target: str = "/") -> httpx.Response:
        """Send the log-in form."""
        return await self.post("/login", {"username": user, "password": password, "next": target})

    async def csrf(self) -> str:
        """Return what the forms of the person's page carry."""
        page = await self.get("/")
        found = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert found is not None
        return found[1]

    async def act(self, path: str, **form: str) -> httpx.Response:
        """Press a button of the person's page."""
        return await self.post(path, {"csrf": await self.csrf(), **form})

    @property
    def cookie(self) -> str:
        """Return the Cookie header that the browser sends."""
        return "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())


@asynccontextmanager
async def running(world: World) -> AsyncGenerator[World, None]:
    """Run a hub."""
    async with anyio.create_task_group() as group:
        group.start_soon(world.app.run)
        await eventually(lambda: world.app.sessions.ready)
        yield world
        group.cancel_scope.cancel()
    assert world.faults() == world.expected_faults


def world(**environ: str) -> World:
    """Return a hub with these settings, in path mode and with sharing unless they say otherwise."""
    usual = {
        "public_url": ORIGIN,
        "extra_urls": "http://127.0.0.1:8080",
        "session_domain": PATH_MODE,
        "path_mode_sharing": PATH_MODE_SHARING,
    }
    return World(settings(**(usual | environ)))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so; fail if it takes too long."""
    with anyio.fail_after(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await anyio.sleep(0.005)


def same_answer(one: httpx.Response, other: httpx.Response) -> bool:
    """Tell whether two answers cannot be told apart."""
    return (one.status_code, sorted(one.headers.multi_items()), one.content) == (
        other.status_code,
        sorted(other.headers.multi_items()),
        other.content,
    )


def problem(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem document of an answer, which must be one for people and programs."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"].endswith(".")
    return document


def location(answer: httpx.Response) -> str:
    """Return where an answer leads on this hub; an absolute address must be the hub's own."""
    parts = urlsplit(answer.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}" in {ORIGIN, "://"}
    return parts.path + (f"?{parts.query}" if parts.query else "")
