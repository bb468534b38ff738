"""Invitations by name: whom an owner lets into a session."""

from __future__ import annotations

import msgspec

from controller.core.errors import InvalidRequest
from controller.core.model import Observed, Person, Role
from controller.core.records import Actor, Share
from controller.monitoring.audit import Act, Audit
from controller.people.directory import Directory, uid_of
from controller.rules import sharing as rules
from controller.sessions.control import Control
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.polling import Poller
from controller.settings.schema import Settings


class Guest(msgspec.Struct, frozen=True):
    """Somebody who is invited."""

    share: Share
    connected: bool


class Invitations:
    """The guests of all sessions."""

    def __init__(
        self,
        settings: Settings,
        grants: Grants,
        records: GrantRecords,
        poller: Poller,
        *,
        control: Control,
        directory: Directory,
        audit: Audit,
    ) -> None:
        self._settings = settings
        self._grants = grants
        self._records = records
        self._poller = poller
        self._control = control
        self._directory = directory
        self._audit = audit

    def guests(self, seen: Observed) -> list[Guest]:
        """Return who is invited to a session, as far as is known without asking it."""
        session_id = seen.session.id
        connected = {one.user for one in self._poller.clients(session_id)}
        return [
            Guest(share, connected=share.uid in connected)
            for share in self._grants.of_session(session_id)
        ]

    async def invite(
        self, seen: Observed, typed: str, role: Role, *, seconds: float | None, by: Actor
    ) -> Share:
        """Invite somebody by user name, or change what they may; ``seconds`` None: no end.

        Raises InvalidRequest if that is nobody, DirectoryUnavailable if that cannot be known,
        TooManyGrants, SharingOff, StoreUnavailable and NotWrittenDown.
        """
        rules.check_open(self._settings)
        rules.check_role(role)
        rules.check_end(seconds)
        person = await self._person(typed)
        if person.uid == seen.session.owner:
            raise InvalidRequest("The session is already yours. Name somebody else.")
        before = self._grants.role_of(seen.session.id, person.uid)
        lowered = await self._control.take(seen, person.uid, role, by)
        share = await self._records.invite(seen.session.id, person, role, seconds=seconds)
        if not lowered:
            act = Act.SHARE if before in {None, role} else Act.ROLE_CHANGED
            self._audit.record_on(seen.session, act, by, guest=person.uid, role=role)
        await self._control.given(seen, person.uid, before, role)
        return share

    async def _person(self, typed: str) -> Person:
        uid = uid_of(typed)
        if not self._directory.can_find:
            # Then the name is taken as it is: it opens nothing to anybody but its owner.
            return Person(uid, uid)
        person = await self._directory.find(uid)
        if person is None:
            raise InvalidRequest("Nobody of that name may use the hub. Check the spelling.")
        return person
