"""Writes down what was taken back, as soon as that can be.

It is written down before anything is given anew in the same session; what was asked for before it
was taken does not count, though it may be written later.
"""

from __future__ import annotations

import anyio

from controller.core.errors import StoreUnavailable
from controller.core.model import SessionId
from controller.sessions.grants import Grants, Withdrawal
from controller.store import GrantStore


class Withdrawals:
    """What was taken back and is owed to the store."""

    def __init__(self, grants: Grants, store: GrantStore) -> None:
        """``turn``: a lock, held by the one caller that writes."""
        self._grants = grants
        self._store = store
        self.turn = anyio.Lock()

    async def write_down(self) -> None:
        """Tell the store what was taken. Raises StoreUnavailable.

        What the store cannot be told is for the next time.
        """
        fault: StoreUnavailable | None = None
        for withdrawal in self._grants.owed():
            async with self.turn:
                try:
                    await self._write(withdrawal)
                except StoreUnavailable as error:
                    fault = error  # the others may go
        if fault is not None:
            raise fault

    async def settle(self, session_id: SessionId, *, asked: int) -> None:
        """Write down what was taken before something was ``asked`` for, which is given now.

        Of the whole session: what others had makes room, and does not bar them from a new link.
        The caller holds the ``turn``. Raises StoreUnavailable.
        """
        for withdrawal, taken in self._grants.owed().items():
            if taken <= asked and withdrawal.session in {None, session_id}:
                await self._write(withdrawal)

    async def _write(self, withdrawal: Withdrawal) -> None:
        taken = self._grants.owed().get(withdrawal)
        if taken is None:
            return  # somebody else did it meanwhile
        await self._remove(withdrawal)
        self._grants.settle(withdrawal, taken)

    async def _remove(self, withdrawal: Withdrawal) -> None:
        session_id, uid = withdrawal.session, withdrawal.uid
        if session_id is None:
            if uid is not None:
                await self._store.remove_person(uid)
        elif uid is None:
            await self._close(session_id)
        elif not withdrawal.lowered:
            await self._store.remove_share(session_id, uid, bar=withdrawal.bar)
        else:
            await self._store.lower_share(session_id, uid)

    async def _close(self, session_id: SessionId) -> None:
        # First the links, by which others may come in yet.
        for link in await self._store.links(session_id):
            await self._store.remove_link(session_id, link.id)
        for share in await self._store.shares():
            if share.session == session_id:
                await self._store.remove_share(session_id, share.uid, bar=True)
