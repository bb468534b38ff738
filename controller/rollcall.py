"""Looks people up again: who may no longer use the hub is let go, what they run is stopped.

Log-ins and invitations end at once. Sessions run on for a while, in case the directory was
mistaken; the files stay in any case.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from controller.config import Settings
from controller.directory import Directory
from controller.errors import DirectoryUnavailable
from controller.grants import Grants
from controller.lifecycle import Reason
from controller.logins import Logins
from controller.model import Person, UserId
from controller.sessions import Sessions
from controller.sharing import Sharing

_CROWD = 3
"""So many people do not all leave between two looks: the hub's account has lost its rights, which a
directory answers like an empty one."""

_log = structlog.get_logger("rollcall")


class RollCall:
    """Calls everybody who is logged in or has a session."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        logins: Logins,
        grants: Grants,
        *,
        sessions: Sessions,
        sharing: Sharing,
        clock: Callable[[], float],
    ) -> None:
        """``clock``: monotonic seconds, so that a step of the wall clock shortens no grace."""
        self._settings = settings
        self._directory = directory
        self._logins = logins
        self._grants = grants
        self._sessions = sessions
        self._sharing = sharing
        self._clock = clock
        self._departed: dict[UserId, float] = {}

    async def call(self) -> None:
        """Do one round; a directory that does not answer judges nobody.

        Raises StoreUnavailable.
        """
        if not self._directory.can_find:
            return
        owners = {one.session.owner for one in self._sessions.all()}
        called = self._logins.people() | owners
        self._departed = {uid: at for uid, at in self._departed.items() if uid in called}
        found: dict[UserId, Person | None] = {}
        for uid in sorted(called):
            try:
                found[uid] = await self._directory.find(uid)
            except DirectoryUnavailable as error:
                _log.warning("rollcall_interrupted", error=error.in_full)
                return
        if len(found) >= _CROWD and not any(found.values()):
            _log.error(
                "rollcall_doubted",
                people=len(found),
                advice="Nobody who is here is found. May the hub still read the directory?",
            )
            return
        for uid, person in found.items():
            if person is None:
                await self._let_go(uid)
            else:
                self._departed.pop(uid, None)
                await self._logins.refresh(person)

    async def _let_go(self, uid: UserId) -> None:
        since = self._departed.setdefault(uid, self._clock())
        own = self._sessions.owned_by(uid)
        revoked = await self._logins.revoke(uid)
        if revoked:
            _log.warning("person_departed", user=uid, logins=revoked, sessions=len(own))
        await self._sharing.cut_person(uid)
        invitations = self._grants.of_person(uid)
        await self._grants.withdraw_person(uid)
        self._sharing.note_revoked(invitations, "departed")
        for seen in own:
            invitations = self._grants.of_session(seen.session.id)
            await self._grants.withdraw_session(seen.session.id)
            self._sharing.note_revoked(invitations, "departed")
            if self._clock() - since >= self._settings.departed_seconds:
                await self._sessions.stop(seen.session.id, Reason.DEPARTED)
