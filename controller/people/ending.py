"""Ends log-ins for good: here at once, in the store as soon as it can be told."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from controller.core.errors import NotWrittenDown, StoreUnavailable
from controller.core.records import CONTROLLER, Actor, Login
from controller.monitoring.audit import Act, Audit
from controller.people.standing import Standing
from controller.people.tokens import Keys
from controller.store import LoginStore

_log = structlog.get_logger("logins")


class Ending:
    """The ends of log-ins that somebody, or the hub itself, has decided on."""

    def __init__(self, standing: Standing, store: LoginStore, keys: Keys, audit: Audit) -> None:
        """``standing`` tells of each end, see there."""
        self._standing = standing
        self._store = store
        self._keys = keys
        self._audit = audit
        self._unwritten: set[str] = set()  # have ended here, and stand in the store

    async def end(
        self, logins: Collection[Login], *, by: Actor, reason: str, asked: bool = True
    ) -> None:
        """End log-ins for good, here at once. ``asked``: see ``standing.Ended``.

        Raises NotWrittenDown if the store cannot be told yet.
        """
        for login in logins:
            if self._standing.get(login.sid) is not None:
                self._audit.record(Act.LOGOUT, by, whose=login.person.uid, reason=reason)
            self._unwritten.add(login.sid)
        self._standing.end(logins, asked=asked, for_good=True)
        try:
            await self._remove([one.sid for one in logins])
        except StoreUnavailable as error:
            _log.error("logins_not_removed", left=len(self._unwritten), error=error.in_full)
            raise NotWrittenDown from error

    async def end_unproven(self, *, leads: bool) -> None:
        """End the log-ins that no key of the ring proves any more.

        Those of another controller's last moments with an older ring are among them. ``leads``:
        whether it is this controller that writes it down. Raises NotWrittenDown like ``end``.
        """
        ring = self._keys.ring
        lost = [one for one in self._standing.all() if not ring.proves(one.key, one.created)]
        if leads:
            await self.end(lost, by=CONTROLLER, reason="keys")
        else:
            self._standing.end(lost, asked=True)

    async def write_down(self) -> None:
        """Take out of the store what has ended here and stands there yet.

        Raises StoreUnavailable; what is left is for the next time.
        """
        await self._remove(tuple(self._unwritten))

    def forget_over(self) -> None:
        """Forget what has ended here and would be over by now: the store has forgotten it, too."""
        self._unwritten = {sid for sid in self._unwritten if self._standing.is_over(sid)}

    async def _remove(self, sids: Collection[str]) -> None:
        fault: StoreUnavailable | None = None
        for sid in sids:
            async with self._standing.turn:
                if sid not in self._unwritten:
                    continue  # somebody else did it meanwhile
                try:
                    await self._store.remove_login(sid)
                except StoreUnavailable as error:
                    fault = error  # the others may go
                else:
                    self._unwritten.discard(sid)
        if fault is not None:
            raise fault
