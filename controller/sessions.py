"""The sessions as the hub knows them: launch, stop, watch, and the fast answers for verify.

What is known comes from the engine in whole snapshots; everything kept here besides (who is
being launched or stopped this moment, when a session was last used) may be lost at any time
without harm.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from controller import lifecycle, policy
from controller.config import Settings
from controller.errors import (
    EngineUnavailable,
    HubError,
    ImageRefused,
    NoSuchSession,
    NotReadyYet,
    SessionExists,
    SessionStopping,
)
from controller.gateway import Gateway
from controller.lifecycle import Activity, Limits, Reason, Step
from controller.metrics import Metrics
from controller.model import (
    Observed,
    Person,
    Phase,
    Profile,
    Role,
    Session,
    SessionId,
    UserId,
    new_session_id,
    parse_session_id,
)
from controller.orchestrators import Orchestrator
from controller.render import session_title
from controller.store import Store

STOP_GRACE = timedelta(seconds=10)
"""Time for the program in a session to save before it is killed."""

_PROBE_SECONDS = 0.1  # between two looks through Traefik while a session starts
_PROBE_SLOW_SECONDS = 1.0  # after the profile's start limit
_SETTLE_SECONDS = 30.0  # snapshots taken before a launch or stop may still arrive for so long
_LOG_LINES = 40

_log = structlog.get_logger("sessions")


class Access(msgspec.Struct, frozen=True):
    """What verify needs to know of a session for one person."""

    role: Role | None
    phase: Phase


class Sessions:
    """All sessions of this instance."""

    def __init__(
        self,
        settings: Settings,
        orchestrator: Orchestrator,
        gateway: Gateway,
        store: Store,
        metrics: Metrics,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        new_id: Callable[[], SessionId] = new_session_id,
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now; ``new_id`` makes session ids."""
        self._settings = settings
        self._orchestrator = orchestrator
        self._gateway = gateway
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._observed: dict[SessionId, Observed] = {}
        self._activity: dict[SessionId, Activity] = {}
        self._launched: dict[SessionId, float] = {}  # when: not in every snapshot yet
        self._stopping: set[SessionId] = set()
        self._gone: dict[SessionId, float] = {}  # when: may still be in a late snapshot
        self._served: set[SessionId] = set()
        self._probing: set[SessionId] = set()
        self._usual: dict[str, float] = {}  # seconds of a profile's start, by its id
        self._names: dict[tuple[UserId, str], anyio.Lock] = {}
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None
        self.ready = False
        metrics.watch_sessions(
            lambda: [(self.phase(one), one.session.profile) for one in self.all()]
        )

    # -- running ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the engine until cancelled."""
        for profile in self._settings.profiles:
            await self._learn_usual(profile.id)
        async with anyio.create_task_group() as group:
            self._tasks = group
            async for snapshot in self._orchestrator.watch():
                self._take(snapshot)

    def _take(self, snapshot: Sequence[Observed]) -> None:
        """Replace what is known by a snapshot, as far as that is not older than our own acts."""
        now = self._clock()
        self._gone = {one: at for one, at in self._gone.items() if now - at < _SETTLE_SECONDS}
        known = {one.session.id: one for one in snapshot if one.session.id not in self._gone}
        for session_id, at in tuple(self._launched.items()):
            if session_id in known or now - at >= _SETTLE_SECONDS:
                del self._launched[session_id]
            elif session_id in self._observed:
                known[session_id] = self._observed[session_id]
        first = not self.ready
        self._observed = {}
        for observed in known.values():
            self._put(observed, adopted=first)
        self._activity = {one: self._activity[one] for one in known}
        self._served &= known.keys()
        self.ready = True
        self._announce()

    def _put(self, observed: Observed, *, adopted: bool = False) -> None:
        session = observed.session
        if session.id not in self._activity:
            age = max(0.0, (self._wall() - session.created_at).total_seconds())
            self._activity[session.id] = Activity(first_seen=self._clock(), age_then=age)
            # One that outlived its start limit before this controller saw it was ready before.
            if adopted and age > self._limits(session).start:
                self._served.add(session.id)
        if not observed.running:
            self._served.discard(session.id)
        self._observed[session.id] = msgspec.structs.replace(
            observed,
            served=session.id in self._served,
            deleting=observed.deleting or session.id in self._stopping,
        )
        self._probe_if_needed(session.id)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _probe_if_needed(self, session_id: SessionId) -> None:
        seen = self._observed[session_id]
        if self._tasks is None or session_id in self._probing or seen.served:
            return
        if seen.running and not seen.deleting:
            self._probing.add(session_id)
            self._tasks.start_soon(self._probe, session_id)

    async def _probe(self, session_id: SessionId) -> None:
        """Look through Traefik until the session is served or no longer running."""
        try:
            while (seen := self._observed.get(session_id)) and seen.running and not seen.deleting:
                profile = self._settings.profile(seen.session.profile)
                if profile is None:
                    return
                if await self._gateway.is_served(session_id, profile):
                    await self._note_served(session_id)
                    return
                slow = self._watched(session_id) > profile.start_seconds
                await anyio.sleep(_PROBE_SLOW_SECONDS if slow else _PROBE_SECONDS)
        finally:
            self._probing.discard(session_id)

    async def _note_served(self, session_id: SessionId) -> None:
        seen = self._observed.get(session_id)
        if seen is None:
            return
        self._served.add(session_id)
        self._put(seen)
        self._announce()
        activity = self._activity[session_id]
        if activity.age_then < 1.0:  # started by this controller: its whole start was seen
            seconds = self._clock() - activity.first_seen
            _log.info("session_ready", session=session_id, seconds=round(seconds, 2))
            self._metrics.started(seen.session.profile, seconds)
            try:
                await self._store.add_start(seen.session.profile, seconds, self._wall().timestamp())
                await self._learn_usual(seen.session.profile)
            except HubError as error:
                _log.warning("start_not_remembered", error=str(error))

    async def _learn_usual(self, profile: str) -> None:
        starts = await self._store.starts(profile)
        if starts:
            self._usual[profile] = statistics.median(starts)

    # -- questions -------------------------------------------------------------------------

    def all(self) -> list[Observed]:
        """Return all sessions, the oldest first; leftovers of a crash are none."""
        whole = [one for one in self._observed.values() if not one.orphan]
        return sorted(whole, key=lambda one: one.session.created_at)

    def leftovers(self) -> list[Observed]:
        """Return what a crash left of sessions that never came to be, or are no more."""
        return [one for one in self._observed.values() if one.orphan]

    def owned_by(self, uid: UserId) -> list[Observed]:
        """Return a person's own sessions, the oldest first."""
        return [one for one in self.all() if one.session.owner == uid]

    def find(self, session_id: str, uid: UserId) -> Observed:
        """Return a session in which this person has a role.

        Raises NoSuchSession for unknown, foreign and stopped ones alike.
        """
        parsed = parse_session_id(session_id)
        seen = self._observed.get(parsed) if parsed else None
        if seen is None or seen.orphan or policy.role_in(seen.session, uid) is None:
            raise NoSuchSession
        return seen

    def access(self, session_id: SessionId, uid: UserId) -> Access | None:
        """Answer verify: None for what is not there. Asks nobody."""
        seen = self._observed.get(session_id)
        if seen is None or seen.orphan:
            return None
        return Access(policy.role_in(seen.session, uid), self.phase(seen))

    def touch(self, session_id: SessionId) -> None:
        """Note that somebody used the session just now."""
        activity = self._activity.get(session_id)
        if activity is not None:
            self._activity[session_id] = msgspec.structs.replace(
                activity, last_active=self._clock()
            )

    def profile_of(self, seen: Observed) -> Profile:
        """Return the session's profile, or a nameless one if it is no longer configured."""
        profile = self._settings.profile(seen.session.profile)
        return profile or Profile(id=seen.session.profile, title=seen.session.profile, image="")

    def phase(self, seen: Observed) -> Phase:
        """Return where the session stands now."""
        return lifecycle.phase_of(seen, self._watched(seen.session.id), self._limits(seen.session))

    def message(self, seen: Observed) -> str:
        """Return a sentence about where the session stands."""
        return lifecycle.message_of(self.phase(seen), seen, self._limits(seen.session))

    def progress(self, seen: Observed) -> list[Step]:
        """Return the steps of the session's start."""
        return lifecycle.progress_of(
            self.phase(seen),
            seen,
            title=self.profile_of(seen).title,
            usual=self._usual.get(seen.session.profile),
        )

    def elapsed(self, seen: Observed) -> float:
        """Seconds since the session was launched."""
        activity = self._activity.get(seen.session.id)
        return 0.0 if activity is None else activity.age(self._clock())

    def last_activity(self, seen: Observed) -> datetime:
        """Return when the session was last used (UTC)."""
        activity = self._activity.get(seen.session.id)
        idle = 0.0 if activity is None else activity.idle(self._clock())
        return self._wall() - timedelta(seconds=idle)

    def expires(self, seen: Observed) -> datetime | None:
        """Return when the session's lifetime ends (UTC); None: never."""
        lifetime = self._limits(seen.session).lifetime
        return seen.session.created_at + timedelta(seconds=lifetime) if lifetime else None

    async def last_lines(self, seen: Observed) -> list[str]:
        """Return the last lines that the session printed; nothing if they cannot be had."""
        try:
            lines = self._orchestrator.logs(seen.session.id, tail=_LOG_LINES)
            return [line async for line in lines]
        except EngineUnavailable as error:
            _log.warning("logs_unavailable", session=seen.session.id, error=str(error))
            return []

    async def changes(self, *, at_least_every: float) -> AsyncIterator[bool]:
        """Yield True now and after any change, False after so many seconds without one."""
        happened = True
        while True:
            changed = self._changed
            yield happened
            with anyio.move_on_after(at_least_every):
                await changed.wait()
            happened = changed.is_set()

    def _watched(self, session_id: SessionId) -> float:
        activity = self._activity.get(session_id)
        return 0.0 if activity is None else self._clock() - activity.first_seen

    def _limits(self, session: Session) -> Limits:
        profile = self._settings.profile(session.profile)
        return lifecycle.limits_of(profile, self._settings.failed_seconds)

    # -- acts ------------------------------------------------------------------------------

    async def launch(self, person: Person, profile: Profile, name: str) -> Observed:
        """Start a session; returns when the engine has accepted it.

        A failed one of that name makes way. Raises NotReadyYet, SessionExists, SessionStopping,
        QuotaReached, InvalidRequest, ImageRefused or EngineUnavailable.
        """
        if not self.ready:
            raise NotReadyYet
        name = policy.clean_name(name)
        key = (person.uid, name.casefold())
        async with self._turn(key):
            await self._make_way(key)
            others = [one.session for one in self.all() if self.phase(one) is not Phase.FAILED]
            policy.check_quota(person.uid, others, self._settings.limits)
            session = Session(
                id=self._new_id(),
                owner=person.uid,
                profile=profile.id,
                name=name,
                created_at=self._wall().astimezone(UTC),
            )
            self._launched[session.id] = self._clock()
            self._put(Observed(session=session, complete=False))
            self._announce()
            try:
                await self._orchestrator.ensure(session)
            except BaseException as error:
                _log.warning(
                    "launch_refused",
                    owner=person.uid,
                    profile=profile.id,
                    why=error.cause if isinstance(error, ImageRefused) else str(error),
                )
                self._forget(session.id)
                raise
            # The engine has accepted it; the next snapshot says the same and more.
            self._put(Observed(session=session, running=True))
            self._announce()
        _log.info("session_launched", session=session.id, owner=person.uid, profile=profile.id)
        return self._observed[session.id]

    @asynccontextmanager
    async def _turn(self, key: tuple[UserId, str]) -> AsyncGenerator[None, None]:
        """Let launches of one name go one after the other."""
        lock = self._names.setdefault(key, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._names.pop(key, None)

    async def _make_way(self, key: tuple[UserId, str]) -> None:
        for one in self.all():
            if (one.session.owner, one.session.name.casefold()) != key:
                continue
            match self.phase(one):
                case Phase.STOPPING:
                    raise SessionStopping
                case Phase.FAILED:
                    await self._orchestrator.remove(one.session.id, grace=timedelta(0))
                    self._forget(one.session.id)
                case _:
                    raise SessionExists(one.session.id)

    async def stop(self, session_id: SessionId, reason: Reason) -> None:
        """Begin to stop a session; returns at once, the rest goes on by itself."""
        seen = self._observed.get(session_id)
        if seen is None or session_id in self._stopping or self._tasks is None:
            return
        _log.info(
            "session_stopping", session=session_id, owner=seen.session.owner, reason=reason.value
        )
        self._stopping.add(session_id)
        self._put(seen)
        self._announce()
        self._tasks.start_soon(self._remove, seen.session, reason)

    async def _remove(self, session: Session, reason: Reason) -> None:
        try:
            await self._orchestrator.remove(session.id, grace=STOP_GRACE)
        except EngineUnavailable as error:
            # Housekeeping tries again: the engine's object says that it is being stopped.
            _log.warning("stop_interrupted", session=session.id, error=str(error))
        else:
            self._forget(session.id)
            _log.info("session_stopped", session=session.id, reason=reason.value)
            await self._tell(session, reason)
        finally:
            self._stopping.discard(session.id)

    async def _tell(self, session: Session, reason: Reason) -> None:
        """Leave a notice for the owner, if it was not them who stopped it."""
        more = lifecycle.farewell_of(reason, self._limits(session))
        if not more:
            return
        profile = self._settings.profile(session.profile)
        title = session_title(profile.title if profile else session.profile, session.name)
        try:
            await self._store.add_notice(
                session.owner, f"{title} was stopped at", more, self._wall().timestamp()
            )
        except HubError as error:
            _log.warning("notice_lost", session=session.id, error=str(error))

    async def repair(self, session: Session) -> None:
        """Give a session again what a crash took from it."""
        _log.info("session_repaired", session=session.id)
        await self._orchestrator.ensure(session)

    def _forget(self, session_id: SessionId) -> None:
        self._gone[session_id] = self._clock()
        self._launched.pop(session_id, None)
        self._observed.pop(session_id, None)
        self._activity.pop(session_id, None)
        self._served.discard(session_id)
        self._announce()

    # -- for housekeeping ------------------------------------------------------------------

    def decisions(self) -> list[tuple[Observed, lifecycle.Decision]]:
        """Return what is to be done about each session now."""
        now = self._clock()
        decisions: list[tuple[Observed, lifecycle.Decision]] = []
        for session_id, seen in self._observed.items():
            if session_id in self._stopping or session_id in self._launched:
                continue
            self._note_failure(seen, now)
            limits = self._limits(seen.session)
            decision = lifecycle.decide(seen, self._activity[session_id], now, limits)
            decisions.append((seen, decision))
        return decisions

    def _note_failure(self, seen: Observed, now: float) -> None:
        activity = self._activity[seen.session.id]
        failed = self.phase(seen) is Phase.FAILED
        if failed and activity.failed_since is None:
            _log.warning(
                "session_failed", session=seen.session.id, why=self.message(seen), of=seen.message
            )
        if failed is not (activity.failed_since is not None):
            self._activity[seen.session.id] = msgspec.structs.replace(
                activity, failed_since=now if failed else None
            )

    async def note_computing(self) -> None:
        """Count sessions whose CPU is above their profile's threshold as used."""
        for seen in self.all():
            if self.phase(seen) is Phase.READY:
                usage = await self._orchestrator.usage(seen.session.id)
                if usage and usage.cpu_percent >= self.profile_of(seen).busy_cpu_percent:
                    self.touch(seen.session.id)
