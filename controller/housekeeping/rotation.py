"""The running hub takes the key ring that is kept, and drops from it what proves nothing any more.

Every controller looks now and then, so a rotation reaches all of them without a restart. A ring
that cannot be read changes nothing: the one in use goes on.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog

from controller.core.errors import HubError, NotWrittenDown
from controller.core.records import CONTROLLER
from controller.monitoring.audit import Act, Audit
from controller.people.keys import KeyStorage
from controller.people.logins import Logins
from controller.people.tokens import KeyRing, Keys

LOOK_SECONDS = 3.0
"""Between two looks at what is kept."""

_log = structlog.get_logger("rotation")


class Rotation:
    """Keeps the ring in use the one that is kept."""

    def __init__(
        self,
        keys: Keys,
        place: KeyStorage,
        *,
        logins: Logins,
        audit: Audit,
        wall: Callable[[], float],
        leads: Callable[[], bool],
    ) -> None:
        """``wall``: seconds since the epoch; ``leads``: whether this controller keeps house."""
        self._keys = keys
        self._place = place
        self._logins = logins
        self._audit = audit
        self._wall = wall
        self._leads = leads
        self._fault = ""

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take what is kept now."""
        try:
            kept = await self._place.key_ring(make=False)
            now = self._wall()
            if self._leads() and kept.standing(now) != kept:
                kept = await self._place.change_key_ring(lambda ring: ring.standing(now))
            if kept != self._keys.ring:
                await self._take(kept)
        except HubError as error:
            if str(error) != self._fault:  # once, not every few seconds
                self._fault = str(error)
                _log.error("keys_not_read", error=self._fault)
        else:
            self._fault = ""

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
            await self._logins.end_unproven(leads=self._leads())
        except NotWrittenDown as error:
            _log.warning("ended_unwritten", error=str(error))  # housekeeping tries again
