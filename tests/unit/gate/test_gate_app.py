"""A whole gate without its stream: what it asks a controller first, and what it makes of that."""

from __future__ import annotations

import hashlib
import time

import msgspec
import pytest
from anyio import fail_after, sleep_forever

from controller.core.model import Person, Phase, Role, UserId
from controller.core.records import Login
from controller.gate.answers import Answer, Headers, answer
from controller.gate.contract import AskFirst
from controller.gate.facts import (
    Change,
    Extra,
    Facts,
    Guest,
    SessionFacts,
    Site,
    Snapshot,
    settings_for_gates,
    snapshot_of,
)
from controller.gate.freshness import SILENCE_SECONDS, Freshness
from controller.gate.kept import for_owners
from controller.gate.refusals import Closed
from controller.gate_app import Disproven, Door, GateMemory
from controller.monitoring.gate_metrics import GateMetrics
from controller.people.tokens import Audience, Claims, Key, KeyRing, TokenRefused, Use
from controller.settings.schema import PATH_MODE
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

SESSION = session_id(1)
PATH = f"/verify/{SESSION}"
ALICE = Person(UserId("alice"), "Alice")
BOB = Person(UserId("bob"), "Bob")
FOR_EVER = 4e9  # seconds since the epoch
CLAIMS = Claims("alice", "sid-1", Audience.LOGIN, iat=0.0, exp=FOR_EVER)
ENTRY = Key("entry", "1a" * 32, algorithm="EdDSA", use=Use.ENTRY)
OLD = Key("old", "1e" * 32)  # as hubs made them before Ed25519
RING = KeyRing((Key("ours", "0f" * 32, algorithm="EdDSA"), ENTRY, OLD))
EARLIER = OLD.sign(CLAIMS)
FORGED = Key("old", "2d" * 32).sign(CLAIMS)


def headers(token: str, **more: str) -> Headers:
    """Return what Traefik sends of a program's request with this log-in."""
    asked = {
        "x-forwarded-method": "GET",
        "x-forwarded-uri": f"/s/{SESSION}/",
        "x-forwarded-host": "localhost:8080",
        "x-forwarded-proto": "http",
        "cookie": f"slicerhub-login={token}",
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in (asked | more).items()]


class Gate:
    """A gate that follows a controller, which the test is."""

    def __init__(self) -> None:
        """It has heard of one session and one log-in, just now."""
        self.seconds = 0.0
        self.answers = True  # the controller, whether a token proves something
        self.asked: list[str] = []
        self.freshness = Freshness(lambda: self.seconds, patience=0.01)
        metrics = GateMetrics(fresh=self.freshness.may_judge, alone=lambda: False)
        self.memory = GateMemory(metrics)
        self.memory.prove = self._prove
        self.door = Door(self.memory, self.freshness, metrics)
        configured = settings(public_url="http://localhost:8080", session_domain=PATH_MODE)
        page = answer(403, {})
        ring, entries = RING.public(), RING.entries()
        facts = Facts(
            sessions={SESSION: SessionFacts(SESSION, ALICE.uid, Phase.READY)},
            logins={"sid-1": Login("sid-1", ALICE, created=0.0, expires=FOR_EVER)},
            revision=0,
            extra=Extra(msgspec.msgpack.encode(ring), msgspec.msgpack.encode(entries)),
        )
        site = Site(settings_for_gates(configured), Closed(page, page, page, page))
        self.memory.replace(snapshot_of(facts, number=1, site=site))
        self.freshness.hear(self.seconds)

    async def _prove(self, token: str, audience: str) -> bytes:
        self.asked.append(token)
        if not self.answers:
            await sleep_forever()
        try:
            return msgspec.msgpack.encode(RING.verify(token, Audience(audience), time.time()))
        except TokenRefused:
            return b""

    async def answer(self, token: str, **more: str) -> Answer:
        """Answer as the listener does."""
        asked = headers(token, **more)
        try:
            return self.door.answer(PATH, asked)
        except AskFirst as first:
            return await self.door.answer_after(first, PATH, asked)


async def test_earlier_tokens() -> None:
    """A token that only the controller can read counts once that has, which is asked once."""
    gate = Gate()
    for _ in range(2):
        assert (await gate.answer(EARLIER)).status == 200
    assert gate.asked == [EARLIER]


async def test_forged_tokens() -> None:
    """A token that names an earlier hub's key, and is not of it, is refused like any other."""
    gate = Gate()
    nothing = await gate.answer("nothing")
    assert nothing.status == 401
    for _ in range(2):
        assert await gate.answer(FORGED) == nothing
    assert gate.asked == [FORGED]
    assert (await gate.answer(EARLIER)).status == 200


async def test_a_forged_token_at_a_page() -> None:
    """A person whose cookie is such a token gets to the log-in."""
    found = await Gate().answer(FORGED, accept="text/html", **{"sec-fetch-mode": "navigate"})
    assert found.status == 302
    assert b"/login?next=" in dict(found.headers)[b"location"]


