"""Every act that matters is on record once; and no secret is in any log."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import pytest
import structlog
from msgspec.structs import replace
from typing_extensions import override

from controller.core.errors import DirectoryUnavailable, StoreUnavailable
from controller.core.model import Phase, Role, SessionId, UserId
from controller.core.records import Link
from controller.engines.memory import Fetch, MemoryOrchestrator
from controller.monitoring.audit import Act
from controller.people.keys import KeyFile, rotate
from controller.sessions.gateway import Client, Inside
from controller.settings.schema import AuditLog, Limits, Login, Settings
from controller.store.sqlite.store import SqliteStore
from tests.support.hub import HTML, ORIGIN, RING, Browser, Clock, World, location, running, world
from tests.support.samples import CREATED

pytestmark = pytest.mark.anyio

ALICE, BOB, CAROL, EVE = "10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::e"
WRONG = "not-her-password-7f3a"
IN_THE_WRONG_FIELD = "Correct horse battery staple!"


class Records(SqliteStore):
    """Records in which a link cannot be found while ``fault`` is set."""

    fault: Exception | None = None

    @override
    async def find_link(self, digest: str) -> Link | None:
        if self.fault is not None:
            raise self.fault
        return await super().find_link(digest)


class Lines(NamedTuple):
    """What a day has left behind."""

    expected: list[dict[str, object]]
    file: list[dict[str, object]]
    output: list[dict[str, object]]
    everything: str
    secrets: dict[str, str]


class Day:
    """Does one act after the other, a second between them, and knows what must be on record."""

    def __init__(self, hub: World) -> None:
        """Begin with nothing done."""
        self.hub = hub
        self.expected: list[dict[str, object]] = []
        self.secrets = {"wrong password": WRONG, "in the wrong field": IN_THE_WRONG_FIELD}

    def expect(
        self, act: Act, who: str, address: str | None, whose: str | None = None, **details: object
    ) -> None:
        """Say what is done next, or follows from it."""
        at = datetime.fromtimestamp(self.hub.clock.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        line: dict[str, object] = {"session": None}
        line |= {"log": "audit", "at": at, "act": act, "who": who, "whose": whose, "from": address}
        self.expected.append(line | details)

    def then(
        self, act: Act, who: str, address: str | None, whose: str | None = None, **details: object
    ) -> None:
        """Let a second pass, and say what is done next."""
        self.hub.clock.advance(1)
        self.expect(act, who, address, whose, **details)

    async def fail(self, name: str, address: str) -> None:
        """Log in with a wrong password."""
        answer = await (await self.hub.browser(address=address)).log_in(name, WRONG)
        assert answer.status_code in {401, 429, 503}

    async def enter(self, name: str, address: str) -> Browser:
        """Log in at the page."""
        browser = await self.hub.browser(name, address=address)
        self.secrets[f"cookie of {name}"] = browser.cookie.partition("=")[2]
        self.secrets[f"csrf of {name}"] = await browser.csrf()
        return browser

    async def look_in(
        self, session_id: SessionId, address: str, headers: dict[str, str], **more: str
    ) -> None:
        """Ask for a session's page, as Traefik tells of it."""
        known = {"X-Forwarded-For": address} | headers | more
        assert (await self.hub.verify(session_id, known)).status_code == 200

    async def launch(self, browser: Browser, **form: str) -> SessionId:
        """Press the button, and wait until the session is ready."""
        answer = await browser.act("/launch", **form)
        session_id = SessionId(location(answer).rpartition("/")[2])
        self.hub.gateway.served.add(session_id)
        return session_id


def configured(file: Path) -> Settings:
    """Return settings of a hub with one place and a queue before it."""
    plain = world().settings
    profile = replace(plain.profiles[0], queue=True)
    return replace(
        plain,
        profiles=(profile,),
        limits=replace(Limits(), sessions_total=1),
        login=replace(Login(), attempts_per_user=1),
        audit=AuditLog(file=str(file)),
    )


