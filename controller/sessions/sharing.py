"""Showing a session to others, and taking it back: puts the parts of that together.

Its parts do the work: ``invitations`` by name, ``links``, ``control``, ``revoking``, ``cutting``,
``reconciling``, and ``suggestions`` of whom to invite.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from controller.core.everywhere import Everywhere
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.people.directory import Directory
from controller.people.logins import Logins
from controller.sessions.control import Control
from controller.sessions.cutting import CutTimes, Cutting
from controller.sessions.gateway import Gateway
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.invitations import Invitations
from controller.sessions.links import Links
from controller.sessions.polling import Poller
from controller.sessions.reconciling import Reconciling
from controller.sessions.revoking import Revoking
from controller.sessions.sessions import Sessions
from controller.sessions.suggestions import Suggestions
from controller.sessions.tasks import Tasks
from controller.settings.schema import Settings

_READY_SECONDS = 5.0  # between two checks whether the sessions have been read


class Sharing:
    """The parts around invitations, and what goes on beside them."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        grants: Grants,
        records: GrantRecords,
        poller: Poller,
        *,
        logins: Logins,
        gateway: Gateway,
        directory: Directory,
        audit: Audit,
        metrics: Metrics,
        clock: Callable[[], float],
        times: CutTimes = CutTimes(),  # noqa: B008 - frozen
        everywhere: Everywhere | None = None,
    ) -> None:
        """``clock``: monotonic seconds; ``everywhere``: where what is taken back has to count."""
        self._sessions = sessions
        self._tasks = tasks = Tasks(metrics)
        self.cutting = cutting = Cutting(sessions, poller, gateway, tasks, metrics, times=times)
        self.reconciling = Reconciling(
            sessions, logins, cutting, tasks, audit=audit, metrics=metrics, clock=clock
        )
        self.revoking = Revoking(
            sessions, grants, records, cutting, audit=audit, everywhere=everywhere or Everywhere()
        )
        self.control = control = Control(
            settings,
            sessions,
            grants,
            records,
            cutting=cutting,
            revoking=self.revoking,
            audit=audit,
        )
        self.invitations = Invitations(
            settings, grants, records, poller, control=control, directory=directory, audit=audit
        )
        self.links = Links(settings, sessions, grants, records, control=control, audit=audit)
        self.suggestions = Suggestions(directory, clock=clock)
        poller.judge_by(self.reconciling.judge)
        logins.when_ended(self.reconciling.logged_out)

    async def run(self) -> None:
        """Look after what was cut, until cancelled."""
        async with anyio.create_task_group() as group:
            self._tasks.group = group
            async for _ in self._sessions.registry.changes(at_least_every=_READY_SECONDS):
                if self._sessions.ready:
                    break
            # A controller before this one may have ended in the middle of a cut.
            self.cutting.check_after(one.session.id for one in self._sessions.all())
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks.group = None

    async def sweep(self, *, leads: bool) -> None:
        """Write down what was taken, and forget what is over.

        ``leads``: whether it is this controller that closes what had been opened by that. Raises
        StoreUnavailable.
        """
        # Owners of sessions in the queue may have invited others already.
        living = {one.session.id: one for one in self._sessions.everything()}
        self.cutting.forget_gone(living.keys())
        self.reconciling.forget_gone(living.keys())
        await self.revoking.sweep(living, leads=leads)
