"""Signed tokens: one audience for each kind, one key ring, and a short memory of what was verified.

HS256 with 256-bit keys: the hub is the only one that signs and verifies. The ring's first key
signs, all verify, so that a rotation logs nobody out. Time is an argument: PyJWT is asked for
signature and form only, the times are compared here.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import jwt
import msgspec

from controller.errors import ConfigError

_ALGORITHMS = ["HS256"]  # a literal list: what the token's header says is never believed
_KEY_BYTES = 32
_MAX_TOKEN = 4096  # characters; longer ones are not even parsed
LEEWAY = 30.0  # seconds between clocks


class Audience(StrEnum):
    """What a token is for; one kind never passes for another."""

    LOGIN = "login"  # the cookie
    API = "api"  # a script's bearer token
    SERVICE = "service"  # the controller itself, towards one session


class Key(msgspec.Struct, frozen=True):
    """One secret of the ring; ``secret`` is hexadecimal."""

    kid: str
    secret: str

    def __repr__(self) -> str:
        """Never show the secret."""
        return f"Key(kid={self.kid!r})"


class Claims(msgspec.Struct, frozen=True):
    """What a token says. ``sid`` is the log-in's id or, for a service, the session's."""

    sub: str
    sid: str
    aud: Audience
    iat: float  # seconds since the epoch
    exp: float


class TokenRefused(Exception):
    """The token proves nothing; the message is for the log only."""


class KeyRing(msgspec.Struct, frozen=True):
    """Keys, the newest first."""

    keys: tuple[Key, ...]

    def issue(self, claims: Claims) -> str:
        """Sign ``claims`` with the newest key."""
        key = self.keys[0]
        payload: dict[str, Any] = msgspec.to_builtins(claims)
        return jwt.encode(  # pyright: ignore[reportUnknownMemberType] - keys of a package not here
            payload, bytes.fromhex(key.secret), algorithm=_ALGORITHMS[0], headers={"kid": key.kid}
        )

    def verify(self, token: str, audience: Audience, now: float) -> Claims:
        """Return the claims of a token of this ring and kind that is valid at ``now``.

        Raises TokenRefused for anything else.
        """
        if len(token) > _MAX_TOKEN:
            raise TokenRefused("too long")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = next((one for one in self.keys if one.kid == kid), None)
            if key is None:
                raise TokenRefused("signed by no key of ours")
            payload = jwt.decode(  # pyright: ignore[reportUnknownMemberType] - the same
                token,
                bytes.fromhex(key.secret),
                algorithms=_ALGORITHMS,
                audience=audience.value,
                options={
                    "require": ["sub", "sid", "aud", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = msgspec.convert(payload, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, TypeError) as error:
            raise TokenRefused(type(error).__name__) from error
        check_times(claims, now)
        return claims

    def csrf(self, sid: str) -> str:
        """Return the form token of a log-in: a keyed hash of its id, worthless to another."""
        return hmac.digest(
            bytes.fromhex(self.keys[0].secret), f"csrf:{sid}".encode(), "sha256"
        ).hex()

    def csrf_matches(self, sid: str, given: str) -> bool:
        """Compare in constant time, with each key of the ring."""
        expected = (KeyRing((key,)).csrf(sid) for key in self.keys)
        return given.isascii() and any(hmac.compare_digest(one, given) for one in expected)


def check_times(claims: Claims, now: float) -> None:
    """Raise TokenRefused unless ``claims`` are valid at ``now`` (seconds since the epoch)."""
    if now > claims.exp + LEEWAY:
        raise TokenRefused("expired")
    if now < claims.iat - LEEWAY:
        raise TokenRefused("not valid yet")


class VerifiedTokens:
    """A bounded memory of verified tokens: saves PyJWT's 73 us on nearly every request.

    It remembers the *verification* for a few seconds and never past the token's end; whether the
    log-in still stands is looked up fresh each time by whoever asks.
    """

    def __init__(
        self, ring: KeyRing, clock: Callable[[], float], *, size: int = 4096, seconds: float = 5.0
    ) -> None:
        """``clock`` gives seconds since the epoch; ``size`` tokens are remembered at most."""
        self._ring = ring
        self._clock = clock
        self._size = size
        self._seconds = seconds
        self._known: OrderedDict[tuple[str, Audience], tuple[float, Claims]] = OrderedDict()

    def verify(self, token: str, audience: Audience) -> Claims:
        """Like KeyRing.verify, at the clock's time."""
        now = self._clock()
        known = self._known.get((token, audience))
        if known is not None and 0 <= now - known[0] < self._seconds:
            check_times(known[1], now)
            return known[1]
        claims = self._ring.verify(token, audience, now)
        self._known[token, audience] = (now, claims)
        self._known.move_to_end((token, audience))
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return claims


def load_key_ring(path: Path) -> KeyRing:
    """Read the key ring, or make it at the first start (mode 0600).

    Raises ConfigError if the file is unreadable, or holds a key that is too short to be safe.
    """
    try:
        if not path.exists():
            _write_key_ring(path, new_key_ring())
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [f"{path}: the key ring cannot be read or made ({error}). See to its folder."]
        ) from error
    return parse_key_ring(data, str(path))


def new_key_ring() -> KeyRing:
    """Return a ring of one new key."""
    return KeyRing((_new_key(),))


def parse_key_ring(data: bytes, place: str) -> KeyRing:
    """Read a key ring that stands at ``place``. Raises ConfigError if it is not safe."""
    try:
        ring = msgspec.json.decode(data, type=KeyRing)
    except msgspec.DecodeError as error:
        raise ConfigError([f"{place}: the key ring cannot be read ({error})."]) from error
    if not ring.keys or any(not _long_enough(key.secret) for key in ring.keys):
        raise ConfigError(
            [f"{place}: no key, or one under {_KEY_BYTES} bytes. Remove it: a new one is made."]
        )
    return ring


def _long_enough(secret: str) -> bool:
    try:
        return len(bytes.fromhex(secret)) >= _KEY_BYTES
    except ValueError:
        return False


def _new_key() -> Key:
    return Key(kid=secrets.token_hex(8), secret=secrets.token_hex(_KEY_BYTES))


def _write_key_ring(path: Path, ring: KeyRing) -> None:
    """Write whole or not at all: a crash must not leave half a key."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(ring))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
