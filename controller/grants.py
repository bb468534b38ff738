"""Who may enter whose session besides its owner: invitations by name, and links.

The store holds them; a mirror of the invitations in memory answers verify without waiting. A
link's code is shown once and kept as a hash only: 128 random bits need no slow one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection

import anyio
import msgspec

from controller.errors import LinkOver
from controller.model import Person, Role, SessionId, UserId
from controller.store import Link, Share, Store

_CODE_BYTES = 16
_CODE_MAX = 64  # characters of a code that are looked at
_SETTLE_SECONDS = 60.0  # a session that was just launched may not be in every snapshot yet


class FreshLink(msgspec.Struct, frozen=True):
    """A link, and its code: this once."""

    link: Link
    code: str


class Grants:
    """All invitations of this instance. Owners need none."""

    def __init__(
        self,
        store: Store,
        *,
        count: bool = True,
        wall: Callable[[], float],
        new_code: Callable[[], str] = lambda: secrets.token_urlsafe(_CODE_BYTES),
    ) -> None:
        """``count``: whether an invitation lets anybody in at all, as the hub is set up.

        ``wall``: seconds since the epoch; ``new_code`` makes codes and ids of links.
        """
        self._store = store
        self._count = count
        self._wall = wall
        self._new_code = new_code
        self._shares: dict[SessionId, dict[UserId, Share]] = {}
        # An act that waits for the store must not bring back what another took back meanwhile.
        self._turn = anyio.Lock()

    async def load(self) -> None:
        """Read the store; before that nobody is invited. Raises StoreUnavailable."""
        async with self._turn:
            found: dict[SessionId, dict[UserId, Share]] = {}
            for share in await self._store.shares():
                found.setdefault(share.session, {})[share.uid] = share
            self._shares = found

    # -- questions -------------------------------------------------------------------------

    def role_of(self, session_id: SessionId, uid: UserId) -> Role | None:
        """Return what a guest may do, or None. Asks nobody."""
        share = self._shares.get(session_id, {}).get(uid)
        return share.role if share is not None and self._stands(share) else None

    def of_session(self, session_id: SessionId) -> list[Share]:
        """Return a session's invitations that stand, the oldest first."""
        found = [one for one in self._shares.get(session_id, {}).values() if self._stands(one)]
        return sorted(found, key=lambda one: one.created)

    def of_person(self, uid: UserId) -> list[Share]:
        """Return a person's invitations that stand."""
        return [
            theirs[uid]
            for theirs in self._shares.values()
            if uid in theirs and self._stands(theirs[uid])
        ]

    def _stands(self, share: Share) -> bool:
        return self._count and (share.expires is None or self._wall() < share.expires)

    # -- acts: each raises StoreUnavailable ------------------------------------------------

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

        ``look``: an administrator looks on, whom nobody has invited.
        """
        async with self._turn:
            now = self._wall()
            before = self._shares.get(session_id, {}).get(person.uid)
            share = Share(
                session=session_id,
                uid=person.uid,
                role=role,
                display_name=person.display_name,
                created=before.created if before else now,
                expires=None if seconds is None else now + seconds,
                look=look,
            )
            await self._keep(share)
        return share

    async def change(self, session_id: SessionId, uid: UserId, role: Role) -> Share | None:
        """Give an invitation another role, until when it stands stays; None: there is none."""
        async with self._turn:
            share = self._shares.get(session_id, {}).get(uid)
            if share is None or not self._stands(share):
                return None
            changed = msgspec.structs.replace(share, role=role)
            await self._keep(changed)
        return changed

    async def _keep(self, share: Share) -> None:
        await self._store.add_share(share)
        self._shares.setdefault(share.session, {})[share.uid] = share

    async def withdraw(self, session_id: SessionId, uid: UserId) -> None:
        """Take an invitation back, here at once and in the store; no open link brings it back."""
        async with self._turn:
            self._shares.get(session_id, {}).pop(uid, None)
            await self._store.remove_share(session_id, uid, bar=True)

    async def withdraw_session(self, session_id: SessionId) -> None:
        """Take back every invitation to a session, its links included."""
        for uid in tuple(self._shares.get(session_id, {})):
            await self.withdraw(session_id, uid)
        for link in await self._store.links(session_id):
            await self._store.remove_link(session_id, link.id)

    async def withdraw_person(self, uid: UserId) -> None:
        """Take back every invitation of a person."""
        async with self._turn:
            for theirs in self._shares.values():
                theirs.pop(uid, None)
            await self._store.remove_person(uid)

    async def make_link(
        self, session_id: SessionId, role: Role, *, seconds: float, max_uses: int | None
    ) -> FreshLink:
        """Make a link; its code is in the answer and nowhere else."""
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
        await self._store.add_link(link, _digest(code))
        return FreshLink(link, code)

    async def links(self, session_id: SessionId) -> list[Link]:
        """Return a session's links that still let somebody in."""
        now = self._wall()
        return [one for one in await self._store.links(session_id) if one.is_open(now)]

    async def end_link(self, session_id: SessionId, link_id: str) -> None:
        """End a link; who came by it stays invited. A missing one is success."""
        await self._store.remove_link(session_id, link_id)

    async def peek(self, code: str) -> Link:
        """Return the link of a code without using it. Raises LinkOver."""
        link = await self._store.find_link(_digest(code))
        if link is None or not link.is_open(self._wall()):
            raise LinkOver
        return link

    async def redeem(self, code: str, person: Person) -> Share:
        """Let a person in by a link. Raises LinkOver.

        Who may do as much already uses none of it up and keeps what they have; else the link's
        role and end take the place of it.
        """
        async with self._turn:
            now = self._wall()
            digest = _digest(code)
            link = await self._store.find_link(digest)
            if link is None or now >= link.expires:
                raise LinkOver
            before = self._shares.get(link.session, {}).get(person.uid)
            if before is not None and not self._stands(before):
                before = None
            if before is not None and before.role in {Role.CONTROL, link.role}:
                return before
            share = await self._store.use_link(digest, person, now)
            if share is None:
                raise LinkOver
            self._shares.setdefault(share.session, {})[share.uid] = share
        return share

    async def sweep(self, live: Collection[SessionId]) -> list[Share]:
        """Forget what is over, and what belonged to sessions that are no more.

        Returns those invitations to living sessions that ended by their time.
        """
        now = self._wall()
        over: list[Share] = []
        async with self._turn:
            for session_id in tuple(self._shares):
                theirs = self._shares[session_id]
                ended = [share for share in theirs.values() if not self._stands(share)]
                for share in ended:
                    del theirs[share.uid]
                    await self._store.remove_share(session_id, share.uid, bar=False)
                if session_id in live:
                    over += ended
                elif all(share.created < now - _SETTLE_SECONDS for share in theirs.values()):
                    del self._shares[session_id]
            await self._store.remove_grants(live, now - _SETTLE_SECONDS)
        return over


def _digest(code: str) -> str:
    return hashlib.sha256(code[:_CODE_MAX].encode()).hexdigest()
