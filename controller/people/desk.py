"""What people find on their page, and what they have chosen: notices, and what starts ahead."""

from __future__ import annotations

from controller.core.errors import NotAllowed
from controller.core.model import Person, Profile, UserId
from controller.core.records import Notice
from controller.rules import access
from controller.settings.schema import Settings
from controller.store import DeskStore


class Desk:
    """Everybody's notices and choices. Each method raises StoreUnavailable."""

    def __init__(self, settings: Settings, store: DeskStore) -> None:
        self._settings = settings
        self._store = store

    async def notices(self, uid: UserId) -> list[Notice]:
        """Return a person's newest notices, newest first."""
        return await self._store.notices(uid)

    async def put_away(self, uid: UserId, number: int) -> None:
        """Put away a notice of this person; another's stays."""
        await self._store.remove_notice(uid, number)

    async def chosen(self, uid: UserId) -> frozenset[str]:
        """Return the ids of the profiles that a person has chosen to start ahead."""
        return await self._store.ahead(uid)

    async def choose(self, uid: UserId, profile: Profile, *, on: bool) -> None:
        """Remember whether a person wants this profile to be started when they log in.

        Raises NotAllowed for a profile that does not offer it.
        """
        if not profile.start_ahead:
            raise NotAllowed("This profile cannot be started at log-in. Ask the administrator.")
        await self._store.set_ahead(uid, profile.id, on=on)

    async def wanted(self, person: Person) -> list[Profile]:
        """Return what is to be started for a person who logs in.

        What they have chosen counts as long as the profile offers it and is open to them.
        """
        chosen = await self._store.ahead(person.uid)
        return [
            one
            for one in self._settings.profiles
            if one.id in chosen and one.start_ahead and access.may_launch(person, one)
        ]
