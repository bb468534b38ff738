"""Makes numbered changes of the facts, as soon as somebody asks whether there are any.

It reads everything and compares, so that no part of the hub has to remember whom to tell: a part
that counts its changes is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from controller.core.changes import ChangeCount
from controller.core.model import SessionId
from controller.core.records import Login
from controller.feed.awaiting import Awaiting
from controller.gate.facts import Change, Extra, Facts, Guest, SessionFacts, change_between
from controller.people.standing import Standing
from controller.sessions.grants import Grants
from controller.sessions.registry import Known, Registry


class Sources:
    """Reads the facts from the parts of the hub that have them."""

    def __init__(
        self,
        registry: Registry,
        grants: Grants,
        standing: Standing,
        *,
        extra: Callable[[], Extra | None],
    ) -> None:
        """``extra`` returns the rest, or None while it is not known."""
        self._registry = registry
        self._grants = grants
        self._standing = standing
        self._extra = extra
        self._logins: dict[str, tuple[Login, Login]] = {}  # as it is here, and as gates get it

    def facts(self) -> Facts | None:
        """Return all facts as they are now; None while they are not known."""
        extra = self._extra()
        if extra is None or not self._registry.ready or not self._standing.known:
            return None
        return Facts(
            sessions={
                session_id: self._session(session_id, known)
                for session_id, known in self._registry.items()
                if not known.seen.orphan
            },
            logins=self._all_logins(self._standing.all()),
            revision=self._standing.revision,
            extra=extra,
        )

    def _session(self, session_id: SessionId, known: Known) -> SessionFacts:
        return SessionFacts(
            id=session_id,
            owner=known.seen.session.owner,
            phase=self._registry.phase(known.seen),
            guests={
                one.uid: Guest(one.role, one.expires) for one in self._grants.of_session(session_id)
            },
        )

    def _all_logins(self, logins: Collection[Login]) -> dict[str, Login]:
        # The same object as long as it is the same, so that comparing all of them is quick.
        before, self._logins = self._logins, {}
        for login in logins:
            known = before.get(login.sid)
            kept = known if known is not None and known[0] is login else (login, told(login))
            self._logins[login.sid] = kept
        return {sid: one for sid, (_, one) in self._logins.items()}


def told(login: Login) -> Login:
    """Return what gates need of a log-in."""
    return Login(
        sid=login.sid,
        person=login.person,
        created=login.created,
        expires=login.expires,
        script=login.script,
        key=login.key,
        revision=login.revision,
    )


class Publisher:
    """The facts as gates were told them last, and the number of that."""

    def __init__(
        self,
        read: Callable[[], Facts | None],
        changes: ChangeCount,
        *,
        tell: Callable[[Facts, Change | None, int], None],
    ) -> None:
        """``tell`` gets the facts, what is new since the last ones, and their number.

        The first time there is nothing that they were told before, so what is new is None.
        """
        self._read = read
        self._changes = changes
        self._next = Awaiting(changes)
        self._tell = tell
        self._seen = -1  # changes up to which the facts were read
        self._facts: Facts | None = None
        self.number = 0

    def publish(self) -> int:
        """Tell what is new, if anything is; return the number of what counts now."""
        if self._seen == self._changes.number:
            return self.number
        self._seen = self._changes.number
        facts = self._read()
        if facts is None:
            return self.number
        if self._facts is None:
            self.number += 1
            self._facts = facts
            self._tell(facts, None, self.number)
            return self.number
        change = change_between(self._facts, facts, self.number + 1)
        if not change.is_empty:
            self.number += 1
            self._facts = facts
            self._tell(facts, change, self.number)
        return self.number

    async def run(self) -> None:
        """Publish after every change until cancelled."""
        while True:
            seen = self._changes.number
            self.publish()
            await self._next.beyond(seen)
