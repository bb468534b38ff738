"""Tokens made by hand, as nobody's library makes them: of any header and body, by any key."""

from __future__ import annotations

import base64
import hmac
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.people.tokens import Key


def encoded(raw: bytes) -> str:
    """Return base64url without padding, as tokens have it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Return what was encoded so."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def header_of(key: Key, **changes: object) -> dict[str, object]:
    """Return the header that tokens of this key have."""
    return {"alg": key.algorithm, "typ": "JWT", "kid": key.kid} | changes


def token(header: object, body: object, key: Key | None, *, digest: str = "sha256") -> str:
    """Return a token, signed as this key signs; None: the signature is empty."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(body).encode())}"
    if key is None:
        return f"{text}."
    secret = bytes.fromhex(key.secret)
    if key.algorithm == "EdDSA":
        signature = Ed25519PrivateKey.from_private_bytes(secret).sign(text.encode())
    else:
        signature = hmac.digest(secret, text.encode(), digest)
    return f"{text}.{encoded(signature)}"
