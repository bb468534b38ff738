"""Looks people up in the directory again, and removes those who may no longer use the hub.

Their log-ins and invitations end at once, and those of their guests, too. Their sessions run on for
a while, in case the directory was wrong. The files always stay.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio
import structlog

from controller.core.errors import DirectoryUnavailable, StoreUnavailable
from controller.core.model import Person, UserId
from controller.core.records import Reason
from controller.people.directory import Directory
from controller.people.logins import Logins
from controller.sessions.revoking import Revoking
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings

_CROWD = 3
"""Number of people who do not all leave between two rounds: if none is found, the hub's account has
lost its rights, and the directory looks empty."""

_FAILURES = 3
"""Failures in a row after which the directory counts as unavailable, so that a round does not wait
for each person."""

_log = structlog.get_logger("rollcall")


class DirectoryCheck:
    """Looks up everybody who is logged in, has a session, or waits for one."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        logins: Logins,
        *,
        sessions: Sessions,
        revoking: Revoking,
        clock: Callable[[], float],
    ) -> None:
        """``clock``: monotonic seconds, so that a step of the wall clock shortens no grace."""
        self._settings = settings
        self._directory = directory
        self._logins = logins
        self._sessions = sessions
        self._revoking = revoking
        self._clock = clock
        self._departed: dict[UserId, float] = {}
        # Of the round before:
        self._failed: frozenset[UserId] = frozenset()
        self._left_out: frozenset[UserId] = frozenset()

    async def call(self) -> None:
        """Do one round. People about whom the directory did not answer are asked for next time.

        Raises NotWrittenDown or StoreUnavailable when the round is done.
        """
        if not self._directory.can_find:
            return
        called = self._called()
        self._departed = {uid: at for uid, at in self._departed.items() if uid in called}
        found = await self._look_up(called)
        if len(called) >= _CROWD and not any(found.values()):
            if found:
                _log.error(
                    "rollcall_doubted",
                    people=len(found),
                    advice="No user is found. Check that the hub may still read the directory.",
                )
            return
        faults: list[StoreUnavailable] = []
        async with anyio.create_task_group() as group:
            for uid, person in found.items():
                group.start_soon(self._judge, uid, person, faults)
        if faults:
            raise faults[0]

    def _called(self) -> frozenset[UserId]:
        """Return everybody who is logged in, has a session, or waits in the queue."""
        return self._logins.standing.people() | {
            one.session.owner for one in self._sessions.everything()
        }

    async def _look_up(self, called: frozenset[UserId]) -> dict[UserId, Person | None]:
        """Return the directory's answers.

        People who were not asked for in the last round come first, people without an answer come
        last: so a name on which the directory fails delays nobody else.
        """
        found: dict[UserId, Person | None] = {}
        failed: list[UserId] = []
        in_a_row = 0
        order = sorted(
            called, key=lambda uid: (uid in self._failed, uid not in self._left_out, uid)
        )
        while order and in_a_row < _FAILURES:
            uid = order.pop(0)
            try:
                found[uid] = await self._directory.find(uid)
            except DirectoryUnavailable as error:
                _log.warning("not_looked_up", user=uid, error=error.in_full)
                failed.append(uid)
                in_a_row += 1
            else:
                in_a_row = 0
        if order:
            _log.warning("rollcall_interrupted", left_out=len(order))
        self._failed, self._left_out = frozenset(failed), frozenset(order)
        return found

    async def _judge(
        self, uid: UserId, person: Person | None, faults: list[StoreUnavailable]
    ) -> None:
        """Remove or keep a person. An end that cannot be saved counts, and goes to ``faults``."""
        if person is not None:
            self._departed.pop(uid, None)
            acts = [partial(self._logins.following.refresh, person)]
        else:
            acts = [
                partial(self._end_logins, uid),
                partial(self._revoking.let_go, uid),
                partial(self._stop_late, uid),
            ]
        for act in acts:
            try:
                await act()
            except StoreUnavailable as error:
                faults.append(error)

    async def _end_logins(self, uid: UserId) -> None:
        if self._logins.standing.is_in(uid):
            _log.warning("person_departed", user=uid, sessions=len(self._sessions.owned_by(uid)))
        await self._logins.revoke(uid)

    async def _stop_late(self, uid: UserId) -> None:
        since = self._departed.setdefault(uid, self._clock())
        if self._clock() - since >= self._settings.departed_seconds:
            for seen in self._sessions.owned_by(uid):
                await self._sessions.stop(seen.session.id, Reason.DEPARTED)
