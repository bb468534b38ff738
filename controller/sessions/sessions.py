"""The sessions as the hub knows them: launch, stop, watch, and the fast answers for verify.

What is known comes from the engine in whole snapshots; everything kept here besides (who is
being launched or stopped this moment, when a session was last used) may be lost at any time
without harm. Who waits in line for a place stands in the store.
"""

from __future__ import annotations

import statistics
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from controller.core.errors import (
    Draining,
    EngineUnavailable,
    HubError,
    ImageRefused,
    NoSuchSession,
    NotAllowed,
    NotReadyYet,
    QuotaReached,
    SessionExists,
    SessionStopping,
    Unavailable,
)
from controller.core.model import (
    Observed,
    Person,
    Phase,
    Place,
    Profile,
    Role,
    Session,
    SessionId,
    UserId,
    new_session_id,
    parse_session_id,
)
from controller.core.records import (
    CONTROLLER,
    Actor,
    Announced,
    Drain,
    Memo,
    Reason,
    Rules,
    Share,
    Sign,
    Ticket,
)
from controller.engines import Orchestrator
from controller.monitoring.audit import Act, Audit, Detail
from controller.monitoring.faults import contained
from controller.monitoring.metrics import Metrics
from controller.rules import access, lifecycle, queue, quotas, sentences
from controller.rules.access import Access
from controller.rules.lifecycle import Activity, Limits, Warned
from controller.rules.quotas import Lack, Shortage
from controller.rules.sentences import Step, Why, session_title
from controller.sessions.gateway import Gateway
from controller.sessions.grants import Grants
from controller.settings.schema import Settings
from controller.store import Store

STOP_GRACE = timedelta(seconds=10)
"""Time for the program in a session to save before it is killed."""

BRIEF_GRACE = timedelta(seconds=2)
"""The same for one that is not to save: to end in order what it does."""

GIVE_UP_SECONDS = 10.0
"""Seconds of saving after which a session's owner is offered to stop it without."""

_PROBE_SECONDS = 0.1  # between two looks through Traefik while a session starts

_PROBE_SLOW_SECONDS = 1.0  # after the profile's start limit

_SAME_STOP_SECONDS = 2.0  # by which two controllers may differ about one moment

_SETTLE_SECONDS = 30.0  # snapshots taken before a launch or stop may still arrive for so long

_ANSWER_SECONDS = 5.0  # that whoever launches waits for the engine; fetching a program takes longer

_PING_SECONDS = 3.0  # after which an engine that has said nothing of late counts as away

_LOG_LINES = 40

_FINISH_SECONDS = 0.05  # between two looks at what is still under way

_SILENT = "What runs the sessions does not answer: nothing can start now. Sessions that run go on."

_log = structlog.get_logger("sessions")


class _Start:
    """A start under way: whoever launched may wait for its outcome, and it can be called off."""

    def __init__(self, by: Actor) -> None:
        self.by = by
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.awaited = True
        self.asked = False  # the engine is at it: fetching the program is over
        self.error: HubError | None = None


