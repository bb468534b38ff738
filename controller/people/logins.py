"""Who is logged in: from password to token and back, and when it ends.

A log-in stands as long as it is in the store; its mirror in memory answers verify without waiting.
When each was last used is noted in memory, too, and written down now and then. The work is done by
the parts: ``standing`` knows the log-ins and reports their ends, ``entering`` begins them,
``ending`` ends them, ``proofs`` reads what requests carry, ``following`` keeps all in step with the
store.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from controller.core.model import Person, UserId
from controller.core.records import CONTROLLER, Actor, Login
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.people.directory import Directory
from controller.people.ending import Ending
from controller.people.entering import Entering, FreshLogin
from controller.people.following import Following
from controller.people.proofs import Proofs
from controller.people.standing import Ended, Standing
from controller.people.throttle import Throttle
from controller.people.tokens import Audience, Keys
from controller.settings.schema import Settings
from controller.store import Store


class Logins:
    """All log-ins of this instance."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        store: Store,
        keys: Keys,
        *,
        audit: Audit,
        metrics: Metrics,
        wall: Callable[[], float],
        new_sid: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        """``wall``: seconds since the epoch; ``new_sid`` makes the ids of log-ins."""
        self.throttle = Throttle(settings.login, store, wall=wall)
        self.standing = standing = Standing(wall)
        self.proofs = Proofs(settings, standing, keys, wall=wall)
        self._ending = Ending(standing, store, keys, audit)
        self._following = Following(standing, self._ending, store, keys, wall=wall)
        self._entering = Entering(
            settings,
            directory,
            store,
            keys,
            throttle=self.throttle,
            standing=standing,
            ending=self._ending,
            proofs=self.proofs,
            audit=audit,
            metrics=metrics,
            wall=wall,
            new_sid=new_sid,
        )

    # -- how they begin and end ------------------------------------------------------------

    async def enter(
        self, username: str, password: str, *, address: str, audience: Audience, agent: str = ""
    ) -> FreshLogin:
        """Log somebody in by password, see ``Entering.enter`` also for what it raises."""
        return await self._entering.enter(
            username, password, address=address, audience=audience, agent=agent
        )

    def when_ended(self, tell: Ended) -> None:
        """Call ``tell`` with all log-ins that end, for whatever reason."""
        self.standing.when_ended(tell)

    async def leave(self, login: Login, *, by: Actor, reason: str) -> None:
        """End a log-in for good, here at once.

        Raises NotWrittenDown if the store cannot be told yet.
        """
        await self._ending.end([login], by=by, reason=reason)

    async def revoke(
        self,
        uid: UserId,
        *,
        by: Actor = CONTROLLER,
        reason: str = "departed",
        but: Login | None = None,
    ) -> int:
        """End every log-in of a person, or all ``but`` one; return how many there were.

        Raises NotWrittenDown like ``leave``.
        """
        kept = but.sid if but else ""
        theirs = [one for one in self.standing.all_of(uid) if one.sid != kept]
        await self._ending.end(theirs, by=by, reason=reason)
        return len(theirs)

    async def end_unproven(self, *, leads: bool) -> None:
        """End what no key proves any more, see ``Ending.end_unproven``."""
        await self._ending.end_unproven(leads=leads)

    # -- in step with the store and the directory ------------------------------------------

    async def load(self) -> None:
        """Read the store; before that nobody counts as logged in. Raises StoreUnavailable."""
        await self._following.load()

    async def refresh(self, person: Person) -> None:
        """Let a person's log-ins know what the directory says of them now."""
        await self._following.refresh(person)

    async def keep_seen(self) -> None:
        """Write down which log-ins were used, each at most every few minutes."""
        await self._following.keep_seen()

    async def sweep(self) -> None:
        """Forget log-ins that are over. Raises StoreUnavailable."""
        await self._following.sweep()

    async def write_down(self) -> None:
        """Take out of the store what has ended here and stands there yet.

        Raises StoreUnavailable; what is left is for the next time.
        """
        await self._ending.write_down()

    # -- look-ups --------------------------------------------------------------------------

    def of_person(self, uid: UserId) -> list[Login]:
        """Return somebody's log-ins that stand, the last used first."""
        return self.standing.of_person(uid)

    def find(self, uid: UserId, id_: str) -> Login:
        """Return the log-in of this person that has this public id. Raises NoSuchLogin."""
        return self.standing.find(uid, id_)

    def stands(self, login: Login) -> bool:
        """Tell whether a log-in is not over."""
        return self.standing.stands(login)

    def person_of(self, login: Login) -> Person:
        """Return what the directory last said of whose log-in it is."""
        return self.standing.person_of(login)

    def people(self) -> frozenset[UserId]:
        """Return who is logged in."""
        return self.standing.people()

    def is_in(self, uid: UserId) -> bool:
        """Tell whether somebody is logged in, as far as it was heard of here."""
        return self.standing.is_in(uid)

    @property
    def hears_late(self) -> bool:
        """Tell whether other controllers may know of log-ins that were not heard of here yet."""
        return self.standing.revision > 0
