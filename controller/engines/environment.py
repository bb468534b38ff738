"""What a session's program is told by its environment, on every engine. Pure."""

from __future__ import annotations

from controller.core.model import Profile, Session, slug
from controller.rules import origins
from controller.settings.schema import Settings

GROUPS_FOLDER = "/groups"
"""Where the volumes of groups are in a session, each under its name."""


def environment(session: Session, profile: Profile, settings: Settings) -> dict[str, str]:
    """Return what a session's program is told; the profile's own words win."""
    told = {
        "HOME": profile.home,
        "SLICERHUB_SESSION": session.id,
        # Never the name itself: what people type stands in no path, and this is made for one.
        "SLICERHUB_SESSION_SLUG": slug(session.name.casefold()) if session.name else "",
        "SLICERHUB_USER": session.owner,
    }
    if settings.sessions_at:
        # The hub is at another address than the session: its links have to name it.
        told["SLICERHUB_HUB_URL"] = origins.origin_of(settings.public_url)
    return told | profile.environment
