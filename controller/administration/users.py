"""What administrators see of the users, and what they can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import anyio
import msgspec

from controller.administration.table import PAGE
from controller.core.errors import FilesInUse, InvalidRequest, Unavailable
from controller.core.model import UserId, Volume
from controller.core.records import Actor
from controller.core.sentence import Sentence
from controller.engines import Orchestrator
from controller.monitoring.audit import Act, Audit
from controller.people.logins import Logins
from controller.people.throttle import Throttled
from controller.sessions.sessions import Sessions

_SIZES_FRESH = 300.0  # seconds; measuring walks through the engine's disk
_QUOTA_MOST = 1000


class User(msgspec.Struct, frozen=True):
    """Somebody who is logged in, has sessions, files or a number of sessions of their own."""

    uid: UserId
    sessions: int
    most: int  # sessions that they may have
    quota: int | None  # that number, if an administrator has set it
    logged_in: bool
    volume: Volume | None


class Users(msgspec.Struct, frozen=True):
    """One page of the people."""

    users: tuple[User, ...]
    found: int
    page: int  # from 1
    pages: int
    measured_at: float | None  # seconds since the epoch
    fault: Sentence | None = None  # why the files are not known


class People:
    """Everybody who is logged in, has sessions, files or a number of sessions of their own."""

    def __init__(
        self,
        sessions: Sessions,
        logins: Logins,
        orchestrator: Orchestrator,
        audit: Audit,
        *,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """``wall``: seconds since the epoch; ``clock``: monotonic seconds."""
        self._sessions = sessions
        self._logins = logins
        self._orchestrator = orchestrator
        self._audit = audit
        self._wall = wall
        self._clock = clock
        self._volumes: tuple[Volume, ...] = ()
        self._measured: tuple[float, float] | None = None  # when: monotonic, and by the wall
        self._measuring = anyio.Lock()

    async def users(self, *, query: str, page: int, fresh: bool = False) -> Users:
        """Return one page of the people. Files are measured at most every few minutes."""
        fault: Sentence | None = None
        try:
            await self._measure(fresh=fresh)
        except Unavailable as error:
            fault = error.sentence
        volumes = {one.owner: one for one in self._volumes}
        running = Counter(one.session.owner for one in self._sessions.everything())
        here = self._logins.standing.people()
        quotas = self._sessions.rule_book.rules.quotas
        words = query.casefold().split()
        found = sorted(
            uid
            for uid in {*volumes, *running, *here, *quotas}
            if all(word in uid for word in words)
        )
        pages = max(1, -(-len(found) // PAGE))
        page = min(max(1, page), pages)
        return Users(
            tuple(
                self._user(uid, running[uid], uid in here, volumes.get(uid))
                for uid in found[(page - 1) * PAGE : page * PAGE]
            ),
            found=len(found),
            page=page,
            pages=pages,
            measured_at=self._measured[1] if self._measured else None,
            fault=fault,
        )

    async def user(self, uid: UserId) -> User:
        """Return one person, even if nothing is known of them."""
        with suppress(Unavailable):  # then their files are not known, as the table says
            await self._measure(fresh=False)
        own = self._sessions.owned_by(uid)
        volume = next((one for one in self._volumes if one.owner == uid), None)
        return self._user(uid, len(own), uid in self._logins.standing.people(), volume)

    async def set_quota(self, uid: UserId, most: int | None, by: Actor) -> None:
        """Let somebody have another number of sessions; None: as many as configured."""
        if most is not None and not 0 <= most <= _QUOTA_MOST:
            raise InvalidRequest("Choose a number from 0 to {most}.", most=_QUOTA_MOST)
        self._audit.record(Act.ADMIN_QUOTA, by, whose=uid, sessions=most)
        await self._sessions.rule_book.set_quota(uid, most)

    async def log_out(self, uid: UserId, by: Actor) -> int:
        """End every log-in of somebody, and close what they have open; returns how many.

        Raises NotWrittenDown.
        """
        self._audit.record(Act.ADMIN_LOGOUT, by, whose=uid)
        return await self._logins.revoke(uid, reason="admin")

    async def throttled(self) -> list[Throttled]:
        """Return whose log-ins are refused for a while, after too many failures."""
        return await self._logins.throttle.throttled()

    async def release(self, throttled_id: str, by: Actor) -> Throttled:
        """Let refused log-ins be tried again. Raises NotThrottled."""
        found = await self._logins.throttle.release(throttled_id)
        self._audit.record(
            Act.ADMIN_RELEASE, by, whose=found.user, address=found.address, failures=found.failures
        )
        return found

    async def remove_files(self, uid: UserId, by: Actor) -> None:
        """Remove a person's files for good. Raises FilesInUse while they have a session."""
        if any(one.session.owner == uid for one in self._sessions.everything()):
            raise FilesInUse
        self._audit.record(Act.ADMIN_REMOVE_FILES, by, whose=uid)
        await self._orchestrator.remove_volume(uid)
        self._volumes = tuple(one for one in self._volumes if one.owner != uid)

    def _user(self, uid: UserId, sessions: int, here: bool, volume: Volume | None) -> User:
        return User(
            uid,
            sessions=sessions,
            most=self._sessions.queue.most_sessions(uid),
            quota=self._sessions.rule_book.rules.quotas.get(uid),
            logged_in=here,
            volume=volume,
        )

    async def _measure(self, *, fresh: bool) -> None:
        asked = self._clock()
        async with self._measuring:
            last = self._measured[0] if self._measured else None
            # Another request has measured while this one waited.
            if last is not None and (last >= asked or (not fresh and asked - last < _SIZES_FRESH)):
                return
            self._volumes = tuple(await self._orchestrator.volumes())
            self._measured = (self._clock(), self._wall())