async def logging_in(day: Day) -> tuple[Browser, Browser, httpx.AsyncClient]:
    """Fail in every way, then log in: Alice and Bob at the page, Carol as a script does."""
    hub = day.hub
    day.then(Act.LOGIN_FAILED, "alice", EVE, reason="refused")
    await day.fail("alice", EVE)
    day.then(Act.LOGIN_FAILED, "alice", EVE, reason="throttled")
    await day.fail("alice", EVE)
    day.then(Act.LOGIN_FAILED, "(not a user name)", EVE, reason="refused")
    await day.fail(IN_THE_WRONG_FIELD, EVE)
    hub.directory.fault = DirectoryUnavailable("The directory does not answer.")
    day.then(Act.LOGIN_FAILED, "bob", EVE, reason="unavailable")
    await day.fail("bob", EVE)
    hub.directory.fault = None
    day.then(Act.LOGIN, "alice", ALICE, "alice", kind="login")
    alice = await day.enter("alice", ALICE)
    day.then(Act.LOGIN, "bob", BOB, "bob", kind="login")
    bob = await day.enter("bob", BOB)
    day.then(Act.LOGIN, "carol", CAROL, "carol", kind="api")
    carol = hub.client(address=CAROL)
    answer = await carol.post("/api/v1/login", json={"username": "carol", "password": "carol"})
    token = day.secrets["token of carol"] = answer.json()["token"]
    carol.headers["Authorization"] = f"Bearer {token}"
    return alice, bob, carol


async def showing(day: Day, made: SessionId, alice: Browser, bob: Browser) -> None:
    """Invite Bob by name, let him in, give him control, and take it back."""
    where, theirs = {"session": made}, {"Cookie": bob.cookie, "Accept": HTML}
    share = f"/sessions/{made}/share"
    day.then(Act.SHARE, "alice", ALICE, "alice", **where, guest="bob", role="view")
    await alice.act(share, user="bob", role="view")
    day.then(Act.OPEN, "bob", BOB, "alice", **where, profile="slicer", role="view")
    await day.look_in(made, BOB, theirs)
    day.then(Act.ROLE_CHANGED, "alice", ALICE, "alice", **where, guest="bob", role="control")
    await alice.act(f"{share}/change", user="bob", role="control")
    await day.look_in(made, BOB, theirs)
    day.then(Act.REVOKE, "alice", ALICE, "alice", **where, guest="bob", reason="taken_back")
    await alice.act(f"{share}/remove", user="bob")
    await alice.act(f"{share}/remove", user="bob")
    day.then(Act.SHARE, "alice", ALICE, "alice", **where, guest="bob", role="view")
    await alice.act(share, user="bob", role="view", expires="60")
    day.then(Act.OPEN, "bob", BOB, "alice", **where, profile="slicer", role="view")
    await day.look_in(made, BOB, theirs)
    day.hub.clock.advance(60)
    day.then(Act.REVOKE, "controller", None, "alice", **where, guest="bob", reason="expired")
    await day.hub.sweep()
    day.then(Act.CUT, "controller", None, "alice", **where, guest="bob", reason="not_invited")
    still_there = Client(UserId("bob"), Role.VIEW, CREATED)
    day.hub.gateway.insides[made] = Inside(clients=(still_there,))
    await day.hub.app.housekeeping.poll()
    del day.hub.gateway.insides[made]


async def linking(day: Day, made: SessionId, alice: Browser, carol: httpx.AsyncClient) -> None:
    """Make a link; Carol joins by it, works, and leaves; the link is ended."""
    where = {"session": made}
    day.hub.clock.advance(1)
    page = await alice.act(f"/sessions/{made}/links", role="control", expires="3600")
    found = re.search(rf"{ORIGIN}/join/([\w-]+)", page.text)
    assert found is not None
    code = day.secrets["code"] = found[1]
    (link,) = await day.hub.store.links(made)
    named = where | {"link": link.id, "role": "control"}
    day.expect(Act.LINK_MADE, "alice", ALICE, "alice", **named, seconds=3600)
    page = Browser(day.hub.client(address=CAROL, Accept=HTML, **carol.headers))
    offer = await page.get(f"/join/{code}")
    # A session that is opened from there is not told the address of this page.
    assert '<meta name="referrer" content="strict-origin">' in offer.text
    records = day.hub.store
    assert isinstance(records, Records)
    for fault, status in ((StoreUnavailable("The disk is full."), 503), (OSError("broken"), 500)):
        records.fault = fault
        assert (await page.get(f"/join/{code}")).status_code == status
        records.fault = None
    day.then(Act.JOIN, "carol", CAROL, "alice", **named)
    for _ in range(2):
        assert (await carol.post("/api/v1/join", json={"code": code})).status_code == 200
    day.then(Act.OPEN, "carol", CAROL, "alice", **where, profile="slicer", role="control")
    handshake = {"Sec-WebSocket-Key": "x", "Authorization": carol.headers["Authorization"]}
    await day.look_in(made, f"192.0.2.1, {CAROL}", handshake)
    await day.look_in(made, CAROL, handshake)
    day.then(Act.LINK_ENDED, "alice", ALICE, "alice", **where, link=link.id)
    for one in (link.id, link.id, code):
        await alice.act(f"/sessions/{made}/links/end", link=one)
    day.then(Act.REVOKE, "carol", CAROL, "alice", **where, guest="carol", reason="left")
    answer = await carol.delete(f"/api/v1/sessions/{made}/shares/carol")
    assert answer.status_code == 200


