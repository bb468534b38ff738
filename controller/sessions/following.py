"""Follows the engine: its snapshots are the facts, if they are recent enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing

from controller.core.model import Observed, SessionId
from controller.core.records import CONTROLLER
from controller.engines import Orchestrator
from controller.monitoring.audit import Act
from controller.sessions.queue import Queue
from controller.sessions.readiness import Readiness
from controller.sessions.registry import SETTLE_SECONDS, Registry
from controller.sessions.usage import Usage


class Following:
    """Puts the engine's snapshots into the registry."""

    def __init__(
        self,
        registry: Registry,
        queue: Queue,
        usage: Usage,
        readiness: Readiness,
        orchestrator: Orchestrator,
        *,
        clock: Callable[[], float],
        room: Callable[[], None],
    ) -> None:
        """``clock``: monotonic seconds; ``room`` is called when there may be room for sessions."""
        self._registry = registry
        self._queue = queue
        self._usage = usage
        self._readiness = readiness
        self._orchestrator = orchestrator
        self._clock = clock
        self._room = room

    async def run(self) -> None:
        """Follow the engine until cancelled."""
        async with aclosing(self._orchestrator.watch()) as snapshots:
            async for snapshot in snapshots:
                self._take(snapshot)

    def _take(self, snapshot: Sequence[Observed]) -> None:
        """Replace the records by a snapshot, except where it is older than the hub's own acts."""
        registry, now = self._registry, self._clock()
        registry.heard = now
        registry.newer = [one for one in snapshot if one.newer]
        gone = registry.gone()
        known = {
            one.session.id: one for one in snapshot if not one.newer and one.session.id not in gone
        }
        # A snapshot may show parts of a session that is being made, before the session itself.
        whole = {session_id for session_id, seen in known.items() if not seen.orphan}
        for session_id, record in registry.items():
            if record.accepted is None:
                continue
            if session_id in whole or now - record.accepted >= SETTLE_SECONDS:
                record.accepted = None
            else:
                known[session_id] = record.seen
        # Sessions that the engine has not accepted yet, or has refused, are known only here. Those
        # that are being stopped stay until their owner has been told why.
        at_work = {one for one, work in registry.at_work() if work.start or work.stopping}
        known |= {
            session_id: record.seen
            for session_id, record in registry.items()
            if session_id not in whole
            and (session_id in at_work or record.seen.refused is not None)
        }
        self._note_gone(known)
        registry.keep(known)
        for observed in known.values():
            self._put(observed)
        self._queue.drop_begun(known)
        self._usage.forget_memos({one.session.id for one in registry.newer})
        registry.ready = True
        self._room()
        registry.announce()

    def _note_gone(self, known: dict[SessionId, Observed]) -> None:
        """Record sessions that ended, or began to end, without an act of the hub."""
        for session_id, record in self._registry.items():
            before, after = record.seen, known.get(session_id)
            ended = after is None or after.deleting
            if ended and not before.deleting and not before.orphan:
                self._registry.record(Act.GONE, before.session, CONTROLLER)

    def _put(self, observed: Observed) -> None:
        session_id = observed.session.id
        if session_id not in self._registry:
            known = self._usage.adopt(observed, first=not self._registry.ready)
            self._registry.add(session_id, known)
        self._registry.put(observed)
        self._readiness.begin(session_id)
