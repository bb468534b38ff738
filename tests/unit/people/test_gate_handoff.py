"""A gate lets people into a session's own host; what it cannot do is log anybody in."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from msgspec.structs import replace

from controller.core.model import Person, UserId
from controller.core.records import Login
from controller.people.handoff import Handoffs
from controller.people.proofs import Proofs
from controller.people.standing import Standing
from controller.people.tokens import (
    Audience,
    CannotSign,
    Claims,
    Key,
    KeyRing,
    News,
    TokenUnproven,
)
from controller.people.verified import GateKeys
from controller.rules.credentials import Credentials
from tests.support.hub import RING
from tests.support.people import Desk
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

SESSION, OTHER = session_id(1), session_id(2)
OLD = Key("old", "1e" * 32)  # as hubs made them before Ed25519
SETTINGS = settings()


class Gate:
    """What a gate has of the log-ins of a hub."""

    def __init__(self, desk: Desk, ring: KeyRing) -> None:
        """Nothing is heard yet."""
        self.desk = desk
        self.keys = GateKeys(ring.public(), ring.entries())
        self.standing = Standing(desk.clock.wall)
        self.proofs = Proofs(SETTINGS, self.standing, self.keys, wall=desk.clock.wall)
        self.handoffs = Handoffs(SETTINGS, self.proofs, self.keys, wall=desk.clock.wall)

    async def hear(self) -> None:
        """Hear of all log-ins that stand."""
        self.standing.follow(await self.desk.store.read_logins(), proven=lambda _: True)

    def enters(self, given: Credentials) -> Login | None:
        """Return by which log-in a browser is in the session."""
        return self.handoffs.login_of(given, SESSION)


class Browser:
    """The cookies that a browser has at the session's own host."""

    def __init__(self, gate: Gate) -> None:
        """Begin a hand-off at this gate."""
        self._reader = gate.proofs.reader
        self._jar: dict[str, str] = {}
        self.state, cookie = gate.handoffs.begin(Credentials())
        self.take(cookie)

    def take(self, *cookies: str) -> None:
        """Keep what is set."""
        for cookie in cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._jar[name] = value
            if "Max-Age=0" in cookie:
                del self._jar[name]

    @property
    def carries(self) -> Credentials:
        """What it sends along."""
        cookies = "; ".join(f"{name}={value}" for name, value in self._jar.items())
        return self._reader.read(cookies, "")


class Site:
    """A hub and two gates."""

    def __init__(self, ring: KeyRing) -> None:
        """All have the same keys, each as much of them as it may."""
        self.desk = Desk()
        self.desk.keys.ring = ring
        self.proofs = self.desk.logins.proofs
        self.hub = Handoffs(SETTINGS, self.proofs, self.desk.keys, wall=self.desk.clock.wall)
        self.gates = (Gate(self.desk, ring), Gate(self.desk, ring))

    async def log_in(self, name: str = "alice") -> Login:
        """Log somebody in; all hear of it."""
        login = await self.desk.log_in(name)
        await self.desk.logins.following.load()
        for gate in self.gates:
            await gate.hear()
        return login


@pytest.fixture
async def site() -> AsyncGenerator[Site, None]:
    """Give a site without log-ins."""
    made = Site(RING)
    yield made
    made.desk.store.close()


async def test_entered_at_one_gate(site: Site) -> None:
    """Who comes in by one gate is in at the other and at the hub, too, until the log-in ends."""
    login = await site.log_in()
    one, other = site.gates
    browser = Browser(one)
    code = site.hub.code(login, SESSION, browser.state)
    browser.take(*one.handoffs.redeem(code, browser.carries, SESSION))
    for handoffs in (one.handoffs, other.handoffs, site.hub):
        assert handoffs.login_of(browser.carries, SESSION) == login
    assert one.handoffs.login_of(browser.carries, OTHER) is None
    await site.desk.logins.revoke(UserId("alice"))
    await one.hear()
    assert one.enters(browser.carries) is None
    assert other.enters(browser.carries) == login  # it has not heard yet