async def working(day: Day, alice: Browser, bob: Browser, carol: httpx.AsyncClient) -> None:
    """Start, wait in the queue, open, show, stop, forget; and a start that fails."""
    hub = day.hub
    day.hub.clock.advance(1)
    made = await day.launch(alice, name="thesis")
    its = {"session": made, "profile": "slicer"}
    day.expect(Act.START, "alice", ALICE, "alice", **its)
    day.expect(Act.READY, "controller", None, "alice", **its, seconds=0.0)
    await hub.until(made, Phase.READY)
    day.then(Act.OPEN, "alice", ALICE, "alice", **its, role="owner")
    for _ in range(2):
        await day.look_in(made, ALICE, {"Cookie": alice.cookie, "Accept": HTML})
    await day.look_in(made, ALICE, {"Cookie": alice.cookie})
    hub.clock.advance(1)
    waiting = await day.launch(bob)
    line = {"session": waiting, "profile": "slicer"}
    day.expect(Act.QUEUE, "bob", BOB, "bob", **line)
    day.then(Act.STOP, "bob", BOB, "bob", **line, reason="stopped", waiting=True)
    await bob.act(f"/sessions/{waiting}/stop")
    await showing(day, made, alice, bob)
    await linking(day, made, alice, carol)
    day.then(Act.STOP, "alice", ALICE, "alice", **its, reason="stopped")
    await alice.act(f"/sessions/{made}/stop")
    await hub.until(made, None)
    assert isinstance(hub.orchestrator, MemoryOrchestrator)
    hub.orchestrator.missing["slicer"] = Fetch(refusal="There is no such image.")
    hub.clock.advance(1)
    assert (await alice.act("/launch")).status_code == 409
    failed = {"profile": "slicer", "reason": "This cannot be started"}
    day.expect(Act.START_FAILED, "alice", ALICE, "alice", session=None, **failed)
    hub.orchestrator.missing.clear()


async def idling(day: Day, alice: Browser) -> None:
    """Start a session and do not use it; another one ends past the hub."""
    day.hub.clock.advance(1)
    made = await day.launch(alice)
    its = {"session": made, "profile": "slicer"}
    day.expect(Act.START, "alice", ALICE, "alice", **its)
    day.expect(Act.READY, "controller", None, "alice", **its, seconds=0.0)
    await day.hub.until(made, Phase.READY)
    await day.hub.spend(1800, every=100)
    await day.hub.until(made, None)
    day.expect(Act.STOP, "controller", None, "alice", **its, reason="idle")
    day.hub.clock.advance(1)
    other = await day.launch(alice, name="other")
    its = {"session": other, "profile": "slicer"}
    day.expect(Act.START, "alice", ALICE, "alice", **its)
    day.expect(Act.READY, "controller", None, "alice", **its, seconds=0.0)
    await day.hub.until(other, Phase.READY)
    day.then(Act.GONE, "controller", None, "alice", **its)
    await day.hub.orchestrator.remove(other, grace=timedelta(0))
    await day.hub.until(other, None)


