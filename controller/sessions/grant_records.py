"""The invitations in the store: read, given, changed, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from controller.core.errors import TooManyGrants
from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import Share
from controller.sessions.grants import Grants
from controller.sessions.link_records import LinkRecords, fresh_code
from controller.sessions.withdrawals import Withdrawals
from controller.store import SHARES_MOST, GrantStore

_SETTLE_SECONDS = 60.0  # a session that was just launched may not be in every snapshot yet


class GrantRecords:
    """What is given, and kept in the store. Every method raises StoreUnavailable."""

    def __init__(
        self,
        grants: Grants,
        store: GrantStore,
        *,
        wall: Callable[[], float],
        new_code: Callable[[], str] = fresh_code,
    ) -> None:
        """``wall``: seconds since the epoch; ``new_code`` makes codes and ids of links."""
        self._grants = grants
        self._store = store
        self._wall = wall
        self.withdrawals = Withdrawals(grants, store)
        self.links = LinkRecords(grants, self.withdrawals, store, wall=wall, new_code=new_code)

    async def load(self) -> set[SessionId]:
        """Read the store; before that nobody is invited.

        Returns the sessions in which somebody may do less than was known, as another controller
        has decided.
        """
        async with self.withdrawals.turn:
            return self._grants.replace(await self._store.shares())

    async def invite(
        self,
        session_id: SessionId,
        person: Person,
        role: Role,
        *,
        seconds: float | None,
        look: bool = False,
    ) -> Share:
        """Let somebody in, or change what they may; ``seconds`` None: while the session runs.

        ``look``: an administrator looks into it; nobody has invited them. Raises TooManyGrants.
        """
        asked = self._grants.taken
        async with self.withdrawals.turn:
            await self.withdrawals.settle(session_id, asked=asked)
            now = self._wall()
            before = self._grants.stored(session_id, person.uid)
            share = Share(
                session=session_id,
                uid=person.uid,
                role=role,
                display_name=person.display_name,
                created=before.created if before else now,
                expires=None if seconds is None else now + seconds,
                look=look,
            )
            await self._add(share)
        return share

    async def change(self, session_id: SessionId, uid: UserId, role: Role) -> Share | None:
        """Give an invitation another role, until when it stands stays; None: there is none."""
        asked = self._grants.taken
        async with self.withdrawals.turn:
            share = self._grants.standing(session_id, uid)
            if share is None:
                return None
            await self.withdrawals.settle(session_id, asked=asked)
            changed = msgspec.structs.replace(share, role=role, asks=False)
            await self._add(changed)
        return changed

    async def ask(self, session_id: SessionId, uid: UserId) -> bool:
        """Note that a guest asks for control; False: they have asked already, or are none."""
        async with self.withdrawals.turn:
            share = self._grants.stored(session_id, uid)
            if share is None or share.asks or self._grants.role_of(session_id, uid) is None:
                return False
            await self._store.set_asks(session_id, uid)
            self._grants.put(msgspec.structs.replace(share, asks=True))
        return True

    async def _add(self, share: Share) -> None:
        if not await self._store.add_share(share):
            raise TooManyGrants(
                "{most} people are invited to this session, and no more may be. Take "
                "an invitation back to invite somebody else.",
                most=SHARES_MOST,
            )
        self._grants.put(share)

    async def sweep(self, live: Collection[SessionId]) -> None:
        """Write down what was taken, and forget what belonged to sessions that are no more."""
        await self.withdrawals.write_down()
        before = self._wall() - _SETTLE_SECONDS
        async with self.withdrawals.turn:
            self._grants.keep(live, before)
            await self._store.remove_grants(live, before)
