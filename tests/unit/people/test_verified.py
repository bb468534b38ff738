"""A token that was verified is believed for a while, and never when it should not be any more."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.people.tokens import (
    LEEWAY,
    Audience,
    CannotSign,
    Claims,
    Key,
    KeyRing,
    Keys,
    PublicRing,
    TokenRefused,
    TokenUnproven,
    Use,
)
from controller.people.verified import GateKeys, HeldKeys, VerifiedTokens
from tests.support.forgery import token

NOW = 1_800_000_000.0
OURS = Key("ours", "0f" * 32, algorithm="EdDSA")
ENTRY = Key("entry", "1a" * 32, algorithm="EdDSA", use=Use.ENTRY)
OLD = Key("old", "1e" * 32)  # as hubs made them before Ed25519
RING = KeyRing((OURS, ENTRY, OLD))
CLAIMS = Claims("alice", "sid-1", Audience.LOGIN, iat=NOW, exp=NOW + 3600)
GOOD = RING.issue(CLAIMS)
EARLIER = OLD.sign(CLAIMS)


class Clock:
    """A clock that the test turns."""

    def __init__(self, now: float) -> None:
        """Begin at ``now`` (seconds since the epoch)."""
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def gate_keys() -> GateKeys:
    """Return what a gate has of the ring."""
    return GateKeys(RING.public(), RING.entries())


def both() -> tuple[HeldKeys, HeldKeys]:
    """Return the keys of the hub and of a gate."""
    return Keys(RING), gate_keys()


@given(st.lists(st.floats(-4000, 4000), max_size=12))
def test_memory_never_outlives_the_token(steps: list[float]) -> None:
    """What was verified before is no longer believed once its time is over, whatever the clock."""
    for keys, told in ((Keys(RING), GOOD), (gate_keys(), GOOD), (gate_keys(), EARLIER)):
        clock = Clock(NOW)
        tokens = VerifiedTokens(keys, clock, seconds=1e9)
        tokens.remember(EARLIER, CLAIMS)
        assert tokens.verify(told, Audience.LOGIN) == CLAIMS
        for step in steps:
            clock.now += step
            if NOW - LEEWAY <= clock.now <= CLAIMS.exp + LEEWAY:
                assert tokens.verify(told, Audience.LOGIN) == CLAIMS
            else:
                with pytest.raises(TokenRefused):
                    tokens.verify(told, Audience.LOGIN)


def test_memory_keeps_kinds_apart() -> None:
    """What was verified as a log-in is not remembered as anything else."""
    for keys in both():
        tokens = VerifiedTokens(keys, Clock(NOW))
        tokens.remember(EARLIER, CLAIMS)
        for one in (GOOD, EARLIER):
            tokens.verify(one, Audience.LOGIN)
            with pytest.raises(TokenRefused):
                tokens.verify(one, Audience.SERVICE)


def test_memory_is_bounded() -> None:
    """Many tokens do not make the hub or a gate grow."""
    for keys in both():
        tokens = VerifiedTokens(keys, Clock(NOW), size=3)
        for number in range(10):
            claims = replace(CLAIMS, sid=str(number))
            tokens.remember(OLD.sign(claims), claims)
            tokens.verify(RING.issue(claims), Audience.LOGIN)
        assert len(tokens._known) == 3  # pyright: ignore[reportPrivateUsage] - nothing else shows it
        assert len(tokens._told) == 3  # pyright: ignore[reportPrivateUsage] - the same


def test_another_ring_counts_at_once() -> None:
    """What was verified a moment ago is not believed any more when its key is dropped."""
    keys = Keys(KeyRing((OURS,)))
    tokens = VerifiedTokens(keys, Clock(NOW))
    assert tokens.verify(GOOD, Audience.LOGIN) == CLAIMS
    keys.ring = KeyRing((OLD,))
    with pytest.raises(TokenRefused):
        tokens.verify(GOOD, Audience.LOGIN)


def test_what_the_hub_has_told() -> None:
    """A log-in of before Ed25519 goes on at a gate once the hub has said whose it is."""
    keys = gate_keys()
    tokens = VerifiedTokens(keys, Clock(NOW))
    with pytest.raises(TokenUnproven):
        tokens.verify(EARLIER, Audience.LOGIN)
    tokens.remember(EARLIER, CLAIMS)
    assert tokens.verify(EARLIER, Audience.LOGIN) == CLAIMS
    # A rotation does not make the gate ask again; a key that is dropped ends it.
    keys.ring = PublicRing(RING.public().keys[:1], RING.public().legacy)
    assert tokens.verify(EARLIER, Audience.LOGIN) == CLAIMS
    keys.ring = PublicRing(RING.public().keys)
    with pytest.raises(TokenRefused):
        tokens.verify(EARLIER, Audience.LOGIN)


def test_told_too_late() -> None:
    """The hub's word comes after the key was dropped: it counts no more."""
    keys = gate_keys()
    tokens = VerifiedTokens(keys, Clock(NOW))
    with pytest.raises(TokenUnproven):
        tokens.verify(EARLIER, Audience.LOGIN)
    keys.ring = PublicRing(RING.public().keys)
    tokens.remember(EARLIER, CLAIMS)
    with pytest.raises(TokenRefused):
        tokens.verify(EARLIER, Audience.LOGIN)


