"""The sessions of this instance: their state, who may see one, and what happens next.

The parts do the work on the records of the ``registry``: ``launching``, ``stopping``,
``readiness``, ``usage``, the ``queue``, the ``banners``, the ``agenda``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import anyio
import structlog

from controller.core.changes import ChangeCount
from controller.core.errors import EngineUnavailable, HubError, NoSuchSession, NotAllowed
from controller.core.model import (
    Observed,
    Phase,
    Profile,
    Role,
    SessionId,
    UserId,
    new_session_id,
    parse_session_id,
)
from controller.core.records import CONTROLLER, Actor, Drain, Reason, Share, Sign
from controller.core.sentence import Phrase
from controller.engines import Orchestrator
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.rules import access, keeping, sentences
from controller.rules.access import Access
from controller.rules.keeping import KeepReason
from controller.rules.lifecycle import Activity, Warned
from controller.rules.queue import QueuePosition
from controller.sessions.agenda import Agenda
from controller.sessions.banners import Banners
from controller.sessions.following import Following
from controller.sessions.gateway import Gateway
from controller.sessions.grants import Grants
from controller.sessions.launching import Launching
from controller.sessions.queue import Queue
from controller.sessions.readiness import Readiness
from controller.sessions.registry import Registry
from controller.sessions.rule_book import RuleBook
from controller.sessions.stopping import Stopping
from controller.sessions.tasks import Tasks
from controller.sessions.usage import Usage
from controller.settings.schema import Settings
from controller.store import Store

_LOG_LINES = 40

_log = structlog.get_logger("sessions")


class Sessions:
    """All sessions of this instance."""

    def __init__(
        self,
        settings: Settings,
        orchestrator: Orchestrator,
        gateway: Gateway,
        store: Store,
        *,
        grants: Grants,
        audit: Audit,
        metrics: Metrics,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        leads: Callable[[], bool] = lambda: True,
        new_id: Callable[[], SessionId] = new_session_id,
        changes: ChangeCount | None = None,
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now; ``new_id`` makes session ids.

        ``leads``: whether this controller serves the queue; ``changes``: see ``Registry``.
        """
        self._settings = settings
        self._orchestrator = orchestrator
        self._grants = grants
        self._clock = clock
        self._wall = wall
        self._tasks = tasks = Tasks(metrics)
        self.registry = registry = Registry(
            settings, audit, clock=clock, wall=wall, changes=changes
        )
        self.rule_book = rules = RuleBook(store, changed=registry.announce)
        self.banners = Banners(registry, gateway, grants, rules, clock=clock, wall=wall)
        self.queue = Queue(settings, registry, rules, store, tasks, wall=wall)
        self.usage = Usage(settings, registry, store, clock=clock, wall=wall, leads=leads)
        self.readiness = Readiness(
            settings,
            registry,
            gateway,
            store,
            tasks,
            metrics=metrics,
            clock=clock,
            wall=wall,
            leads=leads,
        )
        self.stopping = Stopping(
            registry,
            self.queue,
            orchestrator,
            gateway,
            store=store,
            tasks=tasks,
            clock=clock,
            wall=wall,
            gone=self._forget,
        )
        self.launching = Launching(
            settings,
            registry,
            rules,
            self.queue,
            self.readiness,
            stopping=self.stopping,
            orchestrator=orchestrator,
            tasks=tasks,
            clock=clock,
            wall=wall,
            leads=leads,
            new_id=new_id,
        )
        self.agenda = Agenda(registry, self.usage, message=self.message, clock=clock)
        self._following = Following(
            registry,
            self.queue,
            self.usage,
            self.readiness,
            orchestrator,
            clock=clock,
            room=self.launching.serve_queue,
        )
        metrics.watch_sessions(
            lambda: [(self.phase(one), one.session.profile) for one in self.all()]
        )

    # -- running ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the engine until cancelled."""
        try:
            await self.readiness.load()
            await self.usage.load()
            await self.queue.load()
        except HubError as error:
            # Every session has its full time again; housekeeping reads the queue when it can.
            _log.warning("nothing_remembered", error=error.in_full)
        async with anyio.create_task_group() as group:
            self._tasks.group = group
            await self._following.run()

    def _forget(self, session_id: SessionId) -> None:
        self.launching.gone(session_id)

    async def finish(self, seconds: float) -> None:
        """Begin nothing new, and let work under way end within ``seconds``."""
        self.registry.closing = True
        await self.stopping.finish(seconds)

    # -- who may see what ------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a first snapshot of the engine has come."""
        return self.registry.ready

    def all(self) -> list[Observed]:
        """Return all sessions without orphans, the oldest first."""
        return self.registry.all()

    def everything(self) -> list[Observed]:
        """Return all sessions, with those in the queue, for administrators."""
        return [*self.registry.all(), *self.queue.all()]

    def owned_by(self, uid: UserId) -> list[Observed]:
        """Return a person's own sessions, the oldest first, then those in the queue."""
        return [one for one in self.everything() if one.session.owner == uid]

    def shared_with(self, uid: UserId) -> list[tuple[Observed, Share]]:
        """Return the sessions, also those in the queue, to which this person is invited."""
        found = [
            (seen, share)
            for share in self._grants.of_person(uid)
            if (seen := self._there(share.session)) is not None
        ]
        whole = [pair for pair in found if not pair[0].orphan and pair[0].session.owner != uid]
        return sorted(whole, key=lambda pair: pair[0].session.created_at)

    def find(self, session_id: str, uid: UserId) -> Observed:
        """Return a session in which this person has a role; it may be in the queue.

        Raises NoSuchSession for unknown, foreign and stopped ones alike.
        """
        seen = self.any(session_id)
        if self.role(seen, uid) is None:
            raise NoSuchSession
        return seen

    def find_own(self, session_id: str, uid: UserId) -> Observed:
        """Return a person's own session.

        Raises NoSuchSession like ``find``, NotAllowed for one that is only shown to them.
        """
        seen = self.find(session_id, uid)
        if seen.session.owner != uid:
            raise NotAllowed("Only the owner of the session can do that.")
        return seen

    def any(self, session_id: str) -> Observed:
        """Return anybody's session, also one in the queue. Raises NoSuchSession."""
        parsed = parse_session_id(session_id)
        seen = self._there(parsed) if parsed else None
        if seen is None or seen.orphan:
            raise NoSuchSession
        return seen

    def _there(self, session_id: SessionId) -> Observed | None:
        return self.queue.find(session_id) or self.registry.seen(session_id)

    def owner(self, session_id: SessionId) -> UserId | None:
        """Return the owner of a session, also of one in the queue; None: there is none."""
        seen = self._there(session_id)
        return None if seen is None or seen.orphan else seen.session.owner

    def role(self, seen: Observed, uid: UserId) -> Role | None:
        """Return what a person may do in a session now; None: nothing at all."""
        return access.role_in(seen.session, uid, self._grants.role_of(seen.session.id, uid))

    def access(self, session_id: SessionId, uid: UserId) -> Access | None:
        """Answer verify, without I/O: None if the session does not exist."""
        seen = self.registry.seen(session_id)
        if seen is None or seen.orphan:
            return None
        return Access(self.role(seen, uid), self.phase(seen))

    # -- what is shown of them -------------------------------------------------------------

    def profile_of(self, seen: Observed) -> Profile:
        """Return the session's profile, or a nameless one if it is no longer configured."""
        return self.registry.profile_of(seen)

    def phase(self, seen: Observed) -> Phase:
        """Return the session's phase."""
        return self.registry.phase(seen)

    def message(self, seen: Observed) -> Phrase:
        """Return what is said of the session's state."""
        return sentences.message_of(
            self.phase(seen),
            seen,
            self.registry.limits(seen.session),
            place=self.queue.place(seen),
        )

    def keep_reason(
        self, seen: Observed, place: QueuePosition | None
    ) -> tuple[KeepReason, datetime | None]:
        """Return why it has not been removed, and the time (UTC) that belongs to that."""
        now = self._clock()
        activity = self.usage.of(seen) or Activity(first_seen=now, last_active=now)
        limits = self.registry.limits(seen.session)
        why = keeping.keep_reason(self.phase(seen), activity, now, limits, place=place)
        at = None if why.at is None else self._wall() + timedelta(seconds=why.at - now)
        return why, at

    @property
    def drain(self) -> Drain | None:
        """Return the drain in force, or None."""
        return self.rule_book.rules.drain

    async def last_lines(self, seen: Observed) -> list[str]:
        """Return the last lines that the session printed; none if they are not available."""
        try:
            lines = self._orchestrator.logs(seen.session.id, tail=_LOG_LINES)
            return [line async for line in lines]
        except EngineUnavailable as error:
            _log.warning("logs_unavailable", session=seen.session.id, error=error.in_full)
            return []

    def announce(self) -> None:
        """Wake everybody who follows ``changes``."""
        self.registry.announce()

    # -- acts ------------------------------------------------------------------------------

    async def stop(
        self,
        session_id: SessionId,
        reason: Reason,
        *,
        by: Actor = CONTROLLER,
        save: bool = True,
    ) -> None:
        """Begin to stop a session, see ``Stopping.stop``. Raises StoreUnavailable."""
        await self.stopping.stop(session_id, reason, by=by, save=save)

    def touch(self, session_id: SessionId) -> None:
        """Note that somebody used the session just now."""
        self.usage.touch(session_id)

    def is_inside(self, session_id: SessionId, sid: str) -> bool:
        """Tell whether somebody has entered with this log-in; verify asks at each page."""
        return self.usage.is_inside(session_id, sid)

    def enter(self, session_id: SessionId, sid: str, role: Role, by: Actor) -> None:
        """Record that somebody has opened the session with the log-in ``sid``."""
        self.usage.enter(session_id, sid, role, by)

    async def keep(self, seen: Observed, by: UserId) -> None:
        """Count the session as used now, because somebody asked for that.

        Raises NotAllowed for a person who only views.
        """
        role = self.role(seen, by)
        if role is None or not role.may_change:
            raise NotAllowed(
                "A person who only views cannot keep a session running. Ask its owner."
            )
        self.usage.touch(seen.session.id, Sign.KEPT, kept_by=by)
        activity = self.usage.of(seen)
        if activity is not None and activity.warned and activity.warned.reason is Reason.IDLE:
            await self.withdraw_warning(seen)

    async def warn(self, seen: Observed, warned: Warned) -> None:
        """Tell everybody in a session, and its owner's page, that it will be stopped."""
        self.usage.set_warned(seen.session.id, warned)
        await self.banners.warn(seen, warned)

    async def withdraw_warning(self, seen: Observed) -> None:
        """Take a warning back."""
        self.usage.set_warned(seen.session.id, None)
        await self.banners.withdraw_warning(seen)

    # -- for housekeeping ------------------------------------------------------------------

    def serve_queue(self) -> None:
        """See whether the next in the queue can begin."""
        if self.ready:
            self.launching.serve_queue()

    async def hear_others(self) -> None:
        """Read what other controllers have stored. Raises StoreUnavailable."""
        await self.queue.load_once()
        await self.usage.hear_others()

    async def write_down(self) -> None:
        """Store what the next controller needs to know. Raises StoreUnavailable."""
        if self.ready:
            await self.queue.leave_all()
            await self.usage.write_down()
