"""The records of the sessions: one for each that exists, and one for work that is under way.

The engine's snapshots are the facts. Acts of this controller are known here first, and stay until a
snapshot that is recent enough shows the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from datetime import datetime

import anyio
import msgspec

from controller.core.changes import ChangeCount
from controller.core.errors import HubError
from controller.core.model import Observed, Phase, Profile, Session, SessionId, UserId
from controller.core.records import Actor, Reason
from controller.monitoring.audit import Act, Audit, Detail
from controller.rules import lifecycle
from controller.rules.lifecycle import Activity, Limits
from controller.settings.schema import Settings

SETTLE_SECONDS = 30.0
"""Seconds for which snapshots from before a launch or a stop may still arrive."""


class Start:
    """A start under way: the launch may wait for its outcome, and it can be cancelled."""

    def __init__(self, by: Actor) -> None:
        """``by``: who asked for it."""
        self.by = by
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.awaited = True
        self.asked = False  # the program is fetched, and the engine has been asked
        self.error: HubError | None = None


class Saving:
    """A session saves before it stops: since when (monotonic), and how to cancel that."""

    def __init__(self, since: float) -> None:
        """``since``: monotonic seconds."""
        self.since = since
        self.scope = anyio.CancelScope()


class Timing:
    """When the steps of a start began; monotonic seconds."""

    def __init__(self, begun: float) -> None:
        """``begun``: when the start was asked for."""
        self.begun = begun
        self.fetched = begun
        self.accepted = begun

    def steps(self, ready: float) -> dict[str, float]:
        """Return how long each step took, in seconds. ``ready``: when it was."""
        return {
            "fetch": self.fetched - self.begun,
            "engine": self.accepted - self.fetched,
            "load": ready - self.accepted,
        }


class Known:
    """The record of a session that exists, or is being made."""

    def __init__(self, seen: Observed, activity: Activity) -> None:
        """Make the record of a session that nobody has entered and Traefik does not serve yet."""
        self.seen = seen
        self.activity = activity
        self.served = False  # seen through Traefik
        self.was_ready = False
        self.timing: Timing | None = None  # of its start, if this controller has begun that
        self.accepted: float | None = None  # when by the engine, until a snapshot shows it
        self.inside: dict[str, UserId] = {}  # who has entered, by their log-in


class Work:
    """Work under way for one session, whether it exists or not."""

    def __init__(self) -> None:
        self.start: Start | None = None  # not accepted by the engine yet
        self.stopping = False
        self.stop_pending: Reason | None = None  # it must be stopped as soon as the engine answers
        self.saving: Saving | None = None
        self.unsaved = False  # it stops without waiting for its saving
        self.repairing: anyio.Event | None = None
        self.probing = False

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (
            self.start
            or self.stopping
            or self.stop_pending
            or self.saving
            or self.unsaved
            or self.repairing
            or self.probing
        )


class Registry:
    """The records of all sessions of this instance."""

    def __init__(
        self,
        settings: Settings,
        audit: Audit,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        changes: ChangeCount | None = None,
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now.

        ``changes`` counts what changes of which sessions there are, and of their states.
        """
        self._settings = settings
        self._counted = changes or ChangeCount()
        self._audit = audit
        self._clock = clock
        self._wall = wall
        # Verify asks for them at every request, and they change with the settings only.
        self._limits = {one.id: lifecycle.limits_of(one, settings) for one in settings.profiles}
        self._usual_limits = lifecycle.limits_of(None, settings)
        self._known: dict[SessionId, Known] = {}
        self._work: dict[SessionId, Work] = {}
        self._gone: dict[SessionId, float] = {}  # since when; a late snapshot may still show them
        self._changed = anyio.Event()
        # Who hears of one should only note it: a change may be half done.
        self.announced = ChangeCount()
        self.newer: list[Observed] = []  # made by a newer hub
        self.heard = 0.0  # when the last snapshot came
        self.ready = False  # a first snapshot has come
        self.closing = False  # this controller is stopping and begins nothing new

    # -- records ---------------------------------------------------------------------------

    def get(self, session_id: SessionId) -> Known | None:
        """Return the record of a session that exists."""
        return self._known.get(session_id)

    def seen(self, session_id: SessionId) -> Observed | None:
        """Return the last observation of a session, completed by this controller's records."""
        known = self._known.get(session_id)
        return known.seen if known else None

    def items(self) -> list[tuple[SessionId, Known]]:
        """Return all records, with those of orphans."""
        return [*self._known.items()]

    def __contains__(self, session_id: object) -> bool:
        """Tell whether a session exists."""
        return session_id in self._known

    def all(self) -> list[Observed]:
        """Return all sessions without orphans, the oldest first."""
        whole = [one.seen for one in self._known.values() if not one.seen.orphan]
        return sorted(whole, key=lambda one: one.session.created_at)

    def orphans(self) -> list[Observed]:
        """Return the orphans: parts that a crash left of sessions that do not exist."""
        return [one.seen for one in self._known.values() if one.seen.orphan]

    def add(self, session_id: SessionId, known: Known) -> None:
        """Add the record of a session."""
        self._known[session_id] = known
        self._counted.add()

    def put(self, seen: Observed) -> Known:
        """Replace the observation of a session."""
        session_id = seen.session.id
        known = self._known.get(session_id)
        if known is None:
            known = self._known[session_id] = Known(seen, self.first_activity(seen.session))
        if not seen.running:
            known.served = False
        work = self.work(session_id)
        known.seen = msgspec.structs.replace(
            seen,
            served=known.served,
            deleting=seen.deleting or work.stopping or work.stop_pending is not None,
        )
        self._counted.add()
        return known

    def first_activity(self, session: Session) -> Activity:
        """Return the activity of a session without a memo."""
        now = self._clock()
        age = max(0.0, (self._wall() - session.created_at).total_seconds())
        return Activity(first_seen=now, last_active=now, age_then=age, polled=now)

    def keep(self, session_ids: Collection[SessionId]) -> None:
        """Forget all sessions except these."""
        self._known = {one: known for one, known in self._known.items() if one in session_ids}
        self._counted.add()
        for session_id, work in self._work.items():
            if session_id not in session_ids:
                work.stop_pending = None
        self._work = {one: work for one, work in self._work.items() if not work.idle}

    def forget(self, session_id: SessionId) -> None:
        """Forget a session that has ended, and ignore it in late snapshots."""
        self._gone[session_id] = self._clock()
        self._known.pop(session_id, None)
        self._counted.add()
        self.work(session_id).stop_pending = None

    def recall(self, session_id: SessionId) -> None:
        """Accept this session from snapshots again: it is not known whether it has ended."""
        self._gone.pop(session_id, None)

    def gone(self) -> Collection[SessionId]:
        """Return the sessions that late snapshots may still show."""
        now = self._clock()
        self._gone = {one: at for one, at in self._gone.items() if now - at < SETTLE_SECONDS}
        return self._gone.keys()

    # -- what is under way -----------------------------------------------------------------

    def work(self, session_id: SessionId) -> Work:
        """Return the work under way for a session."""
        return self._work.setdefault(session_id, Work())

    def at_work(self) -> Iterator[tuple[SessionId, Work]]:
        """Yield the work under way, by session."""
        yield from ((one, work) for one, work in self._work.items() if not work.idle)

    # -- questions -------------------------------------------------------------------------

    def profile_of(self, seen: Observed) -> Profile:
        """Return the session's profile, or a nameless one if it is no longer configured."""
        profile = self._settings.profile(seen.session.profile)
        return profile or Profile(id=seen.session.profile, title=seen.session.profile, image="")

    def limits(self, session: Session) -> Limits:
        """Return a session's limits, including the time that administrators have added."""
        limits = self._limits.get(session.profile, self._usual_limits)
        known = self._known.get(session.id)
        if known is None or not known.activity.extra or not limits.lifetime:
            return limits
        return msgspec.structs.replace(limits, lifetime=limits.lifetime + known.activity.extra)

    def watched(self, session_id: SessionId) -> float:
        """Return for how many seconds the start of a session has been watched."""
        known, work = self._known.get(session_id), self._work.get(session_id)
        if known is None or (work is not None and work.start is not None):
            return 0.0  # fetching the program does not count as starting
        return self._clock() - known.activity.first_seen

    def phase(self, seen: Observed) -> Phase:
        """Return the session's phase."""
        return lifecycle.phase_of(seen, self.watched(seen.session.id), self.limits(seen.session))

    # -- news ------------------------------------------------------------------------------

    def announce(self) -> None:
        """Wake everybody who follows ``changes``, and who hears of what is ``announced``."""
        self._counted.add()
        self._changed.set()
        self._changed = anyio.Event()
        self.announced.add()

    @property
    def changed(self) -> anyio.Event:
        """Return the event of the next change."""
        return self._changed

    async def changes(self, *, at_least_every: float) -> AsyncIterator[bool]:
        """Yield True now and after any change, False after this time without one."""
        happened = True
        while True:
            changed = self._changed
            yield happened
            with anyio.move_on_after(at_least_every):
                await changed.wait()
            happened = changed.is_set()

    def record(self, act: Act, session: Session, by: Actor, **details: Detail) -> None:
        """Record in the audit log what somebody has done to a session."""
        self._audit.record(
            act, by, whose=session.owner, session=session.id, profile=session.profile, **details
        )
