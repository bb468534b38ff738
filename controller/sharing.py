"""Showing a session to others, and taking it back: what its owner and its guests may do.

A grant that is taken back counts for the very next request. What is open already runs past
Traefik, so the session itself is asked to close it; an image that cannot do that has to be
restarted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import anyio
import msgspec
import structlog

from controller.audit import CONTROLLER, Act, Actor, Audit, Detail
from controller.config import Settings
from controller.directory import Directory, clean_username
from controller.errors import (
    InvalidRequest,
    LinkOver,
    LoginRefused,
    NotAllowed,
    SharingOff,
    TooManyQuestions,
)
from controller.gateway import Gateway
from controller.grants import FreshLink, Grants
from controller.looks import Looks
from controller.model import (
    Observed,
    Person,
    Phase,
    Role,
    SessionId,
    UserId,
    canonical_uid,
)
from controller.sessions import Sessions
from controller.store import Link, Share

LINK_SECONDS = range(60, 30 * 86_400 + 1)
"""How long a link may stand."""

LINK_USES = range(1, 1001)

_CUT_SECONDS = 5.0  # design.md section 6: an open view is closed within this time
_CUT_AGAIN_SECONDS = 0.5
_SUGGESTIONS = 5  # names at once
_QUESTIONS = 30  # of one person in a minute: more than anybody types
_MINUTE = 60.0

_log = structlog.get_logger("sharing")


class Guest(msgspec.Struct, frozen=True):
    """Somebody who is invited."""

    share: Share
    connected: bool
    asks: bool  # for control


class Invitation(msgspec.Struct, frozen=True):
    """What a link offers, before it is used."""

    link: Link
    seen: Observed


class Sharing:
    """The acts around invitations."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        grants: Grants,
        looks: Looks,
        *,
        gateway: Gateway,
        directory: Directory,
        audit: Audit,
        clock: Callable[[], float],
    ) -> None:
        """``clock``: monotonic seconds."""
        self._settings = settings
        self._sessions = sessions
        self._grants = grants
        self._looks = looks
        self._gateway = gateway
        self._directory = directory
        self._audit = audit
        self._clock = clock
        self._asking: dict[SessionId, set[UserId]] = {}
        self._questions: dict[UserId, deque[float]] = {}

    # -- questions -------------------------------------------------------------------------

    def guests(self, seen: Observed) -> list[Guest]:
        """Return who is invited to a session, as far as is known without asking it."""
        session_id = seen.session.id
        connected = {one.user for one in self._looks.clients(session_id)}
        asking = self._asking.get(session_id, set())
        return [
            Guest(share, connected=share.uid in connected, asks=share.uid in asking)
            for share in self._grants.of_session(session_id)
        ]

    def can_cut(self, seen: Observed) -> bool:
        """Tell whether open views can be closed without a restart."""
        return self._sessions.profile_of(seen).endpoints

    async def suggest(self, person: Person, text: str) -> list[Person]:
        """Return people whose names begin like this, for somebody who types one.

        Raises TooManyQuestions for more than a person types, DirectoryUnavailable.
        """
        now = self._clock()
        asked = self._questions.setdefault(person.uid, deque())
        while asked and now - asked[0] >= _MINUTE:
            asked.popleft()
        if len(asked) >= _QUESTIONS:
            raise TooManyQuestions
        asked.append(now)
        if not self._directory.can_find:
            return []
        found = await self._directory.suggest(text, _SUGGESTIONS + 1)
        return [one for one in found if one.uid != person.uid][:_SUGGESTIONS]

    # -- the owner's acts: each raises StoreUnavailable, what lets people in SharingOff ----

    def _check_open(self) -> None:
        if not self._settings.sharing:
            raise SharingOff

    async def invite(
        self, seen: Observed, typed: str, role: Role, *, seconds: float | None, by: Actor
    ) -> Share:
        """Invite somebody by user name, or change what they may; ``seconds`` None: no end.

        Raises InvalidRequest if that is nobody, DirectoryUnavailable if that cannot be known.
        """
        self._check_open()
        _check_role(role)
        if seconds is not None and seconds <= 0:
            raise InvalidRequest("The end of an invitation must lie ahead.")
        person = await self._person(typed)
        if person.uid == seen.session.owner:
            raise InvalidRequest("The session is yours already. Name somebody else.")
        before = self._grants.role_of(seen.session.id, person.uid)
        share = await self._grants.invite(seen.session.id, person, role, seconds=seconds)
        act = Act.SHARE if before in {None, role} else Act.ROLE_CHANGED
        self._record(act, seen, by, guest=person.uid, role=role)
        await self._changed(seen, person.uid, before, role)
        return share

    async def change(self, seen: Observed, uid: UserId, role: Role, *, by: Actor) -> Share:
        """Give somebody who is invited another role. Raises InvalidRequest if they are not."""
        self._check_open()
        _check_role(role)
        before = self._grants.role_of(seen.session.id, uid)
        changed = await self._grants.change(seen.session.id, uid, role)
        if changed is None:
            raise InvalidRequest("This person is not invited any more.")
        if before is not role:
            self._record(Act.ROLE_CHANGED, seen, by, guest=uid, role=role)
        await self._changed(seen, uid, before, role)
        return changed

    async def _changed(self, seen: Observed, uid: UserId, before: Role | None, role: Role) -> None:
        self._asking.get(seen.session.id, set()).discard(uid)
        self._sessions.announce()
        if before is not None and before is not role:
            # They come back by themselves, with what they may now.
            await self.cut(seen, uid)

    async def withdraw(self, seen: Observed, uid: UserId, *, by: Actor) -> bool:
        """Take an invitation back for good; False: what is open stays so until a restart."""
        invited = self._grants.role_of(seen.session.id, uid)
        await self._grants.withdraw(seen.session.id, uid)
        if invited is not None:
            reason = "left" if by.who == uid else "taken_back"
            self._sessions.forget_guest(seen.session.id, uid)
            self._record(Act.REVOKE, seen, by, guest=uid, reason=reason)
        self._asking.get(seen.session.id, set()).discard(uid)
        self._sessions.announce()
        return await self.cut(seen, uid)

    async def make_link(
        self, seen: Observed, role: Role, *, seconds: int, max_uses: int | None, by: Actor
    ) -> FreshLink:
        """Make a link that invites whoever has it. Raises InvalidRequest for odd bounds."""
        self._check_open()
        _check_role(role)
        if seconds not in LINK_SECONDS:
            raise InvalidRequest("A link stands for a minute at least and thirty days at most.")
        if max_uses is not None and max_uses not in LINK_USES:
            raise InvalidRequest("A link can be used once at least and a thousand times at most.")
        fresh = await self._grants.make_link(
            seen.session.id, role, seconds=seconds, max_uses=max_uses
        )
        self._record(
            Act.LINK_MADE,
            seen,
            by,
            link=fresh.link.id,
            role=role,
            seconds=seconds,
            max_uses=max_uses,
        )
        self._sessions.announce()
        return fresh

    async def links(self, seen: Observed) -> list[Link]:
        """Return the links that still let somebody in."""
        return await self._grants.links(seen.session.id)

    async def end_link(self, seen: Observed, link_id: str, *, by: Actor) -> None:
        """End a link; who came by it stays invited."""
        open_ones = {link.id for link in await self._grants.links(seen.session.id)}
        await self._grants.end_link(seen.session.id, link_id)
        if link_id in open_ones:  # what else was typed is no act, and may be anything
            self._record(Act.LINK_ENDED, seen, by, link=link_id)
        self._sessions.announce()

    # -- the guests' acts ------------------------------------------------------------------

    async def peek(self, code: str) -> Invitation:
        """Return what a link offers. Raises LinkOver."""
        self._check_open()
        link = await self._grants.peek(code)
        return Invitation(link, self._sessions.find(link.session, self._owner_of(link.session)))

    async def join(self, code: str, person: Person, by: Actor) -> Observed:
        """Let somebody in by a link, and return the session. Raises LinkOver.

        The owner's own link leads them to their session and is not used up.
        """
        self._check_open()
        link = await self._grants.peek(code)
        owner = self._owner_of(link.session)
        if person.uid != owner:
            before = self._grants.role_of(link.session, person.uid)
            share = await self._grants.redeem(code, person)
            seen = self._sessions.find(link.session, person.uid)
            if before is not share.role:
                self._record(Act.JOIN, seen, by, link=link.id, role=share.role)
            await self._changed(seen, person.uid, before, share.role)
        return self._sessions.find(link.session, person.uid)

    def _owner_of(self, session_id: SessionId) -> UserId:
        owner = self._sessions.owner(session_id)
        if owner is None:
            raise LinkOver
        return owner

    async def leave(self, seen: Observed, uid: UserId, *, by: Actor) -> bool:
        """Give an invitation back; False: what is open stays so until a restart."""
        if seen.session.owner == uid:
            raise NotAllowed("This is your own session. Stop it instead.")
        return await self.withdraw(seen, uid, by=by)

    async def ask(self, seen: Observed, person: Person) -> None:
        """Tell the owner that a guest would like to control."""
        if self._sessions.role(seen, person.uid) is not Role.VIEW:
            raise InvalidRequest("You have control already.")
        asking = self._asking.setdefault(seen.session.id, set())
        if person.uid not in asking:
            asking.add(person.uid)
            self._sessions.announce()

    def _record(self, act: Act, seen: Observed, by: Actor, **details: Detail) -> None:
        session = seen.session
        self._audit.record(act, by, whose=session.owner, session=session.id, **details)

    def note_revoked(self, shares: Iterable[Share], reason: str) -> None:
        """Put on record that the hub itself has taken invitations back."""
        for share in shares:
            self._sessions.forget_guest(share.session, share.uid)
            self._audit.record(
                Act.REVOKE,
                CONTROLLER,
                whose=self._sessions.owner(share.session) or "",
                session=share.session,
                guest=share.uid,
                reason=reason,
            )

    # -- what is open ----------------------------------------------------------------------

    async def cut(self, seen: Observed, uid: UserId) -> bool:
        """Close what a person has open on a session; False: it cannot, or does not answer.

        Who may still enter comes back by themselves.
        """
        if not self.can_cut(seen):
            return False
        if self._sessions.phase(seen) is not Phase.READY:
            return True  # nobody can be connected
        with anyio.move_on_after(_CUT_SECONDS):
            while not await self._gateway.kick(seen.session.id, uid):  # noqa: ASYNC110 - a session that hangs tells nothing
                await anyio.sleep(_CUT_AGAIN_SECONDS)
            return True
        _log.warning("not_cut", session=seen.session.id, guest=uid)
        return False

    async def cut_person(self, uid: UserId) -> None:
        """Close what a person has open anywhere: a log-in of theirs has ended."""
        theirs = [seen for seen, _ in self._sessions.shared_with(uid)]
        theirs += self._sessions.owned_by(uid)
        async with anyio.create_task_group() as group:
            for seen in theirs:
                group.start_soon(self.cut, seen, uid)

    async def sweep(self) -> None:
        """Forget what is over, and close what it had opened."""
        # Who waits in line may have invited others already.
        living = {one.session.id: one for one in self._sessions.everything()}
        self._asking = {one: who for one, who in self._asking.items() if one in living}
        now = self._clock()
        self._questions = {
            uid: asked
            for uid, asked in self._questions.items()
            if asked and now - asked[-1] < _MINUTE
        }
        newer = {one.session.id for one in self._sessions.newer()}
        over = await self._grants.sweep(living.keys() | newer)
        over = [share for share in over if share.session in living]
        self.note_revoked(over, "expired")
        for share in over:
            await self.cut(living[share.session], share.uid)
            self._sessions.announce()

    async def _person(self, typed: str) -> Person:
        try:
            uid = canonical_uid(clean_username(typed))
        except LoginRefused as error:
            raise InvalidRequest("That is no user name. Check the spelling.") from error
        if not self._directory.can_find:
            # Then the name is taken as it is: it opens nothing to anybody but its owner.
            return Person(uid, uid)
        person = await self._directory.find(uid)
        if person is None:
            raise InvalidRequest("Nobody of that name may use the hub. Check the spelling.")
        return person


def _check_role(role: Role) -> None:
    if role not in {Role.VIEW, Role.CONTROL}:
        raise InvalidRequest('A guest may "view" or "control".')
