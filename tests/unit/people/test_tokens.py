"""A token proves what it says only if this hub signed it, for this purpose, for now."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace

from controller.people.tokens import (
    LEEWAY,
    Audience,
    CannotSign,
    Claims,
    Key,
    KeyRing,
    TokenRefused,
    TokenUnproven,
    Use,
    use_of,
)
from tests.support.forgery import encoded, header_of, token

NOW = 1_800_000_000.0
OURS = Key("ours", "0f" * 32, algorithm="EdDSA")
ENTRY = Key("entry", "1a" * 32, algorithm="EdDSA", use=Use.ENTRY)
OLD = Key("old", "1e" * 32)  # as hubs made them before Ed25519
RING = KeyRing((OURS, ENTRY, OLD))
PUBLIC = RING.public()
CLAIMS = Claims("alice", "sid-1", Audience.LOGIN, iat=NOW, exp=NOW + 3600)
BODY: dict[str, Any] = to_builtins(CLAIMS)
GOOD = RING.issue(CLAIMS)


def with_body(good: str, **changes: object) -> str:
    """Return a token whose claims were changed after it was signed."""
    header, _, signature = good.split(".")
    return f"{header}.{encoded(json.dumps(BODY | changes).encode())}.{signature}"


def forgeries(ours: Key) -> dict[str, str]:
    """Return what others might make of a token of this key."""
    good = ours.sign(CLAIMS)
    theirs = replace(ours, secret="2d" * 32)
    empty = Key("", "")

    def made(key: Key | None = ours, body: object = BODY, **header: object) -> str:
        return token(header_of(ours, **header), body, key)

    return {
        "empty": "",
        "no token": "hello",
        "dots": "..",
        "alg none": made(None, alg="none"),
        "alg None": made(None, alg="nOnE"),
        "alg none, signed": made(alg="none"),
        "alg missing": token({"typ": "JWT", "kid": ours.kid}, BODY, ours),
        "alg empty": made(alg=""),
        "alg a list": made(alg=[ours.algorithm]),
        "other key": made(theirs),
        "empty key": made(empty),
        "other user": with_body(good, sub="carol"),
        "longer life": with_body(good, exp=NOW * 2),
        "signature missing": good.rpartition(".")[0] + ".",
        "signature left out": good.rpartition(".")[0],
        "truncated": good[:-4],
        "twice": f"{good}.{good}",
        "RS256": made(alg="RS256"),
        "ES256": made(alg="ES256"),
        "crit": made(crit=["x"], x=1),
        "kid missing": token({"alg": ours.algorithm, "typ": "JWT"}, BODY, ours),
        "kid a path": made(empty, kid="../../../dev/null"),
        "kid a number": made(kid=0),
        "kid a list": made(kid=[ours.kid]),
        "kid an object": made(kid={ours.kid: 1}),
        "jku": made(theirs, jku="http://evil.example/keys", kid="theirs"),
        "jwk": made(theirs, jwk={"kty": "oct", "k": encoded(bytes.fromhex(theirs.secret))}),
        "x5u": made(theirs, x5u="http://evil.example/c"),
        "header a list": token([], BODY, ours),
        "header a text": token("x", BODY, ours),
        "body a list": made(body=[]),
        "body a text": made(body="x"),
        "body null": made(body=None),
        "header nested without end": f"{encoded(b'[' * 2900)}.e30.e30",
        "body nested without end": f"{good.partition('.')[0]}.{encoded(b'[' * 2800)}.e30",
        "not ASCII": good[:-1] + "é",
        "line break": good + "\n.",
        "blank": " " + good[1:],
        "NUL": good[:20] + "\x00" + good[20:],
        "huge": good + "a" * 10_000,
        "surrogate": good[:-1] + "\ud800",
    }


FORGERIES = {
    f"{what}, {key.algorithm}": forged
    for key in (OURS, OLD)
    for what, forged in forgeries(key).items()
}

CONFUSIONS = {
    # What everybody may know of our key as the secret of a token that names it.
    "HS256 by the public key": token(
        header_of(OURS, alg="HS256"), BODY, Key("", OURS.public().public)
    ),
    "HS256 by the public key as text": token(
        header_of(OURS, alg="HS256"), BODY, Key("", OURS.public().public.encode().hex())
    ),
    "HS256 by the seed": token(header_of(OURS, alg="HS256"), BODY, Key("", OURS.secret)),
    "HS256 that says EdDSA": token(header_of(OURS), BODY, Key("", OURS.public().public)),
    "EdDSA for a key of HS256": token(header_of(OLD, alg="EdDSA"), BODY, OURS),
    "EdDSA by its secret as the seed": token(
        header_of(OLD, alg="EdDSA"), BODY, replace(OLD, algorithm="EdDSA")
    ),
    "EdDSA that says HS256": token(header_of(OURS, alg="HS256"), BODY, OURS),
    "Ed448": token(header_of(OURS, alg="Ed448"), BODY, OURS),
    "HS512": token(header_of(OLD, alg="HS512"), BODY, OLD, digest="sha512"),
    "another key of the ring": token(header_of(OURS), BODY, ENTRY),
    "another key of the ring, by name": token(header_of(ENTRY), BODY, OURS),
    "another key of the ring, HS256": token(header_of(OLD), BODY, Key("", OURS.secret)),
    "the key for entries": ENTRY.sign(CLAIMS),
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())
def test_forgeries(forged: str) -> None:
    """A token that this hub did not sign as it signs is refused, and never makes a fault."""
    with pytest.raises(TokenRefused):
        RING.verify(forged, Audience.LOGIN, NOW)
    with pytest.raises((TokenRefused, TokenUnproven)):
        PUBLIC.verify(forged, Audience.LOGIN, NOW)


@pytest.mark.parametrize("forged", CONFUSIONS.values(), ids=CONFUSIONS.keys())
def test_confusions(forged: str) -> None:
    """The key decides how it is verified and what for, never the token."""
    with pytest.raises(TokenRefused):
        RING.verify(forged, Audience.LOGIN, NOW)
    with pytest.raises((TokenRefused, TokenUnproven)):
        PUBLIC.verify(forged, Audience.LOGIN, NOW)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Nothing that comes as a token ends in anything but a refusal."""
    for ring in (RING, PUBLIC):
        with pytest.raises(TokenRefused):
            ring.verify(text, Audience.LOGIN, NOW)


