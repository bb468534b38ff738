"""Credentials in headers: cookies and bearer tokens, by their names. Pure."""

from __future__ import annotations

from collections.abc import Collection

from controller.settings.schema import Settings

_COOKIE_MAX = 16_384  # bytes of a Cookie header that are looked at


def bearer_of(header: str) -> str:
    """Return the token of an Authorization header, or ""."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def cookie_of(header: str, name: str) -> str:
    """Return the value of one cookie, or "".

    Two different values under one name mean that a page below the hub has planted one: then none
    is believed. (The standard library's parser gives up at the first cookie that it does not
    like, which would let any session log its user out of the hub.)
    """
    values = cookies_of(header, name)
    return values.pop() if len(values) == 1 else ""


def cookies_of(header: str, name: str) -> set[str]:
    """Return the different values that stand under one name."""
    if len(header) > _COOKIE_MAX:
        return set()
    pieces = (piece.strip().partition("=") for piece in header.split(";"))
    return {value for key, _, value in pieces if key == name}


def without_cookies(header: str, names: Collection[str]) -> str:
    """Return a Cookie header without the cookies of these names (and their twins in other case)."""
    dropped = {name.lower() for name in names}
    kept = [
        part
        for part in (piece.strip() for piece in header.split(";"))
        if part and part.partition("=")[0].strip().lower() not in dropped
    ]
    return "; ".join(kept)


def login_cookie(instance: str, *, secure: bool) -> str:
    """Name of the log-in cookie; browsers keep ``__Host-`` names from being set by others."""
    return f"{'__Host-' if secure else ''}{instance}-login"


def entry_cookie(instance: str, *, secure: bool) -> str:
    """Name of the cookie by which a session's own host knows a person, in subdomain mode."""
    return f"{'__Host-' if secure else ''}{instance}-entry"


def state_cookie(instance: str, *, secure: bool) -> str:
    """Name of the cookie that binds a hand-off to the browser that began it."""
    return f"{'__Host-' if secure else ''}{instance}-state"


def own_cookies(settings: Settings) -> tuple[str, ...]:
    """Return the names of cookies that a session can neither read nor set."""
    names = [login_cookie(settings.instance, secure=settings.secure)]
    if settings.sessions_at:
        names.append(entry_cookie(settings.instance, secure=settings.secure))
        names.append(state_cookie(settings.instance, secure=settings.secure))
    return tuple(names)
