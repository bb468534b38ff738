"""Who may enter whose session besides its owner: invitations by name, and links.

The store holds them; a mirror of the invitations in memory answers verify without waiting. A
link's code is shown once and kept as a hash only: 128 random bits need no slow one.

What is given counts once it is in the store. What is taken counts at once, and the store is told as
soon as it can be: until then it is owed. It is paid before anything is given anew in the same
session; what was asked for before it was taken does not count, though it may be written later.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection

import anyio
import msgspec

from controller.core.errors import LinkOver, StoreUnavailable, TooManyGrants
from controller.core.model import Person, Role, SessionId, UserId
from controller.core.records import Link, Share
from controller.store import LINKS_MOST, SHARES_MOST, Store

_CODE_BYTES = 16

_CODE_MAX = 64  # characters of a code that are looked at

_SETTLE_SECONDS = 60.0  # a session that was just launched may not be in every snapshot yet


class _Owed(msgspec.Struct, frozen=True):
    """What was taken and stands in the store yet: of all sessions or people if none is named."""

    session: SessionId | None = None
    uid: UserId | None = None
    lowered: bool = False  # they may still look on
    bar: bool = True  # the links that are open do not let them in again

    def covers(self, session: SessionId, uid: UserId | None) -> bool:
        """Tell whether it concerns an invitation; without ``uid``: the session's links."""
        return self.session in {None, session} and self.uid in {None, uid}


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
        self._owed: dict[_Owed, int] = {}  # when it was taken last: after so many others
        self._taken = 0
        self._turn = anyio.Lock()

    async def load(self) -> set[SessionId]:
        """Read the store; before that nobody is invited. Raises StoreUnavailable.

        Returns the sessions in which somebody may do less than was known, as another controller
        has decided.
        """
        async with self._turn:
            found: dict[SessionId, dict[UserId, Share]] = {}
            for share in await self._store.shares():
                found.setdefault(share.session, {})[share.uid] = share
            before = [one for session_id in self._shares for one in self.of_session(session_id)]
            self._shares = found
        return {
            one.session
            for one in before
            if self.role_of(one.session, one.uid) not in {one.role, Role.CONTROL}
        }

    # -- questions -------------------------------------------------------------------------

    def role_of(self, session_id: SessionId, uid: UserId) -> Role | None:
        """Return what a guest may do, or None. Asks nobody."""
        share = self._standing(self._shares.get(session_id, {}).get(uid))
        return share.role if share is not None else None

    def of_session(self, session_id: SessionId) -> list[Share]:
        """Return a session's invitations that stand, the oldest first."""
        found = (self._standing(one) for one in self._shares.get(session_id, {}).values())
        return sorted((one for one in found if one), key=lambda one: one.created)

    def of_person(self, uid: UserId) -> list[Share]:
        """Return a person's invitations that stand."""
        found = (self._standing(theirs.get(uid)) for theirs in self._shares.values())
        return [one for one in found if one]

    def _is_full(self, session_id: SessionId) -> bool:
        theirs = self._shares.get(session_id, {}).values()
        return sum(not one.look for one in theirs) >= SHARES_MOST

    def _standing(self, share: Share | None) -> Share | None:
        """Return an invitation as it counts now; None: it does not."""
        if share is None or self._is_over(share):
            return None
        for owed in self._owed:
            if owed.covers(share.session, share.uid):
                if not owed.lowered:
                    return None
                share = msgspec.structs.replace(share, role=Role.VIEW)
        return share

    def _is_over(self, share: Share) -> bool:
        return not self._count or (share.expires is not None and self._wall() >= share.expires)

    def _is_closed(self, session_id: SessionId) -> bool:
        """Tell whether a session's links are to go."""
        return any(owed.covers(session_id, None) for owed in self._owed)

    # -- what is taken: at once ------------------------------------------------------------

    def withdraw(self, session_id: SessionId, uid: UserId) -> list[Share]:
        """Take an invitation back for good: no link that is open now brings it back."""
        return self._take(_Owed(session_id, uid))

    def withdraw_session(self, session_id: SessionId) -> list[Share]:
        """Take back every invitation to a session, its links included."""
        return self._take(_Owed(session=session_id))

    def withdraw_person(self, uid: UserId) -> list[Share]:
        """Take back every invitation of a person."""
        return self._take(_Owed(uid=uid))

    def lower(self, session_id: SessionId, uid: UserId) -> list[Share]:
        """Let a guest who may control only look on."""
        return self._take(_Owed(session_id, uid, lowered=True))

    def expire(self) -> list[Share]:
        """Take back the invitations whose time is over; each is returned once."""
        over = [
            share
            for theirs in self._shares.values()
            for share in theirs.values()
            if self._is_over(share)
            and not any(owed.covers(share.session, share.uid) for owed in self._owed)
        ]
        for share in over:
            self._take(_Owed(share.session, share.uid, bar=False))
        return over

    def _take(self, owed: _Owed) -> list[Share]:
        """Return what stood until now."""
        taken = [
            standing
            for theirs in self._shares.values()
            for share in theirs.values()
            if owed.covers(share.session, share.uid) and (standing := self._standing(share))
        ]
        self._taken += 1
        self._owed[owed] = self._taken
        return taken

    # -- acts: each raises StoreUnavailable ------------------------------------------------

    async def write_down(self) -> None:
        """Tell the store what was taken. What it cannot be told is for the next time."""
        fault: StoreUnavailable | None = None
        for owed in tuple(self._owed):
            async with self._turn:
                try:
                    await self._pay(owed)
                except StoreUnavailable as error:
                    fault = error  # the others may go
        if fault is not None:
            raise fault

    async def _settle(self, session_id: SessionId, *, asked: int) -> None:
        """Write down what was taken before something was ``asked`` for, which is given now.

        Of the whole session: what others had makes room, and does not bar them from a new link.
        """
        for owed, taken in tuple(self._owed.items()):
            if taken <= asked and owed.session in {None, session_id}:
                await self._pay(owed)

    async def _pay(self, owed: _Owed) -> None:
        taken = self._owed.get(owed)
        if taken is None:
            return  # somebody else did it meanwhile
        await self._remove(owed)
        for theirs in self._shares.values():
            for share in tuple(theirs.values()):
                if not owed.covers(share.session, share.uid):
                    continue
                if owed.lowered:
                    theirs[share.uid] = msgspec.structs.replace(share, role=Role.VIEW)
                else:
                    del theirs[share.uid]
        if self._owed[owed] == taken:  # else it was taken again, after what was given meanwhile
            del self._owed[owed]

    async def _remove(self, owed: _Owed) -> None:
        session_id, uid = owed.session, owed.uid
        if session_id is None:
            if uid is not None:
                await self._store.remove_person(uid)
        elif uid is None:
            await self._close(session_id)
        elif not owed.lowered:
            await self._store.remove_share(session_id, uid, bar=owed.bar)
        else:
            await self._store.lower_share(session_id, uid)

    async def _close(self, session_id: SessionId) -> None:
        # First the links, by which others may come in yet.
        for link in await self._store.links(session_id):
            await self._store.remove_link(session_id, link.id)
        for share in await self._store.shares():
            if share.session == session_id:
                await self._store.remove_share(session_id, share.uid, bar=True)

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

        ``look``: an administrator looks on, whom nobody has invited. Raises TooManyGrants.
        """
        asked = self._taken
        async with self._turn:
            await self._settle(session_id, asked=asked)
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
        asked = self._taken
        async with self._turn:
            if self.role_of(session_id, uid) is None:
                return None
            await self._settle(session_id, asked=asked)
            share = self._shares[session_id][uid]
            changed = msgspec.structs.replace(share, role=role, asks=False)
            await self._keep(changed)
        return changed

    async def ask(self, session_id: SessionId, uid: UserId) -> bool:
        """Note that a guest asks for control; False: they have asked already, or are none."""
        async with self._turn:
            theirs = self._shares.get(session_id, {})
            share = self._standing(theirs.get(uid))
            if share is None or share.asks:
                return False
            await self._store.set_asks(session_id, uid)
            theirs[uid] = msgspec.structs.replace(theirs[uid], asks=True)
        return True

    async def _keep(self, share: Share) -> None:
        if not await self._store.add_share(share):
            raise TooManyGrants(
                f"{SHARES_MOST} people are invited to this session, as many as there may be. Take "
                "an invitation back to invite somebody else."
            )
        self._shares.setdefault(share.session, {})[share.uid] = share

    async def make_link(
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
        asked = self._taken
        async with self._turn:
            await self._settle(session_id, asked=asked)
            if not await self._store.add_link(link, _digest(code)):
                raise TooManyGrants(
                    f"This session has {LINKS_MOST} open links, as many as there may be. End one "
                    "to make another."
                )
        return FreshLink(link, code)

    async def links(self, session_id: SessionId) -> list[Link]:
        """Return a session's links that still let somebody in."""
        now = self._wall()
        if self._is_closed(session_id):
            return []
        return [one for one in await self._store.links(session_id) if one.is_open(now)]

    async def end_link(self, session_id: SessionId, link_id: str) -> None:
        """End a link; who came by it stays invited. A missing one is success."""
        await self._store.remove_link(session_id, link_id)

    async def peek(self, code: str) -> Link:
        """Return the link of a code without using it. Raises LinkOver."""
        link = await self._store.find_link(_digest(code))
        if link is None or not link.is_open(self._wall()) or self._is_closed(link.session):
            raise LinkOver
        return link

    async def redeem(self, code: str, person: Person) -> Share:
        """Let a person in by a link. Raises LinkOver and TooManyGrants.

        Who may do as much already uses none of it up and keeps what they have; else the link's
        role and end take the place of it.
        """
        asked = self._taken
        async with self._turn:
            now = self._wall()
            digest = _digest(code)
            link = await self._store.find_link(digest)
            if link is None or now >= link.expires:
                raise LinkOver
            await self._settle(link.session, asked=asked)
            before = self._standing(self._shares.get(link.session, {}).get(person.uid))
            if before is not None and before.role in {Role.CONTROL, link.role}:
                return before
            share = await self._store.use_link(digest, person, now)
            if share is None and link.is_open(now) and self._is_full(link.session):
                raise TooManyGrants(
                    "As many people are invited to this session as there may be. Ask its owner to "
                    "take an invitation back."
                )
            if share is None:
                raise LinkOver
            self._shares.setdefault(share.session, {})[share.uid] = share
        return share

    async def sweep(self, live: Collection[SessionId]) -> None:
        """Write down what was taken, and forget what belonged to sessions that are no more."""
        await self.write_down()
        before = self._wall() - _SETTLE_SECONDS
        async with self._turn:
            self._shares = {
                session_id: theirs
                for session_id, theirs in self._shares.items()
                if session_id in live or any(one.created >= before for one in theirs.values())
            }
            await self._store.remove_grants(live, before)


def _digest(code: str) -> str:
    return hashlib.sha256(code[:_CODE_MAX].encode()).hexdigest()
