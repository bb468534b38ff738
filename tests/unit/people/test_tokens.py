"""A token proves what it says only if this hub signed it, for this purpose, for now."""

from __future__ import annotations

import base64
import hashlib
import hmac
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
    Claims,
    Key,
    KeyRing,
    Keys,
    TokenRefused,
    VerifiedTokens,
)

NOW = 1_800_000_000.0
OURS = Key("ours", "0f" * 32)
OLD = Key("old", "1e" * 32)
THEIRS = Key("ours", "2d" * 32)
RING = KeyRing((OURS, OLD))
CLAIMS = Claims("alice", "sid-1", Audience.LOGIN, iat=NOW, exp=NOW + 3600)
BODY: dict[str, Any] = to_builtins(CLAIMS)
HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT", "kid": "ours"}
GOOD = RING.issue(CLAIMS)


def encoded(raw: bytes) -> str:
    """Return base64 as tokens have it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(
    header: object = HEADER,
    body: object = BODY,
    *,
    key: Key | None = OURS,
    digest: str = "sha256",
) -> str:
    """Return a token made by hand; ``key`` None leaves the signature out."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(body).encode())}"
    secret = bytes.fromhex(key.secret) if key else b""
    signature = hmac.digest(secret, text.encode(), digest) if key else b""
    return f"{text}.{encoded(signature)}"


def with_body(token: str, **changes: object) -> str:
    """Return a token whose claims were changed after it was signed."""
    header, _, signature = token.split(".")
    return f"{header}.{encoded(json.dumps(BODY | changes).encode())}.{signature}"


