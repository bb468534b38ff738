"""Starts sessions: at once if there is room, otherwise by way of the queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import msgspec
import structlog

from controller.core.errors import (
    Draining,
    EngineUnavailable,
    HubError,
    ImageRefused,
    NotReadyYet,
    QuotaReached,
    SessionExists,
    SessionStopping,
)
from controller.core.model import Observed, Person, Phase, Profile, Session, SessionId, UserId
from controller.core.records import CONTROLLER, Actor, Reason
from controller.core.sentence import Phrase
from controller.engines import Orchestrator
from controller.monitoring.audit import Act
from controller.rules import access, quotas, sentences
from controller.rules.lifecycle import Activity
from controller.rules.quotas import Resource, Shortfall
from controller.sessions.queue import Queue
from controller.sessions.readiness import Readiness
from controller.sessions.registry import Known, Registry, Start, Timing
from controller.sessions.rule_book import RuleBook
from controller.sessions.stopping import Stopping
from controller.sessions.tasks import Tasks
from controller.settings.schema import Settings

_ANSWER_SECONDS = 5.0  # for which a launch waits for the engine; fetching a program takes longer
_PING_SECONDS = 3.0  # after which an engine that has been silent counts as away

_log = structlog.get_logger("sessions")


class Launching:
    """Starts sessions, and repairs them after a crash."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        rules: RuleBook,
        queue: Queue,
        readiness: Readiness,
        *,
        stopping: Stopping,
        orchestrator: Orchestrator,
        tasks: Tasks,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        leads: Callable[[], bool],
        new_id: Callable[[], SessionId],
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now; ``new_id`` makes session ids.

        ``leads`` tells whether this controller is the one that serves the queue.
        """
        self._settings = settings
        self._registry = registry
        self._rules = rules
        self._queue = queue
        self._readiness = readiness
        self._stopping = stopping
        self._orchestrator = orchestrator
        self._tasks = tasks
        self._clock = clock
        self._wall = wall
        self._leads = leads
        self._new_id = new_id
        self._names: dict[tuple[UserId, str], anyio.Lock] = {}

    def shortfall(self, person: Person, profile: Profile) -> Shortfall | None:
        """Return the shortfall that keeps a person from starting this now, or None."""
        return self._queue.shortfall_of(self._session(person, profile, ""))

    async def launch(
        self, person: Person, profile: Profile, name: str, *, by: Actor, ahead: bool = False
    ) -> Observed:
        """Start a session, or put it into the queue if its profile has one.

        Returns when the engine has accepted it, or takes long to do so. A failed session of that
        name is removed first. ``ahead``: it starts before its owner asks for it, and never waits.

        Raises NotReadyYet, Draining, SessionExists, SessionStopping, QuotaReached,
        InvalidRequest, ImageRefused or EngineUnavailable.
        """
        if not self._registry.ready or self._registry.closing:
            raise NotReadyYet
        drain = self._rules.rules.drain
        if drain is not None:
            raise Draining(drain.message)
        name = access.clean_name(name)
        key = (person.uid, name.casefold())
        async with self._turn(key):
            await self._make_way(key, by)
            session = self._session(person, profile, name)
            shortfall = self._queue.shortfall_of(session)
            if shortfall is not None:
                if not profile.queue or shortfall.resource is Resource.OWN or ahead:
                    raise QuotaReached(sentences.refusal_of(shortfall))
                return await self._queue.line_up(session, by)
            begun = self._clock()
            start = self._begin(session, by, ahead=ahead)
            with anyio.move_on_after(_ANSWER_SECONDS):
                await start.done.wait()
            if not start.done.is_set() and not await self._engine_answers(since=begun):
                # If the engine still makes parts of it, they are removed as soon as possible.
                self._registry.record(Act.START_FAILED, session, by, reason=EngineUnavailable.title)
                self._stopping.take_down(session.id, Reason.FAILED)
                raise EngineUnavailable(
                    "The server that runs sessions does not answer. Nothing can start now; "
                    "running sessions go on."
                )
            start.awaited = False
            if start.error is not None:
                raise start.error
            seen = self._registry.seen(session.id)
        if seen is None:
            raise SessionStopping  # somebody stopped it before it existed
        return seen

    def serve_queue(self) -> None:
        """Start the sessions for which there is room; called whenever there may be more room."""
        while self._queue and self._tasks.running and self._leads() and not self._registry.closing:
            if self._rules.rules.drain is not None:
                return
            session = self._queue.take_next()
            if session is None:
                return
            now = msgspec.structs.replace(session, created_at=self._wall().astimezone(UTC))
            self._begin(now, CONTROLLER).awaited = False

    def gone(self, session_id: SessionId) -> None:
        """Forget a session that has ended: there may be room for the next in the queue."""
        self._registry.forget(session_id)
        self.serve_queue()
        self._registry.announce()

    async def restart(self, seen: Observed, person: Person, *, by: Actor) -> None:
        """Stop a session and launch it again; returns at once, the rest goes on by itself.

        Raises NotAllowed if its profile is no longer open to the person, StoreUnavailable if it
        waits in the queue and cannot be removed from it.
        """
        profile = access.choose_profile(self._settings, person, seen.session.profile)
        if self._tasks.running and not self._registry.work(seen.session.id).stopping:
            await self._stopping.stop(seen.session.id, Reason.STOPPED, by=by, save=True)
            again = partial(self._restart, seen.session, person, profile, by)
            self._tasks.spawn("restart", seen.session.id, again)

    async def repair(self, session: Session) -> None:
        """Make the missing parts of a session again, unless it is being stopped."""
        seen, work = self._registry.seen(session.id), self._registry.work(session.id)
        if seen is None or seen.deleting or work.repairing is not None:
            return
        _log.info("session_repaired", session=session.id)
        done = work.repairing = anyio.Event()
        try:
            await self._orchestrator.ensure(session)
            seen = self._registry.seen(session.id)
            if seen is not None:
                # Not every engine reports this by itself, and its next list may come late.
                self._put(msgspec.structs.replace(seen, complete=True))
                self._registry.announce()
        finally:
            work.repairing = None
            done.set()

    def _put(self, seen: Observed) -> None:
        self._registry.put(seen)
        self._readiness.begin(seen.session.id)

    async def _restart(self, session: Session, person: Person, profile: Profile, by: Actor) -> None:
        async for _ in self._registry.changes(at_least_every=1.0):
            if session.id not in self._registry:
                break
        try:
            await self.launch(person, profile, session.name, by=by)
        except HubError as error:
            _log.warning("not_restarted", session=session.id, error=error.in_full)

    async def _engine_answers(self, *, since: float) -> bool:
        """Tell whether the engine has answered since then, or does so now."""
        if self._registry.heard > since:
            return True
        with anyio.move_on_after(_PING_SECONDS):
            try:
                await self._orchestrator.ping()
            except EngineUnavailable:
                return False
            return True
        return False

    def _session(self, person: Person, profile: Profile, name: str) -> Session:
        return Session(
            id=self._new_id(),
            owner=person.uid,
            profile=profile.id,
            name=name,
            created_at=self._wall().astimezone(UTC),
            volumes=access.volumes_for(person, profile, self._settings),
            groups=quotas.limited_groups(person, self._settings.limits),
        )

    @asynccontextmanager
    async def _turn(self, key: tuple[UserId, str]) -> AsyncGenerator[None, None]:
        """Let launches of one name happen one after the other."""
        lock = self._names.setdefault(key, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._names.pop(key, None)

    async def _make_way(self, key: tuple[UserId, str], by: Actor) -> None:
        for one in (*self._registry.all(), *self._queue.all()):
            if (one.session.owner, one.session.name.casefold()) != key:
                continue
            match self._registry.phase(one):
                case Phase.STOPPING:
                    raise SessionStopping
                case Phase.FAILED:
                    await self._stopping.end(one.session.id, timedelta(0))
                    self._registry.record(Act.STOP, one.session, by, reason=Reason.FAILED)
                    self.gone(one.session.id)
                case _:
                    raise SessionExists(one.session.id)

    def _begin(self, session: Session, by: Actor, *, ahead: bool = False) -> Start:
        """Record the session at once, and ask the engine for it in the background."""
        if not self._tasks.running:
            raise NotReadyYet
        profile = self._settings.profile(session.profile)
        if profile is not None and profile.gpus and self._settings.limits.gpus:
            free = quotas.free_gpus(self._settings.limits.gpus, self._queue.running())
            session = msgspec.structs.replace(session, gpus=free[: profile.gpus])
        start = self._registry.work(session.id).start = Start(by)
        now = self._clock()
        seen = Observed(session=session, complete=False)
        known = Known(seen, Activity(first_seen=now, last_active=now, polled=now, ahead=ahead))
        known.timing = Timing(now)
        self._registry.add(session.id, known)
        self._put(seen)
        self._registry.announce()
        self._tasks.spawn("start", session.id, partial(self._start, session, start))
        return start

    async def _start(self, session: Session, start: Start) -> None:
        try:
            with start.scope:
                await self._ask_engine(session, start)
        except HubError as error:
            why = error.cause if isinstance(error, ImageRefused) else error.in_full
            _log.warning("launch_refused", owner=session.owner, profile=session.profile, why=why)
            start.error = error
            self._registry.record(Act.START_FAILED, session, start.by, reason=error.title)
        except Exception:
            start.error = HubError(
                "It could not be started, because of an error in the hub. Try again. If it happens "
                "again, tell the administrator: the hub's log says more."
            )
            raise
        finally:
            # Now the engine knows it, or nobody does: ``accepted`` covers the time until the next
            # snapshot.
            self._registry.work(session.id).start = None
            if start.error is not None and not start.awaited:
                self._put(Observed(session=session, complete=False, refused=start.error.sentence))
            elif start.error is not None or start.scope.cancelled_caught:
                self.gone(session.id)
                if isinstance(start.error, EngineUnavailable):
                    # It is not known whether parts of it exist: later snapshots show them.
                    self._registry.recall(session.id)
            start.done.set()
            self._registry.announce()
        await self._queue.leave(session.id)

    async def _ask_engine(self, session: Session, start: Start) -> None:
        await self._orchestrator.fetch(
            session.profile, lambda state: self._note_progress(session.id, state)
        )
        now = self._clock()
        known = self._registry.get(session.id)
        if known is not None:
            known.activity = msgspec.structs.replace(
                known.activity, first_seen=now, last_active=now, polled=now
            )
            if known.timing is not None:
                known.timing.fetched = now
        start.asked = True
        await self._orchestrator.ensure(session)
        # The engine has accepted it; the next snapshot says the same and more.
        self._put(Observed(session=session, running=True))
        known = self._registry.get(session.id)
        if known is not None:
            known.accepted = self._clock()
            if known.timing is not None:
                known.timing.accepted = known.accepted
        ahead = known is not None and known.activity.ahead
        self._registry.record(Act.START, session, start.by, ahead=ahead or None)

    def _note_progress(self, session_id: SessionId, state: Phrase) -> None:
        seen = self._registry.seen(session_id)
        if seen is not None:
            self._put(msgspec.structs.replace(seen, progress=state))
            self._registry.announce()
