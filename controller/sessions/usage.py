"""Whether sessions are used: signs of life, the memos in the store, who has entered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import msgspec

from controller.core.errors import NoSuchSession
from controller.core.model import Observed, Role, SessionId, UserId
from controller.core.records import Actor, Announced, Memo, Reason, Sign
from controller.monitoring.audit import Act
from controller.rules.lifecycle import Activity, Warned
from controller.sessions.registry import Known, Registry
from controller.settings.schema import Settings
from controller.store import SessionStore

_SAME_STOP_SECONDS = 2.0  # seconds by which two controllers may differ about one moment


class Usage:
    """The use of all sessions."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        store: SessionStore,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        leads: Callable[[], bool],
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now.

        ``leads`` tells whether this controller leads.
        """
        self._settings = settings
        self._registry = registry
        self._store = store
        self._clock = clock
        self._wall = wall
        self._leads = leads
        self._memos: dict[SessionId, Memo] = {}  # of the controller before this one

    # -- what is written down --------------------------------------------------------------

    async def load(self) -> None:
        """Read the memos of the controller before this one. Raises StoreUnavailable."""
        self._memos = await self._store.memos()

    def adopt(self, seen: Observed, *, first: bool) -> Known:
        """Return the record of a session that is seen for the first time.

        ``first``: in the first snapshot of all, where sessions of an earlier controller are.
        """
        memo = self._memos.get(seen.session.id)
        if memo is None:
            activity = self._registry.first_activity(seen.session)
            # A session older than its start limit was most likely ready before.
            late = activity.age_then > self._registry.limits(seen.session).start
            known = Known(seen, activity)
            known.served = known.was_ready = first and late
            return known
        now = self._clock()
        activity = Activity(
            first_seen=now,
            last_active=now - memo.idle,
            age_then=memo.age,
            ahead=memo.ahead,
            polled=now,
            input=memo.input,
            sign=memo.sign,
            kept_by=memo.kept_by,
            extra=memo.extra,
        )
        known = Known(seen, activity)
        known.served = known.was_ready = memo.served
        return known

    def forget_memos(self, newer: Collection[SessionId]) -> None:
        """Forget the memos, except those of ``newer`` sessions, which a newer hub needs."""
        self._memos = {one: memo for one, memo in self._memos.items() if one in newer}

    async def write_down(self) -> None:
        """Store what the next controller needs to know. Raises StoreUnavailable."""
        now = self._clock()
        leads = self._leads()
        await self._store.put_memos(
            self._memos
            | {
                session_id: Memo(
                    age=known.activity.age(now),
                    idle=known.activity.idle(now),
                    served=known.served,
                    ahead=known.activity.ahead,
                    input=known.activity.input,
                    sign=known.activity.sign,
                    kept_by=known.activity.kept_by,
                    extra=known.activity.extra,
                    warned=_announced(known.activity.warned, now) if leads else None,
                )
                for session_id, known in self._registry.items()
                if self._registry.work(session_id).start is None
            }
        )

    async def hear_others(self) -> None:
        """Count the use of sessions through other controllers.

        Raises StoreUnavailable.
        """
        memos = await self._store.others_memos()
        now = self._clock()
        for session_id, memo in memos.items():
            known = self._registry.get(session_id)
            if known is None:
                continue
            activity = known.activity
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
            known.activity = activity
            if not self._leads():
                self._hear_warning(session_id, known, memo.warned)

    def _hear_warning(self, session_id: SessionId, known: Known, told: Announced | None) -> None:
        """Take over the leader's warning, or its absence."""
        now = self._clock()
        warned = None if told is None else Warned(told.reason, now - told.ago, now + told.left)
        if warned and warned.reason is Reason.IDLE and known.activity.last_active > warned.at:
            warned = None  # used since, as that one will hear
        before = known.activity.warned
        if warned and before and warned.reason is before.reason:
            if abs(warned.stop - before.stop) >= _SAME_STOP_SECONDS:
                self.set_warned(session_id, warned)
        elif warned != before:
            self.set_warned(session_id, warned)

    # -- signs of life ---------------------------------------------------------------------

    def touch(
        self,
        session_id: SessionId,
        sign: Sign = Sign.REQUEST,
        *,
        kept_by: str = "",
        ago: float = 0.0,
    ) -> None:
        """Note that somebody used the session just now, or so many seconds ``ago``."""
        known, at = self._registry.get(session_id), self._clock() - ago
        if known is not None and at >= known.activity.last_active:
            known.activity = msgspec.structs.replace(
                known.activity, last_active=at, ahead=False, sign=sign, kept_by=kept_by
            )

    def note_poll(self, session_id: SessionId, *, used: bool, last_input: str | None) -> None:
        """Note the result of a poll.

        ``used``: the session computes. ``last_input``: the session's own time of its last input; a
        change since the last poll means that there was input meanwhile.
        """
        known = self._registry.get(session_id)
        if known is None:
            return
        activity, now = known.activity, self._clock()
        touched = bool(last_input) and last_input != activity.input
        # A session that was started ahead computes while it starts: that is not use.
        active = touched or (used and not activity.ahead)
        known.activity = msgspec.structs.replace(
            activity,
            polled=now,
            last_active=now if active else activity.last_active,
            sign=(Sign.INPUT if touched else Sign.COMPUTING) if active else activity.sign,
            ahead=activity.ahead and not touched,
            input=last_input or activity.input,
        )

    async def extend(self, seen: Observed, seconds: float) -> float:
        """Let a session run longer, and store that; returns the seconds added so far.

        Never more than configured: the rest is ignored. Raises
        NoSuchSession if it has ended, StoreUnavailable.
        """
        known = self._registry.get(seen.session.id)
        if known is None:
            raise NoSuchSession
        extra = min(known.activity.extra + seconds, self._settings.admin.extend_hours * 3600)
        known.activity = msgspec.structs.replace(known.activity, extra=extra)
        self._registry.announce()
        await self.write_down()
        return extra

    def set_warned(self, session_id: SessionId, warned: Warned | None) -> None:
        """Note that people in a session were warned of its stop, or that this was withdrawn."""
        known = self._registry.get(session_id)
        if known is not None:
            known.activity = msgspec.structs.replace(known.activity, warned=warned)
            self._registry.announce()

    # -- who is inside ---------------------------------------------------------------------

    def is_inside(self, session_id: SessionId, sid: str) -> bool:
        """Tell whether somebody has entered with this log-in; verify asks at each page."""
        known = self._registry.get(session_id)
        return known is not None and sid in known.inside

    def enter(self, session_id: SessionId, sid: str, role: Role, by: Actor) -> None:
        """Record that somebody has opened the session with the log-in ``sid``."""
        known = self._registry.get(session_id)
        if known is not None:
            known.inside[sid] = UserId(by.who)
            self._registry.record(Act.OPEN, known.seen.session, by, role=role)

    def has_entered(self, sid: str) -> bool:
        """Tell whether any session has been opened with this log-in."""
        return any(sid in known.inside for _, known in self._registry.items())

    def forget_guest(self, session_id: SessionId, uid: UserId) -> None:
        """Count somebody as not having entered: their invitation has ended."""
        known = self._registry.get(session_id)
        if known is not None:
            known.inside = {sid: one for sid, one in known.inside.items() if one != uid}

    # -- questions -------------------------------------------------------------------------

    def of(self, seen: Observed) -> Activity | None:
        """Return the activity of a session; None: it does not exist."""
        known = self._registry.get(seen.session.id)
        return known.activity if known else None

    def warned(self, seen: Observed) -> tuple[Reason, datetime] | None:
        """Return why and when (UTC) a session will be stopped, if people were warned of it."""
        activity = self.of(seen)
        if activity is None or activity.warned is None:
            return None
        left = activity.warned.stop - self._clock()
        return activity.warned.reason, self._wall() + timedelta(seconds=max(0.0, left))

    def is_ahead(self, seen: Observed) -> bool:
        """Tell whether it was started ahead, and its owner has not come yet."""
        activity = self.of(seen)
        return activity is not None and activity.ahead

    def elapsed(self, seen: Observed) -> float:
        """Return the seconds since the session was launched."""
        activity = self.of(seen)
        return 0.0 if activity is None else activity.age(self._clock())

    def last_activity(self, seen: Observed) -> datetime:
        """Return when the session was last used (UTC)."""
        activity = self.of(seen)
        idle = 0.0 if activity is None else activity.idle(self._clock())
        return self._wall() - timedelta(seconds=idle)

    def expires(self, seen: Observed) -> datetime | None:
        """Return when the session's lifetime ends (UTC); None: never."""
        lifetime = self._registry.limits(seen.session).lifetime
        activity = self.of(seen)
        if not lifetime or activity is None:
            return None
        return self._wall() + timedelta(seconds=lifetime - activity.age(self._clock()))

    def extension(self, seen: Observed) -> float:
        """Return by how many seconds a session's lifetime was extended."""
        activity = self.of(seen)
        return 0.0 if activity is None else activity.extra


def _announced(warned: Warned | None, now: float) -> Announced | None:
    if warned is None:
        return None
    return Announced(warned.reason, ago=now - warned.at, left=warned.stop - now)
