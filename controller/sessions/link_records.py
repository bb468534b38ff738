"""The links of sessions in the store: made, used, ended.

A link's code is shown once and kept as a hash only: 128 random bits need no slow one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

import msgspec

from controller.core.errors import LinkOver, TooManyGrants
from controller.core.model import Person, Role, SessionId
from controller.core.records import Link, Share
from controller.sessions.grants import Grants
from controller.sessions.withdrawals import Withdrawals
from controller.store import LINKS_MOST, GrantStore

_CODE_BYTES = 16

_CODE_MAX = 64  # characters of a code that are looked at


class FreshLink(msgspec.Struct, frozen=True):
    """A link, and its code: this once."""

    link: Link
    code: str


def fresh_code() -> str:
    """Return a code that nobody can guess."""
    return secrets.token_urlsafe(_CODE_BYTES)


class LinkRecords:
    """The links to all sessions. Every method raises StoreUnavailable."""

    def __init__(
        self,
        grants: Grants,
        withdrawals: Withdrawals,
        store: GrantStore,
        *,
        wall: Callable[[], float],
        new_code: Callable[[], str] = fresh_code,
    ) -> None:
        """``wall``: seconds since the epoch; ``new_code`` makes codes and ids of links."""
        self._grants = grants
        self._withdrawals = withdrawals
        self._store = store
        self._wall = wall
        self._new_code = new_code

    async def make(
        self, session_id: SessionId, role: Role, *, seconds: float, max_uses: int | None
    ) -> FreshLink:
        """Make a link; its code is in the answer and nowhere else. Raises TooManyGrants."""
        now = self._wall()
        code = self._new_code()
        link = Link(
            id=self._new_code(),
            session=session_id,
            role=role,
            created=now,
            expires=now + seconds,
            max_uses=max_uses,
        )
        asked = self._grants.taken
        async with self._withdrawals.turn:
            await self._withdrawals.settle(session_id, asked=asked)
            if not await self._store.add_link(link, _digest(code)):
                raise TooManyGrants(
                    "This session has {most} open links, as many as it may have. End one "
                    "to make another.",
                    most=LINKS_MOST,
                )
        return FreshLink(link, code)

    async def of_session(self, session_id: SessionId) -> list[Link]:
        """Return a session's links that still let somebody in."""
        now = self._wall()
        if self._grants.is_closed(session_id):
            return []
        return [one for one in await self._store.links(session_id) if one.is_open(now)]

    async def end(self, session_id: SessionId, link_id: str) -> None:
        """End a link; people who joined by it stay invited. A missing one is success."""
        await self._store.remove_link(session_id, link_id)

    async def peek(self, code: str) -> Link:
        """Return the link of a code without using it. Raises LinkOver."""
        link = await self._store.find_link(_digest(code))
        if link is None or not link.is_open(self._wall()) or self._grants.is_closed(link.session):
            raise LinkOver
        return link

    async def redeem(self, code: str, person: Person) -> Share:
        """Let a person in by a link. Raises LinkOver and TooManyGrants.

        A person who may do as much already keeps their invitation and uses none of the link up;
        otherwise the link's role and end replace it.
        """
        asked = self._grants.taken
        async with self._withdrawals.turn:
            now = self._wall()
            digest = _digest(code)
            link = await self._store.find_link(digest)
            if link is None or now >= link.expires:
                raise LinkOver
            await self._withdrawals.settle(link.session, asked=asked)
            before = self._grants.standing(link.session, person.uid)
            if before is not None and before.role in {Role.CONTROL, link.role}:
                return before
            share = await self._store.use_link(digest, person, now)
            if share is None and link.is_open(now) and self._grants.is_full(link.session):
                raise TooManyGrants(
                    "This session has as many guests as it may have. Ask its owner to "
                    "take an invitation back."
                )
            if share is None:
                raise LinkOver
            self._grants.put(share)
        return share


def _digest(code: str) -> str:
    return hashlib.sha256(code[:_CODE_MAX].encode()).hexdigest()
