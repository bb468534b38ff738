"""People's files and those of groups, as volumes of one Docker engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import anyio
import anyio.to_thread
import structlog

from controller.core import labels
from controller.core.errors import EngineUnavailable, FilesInUse
from controller.core.model import Mount, Profile, UserId, Volume, group_volume_name, volume_name
from controller.engines.docker import manifests
from controller.engines.docker.answers import Labelled, Made, Stored, StoredList, read, read_each
from controller.engines.docker.calls import Calls
from controller.engines.docker.client import (
    VOLUME_LABELS,
    ConflictError,
    MissingError,
    measure_volumes,
)
from controller.settings.schema import Settings

_log = structlog.get_logger("docker")


class Volumes:
    """The volumes of this instance."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._settings = settings
        self._calls = calls
        self.tidy = False  # nothing of what opens volumes was left behind

    async def ensure(self, owner: UserId) -> str:
        """See that a person has a volume, and return its name. Raises EngineUnavailable."""
        name = volume_name(self._settings.instance, owner)
        body = manifests.volume(name, owner, self._settings)
        theirs = await self._make_volume(body)
        # Its name holds a short hash only, its label all.
        if theirs.get(labels.OWNER) != owner:
            raise EngineUnavailable(
                "The volume {name} is not labelled as this person's. Nothing is mounted; the "
                "administrator must check it.",
                name=name,
            )
        return name

    async def ensure_of_group(self, mount: Mount, profile: Profile) -> None:
        """See that a group has a volume that its members may write. Raises EngineUnavailable."""
        name = group_volume_name(self._settings.instance, mount.name)
        body = manifests.group_volume(mount.name, self._settings)
        theirs = await self._make_volume(body)
        if any(theirs.get(label) != body["Labels"][label] for label in VOLUME_LABELS):
            raise EngineUnavailable(
                "The volume {name} is not labelled as the group volume {group}. Nothing is "
                "mounted; the administrator must check it.",
                name=name,
                group=mount.name,
            )
        # Whether this has been done before cannot be asked for; doing it again is harmless.
        opener = manifests.volume_opener(mount.name, profile.image, self._settings)
        with anyio.CancelScope(shield=True):
            try:
                made = await self._calls.call(lambda api: api.create_container_from_config(opener))
                await self._calls.remove_container(read(made, Made).id)
            except EngineUnavailable:
                self.tidy = False  # it may be there, though no answer told of it
                raise

    async def remove_openers(self) -> None:
        """Remove what a crash left; another controller's has done its work once it is seen."""
        for one in await self._calls.ours(f"{labels.COMPONENT}={manifests.OPENER}"):
            await self._calls.remove_container(one.id)

    async def all(self) -> Sequence[Volume]:
        """Return all volumes of people, without sizes where the engine does not measure them."""
        try:
            found = await anyio.to_thread.run_sync(
                partial(measure_volumes, self._settings), abandon_on_cancel=True
            )
        except EngineUnavailable as error:
            _log.warning("volumes_not_measured", error=error.in_full)
            found = await self._calls.call(
                lambda api: api.volumes(filters={"label": [self._calls.instance_label]})
            )
        stored, faults = read_each(read(found, StoredList).volumes or [], Stored)
        for fault in faults:
            _log.warning("volume_unreadable", fault=fault.words)
        return [
            Volume(UserId(owner), one.name, one.size)
            for one in stored
            if (owner := one.marks.get(labels.OWNER))
            and one.marks.get(labels.INSTANCE) == self._settings.instance
        ]

    async def remove(self, owner: UserId) -> None:
        """Remove a person's volume. The engine itself refuses while a container has it.

        Raises FilesInUse then.
        """
        name = volume_name(self._settings.instance, owner)
        try:
            found = await self._calls.call(lambda api: api.inspect_volume(name))
            if read(found, Labelled).marks.get(labels.OWNER) != owner:
                raise EngineUnavailable(
                    "The volume {name} is not labelled as this person's. It was not changed.",
                    name=name,
                )
            await self._calls.call(lambda api: api.remove_volume(name))
        except MissingError:
            return
        except ConflictError as error:
            raise FilesInUse from error

    async def _make_volume(self, body: manifests.Body) -> Mapping[str, str]:
        """Return the labels of a volume that is there from now on; one that was there keeps its."""
        await self._calls.call(
            lambda api: api.create_volume(body["Name"], body["Driver"], labels=body["Labels"])
        )
        # Asked for once more: an engine that was restarted (20.10) has been seen to answer the call
        # above without the labels of a volume that was there.
        found = await self._calls.call(lambda api: api.inspect_volume(body["Name"]))
        return read(found, Labelled).marks
