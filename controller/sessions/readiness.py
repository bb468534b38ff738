"""Probes whether sessions are served, as a browser would see it, and times their starts."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import datetime
from functools import partial

import anyio
import structlog

from controller.core.errors import HubError
from controller.core.model import Observed, SessionId
from controller.core.records import CONTROLLER
from controller.monitoring.audit import Act
from controller.monitoring.metrics import Metrics
from controller.rules import sentences
from controller.rules.sentences import Step
from controller.sessions.gateway import Gateway
from controller.sessions.registry import Registry
from controller.sessions.tasks import Tasks
from controller.settings.schema import Settings
from controller.store import SessionStore

_QUICKEST = 0.1  # seconds between two probes of what has just begun to run
_SLOWEST = 1.0  # between two probes of what has long not been served
_PATIENCE = 0.03  # of its age: so much later at most is it noticed that a session is served

_log = structlog.get_logger("sessions")


class Readiness:
    """Probes sessions that are not served yet, through Traefik."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        gateway: Gateway,
        store: SessionStore,
        tasks: Tasks,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        leads: Callable[[], bool],
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now.

        ``leads`` tells whether this controller records the times of starts.
        """
        self._settings = settings
        self._registry = registry
        self._gateway = gateway
        self._store = store
        self._tasks = tasks
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._leads = leads
        self._usual: dict[str, float] = {}  # seconds of a profile's start, by its id

    async def load(self) -> None:
        """Read how long starts usually take. Raises StoreUnavailable."""
        for profile in self._settings.profiles:
            await self._learn_usual(profile.id)

    def begin(self, session_id: SessionId) -> None:
        """Begin to probe a session, if it runs and is not served yet."""
        seen, work = self._registry.seen(session_id), self._registry.work(session_id)
        if seen is None or not self._tasks.running or work.probing or seen.served:
            return
        if seen.running and not seen.deleting:
            work.probing = True
            self._tasks.spawn("probe", session_id, partial(self._probe, session_id))

    def progress(self, seen: Observed) -> list[Step]:
        """Return the steps of the session's start."""
        return sentences.progress_of(
            self._registry.phase(seen),
            seen,
            title=self._registry.profile_of(seen).title,
            usual=self._usual.get(seen.session.profile),
        )

    async def _probe(self, session_id: SessionId) -> None:
        """Probe a session through Traefik until it is served or no longer running."""
        begun = self._clock()
        try:
            while (seen := self._registry.seen(session_id)) and seen.running and not seen.deleting:
                profile = self._settings.profile(seen.session.profile)
                if profile is None:
                    return
                if await self._gateway.is_served(session_id, profile):
                    await self._note_served(session_id)
                    return
                await anyio.sleep(pause_after(self._clock() - begun))
        finally:
            self._registry.work(session_id).probing = False

    async def _note_served(self, session_id: SessionId) -> None:
        known = self._registry.get(session_id)
        if known is None:
            return
        known.served = True
        self._registry.put(known.seen)
        self._registry.announce()
        if known.was_ready:
            return  # and the engine has started it anew
        known.was_ready = True
        timing, known.timing = known.timing, None
        if not self._leads():
            return  # each controller sees it; one writes it down
        session, now = known.seen.session, self._clock()
        age = round(known.activity.age(now), 2)
        self._registry.record(Act.READY, session, CONTROLLER, seconds=age)
        if timing is not None:  # its whole start was seen
            seconds = now - known.activity.first_seen
            self._metrics.started(session.profile, seconds, timing.steps(now))
            try:
                await self._store.add_start(session.profile, seconds, self._wall().timestamp())
                await self._learn_usual(session.profile)
            except HubError as error:
                _log.warning("start_not_remembered", error=error.in_full)

    async def _learn_usual(self, profile: str) -> None:
        starts = await self._store.starts(profile)
        if starts:
            self._usual[profile] = statistics.median(starts)


def pause_after(seconds: float) -> float:
    """Return the seconds until the next probe of a session that has been probed for so long.

    The first three seconds are probed at the quickest. A start that takes ten is noticed after 0.3
    more at most, and one that never ends costs a probe a second.
    """
    return min(max(_QUICKEST, _PATIENCE * seconds), _SLOWEST)