def test_what_was_disproven_is_bounded() -> None:
    """The refusals that are remembered are limited in number and in time, and by the kind."""
    now = [0.0]
    found = Disproven(lambda: now[0], size=2, seconds=60)

    def known() -> str:
        return "".join(one for one in "abc" if found.has(one, Audience.LOGIN))

    for one in "ab":
        found.add(one, Audience.LOGIN)
    assert known() == "ab"
    assert not found.has("a", Audience.API)
    now[0] += 30
    found.add("a", Audience.LOGIN)
    found.add("c", Audience.LOGIN)
    assert known() == "ac"
    now[0] += 60
    assert known() == ""


async def test_silence_while_it_asks() -> None:
    """What was asked of a controller that fell silent meanwhile keeps no request for ever."""
    gate = Gate()
    gate.answers = False
    with pytest.raises(AskFirst) as caught:
        gate.door.answer(PATH, headers(EARLIER))
    gate.seconds += SILENCE_SECONDS + 1
    with fail_after(5):
        found = await gate.door.answer_after(caught.value, PATH, headers(EARLIER))
    assert found.status == 503


async def test_no_answer_in_time() -> None:
    """A controller that does not answer in time is waited for by its bound, and nobody passes."""
    gate = Gate()
    gate.answers = False
    with fail_after(5):
        for token in (EARLIER, FORGED):
            assert (await gate.answer(token)).status == 503
    gate.answers = True
    assert (await gate.answer(EARLIER)).status == 200
    assert (await gate.answer(FORGED)).status == 401


def log_in(person: Person) -> Login:
    """Return a log-in that stands."""
    return Login(f"of-{person.uid}", person, created=0.0, expires=FOR_EVER)


def cookie(person: Person) -> str:
    """Return what proves it."""
    return RING.keys[0].sign(
        Claims(person.uid, f"of-{person.uid}", Audience.LOGIN, iat=0.0, exp=FOR_EVER)
    )


def knowing_guests() -> tuple[Gate, Snapshot]:
    """Return a gate that was told of a guest, and what it knows."""
    gate = Gate()
    told = gate.memory.snapshot()
    assert told is not None
    shared = SessionFacts(SESSION, ALICE.uid, Phase.READY, {BOB.uid: Guest(Role.CONTROL)})
    gate.memory.apply(
        Change(2, sessions=(shared,), logins=(log_in(ALICE), log_in(BOB)), ended=("sid-1",))
    )
    found = gate.memory.snapshot()
    assert found is not None
    assert found.site == told.site
    assert found.extra == told.extra
    assert found.sessions == (shared,)
    assert {one.sid for one in found.logins} == {"of-alice", "of-bob"}
    return gate, found


def test_a_memory_of_nothing() -> None:
    """A gate that was told nothing has nothing to give back."""
    gate = Gate()
    assert GateMemory(GateMetrics(fresh=lambda: False, alone=lambda: False)).snapshot() is None
    assert gate.memory.snapshot() is not None


async def test_owners_pass_by_what_was_kept() -> None:
    """By what an earlier start has kept owners get in; guests do, once a controller was heard."""
    gate, snapshot = knowing_guests()
    assert (await gate.answer(cookie(ALICE))).status == 200
    assert (await gate.answer(cookie(BOB))).status == 200
    gate.memory.replace(for_owners(snapshot))
    assert (await gate.answer(cookie(ALICE))).status == 200
    assert (await gate.answer(cookie(BOB))).status == 403
    assert (await gate.answer("nothing")).status == 401
    assert gate.door.others()["/traefik"]().status == 503  # Traefik keeps what it has
    gate.memory.replace(snapshot)
    assert (await gate.answer(cookie(BOB))).status == 200


async def test_nothing_is_signed_by_what_was_kept() -> None:
    """A hand-off cannot end at such a gate, and that is said."""
    gate, snapshot = knowing_guests()
    site = Site(
        settings_for_gates(settings(public_url="http://localhost:8080")), snapshot.site.closed
    )
    gate.memory.replace(for_owners(msgspec.structs.replace(snapshot, site=site)))
    state = "s" * 32
    code = RING.keys[0].sign(
        Claims(
            ALICE.uid,
            "of-alice",
            Audience.CODE,
            iat=time.time(),
            exp=time.time() + 30,
            session=SESSION,
            state=hashlib.sha256(state.encode()).hexdigest(),
            jti="1",
        )
    )
    host = f"{SESSION}.localhost:8080"
    found = await gate.answer(
        "nothing",
        accept="text/html",
        **{
            "x-forwarded-host": host,
            "x-forwarded-uri": f"/.slicerhub/enter?code={code}",
            "sec-fetch-mode": "navigate",
            "cookie": f"slicerhub-state={state}",
        },
    )
    assert found.status == 503
    assert b"cannot let you in at the moment" in found.body