class _Saving:
    """A session saves before it stops: since when (monotonic), and how that is given up."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.scope = anyio.CancelScope()


class _Clocked:
    """When the steps of a start began; monotonic. A start of an earlier controller has none."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.fetched = begun
        self.accepted = begun

    def steps(self, ready: float) -> dict[str, float]:
        return {
            "fetch": self.fetched - self.begun,
            "engine": self.accepted - self.fetched,
            "load": ready - self.accepted,
        }


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
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now; ``new_id`` makes session ids.

        ``leads`` tells whether this controller is the one that serves the line.
        """
        self._settings = settings
        self._orchestrator = orchestrator
        self._gateway = gateway
        self._store = store
        self._grants = grants
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._leads = leads
        self._new_id = new_id
        self._observed: dict[SessionId, Observed] = {}
        self._newer: list[Observed] = []
        self.closing = False  # this controller ends: it begins nothing any more
        self._activity: dict[SessionId, Activity] = {}
        self._memos: dict[SessionId, Memo] = {}  # of the controller before this one
        self._line: dict[SessionId, Ticket] = {}
        self._rules = Rules()
        self._heard = 0.0  # when the engine last said what there is
        self._starts: dict[SessionId, _Start] = {}  # not accepted by the engine yet
        self._clocked: dict[SessionId, _Clocked | None] = {}  # have not been ready yet
        self._inside: dict[SessionId, dict[str, UserId]] = {}  # who has entered, by their log-in
        self._launched: dict[SessionId, float] = {}  # when: not in every snapshot yet
        self._stopping: set[SessionId] = set()
        self._saving: dict[SessionId, _Saving] = {}
        self._unsaved: set[SessionId] = set()  # of those that stop: not to be waited for
        self._doomed: dict[SessionId, Reason] = {}  # to be stopped, when the engine can be told
        self._mending: dict[SessionId, anyio.Event] = {}
        self._left: set[SessionId] = set()  # have begun, and stand in the store's line still
        self._line_known = False
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
        try:
            for profile in self._settings.profiles:
                await self._learn_usual(profile.id)
            self._memos = await self._store.memos()
            await self.load_line()
        except HubError as error:
            # Everybody has their whole time again; housekeeping reads the line when it can.
            _log.warning("nothing_remembered", error=error.in_full)
        async with anyio.create_task_group() as group:
            self._tasks = group
            async with aclosing(self._orchestrator.watch()) as snapshots:
                async for snapshot in snapshots:
                    self._take(snapshot)

    def _spawn(self, work: str, session_id: SessionId, do: Callable[[], Awaitable[None]]) -> None:
        """Let a piece of work about one session go on by itself, and harm no other if it fails."""

        async def do_contained() -> None:
            with contained(work, self._metrics, session=session_id):
                await do()

        if self._tasks is not None:
            self._tasks.start_soon(do_contained)

    def _take(self, snapshot: Sequence[Observed]) -> None:
        """Replace what is known by a snapshot, as far as that is not older than our own acts."""
        self._heard = self._clock()
        self._newer = [one for one in snapshot if one.newer]
        snapshot = [one for one in snapshot if not one.newer]
        now = self._clock()
        self._gone = {one: at for one, at in self._gone.items() if now - at < _SETTLE_SECONDS}
        known = {one.session.id: one for one in snapshot if one.session.id not in self._gone}
        # A snapshot may show the parts of a session that is being made, and not the session yet.
        whole = {session_id for session_id, seen in known.items() if not seen.orphan}
        for session_id, at in tuple(self._launched.items()):
            if session_id in whole or now - at >= _SETTLE_SECONDS:
                del self._launched[session_id]
            elif session_id in self._observed:
                known[session_id] = self._observed[session_id]
        # What the engine has not accepted yet, or has refused, is known here only; what is being
        # stopped stays until its owner has been told why.
        at_work = self._starts.keys() | self._stopping
        known |= {
            session_id: seen
            for session_id, seen in self._observed.items()
            if session_id not in whole and (session_id in at_work or seen.refused)
        }
        self._note_gone(known)
        first = not self.ready
        self._observed = {}
        for observed in known.values():
            self._put(observed, adopted=first)
        self._activity = {one: self._activity[one] for one in known}
        self._clocked = {one: when for one, when in self._clocked.items() if one in known}
        self._inside = {one: who for one, who in self._inside.items() if one in known}
        self._served &= known.keys()
        self._doomed = {one: why for one, why in self._doomed.items() if one in known}
        self._drop_begun(known)
        # A newer hub wants to find what was written down of its sessions.
        newer = {one.session.id for one in self._newer}
        self._memos = {one: memo for one, memo in self._memos.items() if one in newer}
        self.ready = True
        self._serve_line()
        self.announce()

    def _drop_begun(self, known: Mapping[SessionId, Observed]) -> None:
        """Take out of the line whom a controller before this one had started.

        Out of the store's, too: else a later controller would start it again, long after its end.
        """
        for session_id in tuple(self._line):
            if session_id in known and not known[session_id].orphan:
                del self._line[session_id]
                self._left.add(session_id)
                self._spawn("line", session_id, partial(self._leave_line, session_id))

    def _note_gone(self, known: Mapping[SessionId, Observed]) -> None:
        """Put on record what has ended, or has begun to, without our doing."""
        for session_id, before in self._observed.items():
            after = known.get(session_id)
            ended = after is None or after.deleting
            if ended and not before.deleting and not before.orphan:
                self._record(Act.GONE, before.session, CONTROLLER)

    def _put(self, observed: Observed, *, adopted: bool = False) -> None:
        session = observed.session
        if session.id not in self._activity:
            self._activity[session.id] = self._first_look(session, adopted=adopted)
        if not observed.running:
            self._served.discard(session.id)
        self._observed[session.id] = msgspec.structs.replace(
            observed,
            served=session.id in self._served,
            deleting=observed.deleting
            or session.id in self._stopping
            or session.id in self._doomed,
        )
        self._probe_if_needed(session.id)

    def _first_look(self, session: Session, *, adopted: bool) -> Activity:
        now = self._clock()
        memo = self._memos.get(session.id)
        if memo is not None:
            if memo.served:
                self._served.add(session.id)
            else:
                self._clocked[session.id] = None
            return Activity(
                first_seen=now,
                last_active=now - memo.idle,
                age_then=memo.age,
                ahead=memo.ahead,
                looked=now,
                input=memo.input,
                sign=memo.sign,
                kept_by=memo.kept_by,
                extra=memo.extra,
            )
        age = max(0.0, (self._wall() - session.created_at).total_seconds())
        # Nothing is remembered: one that outlived its start limit before was ready, most likely.
        if adopted and age > self._limits(session).start:
            self._served.add(session.id)
        else:
            self._clocked[session.id] = None
        return Activity(first_seen=now, last_active=now, age_then=age, looked=now)

    def announce(self) -> None:
        """Let whoever follows ``changes`` look again."""
        self._changed.set()
        self._changed = anyio.Event()

    def _probe_if_needed(self, session_id: SessionId) -> None:
        seen = self._observed[session_id]
        if self._tasks is None or session_id in self._probing or seen.served:
            return
        if seen.running and not seen.deleting:
            self._probing.add(session_id)
            self._spawn("probe", session_id, partial(self._probe, session_id))

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
        self.announce()
        if session_id not in self._clocked:
            return  # it was ready before, and the engine has started it anew
        activity = self._activity[session_id]
        clocked = self._clocked.pop(session_id)
        if not self._leads():
            return  # each controller sees it; one writes it down
        age = round(activity.age(self._clock()), 2)
        self._record(Act.READY, seen.session, CONTROLLER, seconds=age)
        if clocked is not None:  # its whole start was seen
            now = self._clock()
            seconds = now - activity.first_seen
            self._metrics.started(seen.session.profile, seconds, clocked.steps(now))
            try:
                await self._store.add_start(seen.session.profile, seconds, self._wall().timestamp())
                await self._learn_usual(seen.session.profile)
            except HubError as error:
                _log.warning("start_not_remembered", error=error.in_full)

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

    def newer(self) -> list[Observed]:
        """Return what a newer hub has made: nothing is done to it, and nobody enters it."""
        return list(self._newer)

    def owned_by(self, uid: UserId) -> list[Observed]:
        """Return a person's own sessions, the oldest first, those in line after them."""
        waiting = (_waiting(ticket) for ticket in self._line.values())
        return [one for one in (*self.all(), *waiting) if one.session.owner == uid]

    def shared_with(self, uid: UserId) -> list[tuple[Observed, Share]]:
        """Return others' sessions, and places in line, to which this person is invited."""
        found = [
            (seen, share)
            for share in self._grants.of_person(uid)
            if (seen := self._there(share.session)) is not None
        ]
        whole = [pair for pair in found if not pair[0].orphan and pair[0].session.owner != uid]
        return sorted(whole, key=lambda pair: pair[0].session.created_at)

    def find(self, session_id: str, uid: UserId) -> Observed:
        """Return a session in which this person has a role, or for which they wait in line.

        Raises NoSuchSession for unknown, foreign and stopped ones alike.
        """
        parsed = parse_session_id(session_id)
        if parsed is None:
            raise NoSuchSession
        seen = self._there(parsed)
        if seen is None or seen.orphan or self.role(seen, uid) is None:
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

    def everything(self) -> list[Observed]:
        """Return all sessions and everybody in line, for administrators."""
        return [*self.all(), *(_waiting(ticket) for ticket in self._line.values())]

    def any(self, session_id: str) -> Observed:
        """Return a session or a place in line, whoever's it is. Raises NoSuchSession."""
        parsed = parse_session_id(session_id)
        if parsed is None:
            raise NoSuchSession
        seen = self._there(parsed)
        if seen is None or seen.orphan:
            raise NoSuchSession
        return seen

    def _there(self, session_id: SessionId) -> Observed | None:
        ticket = self._line.get(session_id)
        return _waiting(ticket) if ticket else self._observed.get(session_id)

    def owner(self, session_id: SessionId) -> UserId | None:
        """Return whose session it is, or who waits in line for it; None: there is none."""
        seen = self._there(session_id)
        return None if seen is None or seen.orphan else seen.session.owner

    def role(self, seen: Observed, uid: UserId) -> Role | None:
        """Return what a person may do in a session now; None: nothing at all."""
        return access.role_in(seen.session, uid, self._grants.role_of(seen.session.id, uid))

    def access(self, session_id: SessionId, uid: UserId) -> Access | None:
        """Answer verify: None for what is not there. Asks nobody."""
        seen = self._observed.get(session_id)
        if seen is None or seen.orphan:
            return None
        return Access(self.role(seen, uid), self.phase(seen))

    def touch(self, session_id: SessionId, sign: Sign = Sign.REQUEST, *, kept_by: str = "") -> None:
        """Note that somebody used the session just now."""
        activity = self._activity.get(session_id)
        if activity is not None:
            self._activity[session_id] = msgspec.structs.replace(
                activity, last_active=self._clock(), ahead=False, sign=sign, kept_by=kept_by
            )

    def is_inside(self, session_id: SessionId, sid: str) -> bool:
        """Tell whether somebody has entered by this log-in; verify asks at each page."""
        return sid in self._inside.get(session_id, ())

    def enter(self, session_id: SessionId, sid: str, role: Role, by: Actor) -> None:
        """Put on record that somebody has opened the session, by the log-in ``sid``."""
        seen = self._observed.get(session_id)
        if seen is not None:
            self._inside.setdefault(session_id, {})[sid] = UserId(by.who)
            self._record(Act.OPEN, seen.session, by, role=role)

    def has_entered(self, sid: str) -> bool:
        """Tell whether any session has been opened by this log-in."""
        return any(sid in inside for inside in self._inside.values())

    def forget_guest(self, session_id: SessionId, uid: UserId) -> None:
        """Count somebody as not having entered: their invitation is over."""
        inside = self._inside.get(session_id, {})
        self._inside[session_id] = {sid: one for sid, one in inside.items() if one != uid}

    def _record(self, act: Act, session: Session, by: Actor, **details: Detail) -> None:
        self._audit.record(
            act, by, whose=session.owner, session=session.id, profile=session.profile, **details
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
        return sentences.message_of(
            self.phase(seen), seen, self._limits(seen.session), place=self.place(seen)
        )

    def place(self, seen: Observed) -> Place | None:
        """Return where a session stands in line; None: it does not wait."""
        if seen.session.id not in self._line:
            return None
        return self.places().get(seen.session.id)

    def places(self) -> dict[SessionId, Place]:
        """Return where everybody in line stands."""
        line = tuple(self._line.values())
        return queue.places(line, self._running(), self._ruled()) if line else {}

    def waits(self) -> list[float]:
        """Return how long everybody in line has waited, in seconds."""
        now = self._wall().timestamp()
        return [max(0.0, now - ticket.since) for ticket in self._line.values()]

    def waiting_for(self, profile_id: str) -> int:
        """Return how many wait in line for a profile."""
        return sum(1 for one in self._line.values() if one.session.profile == profile_id)

    def lease_book(self) -> queue.LeaseBook:
        """Return who has which graphics card, and who is next."""
        return queue.lease_book(tuple(self._line.values()), self._running(), self._settings)

    def free_gpus(self) -> int | None:
        """Return how many graphics cards are free; None: no book is kept of them."""
        gpus = self._settings.limits.gpus
        return len(quotas.free_gpus(gpus, self._running())) if gpus else None

    def most_sessions(self, uid: UserId) -> int:
        """Return how many sessions a person may have."""
        return quotas.most_sessions(uid, self._ruled().limits)

    @property
    def drain(self) -> Drain | None:
        """Return why nothing starts at present, or None."""
        return self._rules.drain

    @property
    def rules(self) -> Rules:
        """Return what administrators have decided."""
        return self._rules

    def _ruled(self) -> Settings:
        """Return the settings with what administrators have decided about people."""
        if not self._rules.quotas:
            return self._settings
        limits = self._settings.limits
        people = limits.people | {str(uid): most for uid, most in self._rules.quotas.items()}
        limits = msgspec.structs.replace(limits, people=people)
        return msgspec.structs.replace(self._settings, limits=limits)

    def lack(self, person: Person, profile: Profile) -> Lack | None:
        """Return why this person could not start this now, at once; None: they could."""
        return self._lack_of(self._session(person, profile, ""))

    def warned(self, seen: Observed) -> tuple[Reason, datetime] | None:
        """Return why and when (UTC) a session will be stopped, if people were warned of it."""
        activity = self._activity.get(seen.session.id)
        if activity is None or activity.warned is None:
            return None
        left = activity.warned.stop - self._clock()
        return activity.warned.reason, self._wall() + timedelta(seconds=max(0.0, left))

    def is_ahead(self, seen: Observed) -> bool:
        """Tell whether it was started ahead of its owner, who has not come yet."""
        activity = self._activity.get(seen.session.id)
        return activity is not None and activity.ahead

    def why_alive(self, seen: Observed, place: Place | None) -> tuple[Why, datetime | None]:
        """Return why it has not been removed, and the moment (UTC) that stands in those words."""
        now = self._clock()
        activity = self._activity.get(seen.session.id, Activity(first_seen=now, last_active=now))
        limits = self._limits(seen.session)
        why = sentences.why_alive(self.phase(seen), activity, now, limits, place=place)
        at = None if why.at is None else self._wall() + timedelta(seconds=why.at - now)
        return why, at

    def progress(self, seen: Observed) -> list[Step]:
        """Return the steps of the session's start."""
        return sentences.progress_of(
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
        activity = self._activity.get(seen.session.id)
        if not lifetime or activity is None:
            return None
        return self._wall() + timedelta(seconds=lifetime - activity.age(self._clock()))

    async def last_lines(self, seen: Observed) -> list[str]:
        """Return the last lines that the session printed; nothing if they cannot be had."""
        try:
            lines = self._orchestrator.logs(seen.session.id, tail=_LOG_LINES)
            return [line async for line in lines]
        except EngineUnavailable as error:
            _log.warning("logs_unavailable", session=seen.session.id, error=error.in_full)
            return []

    @property
    def changed(self) -> anyio.Event:
        """What is set at the next change."""
        return self._changed

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
        if session_id in self._starts:
            return 0.0  # fetching a program does not count against the time to start it
        return 0.0 if activity is None else self._clock() - activity.first_seen

    def _limits(self, session: Session) -> Limits:
        limits = lifecycle.limits_of(self._settings.profile(session.profile), self._settings)
        activity = self._activity.get(session.id)
        if activity is None or not activity.extra or not limits.lifetime:
            return limits
        return msgspec.structs.replace(limits, lifetime=limits.lifetime + activity.extra)

    # -- acts ------------------------------------------------------------------------------

    async def launch(
        self, person: Person, profile: Profile, name: str, *, by: Actor, ahead: bool = False
    ) -> Observed:
        """Start a session, or wait in line for it where the profile has one.

        Returns when the engine has accepted it, or takes long to do so. A failed one of that name
        makes way. ``ahead``: its owner has not asked for it yet; such a start never waits.

        Raises NotReadyYet, Draining, SessionExists, SessionStopping, QuotaReached,
        InvalidRequest, ImageRefused or EngineUnavailable.
        """
        if not self.ready or self.closing:
            raise NotReadyYet
        if self._rules.drain is not None:
            raise Draining(self._rules.drain.message)
        name = access.clean_name(name)
        key = (person.uid, name.casefold())
        async with self._turn(key):
            await self._make_way(key, by)
            session = self._session(person, profile, name)
            lack = self._lack_of(session)
            if lack is not None:
                if not profile.queue or lack.shortage is Shortage.OWN or ahead:
                    raise QuotaReached(lack.sentence)
                return await self._line_up(session, by)
            begun = self._clock()
            start = self._begin(session, by, ahead=ahead)
            with anyio.move_on_after(_ANSWER_SECONDS):
                await start.done.wait()
            if not start.done.is_set() and not await self._engine_answers(since=begun):
                # Whatever of it the engine still makes is removed once it can be.
                self._record(Act.START_FAILED, session, by, reason=EngineUnavailable.title)
                self._take_down(session.id, Reason.FAILED)
                raise EngineUnavailable(_SILENT)
            start.awaited = False
            if start.error is not None:
                raise start.error
            seen = self._observed.get(session.id)
        if seen is None:
            raise SessionStopping  # somebody has stopped it, before it was there
        return seen

    async def _engine_answers(self, *, since: float) -> bool:
        """Tell whether the engine has said anything since then, or does when it is asked."""
        if self._heard > since:
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

    def _running(self) -> list[Session]:
        """Return the sessions that take a place."""
        return [one.session for one in self.all() if lifecycle.takes_place(one)]

    def _lack_of(self, session: Session) -> Lack | None:
        """Return why a session cannot begin now; whoever waits in line comes first."""
        running = self._running()
        ruled = self._ruled()
        in_line = (ticket.session for ticket in self._line.values())
        own = sum(1 for one in (*running, *in_line) if one.owner == session.owner)
        if own >= quotas.most_sessions(session.owner, ruled.limits):
            return Lack(Shortage.OWN, str(own))  # a place in line is as good as taken
        lack = quotas.lack_of(session, running, ruled)
        if lack is not None or not self._line:
            return lack
        ticket = Ticket(session, self._wall().timestamp())
        line = (*self._line.values(), ticket)
        if queue.next_of(line, running, ruled) is ticket:
            return None
        wanted = self._settings.profile(session.profile)
        return Lack(Shortage.GPUS if wanted and wanted.gpus else Shortage.TOTAL)

    async def _line_up(self, session: Session, by: Actor) -> Observed:
        ticket = Ticket(session, self._wall().timestamp())
        # First it counts, then it is written down: of many at once each knows of those before it.
        self._line[session.id] = ticket
        try:
            await self._store.add_ticket(ticket)
        except BaseException:
            self._line.pop(session.id, None)
            raise
        if session.id not in self._line:
            await self._leave_line(session.id)  # its turn came meanwhile
        self._record(Act.QUEUE, session, by)
        self.announce()
        return _waiting(ticket)

    def _serve_line(self) -> None:
        """Begin what there is room for; called whenever there may be more of it."""
        while self._line and self._tasks is not None and self._leads() and not self.closing:
            if self._rules.drain is not None:
                return
            line = tuple(self._line.values())
            ticket = queue.next_of(line, self._running(), self._ruled())
            if ticket is None:
                return
            del self._line[ticket.session.id]
            now = msgspec.structs.replace(ticket.session, created_at=self._wall().astimezone(UTC))
            self._begin(now, CONTROLLER).awaited = False

    def serve_line(self) -> None:
        """See whether the next in line can begin; for housekeeping."""
        if self.ready:
            self._serve_line()

    def _begin(self, session: Session, by: Actor, *, ahead: bool = False) -> _Start:
        """Count the session as there, and ask the engine for it; the first happens at once."""
        if self._tasks is None:
            raise NotReadyYet
        profile = self._settings.profile(session.profile)
        if profile is not None and profile.gpus and self._settings.limits.gpus:
            free = quotas.free_gpus(self._settings.limits.gpus, self._running())
            session = msgspec.structs.replace(session, gpus=free[: profile.gpus])
        start = self._starts[session.id] = _Start(by)
        now = self._clock()
        self._clocked[session.id] = _Clocked(now)
        self._activity[session.id] = Activity(
            first_seen=now, last_active=now, looked=now, ahead=ahead
        )
        self._put(Observed(session=session, complete=False))
        self.announce()
        self._spawn("start", session.id, partial(self._start, session, start))
        return start

    async def _start(self, session: Session, start: _Start) -> None:
        try:
            with start.scope:
                await self._ask_engine(session, start.by)
        except HubError as error:
            why = error.cause if isinstance(error, ImageRefused) else error.in_full
            _log.warning("launch_refused", owner=session.owner, profile=session.profile, why=why)
            start.error = error
            self._record(Act.START_FAILED, session, start.by, reason=error.title)
        except Exception:
            start.error = HubError(
                "It could not be started, by a fault of the hub. Its log says more."
            )
            raise
        finally:
            # Known to the engine, or to nobody any more: `launched` bridges the time until the
            # next snapshot.
            self._starts.pop(session.id, None)
            if start.error is not None and not start.awaited:
                self._put(Observed(session=session, complete=False, refused=str(start.error)))
            elif start.error is not None or start.scope.cancelled_caught:
                self._forget(session.id)
                if isinstance(start.error, EngineUnavailable):
                    # Whether something of it is left is not known: what is there is shown.
                    self._gone.pop(session.id, None)
            start.done.set()
            self.announce()
        await self._leave_line(session.id)

    async def _ask_engine(self, session: Session, by: Actor) -> None:
        await self._orchestrator.fetch(
            session.profile, lambda words: self._note_progress(session.id, words)
        )
        now = self._clock()
        clocked = self._clocked.get(session.id)
        if clocked is not None:
            clocked.fetched = now
        activity = self._activity[session.id]
        self._activity[session.id] = msgspec.structs.replace(
            activity, first_seen=now, last_active=now, looked=now
        )
        start = self._starts.get(session.id)
        if start is not None:
            start.asked = True
        await self._orchestrator.ensure(session)
        self._launched[session.id] = self._clock()
        # The engine has accepted it; the next snapshot says the same and more.
        if clocked is not None:
            clocked.accepted = self._launched[session.id]
        self._put(Observed(session=session, running=True))
        self._record(Act.START, session, by, ahead=activity.ahead or None)

    def _note_progress(self, session_id: SessionId, words: str) -> None:
        seen = self._observed.get(session_id)
        if seen is not None:
            self._put(msgspec.structs.replace(seen, progress=words))
            self.announce()

    async def _leave_line(self, session_id: SessionId) -> None:
        self._left.add(session_id)
        try:
            await self._store.remove_ticket(session_id)
        except HubError as error:
            # Housekeeping tries again, and it does not end before that is done.
            _log.warning("ticket_left", session=session_id, error=error.in_full)
        else:
            self._left.discard(session_id)

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

    async def _make_way(self, key: tuple[UserId, str], by: Actor) -> None:
        for one in self.owned_by(key[0]):
            if (one.session.owner, one.session.name.casefold()) != key:
                continue
            match self.phase(one):
                case Phase.STOPPING:
                    raise SessionStopping
                case Phase.FAILED:
                    await self._end(one.session.id, timedelta(0))
                    self._record(Act.STOP, one.session, by, reason=Reason.FAILED)
                    self._forget(one.session.id)
                case _:
                    raise SessionExists(one.session.id)

    async def stop(
        self,
        session_id: SessionId,
        reason: Reason,
        *,
        by: Actor = CONTROLLER,
        save: bool = True,
    ) -> None:
        """Begin to stop a session; returns at once, the rest goes on by itself.

        Without ``save`` it is not asked to save first, and need not go on if it is at it. One that
        waits in line leaves it. Raises StoreUnavailable if that cannot be kept.
        """
        if session_id in self._line:
            await self._store.remove_ticket(session_id)
            ticket = self._line.pop(session_id, None)
            if ticket is not None:
                self._record(Act.STOP, ticket.session, by, reason=reason, waiting=True)
                self.announce()
                return
            # Its turn came meanwhile: it is stopped like any other.
        saving = self._saving.get(session_id)
        if saving is not None and not save:
            self._unsaved.add(session_id)
            saving.scope.cancel()
        seen = self._observed.get(session_id)
        if seen is None or session_id in self._stopping or self._tasks is None:
            return
        reason = self._doomed.pop(session_id, reason)
        if not seen.deleting and not seen.orphan:
            # Else it was never whole, or an earlier controller has begun to stop it, and said so.
            self._record(Act.STOP, seen.session, by, reason=reason)
        self._take_down(session_id, reason, save=save)

    def _take_down(self, session_id: SessionId, reason: Reason, *, save: bool = True) -> None:
        seen = self._observed.get(session_id)
        if seen is None or session_id in self._stopping or self._tasks is None:
            return
        runs = self.phase(seen) is Phase.READY
        saves = save and runs and self.profile_of(seen).endpoints
        self._stopping.add(session_id)
        if not save:
            self._unsaved.add(session_id)
        start = self._starts.get(session_id)
        if start is not None:
            start.scope.cancel()
        self._put(seen)
        self.announce()
        self._spawn("stop", session_id, partial(self._remove, seen, reason, saves))

    async def _remove(self, seen: Observed, reason: Reason, saves: bool) -> None:
        session = seen.session
        try:
            start = self._starts.get(session.id)
            if start is not None:
                await start.done.wait()
            # Before the engine's grace begins, which is too short for a large scene.
            saved = await self._save(session.id) if saves else False
            brief = session.id in self._unsaved
            await self._end(session.id, BRIEF_GRACE if brief else STOP_GRACE)
        except Unavailable as error:
            self._stop_later(session.id, reason)
            _log.warning("stop_interrupted", session=session.id, error=error.in_full)
        except Exception:
            self._stop_later(session.id, reason)
            raise
        else:
            # First why, then that it is gone: the owner's page looks once.
            await self._tell(session, reason, saved=saved)
            self._forget(session.id)
            _log.info("session_stopped", session=session.id, reason=reason.value, saved=saved)
        finally:
            self._stopping.discard(session.id)
            self._unsaved.discard(session.id)

    def _stop_later(self, session_id: SessionId, reason: Reason) -> None:
        """Let housekeeping try again. The engine's object need not say yet that it stops."""
        self._doomed[session_id] = reason
        self._gone.pop(session_id, None)

    async def _save(self, session_id: SessionId) -> bool:
        """Let a session save what is in it, until somebody gives that up; True: it has."""
        saving = self._saving[session_id] = _Saving(self._clock())
        saved = False
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._announce_in, GIVE_UP_SECONDS)
                with saving.scope:
                    saved = await self._gateway.save(session_id)
                group.cancel_scope.cancel()
        finally:
            del self._saving[session_id]
        return saved

    async def _announce_in(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.announce()

    def saves_long(self, seen: Observed) -> bool:
        """Tell whether it takes so long to save that its owner may want to stop without."""
        saving = self._saving.get(seen.session.id)
        return saving is not None and self._clock() - saving.since >= GIVE_UP_SECONDS

    async def _end(self, session_id: SessionId, grace: timedelta) -> None:
        """Remove a session, once nothing is at work that would make it anew.

        Raises EngineUnavailable or StoreUnavailable.
        """
        mending = self._mending.get(session_id)
        if mending is not None:
            await mending.wait()
        if session_id in self._left:
            await self._store.remove_ticket(session_id)
            self._left.discard(session_id)
        await self._orchestrator.remove(session_id, grace=grace)

    async def _tell(self, session: Session, reason: Reason, *, saved: bool) -> None:
        """Leave a notice for the owner, if it was not them who stopped it."""
        more = sentences.farewell_of(reason, self._limits(session), saved=saved)
        if not more:
            return
        profile = self._settings.profile(session.profile)
        title = session_title(profile.title if profile else session.profile, session.name)
        try:
            await self._store.add_notice(
                session.owner, f"{title} was stopped at", more, self._wall().timestamp()
            )
        except HubError as error:
            _log.warning("notice_lost", session=session.id, error=error.in_full)

    async def restart(self, seen: Observed, person: Person, *, by: Actor) -> None:
        """Stop a session and launch it anew; returns at once, the rest goes on by itself.

        Raises NotAllowed if its profile is not open to the person any more, StoreUnavailable if
        it waits in line and cannot leave it: then it waits on.
        """
        profile = access.choose_profile(self._settings, person, seen.session.profile)
        if self._tasks is not None and seen.session.id not in self._stopping:
            await self.stop(seen.session.id, Reason.STOPPED, by=by)
            again = partial(self._restart, seen.session, person, profile, by)
            self._spawn("restart", seen.session.id, again)

    async def _restart(self, session: Session, person: Person, profile: Profile, by: Actor) -> None:
        async for _ in self.changes(at_least_every=1.0):
            if session.id not in self._observed:
                break
        try:
            await self.launch(person, profile, session.name, by=by)
        except HubError as error:
            _log.warning("not_restarted", session=session.id, error=error.in_full)

    async def repair(self, session: Session) -> None:
        """Give a session again what a crash took from it, unless it is being stopped by now."""
        seen = self._observed.get(session.id)
        if seen is None or seen.deleting or session.id in self._mending:
            return
        _log.info("session_repaired", session=session.id)
        done = self._mending[session.id] = anyio.Event()
        try:
            await self._orchestrator.ensure(session)
            if session.id in self._observed:
                # Not every engine tells of it by itself, and its next list may be a while away.
                mended = msgspec.structs.replace(self._observed[session.id], complete=True)
                self._put(mended)
                self.announce()
        finally:
            del self._mending[session.id]
            done.set()

    def _forget(self, session_id: SessionId) -> None:
        self._gone[session_id] = self._clock()
        self._launched.pop(session_id, None)
        self._doomed.pop(session_id, None)
        self._observed.pop(session_id, None)
        self._activity.pop(session_id, None)
        self._served.discard(session_id)
        self._clocked.pop(session_id, None)
        self._inside.pop(session_id, None)
        self._serve_line()
        self.announce()

    async def finish(self, seconds: float) -> None:
        """Begin nothing any more, and let what is under way come to its end within ``seconds``.

        A transfer of a program is not waited for: it takes minutes.
        """
        self.closing = True
        with anyio.move_on_after(seconds) as late:
            while self._is_at_work():  # noqa: ASYNC110 - of several kinds
                await anyio.sleep(_FINISH_SECONDS)
        if late.cancelled_caught:
            # The next controller finds what is left by its labels.
            _log.warning("not_finished", starts=len(self._starts), stops=len(self._stopping))

    def _is_at_work(self) -> bool:
        asked = any(one.asked for one in self._starts.values())
        return asked or bool(self._stopping or self._mending)

    # -- what other controllers did --------------------------------------------------------

    async def load_line(self) -> None:
        """Read the line again: another controller may have changed it. Raises StoreUnavailable."""
        found = await self._store.tickets()
        # What begins here, or has ended, leaves the store's line a moment later.
        left = {*self._observed, *self._starts, *self._gone}
        self._line = {one.session.id: one for one in found if one.session.id not in left}
        self._line_known = True
        self.announce()

    async def load_rules(self) -> None:
        """Read what administrators have decided. Raises StoreUnavailable."""
        self._rules = await self._store.rules()
        self.announce()

    async def hear_others(self) -> None:
        """Count sessions as used that were used by way of other controllers.

        Raises StoreUnavailable.
        """
        if not self._line_known:
            await self.load_line()
        now = self._clock()
        for session_id, memo in (await self._store.others_memos()).items():
            activity = self._activity.get(session_id)
            if activity is None:
                continue
            if memo.extra > activity.extra:
                activity = msgspec.structs.replace(activity, extra=memo.extra)
            if now - memo.idle > activity.last_active:
                activity = msgspec.structs.replace(
                    activity,
                    last_active=now - memo.idle,
                    ahead=activity.ahead and memo.ahead,
                    sign=memo.sign,
                    kept_by=memo.kept_by,
                )
            self._activity[session_id] = activity
            if not self._leads():
                self._hear_warning(session_id, memo.warned)

    def _hear_warning(self, session_id: SessionId, told: Announced | None) -> None:
        """Know of the stop of which the controller that keeps house has warned people, or not."""
        activity, now = self._activity[session_id], self._clock()
        warned = None if told is None else Warned(told.reason, now - told.ago, now + told.left)
        if warned and warned.reason is Reason.IDLE and activity.last_active > warned.at:
            warned = None  # used since, as that one will hear
        before = activity.warned
        if warned and before and warned.reason is before.reason:
            if abs(warned.stop - before.stop) >= _SAME_STOP_SECONDS:
                self._set_warned(session_id, warned)
        elif warned != before:
            self._set_warned(session_id, warned)

    # -- for housekeeping ------------------------------------------------------------------

    def decisions(self) -> list[tuple[Observed, lifecycle.Decision]]:
        """Return what is to be done about each session now."""
        now = self._clock()
        decisions: list[tuple[Observed, lifecycle.Decision]] = []
        for session_id, seen in self._observed.items():
            if session_id in self._stopping or session_id in self._launched:
                continue
            if session_id in self._starts:
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

    def decision(self, seen: Observed) -> lifecycle.Decision:
        """Return what is to be done about one session now."""
        activity = self._activity.get(seen.session.id)
        if activity is None:
            return lifecycle.Keep()
        return lifecycle.decide(seen, activity, self._clock(), self._limits(seen.session))

    def note_look(self, session_id: SessionId, *, used: bool, last_input: str | None) -> None:
        """Note what a look into a session has shown.

        ``used``: something is being computed. ``last_input``: what the session says of its last
        input; another word than the last time means that there was some meanwhile.
        """
        activity = self._activity.get(session_id)
        if activity is None:
            return
        now = self._clock()
        touched = bool(last_input) and last_input != activity.input
        # What was started ahead computes while it starts: that is no use of it.
        active = touched or (used and not activity.ahead)
        self._activity[session_id] = msgspec.structs.replace(
            activity,
            looked=now,
            last_active=now if active else activity.last_active,
            sign=(Sign.INPUT if touched else Sign.COMPUTING) if active else activity.sign,
            ahead=activity.ahead and not touched,
            input=last_input or activity.input,
        )

    async def warn(self, seen: Observed, warned: Warned) -> None:
        """Tell everybody in a session, and its owner's page, that it will be stopped."""
        session_id = seen.session.id
        self._set_warned(session_id, warned)
        _log.info("session_warned", session=session_id, reason=warned.reason.value)
        until = self._wall() + timedelta(seconds=warned.stop - self._clock())
        await self.show(seen, sentences.warning_of(warned.reason), until)

    async def calm(self, seen: Observed) -> None:
        """Take a warning back."""
        self._set_warned(seen.session.id, None)
        await self.show(seen, "", None)

    async def keep(self, seen: Observed, by: UserId) -> None:
        """Count the session as used just now: somebody said so.

        Raises NotAllowed for who only looks on.
        """
        role = self.role(seen, by)
        if role is None or not role.may_change:
            raise NotAllowed("Who only looks on cannot keep a session. Ask its owner to.")
        self.touch(seen.session.id, Sign.KEPT, kept_by=by)
        activity = self._activity.get(seen.session.id)
        if activity is not None and activity.warned and activity.warned.reason is Reason.IDLE:
            await self.calm(seen)

    async def extend(self, seen: Observed, seconds: float) -> float:
        """Let a session live longer, and write that down; returns the seconds added so far.

        Never more than configured: what is asked for beyond that is cut off. Raises
        NoSuchSession if it has ended, StoreUnavailable.
        """
        activity = self._activity.get(seen.session.id)
        if activity is None:
            raise NoSuchSession
        extra = min(activity.extra + seconds, self._settings.admin.extend_hours * 3600)
        self._activity[seen.session.id] = msgspec.structs.replace(activity, extra=extra)
        self.announce()
        await self.keep_memos()
        return extra

    def extension(self, seen: Observed) -> float:
        """Return by how many seconds a session's lifetime was extended."""
        activity = self._activity.get(seen.session.id)
        return 0.0 if activity is None else activity.extra

    def _set_warned(self, session_id: SessionId, warned: Warned | None) -> None:
        activity = self._activity.get(session_id)
        if activity is not None:
            self._activity[session_id] = msgspec.structs.replace(activity, warned=warned)
            self.announce()

    async def show(self, seen: Observed, text: str, until: datetime | None) -> bool:
        """Show a banner in a session, "" takes it away; False: it cannot, or does not answer."""
        if not self.profile_of(seen).endpoints:
            return False
        shown = await self._gateway.notice(seen.session.id, text, until)
        if not shown:
            _log.warning("notice_not_shown", session=seen.session.id)
        return shown

    async def keep_memos(self) -> None:
        """Write down what the next controller should know. Raises StoreUnavailable."""
        if not self.ready:
            return
        for session_id in tuple(self._left):
            await self._leave_line(session_id)
        now = self._clock()
        leads = self._leads()
        await self._store.put_memos(
            self._memos
            | {
                session_id: Memo(
                    age=activity.age(now),
                    idle=activity.idle(now),
                    served=session_id in self._served,
                    ahead=activity.ahead,
                    input=activity.input,
                    sign=activity.sign,
                    kept_by=activity.kept_by,
                    extra=activity.extra,
                    warned=_announced(activity.warned, now) if leads else None,
                )
                for session_id, activity in self._activity.items()
                if session_id not in self._starts
            }
        )


def _announced(warned: Warned | None, now: float) -> Announced | None:
    if warned is None:
        return None
    return Announced(warned.reason, ago=now - warned.at, left=warned.stop - now)


def _waiting(ticket: Ticket) -> Observed:
    """Return somebody in line as a session that is not there yet."""
    return Observed(session=ticket.session, complete=False)
