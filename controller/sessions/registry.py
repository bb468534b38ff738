"""What is known of the sessions: one record for each that is there, and one for what is under way.

The engine's snapshots are the facts; what this controller does itself is known here first, and
stays until a snapshot that is young enough tells the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from datetime import datetime

import anyio
import msgspec

from controller.core.errors import HubError
from controller.core.model import Observed, Phase, Profile, Session, SessionId, UserId
from controller.core.records import Actor, Reason
from controller.monitoring.audit import Act, Audit, Detail
from controller.rules import lifecycle
from controller.rules.lifecycle import Activity, Limits
from controller.settings.schema import Settings

SETTLE_SECONDS = 30.0
"""For so long snapshots that were taken before a launch or a stop may still arrive."""


class Start:
    """A start under way: whoever launched may wait for its outcome, and it can be called off."""

    def __init__(self, by: Actor) -> None:
        """``by``: who has asked for it."""
        self.by = by
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.awaited = True
        self.asked = False  # the engine is at it: fetching the program is over
        self.error: HubError | None = None


class Saving:
    """A session saves before it stops: since when (monotonic), and how that is given up."""

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
    """All that is known of one session that is there, or is being made."""

    def __init__(self, seen: Observed, activity: Activity) -> None:
        """Know of a session that nobody has entered and Traefik does not serve yet."""
        self.seen = seen
        self.activity = activity
        self.served = False  # seen through Traefik
        self.was_ready = False
        self.timing: Timing | None = None  # of its start, if this controller has begun that
        self.accepted: float | None = None  # when by the engine, until a snapshot shows it
        self.inside: dict[str, UserId] = {}  # who has entered, by their log-in


class Work:
    """What is under way about one session, whether it is there or not."""

    def __init__(self) -> None:
        """Know of nothing."""
        self.start: Start | None = None  # not accepted by the engine yet
        self.stopping = False
        self.stop_pending: Reason | None = None  # to be stopped, when the engine can be told
        self.saving: Saving | None = None
        self.unsaved = False  # it stops, and its saving is not to be waited for
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
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now."""
        self._settings = settings
        self._audit = audit
        self._clock = clock
        self._wall = wall
        # Verify asks for them at every request, and they change with the settings only.
        self._limits = {one.id: lifecycle.limits_of(one, settings) for one in settings.profiles}
        self._usual_limits = lifecycle.limits_of(None, settings)
        self._known: dict[SessionId, Known] = {}
        self._work: dict[SessionId, Work] = {}
        self._gone: dict[SessionId, float] = {}  # when: may still be in a late snapshot
        self._changed = anyio.Event()
        self.newer: list[Observed] = []  # that a newer hub has made
        self.heard = 0.0  # when the engine last said what there is
        self.ready = False  # it has said so at least once
        self.closing = False  # this controller ends: it begins nothing any more

    # -- records ---------------------------------------------------------------------------

    def get(self, session_id: SessionId) -> Known | None:
        """Return the record of a session that is there."""
        return self._known.get(session_id)

    def seen(self, session_id: SessionId) -> Observed | None:
        """Return a session as it was observed last, with what this controller knows of it."""
        known = self._known.get(session_id)
        return known.seen if known else None

    def items(self) -> list[tuple[SessionId, Known]]:
        """Return all records, leftovers of a crash among them."""
        return [*self._known.items()]

    def __contains__(self, session_id: object) -> bool:
        """Tell whether a session is there."""
        return session_id in self._known

    def all(self) -> list[Observed]:
        """Return all sessions, the oldest first; orphans are none."""
        whole = [one.seen for one in self._known.values() if not one.seen.orphan]
        return sorted(whole, key=lambda one: one.session.created_at)

    def orphans(self) -> list[Observed]:
        """Return what a crash left of sessions that never came to be, or are no more."""
        return [one.seen for one in self._known.values() if one.seen.orphan]

    def add(self, session_id: SessionId, known: Known) -> None:
        """Begin to know of a session."""
        self._known[session_id] = known

    def put(self, seen: Observed) -> Known:
        """Know this of a session from now on."""
        session_id = seen.session.id
        known = self._known.get(session_id)
        if known is None:
            known = self._known[session_id] = Known(seen, self.first_look(seen.session))
        if not seen.running:
            known.served = False
        work = self.work(session_id)
        known.seen = msgspec.structs.replace(
            seen,
            served=known.served,
            deleting=seen.deleting or work.stopping or work.stop_pending is not None,
        )
        return known

    def first_look(self, session: Session) -> Activity:
        """Return what can be said of the use of a session of which nothing is remembered."""
        now = self._clock()
        age = max(0.0, (self._wall() - session.created_at).total_seconds())
        return Activity(first_seen=now, last_active=now, age_then=age, looked=now)

    def keep(self, session_ids: Collection[SessionId]) -> None:
        """Forget all sessions but these."""
        self._known = {one: known for one, known in self._known.items() if one in session_ids}
        for session_id, work in self._work.items():
            if session_id not in session_ids:
                work.stop_pending = None
        self._work = {one: work for one, work in self._work.items() if not work.idle}

    def forget(self, session_id: SessionId) -> None:
        """Forget a session that is no more, whatever late snapshots say."""
        self._gone[session_id] = self._clock()
        self._known.pop(session_id, None)
        self.work(session_id).stop_pending = None

    def recall(self, session_id: SessionId) -> None:
        """Believe snapshots of this session again: whether it is gone is not known."""
        self._gone.pop(session_id, None)

    def gone(self) -> Collection[SessionId]:
        """Return the sessions that late snapshots may still show."""
        now = self._clock()
        self._gone = {one: at for one, at in self._gone.items() if now - at < SETTLE_SECONDS}
        return self._gone.keys()

    # -- what is under way -----------------------------------------------------------------

    def work(self, session_id: SessionId) -> Work:
        """Return what is under way about a session."""
        return self._work.setdefault(session_id, Work())

    def at_work(self) -> Iterator[tuple[SessionId, Work]]:
        """Yield what is under way, by session."""
        yield from ((one, work) for one, work in self._work.items() if not work.idle)

    # -- questions -------------------------------------------------------------------------

    def profile_of(self, seen: Observed) -> Profile:
        """Return the session's profile, or a nameless one if it is no longer configured."""
        profile = self._settings.profile(seen.session.profile)
        return profile or Profile(id=seen.session.profile, title=seen.session.profile, image="")

    def limits(self, session: Session) -> Limits:
        """Return how long things may take in a session, what administrators have added included."""
        limits = self._limits.get(session.profile, self._usual_limits)
        known = self._known.get(session.id)
        if known is None or not known.activity.extra or not limits.lifetime:
            return limits
        return msgspec.structs.replace(limits, lifetime=limits.lifetime + known.activity.extra)

    def watched(self, session_id: SessionId) -> float:
        """Return for how many seconds the start of a session has been watched."""
        known, work = self._known.get(session_id), self._work.get(session_id)
        if known is None or (work is not None and work.start is not None):
            return 0.0  # fetching a program does not count against the time to start it
        return self._clock() - known.activity.first_seen

    def phase(self, seen: Observed) -> Phase:
        """Return where the session stands now."""
        return lifecycle.phase_of(seen, self.watched(seen.session.id), self.limits(seen.session))

    # -- news ------------------------------------------------------------------------------

    def announce(self) -> None:
        """Let whoever follows ``changes`` look again."""
        self._changed.set()
        self._changed = anyio.Event()

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

    def record(self, act: Act, session: Session, by: Actor, **details: Detail) -> None:
        """Put on record what somebody has done to a session."""
        self._audit.record(
            act, by, whose=session.owner, session=session.id, profile=session.profile, **details
        )
