"""What counts now of who may enter whose session besides its owner.

A mirror of the invitations in memory answers verify without waiting. What is given counts once it
is in the store. What is taken counts at once, and is owed to the store until it is written down
there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import msgspec

from controller.core.changes import ChangeCount
from controller.core.model import Role, SessionId, UserId
from controller.core.records import Share
from controller.store import SHARES_MOST


class Withdrawal(msgspec.Struct, frozen=True):
    """What was taken back: of all sessions or people if none is named."""

    session: SessionId | None = None
    uid: UserId | None = None
    lowered: bool = False  # they may still view
    bar: bool = True  # the links that are open do not let them in again

    def covers(self, session: SessionId, uid: UserId | None) -> bool:
        """Tell whether it concerns an invitation; without ``uid``: the session's links."""
        return self.session in {None, session} and self.uid in {None, uid}


class Grants:
    """All invitations of this instance. Owners need none."""

    def __init__(
        self,
        *,
        count: bool = True,
        wall: Callable[[], float],
        changes: ChangeCount | None = None,
    ) -> None:
        """``count``: whether an invitation lets anybody in at all, as the hub is set up.

        ``wall``: seconds since the epoch. ``changes`` counts what changes of who may enter. Nobody
        is invited before ``replace``.
        """
        self._count = count
        self._wall = wall
        self._changes = changes or ChangeCount()
        self._shares: dict[SessionId, dict[UserId, Share]] = {}
        self._owed: dict[Withdrawal, int] = {}  # when it was taken last: after so many others
        self._taken = 0

    # -- questions -------------------------------------------------------------------------

    def role_of(self, session_id: SessionId, uid: UserId) -> Role | None:
        """Return what a guest may do, or None. Asks nobody."""
        share = self.standing(session_id, uid)
        return share.role if share is not None else None

    def standing(self, session_id: SessionId, uid: UserId) -> Share | None:
        """Return a guest's invitation as it counts now; None: it does not."""
        return self._as_it_counts(self.stored(session_id, uid))

    def stored(self, session_id: SessionId, uid: UserId) -> Share | None:
        """Return an invitation as the store has it, whether it counts or not."""
        return self._shares.get(session_id, {}).get(uid)

    def of_session(self, session_id: SessionId) -> list[Share]:
        """Return a session's invitations that stand, the oldest first."""
        theirs = self._shares.get(session_id)
        if not theirs:
            return []  # nearly all of them, and all sessions are looked at after a change
        found = (self._as_it_counts(one) for one in theirs.values())
        return sorted((one for one in found if one), key=lambda one: one.created)

    def of_person(self, uid: UserId) -> list[Share]:
        """Return a person's invitations that stand."""
        found = (self._as_it_counts(theirs.get(uid)) for theirs in self._shares.values())
        return [one for one in found if one]

    def is_full(self, session_id: SessionId) -> bool:
        """Tell whether the store takes no more invitations to a session."""
        theirs = self._shares.get(session_id, {}).values()
        return sum(not one.look for one in theirs) >= SHARES_MOST

    def is_closed(self, session_id: SessionId) -> bool:
        """Tell whether a session's links are to go."""
        return any(owed.covers(session_id, None) for owed in self._owed)

    def _as_it_counts(self, share: Share | None) -> Share | None:
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

    # -- what is taken: at once ------------------------------------------------------------

    def withdraw(self, session_id: SessionId, uid: UserId) -> list[Share]:
        """Take an invitation back for good: no link that is open now brings it back."""
        return self._take(Withdrawal(session_id, uid))

    def withdraw_session(self, session_id: SessionId) -> list[Share]:
        """Take back every invitation to a session, its links included."""
        return self._take(Withdrawal(session=session_id))

    def withdraw_person(self, uid: UserId) -> list[Share]:
        """Take back every invitation of a person."""
        return self._take(Withdrawal(uid=uid))

    def lower(self, session_id: SessionId, uid: UserId) -> list[Share]:
        """Let a guest who may control only view."""
        return self._take(Withdrawal(session_id, uid, lowered=True))

    def expire(self) -> list[Share]:
        """Take back the invitations whose time is over; each is returned once."""
        over = [
            share
            for share in self._all()
            if self._is_over(share)
            and not any(owed.covers(share.session, share.uid) for owed in self._owed)
        ]
        for share in over:
            self._take(Withdrawal(share.session, share.uid, bar=False))
        return over

    def _all(self) -> list[Share]:
        return [share for theirs in self._shares.values() for share in theirs.values()]

    def _take(self, withdrawal: Withdrawal) -> list[Share]:
        """Return what stood until now."""
        taken = [
            standing
            for share in self._all()
            if withdrawal.covers(share.session, share.uid)
            and (standing := self._as_it_counts(share))
        ]
        self._taken += 1
        self._owed[withdrawal] = self._taken
        self._changes.add()
        return taken

    # -- what the store has ----------------------------------------------------------------

    @property
    def taken(self) -> int:
        """How often something was taken so far: what is asked for now comes after that."""
        return self._taken

    def owed(self) -> dict[Withdrawal, int]:
        """Return what the store has not been told yet, and by ``taken`` when each was taken."""
        return dict(self._owed)

    def settle(self, withdrawal: Withdrawal, taken: int) -> None:
        """Note that the store was told of what was ``taken`` then."""
        for theirs in self._shares.values():
            for share in tuple(theirs.values()):
                if not withdrawal.covers(share.session, share.uid):
                    continue
                if withdrawal.lowered:
                    theirs[share.uid] = msgspec.structs.replace(share, role=Role.VIEW)
                else:
                    del theirs[share.uid]
        if self._owed[withdrawal] == taken:  # else taken again, after what was given meanwhile
            del self._owed[withdrawal]
        self._changes.add()

    def put(self, share: Share) -> None:
        """Note that the store has this invitation."""
        self._shares.setdefault(share.session, {})[share.uid] = share
        self._changes.add()

    def replace(self, shares: Iterable[Share]) -> set[SessionId]:
        """Note that the store has these invitations and no others.

        Returns the sessions in which somebody may do less than was known, as another controller
        has decided.
        """
        before = [one for session_id in self._shares for one in self.of_session(session_id)]
        self._shares = {}
        for share in shares:
            self.put(share)
        self._changes.add()
        return {
            one.session
            for one in before
            if self.role_of(one.session, one.uid) not in {one.role, Role.CONTROL}
        }

    def keep(self, live: Collection[SessionId], since: float) -> None:
        """Forget the invitations to all sessions but these, and but those made since then."""
        self._shares = {
            session_id: theirs
            for session_id, theirs in self._shares.items()
            if session_id in live or any(one.created >= since for one in theirs.values())
        }
        self._changes.add()