@pytest.mark.parametrize("audience", list(Audience))
def test_own_token(audience: Audience) -> None:
    """What the hub signed it reads again, unchanged."""
    claims = replace(CLAIMS, aud=audience)
    assert claims == RING.verify(RING.issue(claims), audience, NOW)
    assert claims == PUBLIC.verify(RING.issue(claims), audience, NOW)


@pytest.mark.parametrize("audience", list(Audience))
@pytest.mark.parametrize("issued", list(Audience))
def test_one_kind_is_no_other(issued: Audience, audience: Audience) -> None:
    """A token for scripts or of the hub itself is no log-in cookie, nor the other way round."""
    if issued is audience:
        return
    for ring in (RING, PUBLIC):
        with pytest.raises(TokenRefused):
            ring.verify(RING.issue(replace(CLAIMS, aud=issued)), audience, NOW)


@pytest.mark.parametrize("audience", list(Audience))
@pytest.mark.parametrize("key", RING.keys, ids=lambda key: key.kid)
def test_each_use_for_its_own(key: Key, audience: Audience) -> None:
    """A key is believed for what it is for: one for entries never for a log-in."""
    claims = replace(CLAIMS, aud=audience)
    signed = key.sign(claims)
    good = key is OLD or key.use is use_of(audience)
    if good:
        assert RING.verify(signed, audience, NOW) == claims
    else:
        with pytest.raises(TokenRefused):
            RING.verify(signed, audience, NOW)
    if key is OLD:
        with pytest.raises(TokenUnproven) as caught:
            PUBLIC.verify(signed, audience, NOW)
        assert (caught.value.token, caught.value.audience) == (signed, audience)
        assert signed not in str(caught.value) + repr(caught.value)
    elif good:
        assert PUBLIC.verify(signed, audience, NOW) == claims
    else:
        with pytest.raises(TokenRefused):
            PUBLIC.verify(signed, audience, NOW)


