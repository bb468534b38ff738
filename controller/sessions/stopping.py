"""Ends sessions: they save first, their owner is told why, and failures are tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import anyio
import structlog

from controller.core.errors import HubError, Unavailable
from controller.core.model import Observed, Phase, Session, SessionId
from controller.core.records import Actor, Reason
from controller.engines import Orchestrator
from controller.monitoring.audit import Act
from controller.rules import notices, sentences
from controller.sessions.gateway import Gateway
from controller.sessions.queue import Queue
from controller.sessions.registry import Registry, Saving
from controller.sessions.tasks import Tasks
from controller.store import DeskStore

STOP_GRACE = timedelta(seconds=10)
"""Time for the program in a session to save before it is killed."""

BRIEF_GRACE = timedelta(seconds=2)
"""The same for a session that does not save: time to end in order."""

GIVE_UP_SECONDS = 10.0
"""Seconds of saving after which the owner can stop the session without it."""

_FINISH_SECONDS = 0.05  # between two checks of what is still under way

_log = structlog.get_logger("sessions")


class Stopping:
    """Stops sessions."""

    def __init__(
        self,
        registry: Registry,
        queue: Queue,
        orchestrator: Orchestrator,
        gateway: Gateway,
        *,
        store: DeskStore,
        tasks: Tasks,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        gone: Callable[[SessionId], None],
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: UTC now.

        ``gone`` is called when a session has ended: there may be room for the next one.
        """
        self._registry = registry
        self._queue = queue
        self._orchestrator = orchestrator
        self._gateway = gateway
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._wall = wall
        self._gone = gone

    async def stop(self, session_id: SessionId, reason: Reason, *, by: Actor, save: bool) -> None:
        """Begin to stop a session; returns at once, the rest goes on by itself.

        Without ``save`` it does not save first, and saving that is under way is not waited for. A
        session in the queue leaves it. Raises StoreUnavailable if that cannot be stored.
        """
        if session_id in self._queue:
            session = await self._queue.give_up(session_id)
            if session is not None:
                self._registry.record(Act.STOP, session, by, reason=reason, waiting=True)
                self._registry.announce()
                return
            # It started meanwhile: it is stopped like any other.
        work = self._registry.work(session_id)
        if work.saving is not None and not save:
            work.unsaved = True
            work.saving.scope.cancel()
        seen = self._registry.seen(session_id)
        if seen is None or work.stopping or not self._tasks.running:
            return
        reason, work.stop_pending = work.stop_pending or reason, None
        if not seen.deleting and not seen.orphan:
            # Otherwise it was never complete, or an earlier controller began to stop it.
            self._registry.record(Act.STOP, seen.session, by, reason=reason)
        self.take_down(session_id, reason, save=save)

    def take_down(self, session_id: SessionId, reason: Reason, *, save: bool = True) -> None:
        """Begin to stop a session, without an entry in the audit log."""
        seen, work = self._registry.seen(session_id), self._registry.work(session_id)
        if seen is None or work.stopping or not self._tasks.running:
            return
        runs = self._registry.phase(seen) is Phase.READY
        saves = save and runs and self._registry.profile_of(seen).endpoints
        work.stopping = True
        if not save:
            work.unsaved = True
        if work.start is not None:
            work.start.scope.cancel()
        self._registry.put(seen)
        self._registry.announce()
        self._tasks.spawn("stop", session_id, partial(self._remove, seen, reason, saves))

    async def end(self, session_id: SessionId, grace: timedelta) -> None:
        """Remove a session, once no work is under way that would make it again.

        Raises EngineUnavailable or StoreUnavailable.
        """
        repairing = self._registry.work(session_id).repairing
        if repairing is not None:
            await repairing.wait()
        await self._queue.end(session_id)
        await self._orchestrator.remove(session_id, grace=grace)

    def saves_long(self, seen: Observed) -> bool:
        """Tell whether saving takes so long that its owner may stop without it."""
        saving = self._registry.work(seen.session.id).saving
        return saving is not None and self._clock() - saving.since >= GIVE_UP_SECONDS

    async def finish(self, seconds: float) -> None:
        """Let work under way end within ``seconds``.

        Fetching a program is not waited for: it takes minutes.
        """
        with anyio.move_on_after(seconds) as late:
            while self._is_at_work():  # noqa: ASYNC110 - of several kinds
                await anyio.sleep(_FINISH_SECONDS)
        if late.cancelled_caught:
            # The next controller finds what is left by its labels.
            left = [work for _, work in self._registry.at_work()]
            _log.warning(
                "not_finished",
                starts=sum(work.start is not None for work in left),
                stops=sum(work.stopping for work in left),
            )

    def _is_at_work(self) -> bool:
        return any(
            work.stopping or work.repairing or (work.start is not None and work.start.asked)
            for _, work in self._registry.at_work()
        )

    async def _remove(self, seen: Observed, reason: Reason, saves: bool) -> None:
        session, work = seen.session, self._registry.work(seen.session.id)
        try:
            if work.start is not None:
                await work.start.done.wait()
            # Before the engine's grace begins, which is too short for a large scene.
            saved = await self._save(session.id) if saves else False
            await self.end(session.id, BRIEF_GRACE if work.unsaved else STOP_GRACE)
        except Unavailable as error:
            self._stop_later(session.id, reason)
            _log.warning("stop_interrupted", session=session.id, error=error.in_full)
        except Exception:
            self._stop_later(session.id, reason)
            raise
        else:
            # First the reason, then the end: the owner's page reads both only once.
            await self._tell(session, reason, saved=saved)
            self._gone(session.id)
            _log.info("session_stopped", session=session.id, reason=reason.value, saved=saved)
        finally:
            work.stopping = work.unsaved = False

    def _stop_later(self, session_id: SessionId, reason: Reason) -> None:
        """Let housekeeping try again. The engine's object may not show yet that it stops."""
        self._registry.work(session_id).stop_pending = reason
        self._registry.recall(session_id)

    async def _save(self, session_id: SessionId) -> bool:
        """Let a session save its contents, until that is cancelled; True: it has saved."""
        work = self._registry.work(session_id)
        saving = work.saving = Saving(self._clock())
        saved = False
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._announce_in, GIVE_UP_SECONDS)
                with saving.scope:
                    saved = await self._gateway.save(session_id)
                group.cancel_scope.cancel()
        finally:
            work.saving = None
        return saved

    async def _announce_in(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self._registry.announce()

    async def _tell(self, session: Session, reason: Reason, *, saved: bool) -> None:
        """Leave a notice for the owner, unless the owner stopped it."""
        profile = self._registry.profile_of(Observed(session=session, complete=False))
        title = sentences.session_title(profile.title, session.name)
        said = notices.stopped(title, reason, self._registry.limits(session), saved=saved)
        if said is None:
            return
        text, more = said.around("at")
        try:
            await self._store.add_notice(session.owner, text, more, self._wall().timestamp())
        except HubError as error:
            _log.warning("notice_lost", session=session.id, error=error.in_full)
