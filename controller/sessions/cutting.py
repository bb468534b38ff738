"""Closes what somebody has open in a session, and sees to it that it stays closed.

Traefik asks about the beginning of a connection only, so the session itself is asked to close what
is open; an image that cannot do that has to be restarted. That request may get lost, and somebody
may come in meanwhile, so the session is polled a few more times soon after a cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

import anyio
import msgspec
import structlog

from controller.core.errors import NoSuchSession
from controller.core.model import Observed, Phase, SessionId, UserId
from controller.monitoring.faults import contained
from controller.monitoring.metrics import Metrics
from controller.sessions.gateway import Gateway
from controller.sessions.pace import Pace
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.tasks import Tasks

_log = structlog.get_logger("sharing")


class CutTimes(msgspec.Struct, frozen=True):
    """Seconds within which somebody is cut, and after which it is checked again."""

    within: float = 5.0  # design.md section 6: an open view is closed within this time
    again: float = 1.0  # between two times that a session is asked
    check_after: tuple[float, ...] = (1.0, 2.0, 2.0)  # pauses: at 1, 3 and 5 s after a cut


class Cutting:
    """The cuts in all sessions."""

    def __init__(
        self,
        sessions: Sessions,
        poller: Poller,
        gateway: Gateway,
        tasks: Tasks,
        metrics: Metrics,
        *,
        times: CutTimes = CutTimes(),  # noqa: B008 - frozen
    ) -> None:
        """What goes on beside its caller runs in ``tasks``."""
        self._sessions = sessions
        self._poller = poller
        self._gateway = gateway
        self._tasks = tasks
        self._metrics = metrics
        self._times = times
        self._due: dict[SessionId, set[UserId]] = {}
        self._pace = Pace()

    def can_cut(self, seen: Observed) -> bool:
        """Tell whether open views can be closed without a restart."""
        return self._sessions.profile_of(seen).endpoints

    def due(self, session_id: SessionId) -> Collection[UserId]:
        """Return whom the session was asked to cut, and has not answered yet."""
        return tuple(self._due.get(session_id, ()))

    async def cut(self, seen: Observed, uid: UserId) -> bool:
        """Close what a person has open on a session; False: it cannot, or does not answer.

        The pages of people who may still enter reconnect by themselves.
        """
        if not self.can_cut(seen):
            return False
        session_id = seen.session.id
        self._due.setdefault(session_id, set()).add(uid)
        if self._sessions.phase(seen) is not Phase.READY:
            return True  # most likely nobody can be connected; the next poll makes sure
        cut = False

        async def try_once() -> None:
            nonlocal cut
            if await self.kick(session_id, uid):
                cut = True
                group.cancel_scope.cancel()

        with anyio.move_on_after(self._times.within):
            # A session may hang over one question and answer the next.
            async with anyio.create_task_group() as group:
                while True:
                    group.start_soon(try_once)
                    await anyio.sleep(self._times.again)
        self.check_after([session_id])
        if not cut:
            _log.warning("not_cut", session=session_id, guest=uid)
        return cut

    def cut_soon(self, seen: Observed, uid: UserId) -> None:
        """Begin to close what a person has open on a session."""

        async def cut() -> None:
            await self.cut(seen, uid)

        self._tasks.spawn("kick", seen.session.id, cut)

    async def kick(self, session_id: SessionId, uid: UserId) -> bool:
        """Ask a session once to close what a person has open; False: it did not answer."""
        with contained("kick", self._metrics, session=session_id):
            if await self._gateway.kick(session_id, uid):
                self._due.get(session_id, set()).discard(uid)
                return True
        return False

    def check_after(self, sessions: Iterable[SessionId]) -> None:
        """Check for a while after something was taken back who is connected to these sessions.

        Somebody may have come in meanwhile by an earlier answer of verify, or by a controller that
        did not know of it yet.
        """
        for session_id in sessions:
            self._check_after(session_id, self._times.check_after)

    def check_soon(self, session_id: SessionId, seconds: float) -> None:
        """Check after so many seconds who is connected to a session."""
        self._check_after(session_id, (seconds,))

    def _check_after(self, session_id: SessionId, pauses: Iterable[float]) -> None:
        async def check() -> None:
            for seconds in pauses:
                await anyio.sleep(seconds)
                await self._check(session_id)

        self._tasks.spawn("look", session_id, check)

    async def _check(self, session_id: SessionId) -> None:
        try:
            seen = self._sessions.any(session_id)
        except NoSuchSession:
            return
        if self._sessions.phase(seen) is Phase.READY:
            await self._pace.go(partial(self._poller.poll, seen))

    def forget_gone(self, living: Collection[SessionId]) -> None:
        """Forget what was to be cut in other sessions than these."""
        self._due = {one: who for one, who in self._due.items() if one in living}