async def test_a_code_twice(site: Site) -> None:
    """A code is used up at its gate, and worth nothing at another without the browser's state."""
    login = await site.log_in()
    one, other = site.gates
    browser = Browser(one)
    before = browser.carries
    code = site.hub.code(login, SESSION, browser.state)
    browser.take(*one.handoffs.redeem(code, before, SESSION))
    assert one.handoffs.redeem(code, before, SESSION) == ()
    assert other.handoffs.redeem(code, browser.carries, SESSION) == ()
    assert other.handoffs.redeem(code, Browser(other).carries, SESSION) == ()
    assert other.handoffs.redeem(code, before, OTHER) == ()


async def test_a_code_twice_though_the_clock_was_wrong(site: Site) -> None:
    """A clock that ran ahead for a while does not make what was used good again."""
    login = await site.log_in()
    gate, _ = site.gates
    first, later = Browser(gate), Browser(gate)
    code = site.hub.code(login, SESSION, first.state)
    assert gate.handoffs.redeem(code, first.carries, SESSION)
    site.desk.clock.step(600)
    assert gate.handoffs.redeem(code, first.carries, SESSION) == ()
    other = site.hub.code(login, SESSION, later.state)
    assert gate.handoffs.redeem(other, later.carries, SESSION)
    site.desk.clock.step(-600)
    assert gate.handoffs.redeem(code, first.carries, SESSION) == ()


@pytest.mark.row(57)
async def test_a_gate_makes_no_code(site: Site) -> None:
    """Only the hub says who somebody is; without a key a gate lets nobody in either."""
    login = await site.log_in()
    gate, _ = site.gates
    browser = Browser(gate)
    with pytest.raises(CannotSign):
        gate.handoffs.code(login, SESSION, browser.state)
    gate.keys.entries = KeyRing(())
    code = site.hub.code(login, SESSION, browser.state)
    with pytest.raises(CannotSign):
        gate.handoffs.redeem(code, browser.carries, SESSION)


async def test_from_before_ed25519() -> None:
    """Log-ins and entries of an earlier hub go on at a gate once the hub has confirmed them."""
    site = Site(KeyRing((*RING.keys, OLD)))
    login = await site.log_in()
    gate, _ = site.gates
    now = site.desk.clock.wall()
    claims = Claims(login.person.uid, login.sid, Audience.LOGIN, iat=now, exp=login.expires)
    entry = replace(claims, aud=Audience.ENTRY, session=SESSION)
    given = Credentials(login=OLD.sign(claims), entry=OLD.sign(entry))
    for ask in (gate.proofs.by_cookie, gate.enters):
        with pytest.raises(TokenUnproven) as caught:
            ask(given)
        told = site.proofs.read(caught.value.token, caught.value.audience)
        assert told is not None
        gate.proofs.remember(caught.value.token, told)
        assert ask(given) == login
    # The hub refuses what names such a key and is not by it.
    with pytest.raises(TokenUnproven) as caught:
        gate.proofs.by_bearer(
            Credentials(bearer=Key("old", "2d" * 32).sign(replace(claims, aud=Audience.API)))
        )
    assert site.proofs.read(caught.value.token, caught.value.audience) is None
    site.desk.store.close()


@pytest.mark.row(57)
async def test_what_a_gate_says_of_people(site: Site) -> None:
    """A gate that was taken over makes nobody known at the hub, and no administrator."""
    await site.log_in()
    now = site.desk.clock.wall()
    admin = Person(UserId("mallory"), "Mallory", frozenset({"slicer-admins"}), admin=True)
    claims = Claims(
        sub="mallory",
        sid="made up",
        aud=Audience.ENTRY,
        iat=now,
        exp=now + 3600,
        session=SESSION,
        news=News(10**6, now, now + 3600, admin),
    )
    gate, _ = site.gates
    given = Credentials(entry=gate.keys.issue(claims))
    found = site.hub.login_of(given, SESSION)
    assert found is not None
    assert site.proofs.login_of(replace(claims, session="")) == found
    assert not found.person.admin
    assert not found.person.groups
    standing = site.desk.logins.standing
    assert standing.get("made up") is None
    assert not standing.is_in(UserId("mallory"))