FORGERIES = {
    "empty": "",
    "no token": "hello",
    "dots": "..",
    "alg none": forged(HEADER | {"alg": "none"}, key=None),
    "alg None": forged(HEADER | {"alg": "nOnE"}, key=None),
    "alg none, signed": forged(HEADER | {"alg": "none"}),
    "alg missing": forged({"typ": "JWT", "kid": "ours"}),
    "alg empty": forged(HEADER | {"alg": ""}),
    "alg a list": forged(HEADER | {"alg": ["HS256"]}),
    "other key": forged(key=THEIRS),
    "empty key": forged(key=Key("ours", "")),
    "another key of the ring": forged(key=OLD),
    "other user": with_body(GOOD, sub="carol"),
    "longer life": with_body(GOOD, exp=NOW * 2),
    "signature missing": GOOD.rpartition(".")[0] + ".",
    "signature left out": GOOD.rpartition(".")[0],
    "truncated": GOOD[:-4],
    "twice": f"{GOOD}.{GOOD}",
    "HS512": forged(HEADER | {"alg": "HS512"}, digest="sha512"),
    "HS for RS": forged(HEADER | {"alg": "RS256"}),
    "ES256": forged(HEADER | {"alg": "ES256"}),
    "crit": forged(HEADER | {"crit": ["x"], "x": 1}),
    "kid missing": forged({"alg": "HS256", "typ": "JWT"}),
    "kid a path": forged(HEADER | {"kid": "../../../dev/null"}, key=Key("", "")),
    "kid a number": forged(HEADER | {"kid": 0}),
    "kid a list": forged(HEADER | {"kid": ["ours"]}),
    "kid an object": forged(HEADER | {"kid": {"ours": 1}}),
    "jku": forged(HEADER | {"jku": "http://evil.example/keys", "kid": "theirs"}, key=THEIRS),
    "jwk": forged(
        HEADER | {"jwk": {"kty": "oct", "k": encoded(bytes.fromhex(THEIRS.secret))}}, key=THEIRS
    ),
    "x5u": forged(HEADER | {"x5u": "http://evil.example/c"}, key=THEIRS),
    "header a list": forged([]),
    "header a text": forged("x"),
    "body a list": forged(body=[]),
    "body a text": forged(body="x"),
    "body null": forged(body=None),
    "header nested without end": f"{encoded(b'[' * 2900)}.e30.e30",
    "body nested without end": f"{encoded(json.dumps(HEADER).encode())}.{encoded(b'[' * 2800)}.e30",
    "not ASCII": GOOD[:-1] + "é",
    "line break": GOOD + "\n.",
    "blank": " " + GOOD[1:],
    "NUL": GOOD[:20] + "\x00" + GOOD[20:],
    "huge": GOOD + "a" * 10_000,
    "surrogate": GOOD[:-1] + "\ud800",
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES.keys())
def test_forgeries(token: str) -> None:
    """A token that this hub did not sign as it signs is refused, and never makes a fault."""
    with pytest.raises(TokenRefused):
        RING.verify(token, Audience.LOGIN, NOW)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Nothing that comes as a token ends in anything but a refusal."""
    with pytest.raises(TokenRefused):
        RING.verify(text, Audience.LOGIN, NOW)


@pytest.mark.parametrize("audience", list(Audience))
def test_own_token(audience: Audience) -> None:
    """What the hub signed it reads again, unchanged."""
    claims = replace(CLAIMS, aud=audience)
    assert claims == RING.verify(RING.issue(claims), audience, NOW)


@pytest.mark.parametrize("audience", list(Audience))
@pytest.mark.parametrize("issued", list(Audience))
def test_one_kind_is_no_other(issued: Audience, audience: Audience) -> None:
    """A token for scripts or of the hub itself is no log-in cookie, nor the other way round."""
    if issued is audience:
        return
    with pytest.raises(TokenRefused):
        RING.verify(RING.issue(replace(CLAIMS, aud=issued)), audience, NOW)


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
    with pytest.raises(TokenRefused):
        RING.verify(forged(body=body), Audience.LOGIN, NOW)


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


def test_a_new_key_waits() -> None:
    """A new key verifies at once and signs only when everybody knows it; the old one ends later."""
    new = Key("new", "3c" * 32, made=NOW, signs=NOW + 30)
    before, after = KeyRing((OURS,)), KeyRing((OURS,)).rotated(new, ends=NOW + 5000)
    assert before.verify(after.issue(CLAIMS), Audience.LOGIN, NOW) == CLAIMS
    later = replace(CLAIMS, iat=NOW + 30)
    assert after.verify(after.issue(later), Audience.LOGIN, NOW + 30) == later
    with pytest.raises(TokenRefused):
        before.verify(after.issue(later), Audience.LOGIN, NOW + 30)
    assert after.standing(NOW + 4999) == after
    assert after.standing(NOW + 5000) == KeyRing((new,))
    lasting = before.issue(replace(CLAIMS, exp=NOW + 9000))
    assert after.verify(lasting, Audience.LOGIN, NOW + 4999)
    with pytest.raises(TokenRefused):
        after.verify(lasting, Audience.LOGIN, NOW + 5000)


def test_clock_behind() -> None:
    """A controller whose clock is behind signs with a key that everybody knows."""
    ring = KeyRing((Key("b", "3c" * 32, signs=NOW + 30), Key("a", "4d" * 32, signs=NOW)))
    assert ring.signing(NOW - 3600).kid == "a"
    assert [ring.signing(NOW + at).kid for at in (0, 29, 30)] == ["a", "a", "b"]


@given(st.lists(st.tuples(st.integers(1, 40_000), st.integers(600, 40_000)), max_size=12))
def test_any_rotations(steps: list[tuple[int, int]]) -> None:
    """However often keys are rotated, whatever was signed verifies until it is over, no longer."""
    ring, now, hour = KeyRing((Key("0", "00" * 32),)), NOW, 3600.0
    signed: list[Claims] = []
    tokens: list[str] = []
    for number, (pause, more) in enumerate(steps, start=1):
        now += pause
        key = Key(str(number), f"{number:02x}" * 32, made=now, signs=now + 30)
        ring = ring.standing(now).rotated(key, ends=now + 30 + hour + LEEWAY)
        for at in (now, now + 29, now + 30, now + 30 + more):
            signed.append(replace(CLAIMS, iat=at, exp=at + hour))
            tokens.append(ring.issue(signed[-1]))
        now += 30 + more
        for claims, token in zip(signed, tokens, strict=True):
            if now <= claims.exp + LEEWAY:
                assert ring.standing(now).verify(token, Audience.LOGIN, now) == claims
            else:
                with pytest.raises(TokenRefused):
                    ring.verify(token, Audience.LOGIN, now)
    assert len({one.kid for one in ring.keys}) == len(ring.keys)


def test_another_ring_counts_at_once() -> None:
    """What was verified a moment ago is not believed any more when its key is dropped."""
    keys = Keys(KeyRing((OURS,)))
    tokens = VerifiedTokens(keys, Clock(NOW))
    assert tokens.verify(GOOD, Audience.LOGIN) == CLAIMS
    keys.ring = KeyRing((OLD,))
    with pytest.raises(TokenRefused):
        tokens.verify(GOOD, Audience.LOGIN)


def test_form_tokens() -> None:
    """A form is good for the log-in that it was made for, also after a key's rotation."""
    made = RING.csrf("sid-1", NOW)
    assert RING.csrf_matches("sid-1", made)
    assert RING.csrf_matches("sid-1", KeyRing((OLD,)).csrf("sid-1", NOW))
    for sid, given_ in (("sid-2", made), ("sid-1", ""), ("sid-1", "é"), ("sid-1", made[:-1])):
        assert not RING.csrf_matches(sid, given_)
    assert not KeyRing((OURS,)).csrf_matches("sid-1", KeyRing((THEIRS,)).csrf("sid-1", NOW))


