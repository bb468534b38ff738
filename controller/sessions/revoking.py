"""Takes back what guests may do: at once, for the next request and for what is open already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import anyio
import structlog

from controller.core.errors import NotAllowed, NotWrittenDown, StoreUnavailable
from controller.core.everywhere import Everywhere
from controller.core.model import Observed, SessionId, UserId
from controller.core.records import CONTROLLER, Actor, Share
from controller.monitoring.audit import Act, Audit
from controller.sessions.cutting import Cutting
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.sessions import Sessions

_log = structlog.get_logger("sharing")


class Revoking:
    """Ends invitations: by the owner, the guest or the hub."""

    def __init__(
        self,
        sessions: Sessions,
        grants: Grants,
        records: GrantRecords,
        cutting: Cutting,
        *,
        audit: Audit,
        everywhere: Everywhere,
    ) -> None:
        """``everywhere``: where what is taken back has to count."""
        self._sessions = sessions
        self._grants = grants
        self._records = records
        self._cutting = cutting
        self._audit = audit
        self._everywhere = everywhere

    async def withdraw(self, seen: Observed, uid: UserId, *, by: Actor) -> bool:
        """Take an invitation back for good; False: what is open stays so until a restart.

        Raises NotWrittenDown and NotEverywhereYet.
        """
        if self._grants.withdraw(seen.session.id, uid):
            reason = "left" if by.who == uid else "taken_back"
            self._sessions.usage.forget_guest(seen.session.id, uid)
            self._audit.record_on(seen.session, Act.REVOKE, by, guest=uid, reason=reason)
        self._sessions.announce()
        closed = await self.carry_out((seen, uid))
        await self.confirm()
        return closed

    async def confirm(self) -> None:
        """Wait until what was taken counts everywhere. Raises NotEverywhereYet."""
        await self._everywhere.confirm()

    async def leave(self, seen: Observed, uid: UserId, *, by: Actor) -> bool:
        """Give an invitation back; False: what is open stays so until a restart.

        Raises NotWrittenDown.
        """
        if seen.session.owner == uid:
            raise NotAllowed("This is your own session. Stop it instead.")
        return await self.withdraw(seen, uid, by=by)

    async def let_go(self, uid: UserId) -> None:
        """Take back what somebody was invited to, and all that they have invited others to.

        They may not use the hub any more. Raises NotWrittenDown.
        """
        own = self._sessions.owned_by(uid)
        shown = [seen for seen, _ in self._sessions.shared_with(uid)]
        taken = self._grants.withdraw_person(uid)
        cuts = [(seen, uid) for seen in (*own, *shown)]
        for seen in own:
            guests = self._grants.withdraw_session(seen.session.id)
            cuts += [(seen, one.uid) for one in guests]
            taken += guests
        self._note(taken, "departed")
        if taken:
            self._sessions.announce()
        await self.carry_out(*cuts)

    async def carry_out(self, *cuts: tuple[Observed, UserId]) -> bool:
        """Close what is open of what was taken, and meanwhile write it down; True: all is closed.

        Raises NotWrittenDown.
        """
        fault: StoreUnavailable | None = None
        closed: list[bool] = []
        await self._everywhere.told()  # otherwise they come in again at once

        async def close(seen: Observed, uid: UserId) -> None:
            closed.append(await self._cutting.cut(seen, uid))

        async with anyio.create_task_group() as group:
            for seen, uid in cuts:
                group.start_soon(close, seen, uid)
            try:
                await self._records.withdrawals.write_down()
            except StoreUnavailable as error:
                fault = error
        if fault is not None:
            _log.error("not_written_down", error=fault.in_full)
            raise NotWrittenDown from fault
        return all(closed)

    async def sweep(self, living: Mapping[SessionId, Observed], *, leads: bool) -> None:
        """Write down what was taken, and end what is over.

        ``leads``: whether it is this controller that closes what had been opened by that. Raises
        StoreUnavailable.
        """
        if not leads:
            await self._records.withdrawals.write_down()
            return
        over = [share for share in self._grants.expire() if share.session in living]
        self._note(over, "expired")
        if over:
            self._sessions.announce()
        await self.carry_out(*((living[share.session], share.uid) for share in over))
        newer = {one.session.id for one in self._sessions.registry.newer}
        await self._records.sweep(living.keys() | newer)

    def _note(self, shares: Iterable[Share], reason: str) -> None:
        """Record in the audit log that the hub itself has taken invitations back."""
        for share in shares:
            self._sessions.usage.forget_guest(share.session, share.uid)
            self._audit.record(
                Act.REVOKE,
                CONTROLLER,
                whose=self._sessions.owner(share.session) or "",
                session=share.session,
                guest=share.uid,
                reason=reason,
            )
