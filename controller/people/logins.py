"""Who is logged in: from password to token and back, and when it ends.

A log-in stands as long as it is in the store; its mirror in memory answers verify without waiting.
When each was last used is noted in memory, too, and written down now and then.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from controller.core.changes import ChangeCount
from controller.core.everywhere import Everywhere
from controller.core.model import UserId
from controller.core.records import CONTROLLER, Actor, Login
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.people.directory import Directory
from controller.people.ending import Ending
from controller.people.entering import Entering
from controller.people.following import Following
from controller.people.forms import Forms
from controller.people.proofs import Proofs
from controller.people.standing import Ended, Standing
from controller.people.throttle import Throttle
from controller.people.tokens import Keys
from controller.settings.schema import Settings
from controller.store import Store


class Logins:
    """All log-ins of this instance, by their parts; here is what takes more than one of them.

    ``standing`` knows the log-ins, ``entering`` begins them, ``ending`` ends them, ``proofs`` reads
    what requests carry, ``forms`` what forms do, ``following`` keeps all in step with the store and
    the directory, and ``throttle`` refuses them for a while.
    """

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
        changes: ChangeCount | None = None,
        everywhere: Everywhere | None = None,
    ) -> None:
        """``wall``: seconds since the epoch; ``new_sid`` makes the ids of log-ins.

        ``changes``: see ``Standing``. ``everywhere``: where the end of a log-in has to count.
        """
        self._everywhere = everywhere or Everywhere()
        self.throttle = Throttle(settings.login, store, wall=wall)
        self.standing = standing = Standing(wall, changes)
        self.proofs = Proofs(settings, standing, keys, wall=wall)
        self.forms = Forms(keys, wall=wall)
        self.ending = Ending(standing, store, keys, audit)
        self.following = Following(standing, self.ending, store, keys, wall=wall)
        self.entering = Entering(
            settings,
            directory,
            store,
            keys,
            throttle=self.throttle,
            standing=standing,
            ending=self.ending,
            proofs=self.proofs,
            audit=audit,
            metrics=metrics,
            wall=wall,
            new_sid=new_sid,
        )

    def when_ended(self, tell: Ended) -> None:
        """Call ``tell`` with all log-ins that end, for whatever reason."""
        self.standing.when_ended(tell)

    async def leave(self, login: Login, *, by: Actor, reason: str) -> None:
        """End a log-in for good, here at once.

        Raises NotWrittenDown if the store cannot be told yet, NotEverywhereYet if a gate cannot.
        """
        await self.ending.end([login], by=by, reason=reason)
        await self._everywhere.confirm()

    async def revoke(
        self,
        uid: UserId,
        *,
        by: Actor = CONTROLLER,
        reason: str = "departed",
        but: Login | None = None,
    ) -> int:
        """End every log-in of a person, or all ``but`` one; return how many there were.

        Raises NotWrittenDown and NotEverywhereYet like ``leave``.
        """
        kept = but.sid if but else ""
        theirs = [one for one in self.standing.all_of(uid) if one.sid != kept]
        await self.ending.end(theirs, by=by, reason=reason)
        await self._everywhere.confirm()
        return len(theirs)

    @property
    def hears_late(self) -> bool:
        """Tell whether other controllers may know of log-ins that were not heard of here yet."""
        return self.standing.revision > 0
