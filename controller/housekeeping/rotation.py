"""Takes a changed key ring into use while the hub runs, and drops keys that are no longer needed.

Every controller reads the stored ring regularly, so a rotation reaches all of them without a
restart. The one that leads completes the ring of an earlier hub. A ring that cannot be read changes
nothing: the one in use stays.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog

from controller.core.errors import HubError, NotWrittenDown
from controller.core.records import CONTROLLER
from controller.monitoring.audit import Act, Audit
from controller.people.keys import KeyStorage, complete
from controller.people.logins import Logins
from controller.people.tokens import KeyRing, Keys

READ_SECONDS = 3.0
"""Seconds between two reads of the stored ring."""

_log = structlog.get_logger("rotation")


class Rotation:
    """Keeps the ring in use equal to the stored one."""

    def __init__(
        self,
        keys: Keys,
        storage: KeyStorage,
        *,
        logins: Logins,
        audit: Audit,
        seconds: float,
        wall: Callable[[], float],
        leads: Callable[[], bool],
    ) -> None:
        """``seconds``: how long a log-in is valid; ``wall``: seconds since the epoch.

        ``leads``: whether this controller leads.
        """
        self._keys = keys
        self._storage = storage
        self._logins = logins
        self._audit = audit
        self._seconds = seconds
        self._wall = wall
        self._leads = leads
        self._fault = ""

    async def run(self) -> None:
        """Read the stored ring regularly until cancelled."""
        while True:
            await self.refresh()
            await anyio.sleep(READ_SECONDS)

    async def refresh(self) -> None:
        """Take the stored ring into use."""
        try:
            kept = await self._storage.key_ring(make=False)
            if self._leads():
                kept = await self._keep_up(kept)
            if kept != self._keys.ring:
                await self._take(kept)
        except HubError as error:
            if str(error) != self._fault:  # once, not every few seconds
                self._fault = str(error)
                _log.error("keys_not_read", error=self._fault)
        else:
            self._fault = ""

    async def _keep_up(self, kept: KeyRing) -> KeyRing:
        """Complete the ring of an earlier hub, and drop keys that are no longer needed."""
        now = self._wall()
        standing = self._logins.standing
        if standing.known and not kept.complete:
            expiries = [one.expires for one in standing.all()]
            kept = await complete(self._storage, now=now, seconds=self._seconds, expiries=expiries)
            _log.info("keys_completed", newest=kept.keys[0].kid)
        if kept.standing(now) != kept:
            kept = await self._storage.change_key_ring(lambda ring: ring.standing(now))
        return kept

    async def _take(self, ring: KeyRing) -> None:
        before = {one.kid for one in self._keys.ring.keys}
        after = {one.kid for one in ring.keys}
        self._keys.ring = ring
        _log.info("keys_taken", newest=ring.keys[0].kid, dropped=sorted(before - after))
        if after - before:
            self._audit.record(
                Act.KEYS_ROTATED, CONTROLLER, key=ring.keys[0].kid, at_once=not before & after
            )
        try:
            await self._logins.ending.end_unproven(leads=self._leads())
        except NotWrittenDown as error:
            _log.warning("ended_unwritten", error=str(error))  # housekeeping tries again
