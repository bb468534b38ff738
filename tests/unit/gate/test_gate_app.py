"""A whole gate without its stream: what it asks a controller first, and what it makes of that."""

from __future__ import annotations

import msgspec
import pytest
from anyio import fail_after, sleep_forever

from controller.core.model import Person, Phase, UserId
from controller.core.records import Login
from controller.gate.answers import Answer, Headers, answer
from controller.gate.contract import AskFirst
from controller.gate.facts import Extra, Facts, SessionFacts, Site, settings_for_gates, snapshot_of
from controller.gate.freshness import SILENCE_SECONDS, Freshness
from controller.gate.refusals import Closed
from controller.gate_app import Door, GateMemory
from controller.monitoring.verdicts import GateMetrics
from controller.people.tokens import Audience, Claims, Key, KeyRing, Use
from controller.settings.schema import PATH_MODE
from tests.support.samples import session_id, settings

pytestmark = pytest.mark.anyio

SESSION = session_id(1)
PATH = f"/verify/{SESSION}"
ALICE = Person(UserId("alice"), "Alice")
FOR_EVER = 4e9  # seconds since the epoch
CLAIMS = Claims("alice", "sid-1", Audience.LOGIN, iat=0.0, exp=FOR_EVER)
ENTRY = Key("entry", "1a" * 32, algorithm="EdDSA", use=Use.ENTRY)
OLD = Key("old", "1e" * 32)  # as hubs made them before Ed25519
RING = KeyRing((Key("ours", "0f" * 32, algorithm="EdDSA"), ENTRY, OLD))
EARLIER = OLD.sign(CLAIMS)


def headers(token: str) -> Headers:
    """Return what Traefik sends of a program's request with this log-in."""
    asked = {
        "x-forwarded-method": "GET",
        "x-forwarded-uri": f"/s/{SESSION}/",
        "x-forwarded-host": "localhost:8080",
        "x-forwarded-proto": "http",
        "cookie": f"slicerhub-login={token}",
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in asked.items()]


class Gate:
    """A gate that follows a controller, which the test is."""

    def __init__(self) -> None:
        """It has heard of one session and one log-in, just now."""
        self.seconds = 0.0
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
        del token, audience
        await sleep_forever()
        return b""

    async def answer(self, token: str) -> Answer:
        """Answer as the listener does."""
        try:
            return self.door.answer(PATH, headers(token))
        except AskFirst as asked:
            return await self.door.answer_after(asked, PATH, headers(token))


async def test_silence_while_it_asks() -> None:
    """What was asked of a controller that fell silent meanwhile keeps no request for ever."""
    gate = Gate()
    with pytest.raises(AskFirst) as caught:
        gate.door.answer(PATH, headers(EARLIER))
    gate.seconds += SILENCE_SECONDS + 1
    with fail_after(5):
        found = await gate.door.answer_after(caught.value, PATH, headers(EARLIER))
    assert found.status == 503


async def test_no_answer_in_time() -> None:
    """A controller that does not answer in time is waited for by its bound, and nobody passes."""
    with fail_after(5):
        assert (await Gate().answer(EARLIER)).status == 503