REFUSED_CLAIMS: dict[str, dict[str, Any]] = {
    **{f"{name} missing": {k: v for k, v in BODY.items() if k != name} for name in BODY},
    **{f"{name} null": BODY | {name: None} for name in BODY},
    "sub a number": BODY | {"sub": 1},
    "sid a list": BODY | {"sid": ["sid-1"]},
    "aud a list": BODY | {"aud": ["login", "api"]},
    "aud unknown": BODY | {"aud": "root"},
    "exp a text": BODY | {"exp": "2100-01-01"},
    "exp true": BODY | {"exp": True},
    "iat a text": BODY | {"iat": "now"},
    "expired": BODY | {"iat": NOW - 7200, "exp": NOW - LEEWAY - 1},
    "expired long ago": BODY | {"iat": 0, "exp": 1},
    "not yet valid": BODY | {"iat": NOW + LEEWAY + 1},
}


@pytest.mark.parametrize("body", REFUSED_CLAIMS.values(), ids=REFUSED_CLAIMS.keys())
def test_claims(body: dict[str, Any]) -> None:
    """Even with our own signature nothing passes that is not whole, of its kind and of now."""
    for key in (OURS, OLD):
        made = token(header_of(key), body, key)
        for ring in (RING, PUBLIC):
            with pytest.raises(TokenRefused):
                ring.verify(made, Audience.LOGIN, NOW)


@pytest.mark.parametrize("now", [NOW - LEEWAY, NOW, NOW + 3600, NOW + 3600 + LEEWAY])
def test_clocks_may_differ_a_little(now: float) -> None:
    """Half a minute between two clocks logs nobody out."""
    assert RING.verify(GOOD, Audience.LOGIN, now) == CLAIMS


def test_rotation() -> None:
    """A new key logs nobody out; a key that was taken from the ring proves nothing any more."""
    by_old = KeyRing((OLD,)).issue(CLAIMS)
    assert RING.verify(by_old, Audience.LOGIN, NOW) == CLAIMS
    with pytest.raises(TokenRefused):
        KeyRing((OURS,)).verify(by_old, Audience.LOGIN, NOW)


def pair(name: str, number: int, *, made: float = 0.0, signs: float = 0.0) -> tuple[Key, ...]:
    """Return a key for each use."""
    return tuple(
        Key(
            f"{name}-{use}",
            f"{number + at:02x}" * 32,
            made=made,
            signs=signs,
            algorithm="EdDSA",
            use=use,
        )
        for at, use in enumerate(Use)
    )


@pytest.mark.parametrize("audience", list(Audience))
@pytest.mark.parametrize("before", [KeyRing((OLD,)), KeyRing((OURS, ENTRY))], ids=["HS256", "new"])
def test_a_new_key_waits(before: KeyRing, audience: Audience) -> None:
    """A new key verifies at once and signs only when everybody knows it; the old one ends later."""
    now = replace(CLAIMS, aud=audience)
    new = pair("new", 0x3C, made=NOW, signs=NOW + 30)
    after = before.rotated(new, ends=NOW + 5000)
    assert before.verify(after.issue(now), audience, NOW) == now
    later = replace(now, iat=NOW + 30)
    assert after.verify(after.issue(later), audience, NOW + 30) == later
    with pytest.raises(TokenRefused):
        before.verify(after.issue(later), audience, NOW + 30)
    assert after.standing(NOW + 4999) == after
    assert after.standing(NOW + 5000) == KeyRing(new)
    lasting = before.issue(replace(now, exp=NOW + 9000))
    assert after.verify(lasting, audience, NOW + 4999)
    with pytest.raises(TokenRefused):
        after.verify(lasting, audience, NOW + 5000)