@pytest.mark.row(57)
@pytest.mark.parametrize("audience", list(Audience))
def test_what_a_gate_signs(audience: Audience) -> None:
    """A gate makes entries, which hub and gates believe, and nothing else."""
    keys, claims = gate_keys(), replace(CLAIMS, aud=audience)
    if audience is Audience.ENTRY:
        entry = keys.issue(claims)
        assert RING.verify(entry, audience, NOW) == keys.ring.verify(entry, audience, NOW) == claims
        return
    with pytest.raises(CannotSign):
        keys.issue(claims)


def test_a_gate_without_a_key() -> None:
    """A gate that has no key yet says that it cannot let anybody in now."""
    keys = GateKeys(RING.public(), KeyRing(()))
    with pytest.raises(CannotSign, match="Try again"):
        keys.issue(replace(CLAIMS, aud=Audience.ENTRY))


def test_a_gate_without_a_key_of_its_own() -> None:
    """The ring of an earlier hub has no key that a gate may have: none of it comes there."""
    ring = KeyRing((OLD,))
    assert ring.entries().keys == ring.public().keys == ()
    assert ring.public().legacy == (OLD.kid,)
    assert OLD.secret not in str(msgspec.json.encode(ring.public()))


@given(
    st.sampled_from([one for one in Audience if one is not Audience.ENTRY]),
    st.sampled_from([one.kid for one in RING.keys] + ["", "another"]),
    st.sampled_from(["EdDSA", "HS256", "none"]),
    st.sampled_from([ENTRY.secret, *(one.public for one in RING.public().keys)]),
)
def test_a_gate_that_is_taken_over(audience: Audience, kid: str, alg: str, secret: str) -> None:
    """With all that a gate knows nobody can make a token that is more than an entry."""
    knows = gate_keys()
    assert OURS.secret not in str(msgspec.json.encode((knows.ring, knows.entries)))
    claims = msgspec.to_builtins(replace(CLAIMS, aud=audience))
    for key in (Key(kid, secret), Key(kid, secret, algorithm="EdDSA")):
        made = token({"alg": alg, "typ": "JWT", "kid": kid}, claims, key)
        with pytest.raises(TokenRefused):
            RING.verify(made, audience, NOW)
        with pytest.raises((TokenRefused, TokenUnproven)):
            knows.ring.verify(made, audience, NOW)


def test_sent_to_a_gate() -> None:
    """What a gate gets comes there as it was, in the form in which it is sent."""
    ring, entries = RING.public(), RING.entries()
    sent = msgspec.msgpack.encode((ring, entries))
    assert msgspec.msgpack.decode(sent, type=tuple[PublicRing, KeyRing]) == (ring, entries)
