"""People's files and those of groups, as claims of one cluster."""

from __future__ import annotations

from collections.abc import Sequence

from controller.cluster.client import ConflictError, NotAdmittedError
from controller.core import labels
from controller.core.errors import EngineUnavailable
from controller.core.model import Session, UserId, Volume, volume_name
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.answers import Claim
from controller.engines.kubernetes.calls import Calls
from controller.settings.schema import Settings

_KIND = "PersistentVolumeClaim"


class Claims:
    """The claims of this instance."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._settings = settings
        self._calls = calls

    async def ensure(self, owner: UserId) -> None:
        """See that there is a claim on a person's files. Raises EngineUnavailable."""
        await self._ensure(manifests.claim(owner, self._settings), labels.OWNER, owner)

    async def ensure_of(self, session: Session) -> None:
        """See that there are claims on all that a session mounts. Raises EngineUnavailable."""
        await self.ensure(session.owner)
        for mount in session.volumes:
            # Those that the site names are its own affair.
            if mount.name not in self._settings.kubernetes.claims:
                body = manifests.group_claim(mount.name, self._settings)
                await self._ensure(body, labels.VOLUME, mount.name)

    async def all(self) -> Sequence[Volume]:
        """Return all people's files. A cluster tells how much was set aside, not what is in it."""
        found, _ = await self._calls.ours(_KIND, Claim)
        owner = labels.key(labels.OWNER)
        marked = [(one, (one.metadata.annotations or {}).get(owner)) for one in found]
        return [
            Volume(UserId(whose), one.metadata.name, one.size, reserved=True)
            for one, whose in marked
            if whose and one.metadata.deletion_timestamp is None
        ]

    async def remove(self, owner: UserId) -> None:
        """Remove the claim on a person's files; a missing one is success."""
        name = volume_name(self._settings.instance, owner)
        found = await self._calls.get(_KIND, name)
        if found is None:
            return
        if (found.annotations or {}).get(labels.key(labels.OWNER)) != owner:
            raise EngineUnavailable(
                "The claim {name} is not annotated as this person's. It was not changed.", name=name
            )
        await self._calls.delete_claim(name, uid=found.uid)

    async def _ensure(self, body: manifests.Body, label: str, whose: str) -> None:
        name = str(body["metadata"]["name"])
        found = await self._calls.get(_KIND, name)
        if found is None:
            try:
                found = await self._calls.post(body)
            except ConflictError:
                found = await self._calls.get(_KIND, name)
            except NotAdmittedError as error:
                raise EngineUnavailable(
                    "The cluster gives no storage for files: {error}", error=str(error)
                ) from error
        # Its name holds a short hash only, its annotation all.
        if found and (found.annotations or {}).get(labels.key(label)) != whose:
            raise EngineUnavailable(
                "The claim {name} is not annotated as {whose}'s. Nothing is mounted; the "
                "administrator must check it.",
                name=name,
                whose=whose,
            )
