"""Carries out what ``rules.lifecycle`` decides, round after round.

A round that fails is logged, and the next one tries again. A session that cannot be repaired does
not delay the others.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio
import structlog
from apscheduler.schedulers.asyncio import (  # pyright: ignore[reportMissingTypeStubs]
    AsyncIOScheduler,
)

from controller.administration.acts import Acts
from controller.administration.history import SAMPLE_SECONDS, History
from controller.core.errors import HubError
from controller.core.model import Observed
from controller.core.records import Reason
from controller.housekeeping.departures import DirectoryCheck
from controller.monitoring.faults import contained
from controller.monitoring.metrics import Metrics
from controller.people.logins import Logins
from controller.rules.lifecycle import Decision, Keep, Poll, Remove, Repair, Warn, WithdrawWarning
from controller.sessions.pace import Pace
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings

POLL_SECONDS = 30
"""Seconds between two polls of every session."""

_LOGINS_SECONDS = 600

_SEEN_SECONDS = 60

_CLOCK_SECONDS = 1  # between two checks of the wall clock

_CLOCK_STEP = 2.0  # seconds of difference after which it was set, not merely adjusted

_log = structlog.get_logger("housekeeping")


class Housekeeping:
    """The rounds of one controller."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        logins: Logins,
        *,
        poller: Poller,
        sharing: Sharing,
        directory_check: DirectoryCheck,
        acts: Acts,
        history: History,
        metrics: Metrics,
        clock: Callable[[], float],
        wall: Callable[[], float],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Nothing happens before ``run``.

        ``clock``: monotonic seconds; ``wall``: seconds since the epoch. ``leads`` tells whether
        this controller is the one that acts.
        """
        self._clock = clock
        self._wall = wall
        self._leads = leads
        self._sessions = sessions
        self._logins = logins
        self._poller = poller
        self._sharing = sharing
        self._directory_check = directory_check
        self._acts = acts
        self._history = history
        self._metrics = metrics
        self._pace = Pace()
        self._scheduler = AsyncIOScheduler(
            # A late round is run once, not once for each that was missed.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        for act, seconds in (
            (self.sweep, settings.housekeeping_seconds),
            (self.poll, POLL_SECONDS),
            (self.call_the_roll, settings.directory_seconds),
            (self._sweep_logins, _LOGINS_SECONDS),
            (self._keep_seen, _SEEN_SECONDS),
            (self.sample, SAMPLE_SECONDS),
        ):
            self._scheduler.add_job(act, "interval", seconds=seconds)  # pyright: ignore[reportUnknownMemberType] - APScheduler carries no types

    async def run(self) -> None:
        """Do the rounds until cancelled."""
        self._scheduler.start()
        try:
            await self._watch_clock()
        finally:
            self._scheduler.shutdown(wait=False)  # pyright: ignore[reportUnknownMemberType] - the same

    async def _watch_clock(self) -> None:
        """Restart the schedule when somebody has set the wall clock.

        APScheduler plans by that clock: set back by an hour, it would not do a round for an hour.
        """
        ahead = self._wall() - self._clock()
        while True:
            await anyio.sleep(_CLOCK_SECONDS)
            before, ahead = ahead, self._wall() - self._clock()
            if abs(ahead - before) < _CLOCK_STEP:
                continue
            _log.warning("clock_was_set", seconds=round(ahead - before))
            for job in self._scheduler.get_jobs():  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - the same
                job.modify(next_run_time=datetime.now(UTC))  # pyright: ignore[reportUnknownMemberType] - the same

    async def sweep(self) -> None:
        """Do one round over all sessions."""
        if not self._sessions.ready:
            return
        with self._metrics.round("sweep"):
            await self._sweep()

    async def _sweep(self) -> None:
        async with anyio.create_task_group() as group:
            # Each controller writes down what ended here, whether it leads or not.
            group.start_soon(self._part, self._logins.ending.write_down)
            group.start_soon(
                self._part, functools.partial(self._sharing.sweep, leads=self._leads())
            )
            group.start_soon(self._sweep_sessions)

    async def _sweep_sessions(self) -> None:
        try:
            await self._sessions.hear_others()
        except HubError as error:
            # A session that seems idle may be in use: nothing is decided before it is polled.
            self._metrics.not_done("sweep")
            _log.warning("others_not_heard", error=error.in_full)
            return
        async with anyio.create_task_group() as group:
            for seen, decision in self._sessions.agenda.all() if self._leads() else ():
                if decision != Keep():
                    step = functools.partial(self._step, seen)
                    group.start_soon(self._pace.go, step)
        with contained("line", self._metrics):
            self._sessions.serve_queue()
        if self._leads():
            await self._part(self._acts.end_drained)
            await self._part(self._sessions.banners.sweep)
        await self._part(self._sessions.write_down)

    async def _step(self, seen: Observed) -> None:
        """Do what is due for one session, by its present state."""
        if not self._leads():
            return  # another may have begun meanwhile
        try:
            with contained("step", self._metrics, told=HubError, session=seen.session.id):
                await self._carry_out(seen, self._sessions.agenda.of(seen))
        except HubError as error:
            self._metrics.not_done("sweep")
            _log.warning("not_done", session=seen.session.id, error=error.in_full)

    async def _part(self, sweep: Callable[[], Awaitable[None]]) -> None:
        """Do a part of the round that is not about a single session."""
        try:
            with contained("part", self._metrics, told=HubError):
                await sweep()
        except HubError as error:
            self._metrics.not_done("sweep")
            _log.warning("not_written_down", error=error.in_full)

    async def _carry_out(self, seen: Observed, decision: Decision) -> None:
        match decision:
            case Keep():
                return
            case Poll():
                await self._poller.poll(seen)
                decision = self._sessions.agenda.of(seen)
                if decision != Poll():  # else it could not be found out; the next round tries again
                    await self._carry_out(seen, decision)
                return
            case Repair():
                await self._sessions.launching.repair(seen.session)
            case Warn(warned):
                await self._sessions.warn(seen, warned)
            case WithdrawWarning():
                await self._sessions.withdraw_warning(seen)
            case Remove(reason):
                await self._sessions.stop(seen.session.id, reason)
        self._metrics.decided(_name_of(decision))

    async def poll(self) -> None:
        """Poll every running session."""
        with self._metrics.round("look"):
            await self._poller.all()

    async def sample(self) -> None:
        """Note how full the hub is, for the plots; each controller for its own pages."""
        if self._sessions.ready:
            self._history.sample()

    async def call_the_roll(self) -> None:
        """Look up everybody in the directory again."""
        if not self._leads():
            return
        with self._metrics.round("roll_call"):
            try:
                await self._directory_check.call()
            except HubError as error:
                self._metrics.not_done("roll_call")
                _log.warning("roll_not_called", error=error.in_full)

    async def _sweep_logins(self) -> None:  # of its own memory, too: so each controller does
        with self._metrics.round("logins"):
            try:
                await self._logins.following.sweep()
            except HubError as error:
                self._metrics.not_done("logins")
                _log.warning("logins_not_swept", error=error.in_full)

    async def _keep_seen(self) -> None:  # of its own memory, as well
        try:
            await self._logins.following.keep_seen()
        except HubError as error:
            _log.warning("logins_not_noted", error=error.in_full)


def _name_of(decision: Decision) -> str:
    match decision:
        case Remove(reason):
            return f"remove_{Reason(reason).value}"
        case Warn(warned):
            return f"warn_{warned.reason.value}"
        case WithdrawWarning():
            return "calm"  # as it has always been counted
        case _:
            return type(decision).__name__.lower()