async def logging_out(day: Day, alice: Browser) -> None:
    """Log out; log in over an old log-in; lose the account."""
    hub = day.hub
    day.then(Act.LOGOUT, "alice", ALICE, "alice", reason="asked")
    await alice.act("/logout")
    day.then(Act.LOGIN, "carol", CAROL, "carol", kind="login")
    carol = await day.enter("carol", CAROL)
    day.then(Act.LOGIN, "carol", CAROL, "carol", kind="login")
    day.expect(Act.LOGOUT, "carol", CAROL, "carol", reason="replaced")
    await carol.log_in("carol", "carol")
    hub.directory.departed.add(UserId("bob"))
    day.then(Act.LOGOUT, "controller", None, "bob", reason="departed")
    await hub.app.housekeeping.call_the_roll()


async def rotating(day: Day, place: KeyFile) -> None:
    """Let another key sign."""
    hub = day.hub
    hub.clock.advance(1)
    ring = await rotate(place, now=hub.clock.wall(), seconds=60, expiries=())
    assert hub.app.rotation is not None
    await hub.app.rotation.refresh()
    day.secrets.update({f"new key for {one.use}": one.secret for one in ring.keys[:2]})
    day.expect(Act.KEYS_ROTATED, "controller", None, key=ring.keys[0].kid, at_once=False)


@pytest.fixture(scope="module")
async def lines(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """Do each act of the list, and give what is on record, in the file and on the output."""
    assert anyio_backend == "asyncio"
    file = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    output = io.StringIO()
    # As the program's own, but nothing is struck out: no secret may get so far.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(output),
    )
    plan = configured(file)
    keys = file.with_name("keys.json")
    keys.write_bytes(msgspec.json.encode(RING))
    clock = Clock()
    place = KeyFile(keys, clock.wall)
    hub = World(
        plan,
        clock=clock,
        orchestrator=MemoryOrchestrator(plan),
        store=Records(":memory:"),
        key_storage=place,
    )
    day = Day(hub)
    async with running(hub):
        alice, bob, carol = await logging_in(day)
        await working(day, alice, bob, carol)
        await idling(day, alice)
        await logging_out(day, alice)
        await rotating(day, place)
        sids = {f"log-in {one.sid}": one.sid for one in hub.app.logins.standing.all()}
    structlog.reset_defaults()
    said = [json.loads(line) for line in output.getvalue().splitlines()]
    written = file.read_text(encoding="utf-8")
    return Lines(
        expected=day.expected,
        file=[json.loads(line) for line in written.splitlines()],
        output=[one for one in said if one.get("log") == "audit"],
        everything=output.getvalue() + written,
        secrets=day.secrets | sids | {one.kid: one.secret for one in RING.keys},
    )


def test_every_act_once(lines: Lines) -> None:
    """Each act stands there once, in order, with who, whose, from where, when, and how."""
    for number, (found, expected) in enumerate(zip(lines.file, lines.expected, strict=False)):
        if expected["act"] is Act.START_FAILED:  # its session's id is nobody's business any more
            assert found.pop("session")
            assert expected.pop("session") is None
        assert found == expected, number
    assert len(lines.file) == len(lines.expected)


def test_no_kind_is_missing(lines: Lines) -> None:
    """All kinds of acts but the administrator's are among them."""
    found = {line["act"] for line in lines.file}
    assert found == {act.value for act in Act if not act.value.startswith("admin_")}


def test_output(lines: Lines) -> None:
    """Standard output has the same lines as the file, marked among the others."""
    assert len(lines.output) == len(lines.file)
    for said, written in zip(lines.output, lines.file, strict=True):
        assert said.pop("event") == written["act"]
        assert said.pop("level") == "info"
        said.pop("session")
        assert said == {name: value for name, value in written.items() if name != "session"}


def test_no_secret_in_any_log(lines: Lines) -> None:
    """No password, cookie, token, form's secret or link's code is in any line of any log."""
    assert len(lines.secrets) >= 10
    for what, secret in lines.secrets.items():
        assert len(secret) >= 16, what
        assert secret not in lines.everything, what


def test_faults_are_told_without_the_code(lines: Lines) -> None:
    """A fault behind a link is in the log with its path, but for the code in it."""
    said = [json.loads(line) for line in lines.everything.splitlines()]
    paths = {one["event"]: one["path"] for one in said if "path" in one}
    assert paths == {"unavailable": "/join/***", "fault": "/join/***"}
