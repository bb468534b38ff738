"""Invitations by link: an owner makes one, and anybody who has it can join."""

from __future__ import annotations

import msgspec

from controller.core.errors import LinkOver
from controller.core.model import Observed, Person, Role, SessionId, UserId
from controller.core.records import Actor, Link
from controller.monitoring.audit import Act, Audit
from controller.rules import sharing as rules
from controller.sessions.control import Control
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.link_records import FreshLink
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings


class Offer(msgspec.Struct, frozen=True):
    """What a link offers, before it is used."""

    link: Link
    seen: Observed


class Links:
    """The links to all sessions. Every method but ``of_session`` and ``end`` raises SharingOff."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        grants: Grants,
        records: GrantRecords,
        *,
        control: Control,
        audit: Audit,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._grants = grants
        self._records = records.links
        self._control = control
        self._audit = audit

    # -- the owner's acts: each raises StoreUnavailable ------------------------------------

    async def make(
        self, seen: Observed, role: Role, *, seconds: int, max_uses: int | None, by: Actor
    ) -> FreshLink:
        """Make a link that invites anybody who has it.

        Raises InvalidRequest for odd bounds, and TooManyGrants.
        """
        rules.check_open(self._settings)
        rules.check_role(role)
        rules.check_link(seconds, max_uses)
        fresh = await self._records.make(seen.session.id, role, seconds=seconds, max_uses=max_uses)
        self._audit.record_on(
            seen.session,
            Act.LINK_MADE,
            by,
            link=fresh.link.id,
            role=role,
            seconds=seconds,
            max_uses=max_uses,
        )
        self._sessions.announce()
        return fresh

    async def of_session(self, seen: Observed) -> list[Link]:
        """Return the links that still let somebody in."""
        return await self._records.of_session(seen.session.id)

    async def end(self, seen: Observed, link_id: str, *, by: Actor) -> None:
        """End a link. People who used it stay invited."""
        open_ones = {link.id for link in await self._records.of_session(seen.session.id)}
        await self._records.end(seen.session.id, link_id)
        if link_id in open_ones:  # what else was typed is no act, and may be anything
            self._audit.record_on(seen.session, Act.LINK_ENDED, by, link=link_id)
        self._sessions.announce()

    # -- the guests' acts: each raises StoreUnavailable and LinkOver -----------------------

    async def peek(self, code: str) -> Offer:
        """Return what a link offers."""
        rules.check_open(self._settings)
        link = await self._records.peek(code)
        return Offer(link, self._sessions.find(link.session, self._owner_of(link.session)))

    async def join(self, code: str, person: Person, by: Actor) -> Observed:
        """Let somebody in by a link, and return the session. Raises TooManyGrants.

        The owner's own link leads them to their session and is not used up.
        """
        rules.check_open(self._settings)
        link = await self._records.peek(code)
        if person.uid != self._owner_of(link.session):
            before = self._grants.role_of(link.session, person.uid)
            share = await self._records.redeem(code, person)
            seen = self._sessions.find(link.session, person.uid)
            if before is not share.role:
                self._audit.record_on(seen.session, Act.JOIN, by, link=link.id, role=share.role)
            await self._control.given(seen, person.uid, before, share.role)
        return self._sessions.find(link.session, person.uid)

    def _owner_of(self, session_id: SessionId) -> UserId:
        owner = self._sessions.owner(session_id)
        if owner is None:
            raise LinkOver
        return owner
