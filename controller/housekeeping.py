"""Carries out what ``lifecycle`` decides, round after round.

A round that fails is logged and the next one tries again; a session that cannot be mended does
not keep the others from their turn.
"""

from __future__ import annotations

import structlog
from apscheduler.schedulers.asyncio import (  # pyright: ignore[reportMissingTypeStubs]
    AsyncIOScheduler,
)

from controller.config import Settings
from controller.errors import HubError
from controller.lifecycle import Keep, Reason, Remove, Repair
from controller.logins import Logins
from controller.metrics import Metrics
from controller.sessions import Sessions

_COMPUTING_SECONDS = 30  # between two looks at the sessions' CPU
_LOGINS_SECONDS = 600

_log = structlog.get_logger("housekeeping")


class Housekeeping:
    """The rounds of one controller."""

    def __init__(
        self, settings: Settings, sessions: Sessions, logins: Logins, metrics: Metrics
    ) -> None:
        """Nothing runs before ``start``."""
        self._sessions = sessions
        self._logins = logins
        self._metrics = metrics
        self._scheduler = AsyncIOScheduler(
            # A late round is run once, not once for each that was missed.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        for act, seconds in (
            (self.sweep, settings.housekeeping_seconds),
            (self._look_for_computing, _COMPUTING_SECONDS),
            (self._sweep_logins, _LOGINS_SECONDS),
        ):
            self._scheduler.add_job(act, "interval", seconds=seconds)  # pyright: ignore[reportUnknownMemberType] - APScheduler carries no types

    def start(self) -> None:
        """Begin the rounds in the running event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """End the rounds."""
        self._scheduler.shutdown(wait=False)  # pyright: ignore[reportUnknownMemberType] - the same

    async def sweep(self) -> None:
        """Do one round over all sessions."""
        if not self._sessions.ready:
            return
        for seen, decision in self._sessions.decisions():
            session = seen.session
            try:
                match decision:
                    case Keep():
                        continue
                    case Repair():
                        await self._sessions.repair(session)
                    case Remove(reason):
                        await self._sessions.stop(session.id, reason)
                self._metrics.decided(_name_of(decision))
            except HubError as error:
                _log.warning("not_done", session=session.id, error=str(error))

    async def _look_for_computing(self) -> None:
        try:
            await self._sessions.note_computing()
        except HubError as error:
            _log.warning("usage_unknown", error=str(error))

    async def _sweep_logins(self) -> None:
        try:
            await self._logins.sweep()
        except HubError as error:
            _log.warning("logins_not_swept", error=str(error))


def _name_of(decision: Keep | Repair | Remove) -> str:
    match decision:
        case Remove(reason):
            return f"remove_{Reason(reason).value}"
        case Repair():
            return "repair"
        case Keep():
            return "keep"
