"""The programs of profiles: whether the cluster would take a Pod of one."""

from __future__ import annotations

from datetime import datetime

import structlog

from controller.cluster.client import NotAdmittedError
from controller.core.errors import ImageRefused, QuotaReached
from controller.core.model import Profile, Session, SessionId, UserId
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.calls import Calls
from controller.settings.schema import Settings

_log = structlog.get_logger("kubernetes")


class Images:
    """The programs of profiles. The nodes' kubelets fetch them, and the Pods' events tell of it."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._settings = settings
        self._calls = calls

    def profile(self, profile_id: str) -> Profile:
        """Return a profile. Raises ImageRefused if there is none of that name any more."""
        profile = self._settings.profile(profile_id)
        if profile is None:
            raise ImageRefused("The profile {profile} no longer exists.", profile=profile_id)
        return profile

    async def check(self, profile_id: str) -> None:
        """Ask the cluster whether it would admit such a Pod. Raises ImageRefused, QuotaReached.

        Labels for Traefik in an image do nothing here: Traefik reads objects of the cluster, and
        what an image is labelled with never becomes one. Whether a node has what the profile
        wants (the image, a card) the hub may not see; the session's progress tells.
        """
        profile = self.profile(profile_id)
        session = Session(
            id=SessionId("a" * 26),
            owner=UserId("check"),
            profile=profile.id,
            name="check",
            created_at=datetime.fromisoformat("2000-01-01T00:00:00Z"),
        )
        try:
            await self._calls.try_pod(manifests.pod(session, profile, self._settings))
        except NotAdmittedError as error:
            if "dry run" in str(error):
                # A webhook of the site's cannot be asked; then only a start tells.
                _log.info("profile_not_tried", profile=profile.id, why=error.in_full)
                return
            raise refusal(profile, error) from error


def refusal(profile: Profile, error: NotAdmittedError) -> ImageRefused | QuotaReached:
    """Return what it means that the cluster does not admit a Pod of a profile."""
    if "exceeded quota" in str(error):
        _log.warning("quota_of_namespace", profile=profile.id, why=error.in_full)
        return QuotaReached("All places are taken. Try again when somebody stops a session.")
    return ImageRefused(
        "The cluster does not admit the profile {profile}: {error}",
        profile=profile.id,
        error=str(error),
    )
