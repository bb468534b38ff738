"""Signed tokens: one audience for each kind, and the keys that sign and verify them.

The hub signs with Ed25519. A gate only verifies: it gets the public keys (``PublicRing``) and the
keys that sign entries, nothing else, so a gate that is taken over cannot sign a log-in. Of each use
one key of the ring signs and all verify, so that a rotation logs nobody out; ``keys`` stores the
ring. Time is an argument: PyJWT checks signature and form only, the times are compared here.

Earlier hubs had HS256 secrets for all uses. Such a key verifies until what it signed is over; a
gate never gets one (``TokenUnproven``).
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec.structs import replace

from controller.core.errors import ConfigError, Unavailable
from controller.core.model import Person

_KEY_BYTES = 32

_PREPARED_MAX = 64  # keys; a ring has few

_MAX_TOKEN = 4096  # characters; longer ones are not even parsed

LEEWAY = 30.0  # seconds between clocks

Algorithm = Literal["HS256", "EdDSA"]
"""Of a key. It alone decides what is accepted: what a token's header says is never believed."""


class Audience(StrEnum):
    """What a token is for; a token of one kind is not valid as another."""

    LOGIN = "login"  # the cookie
    API = "api"  # a script's bearer token
    SERVICE = "service"  # the controller itself, towards one session
    CODE = "code"  # a hand-off from the hub to a session's own host, good once
    ENTRY = "entry"  # the cookie at a session's own host


class Use(StrEnum):
    """What a key signs."""

    HUB = "hub"  # everything but entries
    ENTRY = "entry"  # entries alone; gates have these keys


def use_of(audience: Audience) -> Use:
    """Return the use of the keys that sign this kind."""
    return Use.ENTRY if audience is Audience.ENTRY else Use.HUB


class PublicKey(msgspec.Struct, frozen=True):
    """What verifies the tokens of a key and signs none; ``public`` is hexadecimal."""

    kid: str
    public: str
    use: Use
    ends: float | None = None  # seconds since the epoch; None: not known yet


class Key(msgspec.Struct, frozen=True):
    """One key of the ring. Times are seconds since the epoch.

    ``secret`` is hexadecimal: the seed of an Ed25519 key, any 32 bytes; of an HS256 key the secret.

    A hub from before Ed25519 reads the ring, too, while a cluster is upgraded. It ignores the
    fields that it does not know and takes each key for an HS256 one. Once a new key signs, each of
    the two versions refuses what the other signs with it: nobody gets in by that, and people who
    meet both log in again. If the older one writes the ring, these fields are lost and the keys are
    HS256 ones from then on, until the ring is completed again.
    """

    kid: str
    secret: str
    made: float = 0.0  # 0: by a hub that did not write it down
    signs: float = 0.0  # from when on; until then every controller hears of it
    ends: float | None = None  # nothing signed by it is valid any more; None: not known yet
    algorithm: Algorithm = "HS256"
    use: Use = Use.HUB

    def __repr__(self) -> str:
        """Never show the secret."""
        return f"Key(kid={self.kid!r})"

    def serves(self, use: Use) -> bool:
        """Tell whether the key is for this use: one of an earlier hub is for all."""
        return self.use is use or (self.use is Use.HUB and self.algorithm == "HS256")

    def public(self) -> PublicKey:
        """Return what verifies the tokens of this key, which is an Ed25519 one."""
        public = _public_of(self.secret).public_bytes_raw().hex()
        return PublicKey(self.kid, public, self.use, self.ends)

    def sign(self, claims: Claims) -> str:
        """Return a token."""
        secret = _private(self.secret) if self.algorithm == "EdDSA" else bytes.fromhex(self.secret)
        payload: dict[str, Any] = msgspec.to_builtins(claims)
        return jwt.encode(payload, secret, algorithm=self.algorithm, headers={"kid": self.kid})


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


