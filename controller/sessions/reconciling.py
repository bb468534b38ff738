"""Compares who is connected to a session with who may be, at each poll; the rest is cut.

A grant that is taken back counts for the very next request. What is open already is cut then, but
that request may get lost, and somebody may come in meanwhile. So each poll compares again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable

import anyio

from controller.core.model import Observed, SessionId, UserId
from controller.core.records import CONTROLLER, Login
from controller.monitoring.audit import Act, Audit
from controller.monitoring.metrics import Metrics
from controller.people.logins import Logins
from controller.rules import sharing as rules
from controller.sessions.cutting import Cutting
from controller.sessions.gateway import Client
from controller.sessions.sessions import Sessions
from controller.sessions.tasks import Tasks

_STRANGERS_MAX = 20  # of a session that are dealt with at once; one that names more is lying

_TOLD_SECONDS = 600.0  # for which somebody who stays connected without a right is recorded once

_NEWS_SECONDS = 2.0  # in which one controller hears of what another has written


class Reconciling:
    """Who is connected, against who may be."""

    def __init__(
        self,
        sessions: Sessions,
        logins: Logins,
        cutting: Cutting,
        tasks: Tasks,
        *,
        audit: Audit,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """``clock``: monotonic seconds."""
        self._sessions = sessions
        self._logins = logins
        self._cutting = cutting
        self._tasks = tasks
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._doubted: dict[SessionId, dict[UserId, float]] = {}  # strangers, and since when
        self._told: dict[SessionId, dict[tuple[UserId, str], float]] = {}  # and when last seen

    async def judge(self, seen: Observed, clients: Iterable[Client]) -> None:
        """Cut people who are connected, as the session says, and may not be, or not in this role.

        A session may say what it likes: it loses connections by that, and nobody gains any.
        """
        session_id = seen.session.id
        found = {one.user: why for one in clients if (why := self._why_not(seen, one))}
        strangers = dict(itertools.islice(found.items(), _STRANGERS_MAX))
        if self._logins.hears_late:
            strangers = self._proven(session_id, strangers)
        self._tell(seen, strangers)
        async with anyio.create_task_group() as group:
            for uid in {*strangers, *self._cutting.due(session_id)}:
                group.start_soon(self._cutting.kick, session_id, uid)

    def _why_not(self, seen: Observed, client: Client) -> str:
        return rules.why_not_connected(
            self._sessions.role(seen, client.user),
            client.role,
            logged_in=self._logins.standing.is_in(client.user),
        )

    def _proven(self, session_id: SessionId, strangers: dict[UserId, str]) -> dict[UserId, str]:
        """Return those who are strangers for so long that no news of their right is on its way."""
        now = self._clock()
        before = self._doubted.get(session_id, {})
        self._doubted[session_id] = {uid: before.get(uid, now) for uid in strangers}
        if strangers and not before:
            self._cutting.check_soon(session_id, _NEWS_SECONDS)
        since = self._doubted[session_id]
        return {uid: why for uid, why in strangers.items() if now - since[uid] >= _NEWS_SECONDS}

    def _tell(self, seen: Observed, strangers: dict[UserId, str]) -> None:
        """Record who was connected without a right, each once as long as that lasts."""
        now = self._clock()
        told = {
            one: at
            for one, at in self._told.get(seen.session.id, {}).items()
            if now - at < _TOLD_SECONDS
        }
        for uid, why in strangers.items():
            if (uid, why) not in told:
                if len(told) >= _STRANGERS_MAX:
                    continue  # it names others at each poll, and would fill the audit log
                self._metrics.stranger(why)
                self._audit.record_on(seen.session, Act.CUT, CONTROLLER, guest=uid, reason=why)
            told[uid, why] = now
        self._told[seen.session.id] = told

    def logged_out(self, logins: Collection[Login], asked: bool) -> None:
        """Begin to close what people have open anywhere whose log-ins have ended."""
        if not self._tasks.running:
            return  # it first asks who is connected
        people = {one.person.uid for one in logins if asked or self._may_be_inside(one)}
        for uid in sorted(people):
            shown = (seen for seen, _ in self._sessions.shared_with(uid))
            for seen in (*self._sessions.owned_by(uid), *shown):
                self._cutting.cut_soon(seen, uid)

    def _may_be_inside(self, ended: Login) -> bool:
        """Tell whether anything may be open by a log-in that has ended.

        Programs log in again and again: their people's own views stay open meanwhile.
        """
        if ended.script and self._logins.standing.is_in(ended.person.uid):
            return self._sessions.usage.has_entered(ended.sid)
        return True

    def forget_gone(self, living: Collection[SessionId]) -> None:
        """Forget who was connected to other sessions than these."""
        self._doubted = {one: who for one, who in self._doubted.items() if one in living}
        self._told = {one: who for one, who in self._told.items() if one in living}
