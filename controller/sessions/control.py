"""Control of a session: a guest asks for it, its owner gives it and takes it back."""

from __future__ import annotations

from controller.core.errors import InvalidRequest
from controller.core.model import Observed, Person, Role, UserId
from controller.core.records import Actor, Share
from controller.monitoring.audit import Act, Audit
from controller.rules import sharing as rules
from controller.sessions.cutting import Cutting
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.revoking import Revoking
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings


class Control:
    """What guests may do: view, or control."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        grants: Grants,
        records: GrantRecords,
        *,
        cutting: Cutting,
        revoking: Revoking,
        audit: Audit,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._grants = grants
        self._records = records
        self._cutting = cutting
        self._revoking = revoking
        self._audit = audit

    async def ask(self, seen: Observed, person: Person) -> None:
        """Tell the owner that a guest would like to control. Raises StoreUnavailable."""
        if self._sessions.role(seen, person.uid) is not Role.VIEW:
            raise InvalidRequest("You already have control.")
        if await self._records.ask(seen.session.id, person.uid):
            self._sessions.announce()

    async def change(self, seen: Observed, uid: UserId, role: Role, *, by: Actor) -> Share:
        """Give somebody who is invited another role. Raises InvalidRequest if they are not.

        Raises SharingOff, StoreUnavailable and NotWrittenDown.
        """
        rules.check_open(self._settings)
        rules.check_role(role)
        before = self._grants.role_of(seen.session.id, uid)
        lowered = await self.take(seen, uid, role, by)
        changed = await self._records.change(seen.session.id, uid, role)
        if changed is None:
            raise InvalidRequest("This person is no longer invited.")
        if before is not role and not lowered:
            self._audit.record_on(seen.session, Act.ROLE_CHANGED, by, guest=uid, role=role)
        await self.given(seen, uid, before, role)
        return changed

    async def take(self, seen: Observed, uid: UserId, role: Role, by: Actor) -> bool:
        """Take control from a guest, who may still view; False: they had none.

        Raises NotWrittenDown and NotEverywhereYet.
        """
        if not rules.loses_control(self._grants.role_of(seen.session.id, uid), role):
            return False
        self._grants.lower(seen.session.id, uid)
        self._audit.record_on(seen.session, Act.ROLE_CHANGED, by, guest=uid, role=role)
        self._sessions.announce()
        await self._revoking.carry_out((seen, uid))
        await self._revoking.confirm()
        return True

    async def given(self, seen: Observed, uid: UserId, before: Role | None, role: Role) -> None:
        """Tell everybody what somebody may do now; ``before``: what they could do until now."""
        self._sessions.announce()
        if rules.gains_control(before, role):
            # Their page reconnects by itself, in the new role.
            await self._cutting.cut(seen, uid)
