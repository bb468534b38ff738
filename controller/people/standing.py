"""The log-ins that stand, as far as this controller knows, and the one place where they end.

A log-in stands from ``put`` until ``end``, or until ``follow`` reads that it is gone. Nothing else
removes one, and both report it to the subscribers of ``when_ended``, so no caller has to remember
what must follow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

import anyio
import msgspec

from controller.core.changes import ChangeCount
from controller.core.errors import NoSuchLogin
from controller.core.model import Person, UserId
from controller.core.records import Login, Reading
from controller.people.tokens import LEEWAY

NEWS_SECONDS = 10.0
"""In which a record travels to all controllers, several times over; clocks may differ by LEEWAY."""

_ID_LENGTH = 32  # hexadecimal digits

Ended = Callable[[Collection[Login], bool], None]
"""Hears of log-ins that have ended, and whether that was asked for here and now: else they made
room for others, their time was over, or another controller has ended them."""


class Standing:
    """The log-ins that stand, by their ids and by whose they are, and when each was last used."""

    def __init__(self, wall: Callable[[], float], changes: ChangeCount | None = None) -> None:
        """Nobody is known to be logged in yet. ``wall``: seconds since the epoch.

        ``changes`` counts what changes of who is logged in.
        """
        self._wall = wall
        self._changes = changes or ChangeCount()
        self._by_sid: dict[str, Login] = {}
        self._sids: dict[UserId, set[str]] = {}
        self._over: dict[str, float] = {}  # ended here for good; until when each would have lasted
        self._used: dict[str, float] = {}  # when each was last used here
        self._subscribers: list[Ended] = []
        self.revision = 0  # of the store's, up to which all is known
        self.known = False  # what stands in the store
        # What is read from the store must not undo what is being written there meanwhile.
        self.turn = anyio.Lock()

    # -- how they begin and end ------------------------------------------------------------

    def when_ended(self, tell: Ended) -> None:
        """Call ``tell`` with all log-ins that end, for whatever reason."""
        self._subscribers.append(tell)

    def put(self, login: Login) -> None:
        """Know of a log-in, or know this of it from now on."""
        self._by_sid[login.sid] = login
        self._sids.setdefault(login.person.uid, set()).add(login.sid)
        self._changes.add()

    def end(self, logins: Collection[Login], *, asked: bool, for_good: bool = False) -> None:
        """End log-ins, and tell the subscribers.

        ``for_good``: whatever the store says of them yet, until it has heard of it.
        """
        for login in logins:
            self._drop(login.sid)
            if for_good:
                self._over[login.sid] = login.expires
        self._tell(logins, asked=asked)

    def follow(self, read: Reading, *, proven: Callable[[Login], bool]) -> None:
        """Take over the log-ins that were read from the store, and no others.

        One that the store has not heard of yet stays. One that was ended here for good does not
        come back, nor one that is not ``proven``.
        """
        before = self.all()
        unheard = [
            one for one in before if one.revision > read.revision and self.is_news(one.created)
        ]
        self._by_sid, self._sids = {}, {}
        for login in (*unheard, *read.logins):
            if login.sid not in self._over and proven(login):
                self.put(login)
        self.revision = read.revision
        self.known = True
        self._changes.add()
        # The controller that ended them tells of it, too, unless it was killed in between.
        self._tell([one for one in before if one.sid not in self._by_sid], asked=False)

    def _drop(self, sid: str) -> None:
        login = self._by_sid.pop(sid, None)
        if login is not None:
            self._changes.add()
            sids = self._sids[login.person.uid]
            sids.discard(sid)
            if not sids:
                del self._sids[login.person.uid]

    def _tell(self, logins: Collection[Login], *, asked: bool) -> None:
        if logins:
            for tell in self._subscribers:
                tell(logins, asked)

    def is_over(self, sid: str) -> bool:
        """Tell whether a log-in was ended here for good."""
        return sid in self._over

    def forget_over(self) -> None:
        """Forget of those that were ended here for good which would be over by now."""
        now = self._wall()
        self._over = {sid: expires for sid, expires in self._over.items() if expires > now}

    def is_news(self, made: float) -> bool:
        """Tell whether some controller may not have heard of a log-in that was made then."""
        return self._wall() <= made + NEWS_SECONDS + LEEWAY

    # -- how they are used -----------------------------------------------------------------

    def use(self, login: Login) -> Login | None:
        """Note that a log-in was used just now, and return it; None: its time is over."""
        now = self._wall()
        if login.expires <= now:
            return None
        self._used[login.sid] = now
        return login

    def note_use(self, sid: str, *, ago: float) -> None:
        """Note that a log-in was used elsewhere, so many seconds ago."""
        at = self._wall() - ago
        if sid in self._by_sid and at > self._used.get(sid, 0.0):
            self._used[sid] = at

    def used(self) -> list[tuple[str, float]]:
        """Return the ids of those that were used, and when each was last."""
        self._used = {sid: at for sid, at in self._used.items() if sid in self._by_sid}
        return [*self._used.items()]

    def _seen(self, login: Login) -> float:
        return max(login.created, login.seen, self._used.get(login.sid, 0.0))

    # -- look-ups --------------------------------------------------------------------------

    def get(self, sid: str) -> Login | None:
        """Return the log-in of this id, if it has not ended; its time may be over."""
        return self._by_sid.get(sid)

    def all(self) -> list[Login]:
        """Return all that have not ended."""
        return [*self._by_sid.values()]

    def all_of(self, uid: UserId) -> list[Login]:
        """Return all of somebody's that have not ended."""
        return [self._by_sid[sid] for sid in self._sids.get(uid, ())]

    def of_person(self, uid: UserId) -> list[Login]:
        """Return somebody's log-ins that stand, the last used first."""
        now = self._wall()
        found = [
            msgspec.structs.replace(one, seen=self._seen(one))
            for one in self.all_of(uid)
            if one.expires > now
        ]
        return sorted(found, key=lambda one: (one.seen, one.created), reverse=True)

    def find(self, uid: UserId, id_: str) -> Login:
        """Return the log-in of this person that has this public id. Raises NoSuchLogin."""
        for login in self.of_person(uid):
            if login_id(login) == id_:
                return login
        raise NoSuchLogin

    def stands(self, login: Login) -> bool:
        """Tell whether a log-in is not over."""
        return login.sid in self._by_sid and login.expires > self._wall()

    def person_of(self, login: Login) -> Person:
        """Return what the directory last said of whose log-in it is."""
        return (self._by_sid.get(login.sid) or login).person

    def people(self) -> frozenset[UserId]:
        """Return who is logged in."""
        now = self._wall()
        return frozenset(one.person.uid for one in self._by_sid.values() if one.expires > now)

    def is_in(self, uid: UserId) -> bool:
        """Tell whether somebody is logged in, as far as it was heard of here."""
        now = self._wall()
        return any(one.expires > now for one in self.all_of(uid))


def login_id(login: Login) -> str:
    """Return by what its owner names a log-in: it says nothing of what proves it."""
    return hashlib.sha256(f"log-in:{login.sid}".encode()).hexdigest()[:_ID_LENGTH]