class Clock:
    """A clock that the test turns."""

    def __init__(self, now: float) -> None:
        """Begin at ``now`` (seconds since the epoch)."""
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@given(st.lists(st.floats(-4000, 4000), max_size=12))
def test_memory_never_outlives_the_token(steps: list[float]) -> None:
    """What was verified before is no longer believed once its time is over, whatever the clock."""
    clock = Clock(NOW)
    tokens = VerifiedTokens(Keys(RING), clock, seconds=1e9)
    assert tokens.verify(GOOD, Audience.LOGIN) == CLAIMS
    for step in steps:
        clock.now += step
        if NOW - LEEWAY <= clock.now <= CLAIMS.exp + LEEWAY:
            assert tokens.verify(GOOD, Audience.LOGIN) == CLAIMS
        else:
            with pytest.raises(TokenRefused):
                tokens.verify(GOOD, Audience.LOGIN)


def test_memory_keeps_kinds_apart() -> None:
    """What was verified as a log-in is not remembered as anything else."""
    tokens = VerifiedTokens(Keys(RING), Clock(NOW))
    tokens.verify(GOOD, Audience.LOGIN)
    with pytest.raises(TokenRefused):
        tokens.verify(GOOD, Audience.SERVICE)


def test_memory_is_bounded() -> None:
    """Many tokens do not make the controller grow."""
    tokens = VerifiedTokens(Keys(RING), Clock(NOW), size=3)
    for number in range(10):
        tokens.verify(RING.issue(replace(CLAIMS, sid=str(number))), Audience.LOGIN)
    assert len(tokens._known) == 3  # pyright: ignore[reportPrivateUsage] - nothing else shows it


def test_secrets_are_not_shown() -> None:
    """No print of a key shows its secret."""
    assert OURS.secret not in repr(RING) + str(RING) + f"{RING.keys}"
    assert hashlib.sha256(OURS.secret.encode()).hexdigest() not in repr(RING)


@pytest.mark.parametrize(
    ("kid", "made", "proves", "may"),
    [
        ("ours", NOW, True, True),
        ("old", NOW, True, True),
        ("gone", NOW, False, False),
        ("newer", NOW + 60, False, True),  # by a controller that has another ring already
        ("", NOW - 60, False, False),
        ("", NOW, True, True),  # by a hub that did not write it down
    ],
)
def test_what_a_ring_proves(kid: str, made: float, *, proves: bool, may: bool) -> None:
    """A log-in ends with the key that proves it, unless that key may be one not heard of yet."""
    ring = KeyRing((replace(OURS, made=NOW + 60), replace(OLD, made=NOW)))
    assert (ring.proves(kid, made), ring.may_prove(kid, made)) == (proves, may)
