"""Signed tokens: one audience for each kind, one key ring, and a short memory of what was verified.

HS256 with 256-bit keys, because only the hub signs and verifies. One key of the ring signs, all
verify, so that a rotation logs nobody out; ``keys`` stores the ring. Time is an argument: PyJWT
checks signature and form only, the times are compared here.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import jwt
import msgspec
from msgspec.structs import replace

from controller.core.errors import ConfigError
from controller.core.model import Person

_ALGORITHMS = ["HS256"]  # a literal list: what the token's header says is never believed

_KEY_BYTES = 32

_MAX_TOKEN = 4096  # characters; longer ones are not even parsed

LEEWAY = 30.0  # seconds between clocks


class Audience(StrEnum):
    """What a token is for; a token of one kind is not valid as another."""

    LOGIN = "login"  # the cookie
    API = "api"  # a script's bearer token
    SERVICE = "service"  # the controller itself, towards one session
    CODE = "code"  # a hand-off from the hub to a session's own host, good once
    ENTRY = "entry"  # the cookie at a session's own host


class Key(msgspec.Struct, frozen=True):
    """One secret of the ring; ``secret`` is hexadecimal. Times are seconds since the epoch."""

    kid: str
    secret: str
    made: float = 0.0  # 0: by a hub that did not write it down
    signs: float = 0.0  # from when on; until then every controller hears of it
    ends: float | None = None  # nothing signed by it is valid any more; None: not known yet

    def __repr__(self) -> str:
        """Never show the secret."""
        return f"Key(kid={self.kid!r})"


class News(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a controller needs to know of a log-in whose record it does not have yet.

    Times are seconds since the epoch.
    """

    revision: int  # of the store's, in which the record stood
    made: float
    expires: float
    person: Person | None = None  # None: only who it is matters, or there is too much of it


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says. ``sid`` is the log-in's id or, for a service, the session's.

    ``session``: the session of a code or an entry. A code also has ``state``, the hash of the
    state of the browser that it was made for, and ``jti``, its number. ``news``: facts of a log-in
    that was just made, if there are several controllers.
    """

    sub: str
    sid: str
    aud: Audience
    iat: float  # seconds since the epoch
    exp: float
    session: str = ""
    state: str = ""
    jti: str = ""
    news: News | None = None


class TokenRefused(Exception):
    """The token is not valid; the message is for the log only."""


class KeyRing(msgspec.Struct, frozen=True):
    """Keys, the newest first."""

    keys: tuple[Key, ...]

    def signing(self, now: float) -> Key:
        """Return the newest key that may already sign."""
        # With a clock that is behind there is none: then the oldest, which everybody knows.
        return next((one for one in self.keys if one.signs <= now), self.keys[-1])

    def standing(self, now: float) -> KeyRing:
        """Return the ring without the keys that are no longer needed."""
        first, *others = self.keys
        return KeyRing((first, *(one for one in others if one.ends is None or one.ends > now)))

    def rotated(self, key: Key, *, ends: float) -> KeyRing:
        """Return the ring with a new key, and without the keys that had ended by then.

        ``ends``: until when the other keys verify; an end from an earlier rotation stays.
        """
        others = (
            one if one.ends is not None else replace(one, ends=ends)
            for one in self.standing(key.made).keys
        )
        return KeyRing((key, *others))

    def issue(self, claims: Claims) -> str:
        """Sign ``claims`` with the key that signs when they are issued."""
        key = self.signing(claims.iat)
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
            if key is None or (key.ends is not None and key.ends <= now):
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

    def proves(self, kid: str, made: float) -> bool:
        """Tell whether a log-in that was made then can still be proven.

        ``kid``: the key that has signed what proves it; "": by a hub that did not write it down.
        """
        if not kid:
            return made >= self.keys[-1].made
        return any(one.kid == kid for one in self.keys)

    def may_prove(self, kid: str, made: float) -> bool:
        """Tell the same where another controller may know of a newer key."""
        return self.proves(kid, made) or made >= self.keys[0].made

    def csrf(self, sid: str, now: float) -> str:
        """Return the form token of a log-in: a keyed hash of its id, valid for no other."""
        return _csrf(self.signing(now), sid)

    def csrf_matches(self, sid: str, given: str) -> bool:
        """Compare in constant time, with each key of the ring."""
        expected = (_csrf(key, sid) for key in self.keys)
        return given.isascii() and any(hmac.compare_digest(one, given) for one in expected)


def _csrf(key: Key, sid: str) -> str:
    return hmac.digest(bytes.fromhex(key.secret), f"csrf:{sid}".encode(), "sha256").hex()


class Keys:
    """The key ring in use; it can be replaced while the hub runs."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def issue(self, claims: Claims) -> str:
        """Sign ``claims`` with the key that signs when they are issued."""
        return self.ring.issue(claims)


def check_times(claims: Claims, now: float) -> None:
    """Raise TokenRefused unless ``claims`` are valid at ``now`` (seconds since the epoch)."""
    if now > claims.exp + LEEWAY:
        raise TokenRefused("expired")
    if now < claims.iat - LEEWAY:
        raise TokenRefused("not valid yet")


class VerifiedTokens:
    """A bounded memory of verified tokens: saves PyJWT's 73 us on nearly every request.

    It remembers only the *verification*, for a few seconds, never past the end of the token or of
    the ring. The caller checks each time whether the log-in is still valid.
    """

    def __init__(
        self, keys: Keys, clock: Callable[[], float], *, size: int = 4096, seconds: float = 5.0
    ) -> None:
        """``clock`` gives seconds since the epoch; ``size`` tokens are remembered at most."""
        self._keys = keys
        self._ring = keys.ring
        self._clock = clock
        self._size = size
        self._seconds = seconds
        self._known: OrderedDict[tuple[str, Audience], tuple[float, Claims]] = OrderedDict()

    def verify(self, token: str, audience: Audience) -> Claims:
        """Like KeyRing.verify, at the clock's time."""
        now = self._clock()
        if self._ring is not self._keys.ring:
            self._ring = self._keys.ring
            self._known.clear()
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


def new_key_ring(now: float) -> KeyRing:
    """Return a ring of one new key, which signs at once."""
    return KeyRing((new_key(made=now, signs=now),))


def new_key(*, made: float, signs: float) -> Key:
    """Return a new key: 256 random bits. Times are seconds since the epoch."""
    return Key(secrets.token_hex(8), secrets.token_hex(_KEY_BYTES), made=made, signs=signs)


def parse_key_ring(data: bytes, origin: str) -> KeyRing:
    """Read a key ring from ``origin``, for messages. Raises ConfigError if it is not safe."""
    try:
        ring = msgspec.json.decode(data, type=KeyRing)
    except msgspec.DecodeError as error:
        raise ConfigError([f"{origin}: the key ring cannot be read ({error})."]) from error
    if not ring.keys or any(not _long_enough(key.secret) for key in ring.keys):
        raise ConfigError(
            [f"{origin}: no key, or one under {_KEY_BYTES} bytes. Remove it: a new one is made."]
        )
    if len({key.kid for key in ring.keys}) < len(ring.keys):
        raise ConfigError([f"{origin}: two keys of one name. Remove it: a new one is made."])
    return ring


def _long_enough(secret: str) -> bool:
    try:
        return len(bytes.fromhex(secret)) >= _KEY_BYTES
    except ValueError:
        return False