class TokenUnproven(Exception):
    """The token may be valid, but only the hub can tell: an HS256 key of an earlier hub signed it.

    Its form and its times are right, which anybody can bring about who knows the key's name.
    """

    def __init__(self, token: str, audience: Audience) -> None:
        """``token`` is for the question to the hub, and stands in no message."""
        super().__init__("signed by a key of an earlier hub")
        self.token = token
        self.audience = audience


class CannotSign(Unavailable):
    """There is no key here for what is to be signed."""

    def __init__(self) -> None:
        super().__init__("The hub cannot let you in at the moment. Try again in a few seconds.")


class PublicRing(msgspec.Struct, frozen=True):
    """What verifies tokens and signs none: plain data for gates.

    ``legacy``: names of the HS256 keys, which are secret and whose tokens only the hub can verify.
    """

    keys: tuple[PublicKey, ...]
    legacy: tuple[str, ...] = ()

    def verify(self, token: str, audience: Audience, now: float) -> Claims:
        """Return the claims of a token of this ring and kind that is valid at ``now``.

        Raises TokenUnproven for one that only the hub can verify, TokenRefused for anything else.
        """
        header = _header(token)
        if header.get("kid") in self.legacy:
            if header.get("alg") != "HS256":
                raise TokenRefused("not as this key signs")
            _claims(token, None, "HS256", audience, now)
            raise TokenUnproven(token, audience)
        key = next((one for one in self.keys if one.kid == header.get("kid")), None)
        if key is None or _is_over(key.ends, now) or key.use is not use_of(audience):
            raise TokenRefused("signed by no key of ours for this")
        return _claims(token, _public(key.public), "EdDSA", audience, now)


class KeyRing(msgspec.Struct, frozen=True):
    """Keys, the newest first."""

    keys: tuple[Key, ...]

    # -- keys ------------------------------------------------------------------------------

    def of_use(self, use: Use) -> tuple[Key, ...]:
        """Return the keys that were made for this use, the newest first."""
        return tuple(one for one in self.keys if one.use is use)

    @property
    def complete(self) -> bool:
        """Whether there is a key for each use, and the newest one is Ed25519."""
        newest = [next(iter(self.of_use(use)), None) for use in Use]
        return all(one is not None and one.algorithm == "EdDSA" for one in newest)

    def signing(self, use: Use, now: float) -> Key:
        """Return the newest key that may already sign this. Raises CannotSign without any."""
        keys = [one for one in self.keys if one.serves(use)]
        if not keys:
            raise CannotSign
        # With a clock that is behind there is none: then the oldest, which everybody knows.
        return next((one for one in keys if one.signs <= now), keys[-1])

    def standing(self, now: float) -> KeyRing:
        """Return the ring without the keys that are no longer needed."""
        newest = {ours[0].kid for use in Use if (ours := self.of_use(use))}
        return KeyRing(
            tuple(one for one in self.keys if one.kid in newest or not _is_over(one.ends, now))
        )

    def rotated(self, keys: tuple[Key, ...], *, ends: float) -> KeyRing:
        """Return the ring with new keys, and without the keys that had ended by then.

        ``ends``: until when the other keys verify; an end from an earlier rotation stays.
        """
        others = (
            one if one.ends is not None else replace(one, ends=ends)
            for one in self.standing(keys[0].made).keys
        )
        return KeyRing((*keys, *others))

    # -- what gates get --------------------------------------------------------------------

    def public(self) -> PublicRing:
        """Return what verifies the tokens of this ring, as far as that is not secret."""
        return PublicRing(
            tuple(one.public() for one in self.keys if one.algorithm == "EdDSA"),
            tuple(one.kid for one in self.keys if one.algorithm == "HS256"),
        )

    def entries(self) -> KeyRing:
        """Return the keys that sign entries and nothing else; there may be none."""
        return KeyRing(self.of_use(Use.ENTRY))

    # -- tokens ----------------------------------------------------------------------------

    def issue(self, claims: Claims) -> str:
        """Sign ``claims`` with the key that signs them when they are issued.

        Raises CannotSign if there is no key for their kind.
        """
        return self.signing(use_of(claims.aud), claims.iat).sign(claims)

    def verify(self, token: str, audience: Audience, now: float) -> Claims:
        """Return the claims of a token of this ring and kind that is valid at ``now``.

        Raises TokenRefused for anything else.
        """
        kid = _header(token).get("kid")
        key = next((one for one in self.keys if one.kid == kid), None)
        if key is None or _is_over(key.ends, now) or not key.serves(use_of(audience)):
            raise TokenRefused("signed by no key of ours for this")
        secret = _public_of(key.secret) if key.algorithm == "EdDSA" else bytes.fromhex(key.secret)
        return _claims(token, secret, key.algorithm, audience, now)

    def proves(self, kid: str, made: float) -> bool:
        """Tell whether a log-in that was made then can still be proven.

        ``kid``: the key that has signed what proves it; "": by a hub that did not write it down.
        """
        ours = self.of_use(Use.HUB)
        if not kid:
            return made >= ours[-1].made
        return any(one.kid == kid for one in ours)

    def may_prove(self, kid: str, made: float) -> bool:
        """Tell the same where another controller may know of a newer key."""
        return self.proves(kid, made) or made >= self.of_use(Use.HUB)[0].made


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


