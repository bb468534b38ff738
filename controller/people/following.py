"""Keeps the log-ins in step: with the store, with other controllers, with the directory."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from controller.core.model import Person
from controller.core.records import Login
from controller.people.ending import Ending
from controller.people.standing import Standing
from controller.people.tokens import Keys
from controller.store import LoginStore

_SEEN_SECONDS = 300.0  # between two times that the use of a log-in is written down


class Following:
    """What is read of log-ins, and what is written of them besides their beginning and end."""

    def __init__(
        self,
        standing: Standing,
        ending: Ending,
        store: LoginStore,
        keys: Keys,
        *,
        wall: Callable[[], float],
    ) -> None:
        """``wall``: seconds since the epoch."""
        self._standing = standing
        self._ending = ending
        self._store = store
        self._keys = keys
        self._wall = wall

    async def load(self) -> None:
        """Read the store; before that nobody counts as logged in. Raises StoreUnavailable.

        A log-in that was ended here does not come back, whatever the store says yet; one that the
        store has not heard of yet stays.
        """
        async with self._standing.turn:
            self._standing.follow(await self._store.read_logins(), proven=self._may_be_proven)

    def _may_be_proven(self, login: Login) -> bool:
        return self._keys.ring.may_prove(login.key, login.created)

    async def refresh(self, person: Person) -> None:
        """Let a person's log-ins know what the directory says of them now."""
        stale = [one for one in self._standing.all_of(person.uid) if one.person != person]
        if not stale:
            return
        async with self._standing.turn:
            await self._store.set_person(person)
            for login in stale:
                if self._standing.get(login.sid) is not None:  # else it was ended meanwhile
                    self._standing.put(msgspec.structs.replace(login, person=person))

    async def keep_seen(self) -> None:
        """Write down which log-ins were used, each at most every few minutes."""
        for sid, at in self._standing.used():
            login = self._standing.get(sid)
            if login is not None and at - login.seen >= _SEEN_SECONDS:
                async with self._standing.turn:
                    await self._store.set_seen(sid, at)
                    login = self._standing.get(sid)
                    if login is not None:  # else it was ended meanwhile
                        self._standing.put(msgspec.structs.replace(login, seen=at))

    async def sweep(self) -> None:
        """Forget log-ins that are over. Raises StoreUnavailable."""
        now = self._wall()
        over = [one for one in self._standing.all() if one.expires <= now]
        self._standing.end(over, asked=False)
        self._standing.forget_over()
        for login in await self._store.logins(now):
            if not self._may_be_proven(login):
                await self._store.remove_login(login.sid)
        self._ending.forget_over()