@pytest.mark.parametrize("use", list(Use))
def test_clock_behind(use: Use) -> None:
    """A controller whose clock is behind signs with a key that everybody knows."""
    ring = KeyRing((*pair("b", 0x3C, signs=NOW + 30), *pair("a", 0x4D, signs=NOW)))
    assert ring.signing(use, NOW - 3600).kid == f"a-{use}"
    assert [ring.signing(use, NOW + at).kid[0] for at in (0, 29, 30)] == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("keys", "complete"),
    [
        ((OURS, ENTRY), True),
        ((OURS, ENTRY, OLD), True),
        ((OLD, OURS, ENTRY), False),  # an earlier hub has rotated it
        ((OLD,), False),
        ((OURS, OLD), False),
    ],
)
def test_complete(keys: tuple[Key, ...], *, complete: bool) -> None:
    """A ring lacks something as long as the newest log-in or entry is not signed with Ed25519."""
    assert KeyRing(keys).complete is complete


def test_nothing_to_sign_with() -> None:
    """Keys for entries alone sign no log-in, not even for want of others."""
    with pytest.raises(CannotSign):
        RING.entries().issue(CLAIMS)
    with pytest.raises(CannotSign):
        KeyRing((OURS,)).issue(replace(CLAIMS, aud=Audience.ENTRY))


@given(
    steps=st.lists(st.tuples(st.integers(1, 40_000), st.integers(600, 40_000)), max_size=8),
    audience=st.sampled_from(list(Audience)),
    early=st.booleans(),
)
def test_any_rotations(steps: list[tuple[int, int]], audience: Audience, *, early: bool) -> None:
    """However often keys are rotated, whatever was signed verifies until it is over, no longer."""
    ring, now, hour = KeyRing((OLD,) if early else pair("0", 0)), NOW, 3600.0
    signed: list[Claims] = []
    tokens: list[str] = []
    for number, (pause, more) in enumerate(steps, start=1):
        now += pause
        new = pair(str(number), 2 * number, made=now, signs=now + 30)
        ring = ring.standing(now).rotated(new, ends=now + 30 + hour + LEEWAY)
        for at in (now, now + 29, now + 30, now + 30 + more):
            signed.append(replace(CLAIMS, aud=audience, iat=at, exp=at + hour))
            tokens.append(ring.issue(signed[-1]))
        now += 30 + more
        for claims, made in zip(signed, tokens, strict=True):
            if now <= claims.exp + LEEWAY:
                assert ring.standing(now).verify(made, audience, now) == claims
            else:
                with pytest.raises(TokenRefused):
                    ring.verify(made, audience, now)
    assert len({one.kid for one in ring.keys}) == len(ring.keys)


def test_secrets_are_not_shown() -> None:
    """No print of a key shows its secret, and nothing of it is among what everybody may know."""
    for key in RING.keys:
        assert key.secret not in repr(RING) + str(RING) + f"{RING.keys}" + repr(PUBLIC)
        assert hashlib.sha256(key.secret.encode()).hexdigest() not in repr(RING)


@pytest.mark.parametrize(
    ("kid", "made", "proves", "may"),
    [
        ("ours", NOW, True, True),
        ("old", NOW, True, True),
        ("entry", NOW, False, False),  # proves no log-in
        ("gone", NOW, False, False),
        ("newer", NOW + 60, False, True),  # by a controller that has another ring already
        ("", NOW - 60, False, False),
        ("", NOW, True, True),  # by a hub that did not write it down
    ],
)
def test_what_a_ring_proves(kid: str, made: float, *, proves: bool, may: bool) -> None:
    """A log-in ends with the key that proves it, unless that key may be one not heard of yet."""
    keys = (replace(OURS, made=NOW + 60), replace(OLD, made=NOW), replace(ENTRY, made=NOW - 90))
    ring = KeyRing(keys)
    assert (ring.proves(kid, made), ring.may_prove(kid, made)) == (proves, may)
