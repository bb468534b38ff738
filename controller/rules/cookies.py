"""The names of the cookies that are ours. What stands in them is read in ``credentials``. Pure."""

from __future__ import annotations

from controller.settings.schema import Settings


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
