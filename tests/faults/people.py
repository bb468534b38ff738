"""What people do by a hub that may die meanwhile; what they are told stands in the ledger."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from controller.core.errors import HubError
from controller.core.model import Observed, Person, Role, UserId
from controller.core.records import Actor, Reason
from tests.faults.ledger import Fate
from tests.faults.world import World

T = TypeVar("T")

_LINK_SECONDS = 30 * 86_400  # longer than any story, whatever its clock is set to


class People:
    """Those who launch, stop, share and come by links; each act returns once it was answered."""

    def __init__(self, world: World) -> None:
        """Use the controller of this world that lives at the time of an act."""
        self._world = world
        self._ledger = world.ledger

    def known(self) -> list[Observed]:
        """Return the sessions as people see them."""
        return self._world.app.sessions.everything()

    async def launch(self, person: Person, profile: str, name: str) -> None:
        """Start a session, and note what was answered."""
        chosen = self._world.settings.profile(profile)
        assert chosen is not None
        for one in self.known():
            # What has failed makes way for the next of its name.
            if one.refused and (one.session.owner, one.session.name) == (person.uid, name):
                self._ledger.fates[one.session.id] = Fate.ENDED
        seen = await self._asked(
            self._world.app.sessions.launching.launch(person, chosen, name, by=Actor(person.uid))
        )
        if seen is None:
            return
        session = seen.session.id
        if self._world.app.sessions.queue.place(seen) is not None:
            self._ledger.fates[session] = Fate.WAITS
        elif seen.running and self._ledger.fates[session] is Fate.ASKED:
            self._ledger.fates[session] = Fate.THERE

    async def stop(self, seen: Observed) -> None:
        """Stop a session, and note what was answered."""
        session = seen.session.id
        before = self._ledger.fates[session]
        self._ledger.fates[session] = Fate.STOPPING
        self._ledger.killed_since.discard(session)

        async def stop() -> bool:
            await self._world.app.sessions.stop(
                session, Reason.STOPPED, by=Actor(seen.session.owner)
            )
            return True

        if await self._asked(stop()) is None and not self._world.points.dead:
            self._ledger.fates[session] = before if before is Fate.ENDED else Fate.ASKED

    async def share(self, seen: Observed, guest: UserId, role: Role) -> None:
        """Invite somebody by name."""
        key = seen.session.id, guest
        self._ledger.asked_in[key] += 1
        self._ledger.grants[key] = self._ledger.may(*key) | {role}
        if await self._asked(
            self._world.app.sharing.invitations.invite(
                seen, guest, role, seconds=None, by=Actor(seen.session.owner)
            )
        ):
            # Who comes by a link meanwhile may be let in before or after this.
            late = {may for at, who, may in self._ledger.coming if (at, who) == key}
            self._ledger.grants[key] = {role, *late}

    async def revoke(self, seen: Observed, guest: UserId) -> None:
        """Take an invitation back; by links whoever was invited comes no more either."""
        key = seen.session.id, guest
        codes = [code for code, (session, _) in self._ledger.codes.items() if session == key[0]]
        before, asked_in = self._ledger.may(*key), self._ledger.asked_in[key]
        self._ledger.grants[key] = before | {None}
        self._ledger.asked_to_bar |= {(code, guest) for code in codes}
        done = await self._asked(
            self._world.app.sharing.revoking.withdraw(seen, guest, by=Actor(seen.session.owner))
        )
        # Who was asked in again meanwhile may come before or after this.
        if done is not None and self._ledger.asked_in[key] == asked_in:
            if None not in before:
                self._ledger.grants[key] = {None}
                self._ledger.barred |= {(code, guest) for code in codes}
            else:  # who was not invited may still come by a link, and may be on the way
                late = {may for at, who, may in self._ledger.coming if (at, who) == key}
                self._ledger.grants[key] = {None, *late}

    async def make_link(self, seen: Observed, role: Role) -> None:
        """Make a link that one person may use."""
        fresh = await self._asked(
            self._world.app.sharing.links.make(
                seen, role, seconds=_LINK_SECONDS, max_uses=1, by=Actor(seen.session.owner)
            )
        )
        if fresh is not None:
            self._ledger.codes[fresh.code] = seen.session.id, role

    async def join(self, code: str, person: Person) -> None:
        """Come by a link; who is cut off on the way comes again."""
        session, role = self._ledger.codes[code]
        key = session, person.uid
        self._ledger.tried.setdefault(code, set()).add(person.uid)
        self._ledger.asked_in[key] += 1
        theirs = self._world.app.sessions.owner(session) == person.uid
        if not theirs and (code, person.uid) not in self._ledger.barred:
            self._ledger.grants[key] = self._ledger.may(*key) | {role}
        coming = (*key, role)
        self._ledger.coming.append(coming)
        try:
            await self._asked(self._world.app.sharing.links.join(code, person, Actor(person.uid)))
        finally:
            self._ledger.coming.remove(coming)

    async def _asked(self, work: Awaitable[T]) -> T | None:
        """Return the answer; None: it was refused, failed, or is not to be known."""
        try:
            answer = await work
        except HubError:
            return None
        return None if self._world.points.dead else answer