def _header(token: str) -> dict[str, Any]:
    """Return what a token says of itself. Raises TokenRefused unless it has the form of one."""
    if len(token) > _MAX_TOKEN:
        raise TokenRefused("too long")
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise TokenRefused(type(error).__name__) from error


def _claims(
    token: str,
    key: Ed25519PublicKey | bytes | None,
    algorithm: Algorithm,
    audience: Audience,
    now: float,
) -> Claims:
    """Return the claims of a token of this kind that is valid at ``now``. Raises TokenRefused.

    ``key`` None: the signature is not verified, so nothing of them may be believed.
    """
    try:
        payload = jwt.decode(
            token,
            b"" if key is None else key,
            algorithms=[algorithm],
            audience=audience.value,
            options={
                "require": ["sub", "sid", "aud", "iat", "exp"],
                "verify_signature": key is not None,
                "verify_aud": True,
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


def _is_over(ends: float | None, now: float) -> bool:
    return ends is not None and ends <= now


# What is made of a key's text is kept: it takes longer than a look-up.


@lru_cache(_PREPARED_MAX)
def _private(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))


@lru_cache(_PREPARED_MAX)
def _public_of(seed: str) -> Ed25519PublicKey:
    return _private(seed).public_key()


@lru_cache(_PREPARED_MAX)
def _public(public: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))


def new_key_ring(now: float) -> KeyRing:
    """Return a ring of new keys, which sign at once."""
    return KeyRing(new_keys(made=now, signs=now))


def new_keys(*, made: float, signs: float) -> tuple[Key, ...]:
    """Return a new key for each use, the hub's first. Times are seconds since the epoch."""
    return tuple(
        Key(
            secrets.token_hex(8),
            secrets.token_hex(_KEY_BYTES),
            made=made,
            signs=signs,
            algorithm="EdDSA",
            use=use,
        )
        for use in Use
    )


def parse_key_ring(data: bytes, origin: str) -> KeyRing:
    """Read a key ring from ``origin``, for messages. Raises ConfigError if it is not safe."""
    try:
        ring = msgspec.json.decode(data, type=KeyRing)
    except msgspec.DecodeError as error:
        raise ConfigError([f"{origin}: the key ring cannot be read ({error})."]) from error
    if not ring.of_use(Use.HUB) or not all(_is_sound(key) for key in ring.keys):
        raise ConfigError(
            [f"{origin}: no key for log-ins, or an unusable one. Remove it: a new one is made."]
        )
    if len({key.kid for key in ring.keys}) < len(ring.keys):
        raise ConfigError([f"{origin}: two keys of one name. Remove it: a new one is made."])
    return ring


def _is_sound(key: Key) -> bool:
    try:
        length = len(bytes.fromhex(key.secret))
    except ValueError:
        return False
    if key.algorithm == "EdDSA":
        return length == _KEY_BYTES
    return length >= _KEY_BYTES and key.use is Use.HUB
