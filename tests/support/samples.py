"""Values that many tests need: settings, and sessions with readable differences."""

from __future__ import annotations

from datetime import UTC, datetime

from controller.core.model import Session, SessionId, UserId, new_session_id
from controller.settings.loading import load, read_text
from controller.settings.schema import Settings

CREATED = datetime(2026, 3, 5, 14, 5, tzinfo=UTC)


def session_id(number: int) -> SessionId:
    """Return the same id for the same number."""
    return new_session_id(lambda length: number.to_bytes(length, "big"))


def session(
    number: int = 1,
    *,
    owner: str = "alice",
    name: str = "thesis",
    profile: str = "slicer",
    created_at: datetime = CREATED,
) -> Session:
    """Return a session of Alice's, unless told otherwise."""
    return Session(session_id(number), UserId(owner), profile, name, created_at)


def settings(**environ: str) -> Settings:
    """Return settings of a hub on the memory engine; ``ldap_url="…"`` sets SLICERHUB_LDAP_URL."""
    variables = {"SLICERHUB_ORCHESTRATOR": "memory"}
    variables |= {f"SLICERHUB_{name.upper()}": value for name, value in environ.items()}
    found, _ = load(variables, read_text)
    return found


def settings_of(text: str, **environ: str) -> Settings:
    """Return settings of such a hub by the text of a file, and by variables."""
    variables = {"SLICERHUB_ORCHESTRATOR": "memory", "SLICERHUB_CONFIG": "hub.toml"}
    found, _ = load(variables | environ, lambda _: text)
    return found
