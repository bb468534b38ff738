"""Showing a session to others, and taking it back: what its owner and its guests may do.

A grant that is taken back counts for the very next request. What is open already runs past
Traefik, so the session itself is asked to close it; an image that cannot do that has to be
restarted. A session may not hear that, and somebody may come in while it is said: so each look into
a session compares who is connected with who may be, and soon after a cut there are some more.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable
from functools import partial

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from controller.core.errors import (
    InvalidRequest,
    LinkOver,
    NoSuchSession,
    NotAllowed,
    NotWrittenDown,
    SharingOff,
    StoreUnavailable,
    TooManyQuestions,
)
from controller.core.model import Observed, Person, Phase, Role, SessionId, UserId
from controller.core.records import CONTROLLER, Actor, Link, Login, Share
from controller.monitoring.audit import Act, Audit, Detail
from controller.monitoring.faults import contained
from controller.monitoring.metrics import Metrics
from controller.people.directory import Directory, uid_of
from controller.people.logins import Logins
from controller.sessions.gateway import Client, Gateway
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.link_records import FreshLink
from controller.sessions.pace import Pace
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings

LINK_SECONDS = range(60, 30 * 86_400 + 1)
"""How long a link may stand."""

LINK_USES = range(1, 1001)

_CUT_SECONDS = 5.0  # design.md section 6: an open view is closed within this time

_CUT_AGAIN_SECONDS = 1.0

_STRANGERS_MAX = 20  # of a session at once that are dealt with: more of them are a lie

_TOLD_SECONDS = 600.0  # for which somebody who stays connected without a right is told of once

_LOOK_AFTER_SECONDS = (1.0, 2.0, 2.0)  # pauses: at 1, 3 and 5 s after a cut

_NEWS_SECONDS = 2.0  # in which one controller hears of what another has written

_SUGGESTIONS = 5  # names at once

_QUESTIONS = 30  # of one person in a minute: more than anybody types

_MINUTE = 60.0

_log = structlog.get_logger("sharing")


class Guest(msgspec.Struct, frozen=True):
    """Somebody who is invited."""

    share: Share
    connected: bool


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
        records: GrantRecords,
        poller: Poller,
        *,
        logins: Logins,
        gateway: Gateway,
        directory: Directory,
        audit: Audit,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """``clock``: monotonic seconds."""
        self._settings = settings
        self._sessions = sessions
        self._grants = grants
        self._records = records
        self._poller = poller
        self._gateway = gateway
        self._directory = directory
        self._audit = audit
        self._clock = clock
        self._metrics = metrics
        self._logins = logins
        self._due: dict[SessionId, set[UserId]] = {}  # cuts that the session has not answered yet
        self._doubted: dict[SessionId, dict[UserId, float]] = {}  # strangers, and since when
        self._told: dict[SessionId, dict[tuple[UserId, str], float]] = {}  # and when last seen
        self._questions: dict[UserId, deque[float]] = {}
        self._pace = Pace()
        self._tasks: TaskGroup | None = None
        poller.judge_by(self.judge)
        logins.when_ended(self._cut_ended)

    async def run(self) -> None:
        """Look after what was cut, until cancelled."""
        async with anyio.create_task_group() as group:
            self._tasks = group
            async for _ in self._sessions.registry.changes(at_least_every=_CUT_SECONDS):
                if self._sessions.ready:
                    break
            # A controller before this one may have ended in the middle of a cut.
            self.look_after(one.session.id for one in self._sessions.all())
            try:
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    # -- questions -------------------------------------------------------------------------

    def guests(self, seen: Observed) -> list[Guest]:
        """Return who is invited to a session, as far as is known without asking it."""
        session_id = seen.session.id
        connected = {one.user for one in self._poller.clients(session_id)}
        return [
            Guest(share, connected=share.uid in connected)
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

        Raises InvalidRequest if that is nobody, DirectoryUnavailable if that cannot be known, and
        TooManyGrants.
        """
        self._check_open()
        _check_role(role)
        if seconds is not None and seconds <= 0:
            raise InvalidRequest("The end of an invitation must lie ahead.")
        person = await self._person(typed)
        if person.uid == seen.session.owner:
            raise InvalidRequest("The session is yours already. Name somebody else.")
        before = self._grants.role_of(seen.session.id, person.uid)
        lowered = await self._lower(seen, person.uid, role, by)
        share = await self._records.invite(seen.session.id, person, role, seconds=seconds)
        if not lowered:
            act = Act.SHARE if before in {None, role} else Act.ROLE_CHANGED
            self._record(act, seen, by, guest=person.uid, role=role)
        await self._changed(seen, person.uid, before, role)
        return share

    async def change(self, seen: Observed, uid: UserId, role: Role, *, by: Actor) -> Share:
        """Give somebody who is invited another role. Raises InvalidRequest if they are not."""
        self._check_open()
        _check_role(role)
        before = self._grants.role_of(seen.session.id, uid)
        lowered = await self._lower(seen, uid, role, by)
        changed = await self._records.change(seen.session.id, uid, role)
        if changed is None:
            raise InvalidRequest("This person is not invited any more.")
        if before is not role and not lowered:
            self._record(Act.ROLE_CHANGED, seen, by, guest=uid, role=role)
        await self._changed(seen, uid, before, role)
        return changed

    async def _lower(self, seen: Observed, uid: UserId, role: Role, by: Actor) -> bool:
        """Take control from a guest who is to look on only; False: they had none.

        Raises NotWrittenDown.
        """
        before = self._grants.role_of(seen.session.id, uid)
        if role is not Role.VIEW or before is not Role.CONTROL:
            return False
        self._grants.lower(seen.session.id, uid)
        self._record(Act.ROLE_CHANGED, seen, by, guest=uid, role=role)
        self._sessions.announce()
        await self._carry_out((seen, uid))
        return True

    async def _changed(self, seen: Observed, uid: UserId, before: Role | None, role: Role) -> None:
        self._sessions.announce()
        if before is Role.VIEW and role is Role.CONTROL:
            # They come back by themselves, with what they may now.
            await self.cut(seen, uid)

    async def withdraw(self, seen: Observed, uid: UserId, *, by: Actor) -> bool:
        """Take an invitation back for good; False: what is open stays so until a restart.

        Raises NotWrittenDown.
        """
        if self._grants.withdraw(seen.session.id, uid):
            reason = "left" if by.who == uid else "taken_back"
            self._sessions.usage.forget_guest(seen.session.id, uid)
            self._record(Act.REVOKE, seen, by, guest=uid, reason=reason)
        self._sessions.announce()
        return await self._carry_out((seen, uid))

    async def let_go(self, uid: UserId) -> None:
        """Take back what somebody was invited to, and all that they have invited others to.

        They may not use the hub any more. Raises NotWrittenDown.
        """
        own = self._sessions.owned_by(uid)
        shown = self._shown_to(uid)
        taken = self._grants.withdraw_person(uid)
        cuts = [(seen, uid) for seen in (*own, *shown)]
        for seen in own:
            guests = self._grants.withdraw_session(seen.session.id)
            cuts += [(seen, one.uid) for one in guests]
            taken += guests
        self._note_revoked(taken, "departed")
        if taken:
            self._sessions.announce()
        await self._carry_out(*cuts)

    async def _carry_out(self, *cuts: tuple[Observed, UserId]) -> bool:
        """Close what is open of what was taken, and meanwhile write it down; True: all is closed.

        Raises NotWrittenDown.
        """
        fault: StoreUnavailable | None = None
        closed: list[bool] = []

        async def close(seen: Observed, uid: UserId) -> None:
            closed.append(await self.cut(seen, uid))

        async with anyio.create_task_group() as group:
            for seen, uid in cuts:
                group.start_soon(close, seen, uid)
            try:
                await self._records.withdrawals.write_down()
            except StoreUnavailable as error:
                fault = error
        if fault is not None:
            _log.error("not_written_down", error=fault.in_full)
            raise NotWrittenDown from fault
        return all(closed)

    async def make_link(
        self, seen: Observed, role: Role, *, seconds: int, max_uses: int | None, by: Actor
    ) -> FreshLink:
        """Make a link that invites whoever has it.

        Raises InvalidRequest for odd bounds, and TooManyGrants.
        """
        self._check_open()
        _check_role(role)
        if seconds not in LINK_SECONDS:
            raise InvalidRequest("A link stands for a minute at least and thirty days at most.")
        if max_uses is not None and max_uses not in LINK_USES:
            raise InvalidRequest("A link can be used once at least and a thousand times at most.")
        fresh = await self._records.links.make(
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
        return await self._records.links.of_session(seen.session.id)

    async def end_link(self, seen: Observed, link_id: str, *, by: Actor) -> None:
        """End a link; who came by it stays invited."""
        open_ones = {link.id for link in await self._records.links.of_session(seen.session.id)}
        await self._records.links.end(seen.session.id, link_id)
        if link_id in open_ones:  # what else was typed is no act, and may be anything
            self._record(Act.LINK_ENDED, seen, by, link=link_id)
        self._sessions.announce()

    # -- the guests' acts ------------------------------------------------------------------

    async def peek(self, code: str) -> Invitation:
        """Return what a link offers. Raises LinkOver."""
        self._check_open()
        link = await self._records.links.peek(code)
        return Invitation(link, self._sessions.find(link.session, self._owner_of(link.session)))

    async def join(self, code: str, person: Person, by: Actor) -> Observed:
        """Let somebody in by a link, and return the session. Raises LinkOver and TooManyGrants.

        The owner's own link leads them to their session and is not used up.
        """
        self._check_open()
        link = await self._records.links.peek(code)
        owner = self._owner_of(link.session)
        if person.uid != owner:
            before = self._grants.role_of(link.session, person.uid)
            share = await self._records.links.redeem(code, person)
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
        """Tell the owner that a guest would like to control. Raises StoreUnavailable."""
        if self._sessions.role(seen, person.uid) is not Role.VIEW:
            raise InvalidRequest("You have control already.")
        if await self._records.ask(seen.session.id, person.uid):
            self._sessions.announce()

    def _record(self, act: Act, seen: Observed, by: Actor, **details: Detail) -> None:
        session = seen.session
        self._audit.record(act, by, whose=session.owner, session=session.id, **details)

    def _note_revoked(self, shares: Iterable[Share], reason: str) -> None:
        """Put on record that the hub itself has taken invitations back."""
        for share in shares:
            self._sessions.usage.forget_guest(share.session, share.uid)
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
        session_id = seen.session.id
        self._due.setdefault(session_id, set()).add(uid)
        if self._sessions.phase(seen) is not Phase.READY:
            return True  # nobody can be connected, most likely; the next look makes sure
        cut = False

        async def try_once() -> None:
            nonlocal cut
            if await self._kick(session_id, uid):
                cut = True
                group.cancel_scope.cancel()

        with anyio.move_on_after(_CUT_SECONDS):
            # A session may hang over one question and answer the next.
            async with anyio.create_task_group() as group:
                while True:
                    group.start_soon(try_once)
                    await anyio.sleep(_CUT_AGAIN_SECONDS)
        self.look_after([session_id])
        if not cut:
            _log.warning("not_cut", session=session_id, guest=uid)
        return cut

    async def _kick(self, session_id: SessionId, uid: UserId) -> bool:
        with contained("kick", self._metrics, session=session_id):
            if await self._gateway.kick(session_id, uid):
                self._due.get(session_id, set()).discard(uid)
                return True
        return False

    def look_after(self, sessions: Iterable[SessionId]) -> None:
        """See a while after something was taken who is connected to these sessions.

        Somebody may have come in meanwhile by an answer of verify from before, or by way of a
        controller that had not heard of it yet.
        """
        if self._tasks is not None:
            for session_id in sessions:
                self._tasks.start_soon(self._look_after, session_id)

    async def _look_after(self, session_id: SessionId) -> None:
        for seconds in _LOOK_AFTER_SECONDS:
            await self._look_in(session_id, seconds)

    async def _look_in(self, session_id: SessionId, seconds: float) -> None:
        await anyio.sleep(seconds)
        try:
            seen = self._sessions.any(session_id)
        except NoSuchSession:
            return
        if self._sessions.phase(seen) is Phase.READY:
            await self._pace.go(partial(self._poller.look, seen))

    async def judge(self, seen: Observed, clients: Iterable[Client]) -> None:
        """Cut who is connected by the session's own word, and may not be, or not so.

        A session may say what it likes: it loses connections by that, and nobody gains any.
        """
        session_id = seen.session.id
        found = {one.user: why for one in clients if (why := self._why_not(seen, one))}
        strangers = dict(itertools.islice(found.items(), _STRANGERS_MAX))
        if self._logins.hears_late:
            strangers = self._proven(session_id, strangers)
        self._tell(seen, strangers)
        async with anyio.create_task_group() as group:
            for uid in {*strangers, *self._due.get(session_id, ())}:
                group.start_soon(self._kick, session_id, uid)

    def _why_not(self, seen: Observed, client: Client) -> str:
        """Return why somebody may not be connected as they are; "": they may."""
        role = self._sessions.role(seen, client.user)
        if role is None:
            return "not_invited"
        if not self._logins.is_in(client.user):
            return "logged_out"
        # Owners may do what they like in their own session, whatever it says of them.
        return "" if role in {client.role, Role.OWNER} else "other_role"

    def _proven(self, session_id: SessionId, strangers: dict[UserId, str]) -> dict[UserId, str]:
        """Return those who are strangers for so long that no news of their right is on its way."""
        now = self._clock()
        before = self._doubted.get(session_id, {})
        self._doubted[session_id] = {uid: before.get(uid, now) for uid in strangers}
        if self._tasks is not None and strangers and not before:
            self._tasks.start_soon(self._look_in, session_id, _NEWS_SECONDS)
        since = self._doubted[session_id]
        return {uid: why for uid, why in strangers.items() if now - since[uid] >= _NEWS_SECONDS}

    def _tell(self, seen: Observed, strangers: dict[UserId, str]) -> None:
        """Put on record who was connected without a right, each once as long as that goes on."""
        now = self._clock()
        told = {
            one: at
            for one, at in self._told.get(seen.session.id, {}).items()
            if now - at < _TOLD_SECONDS
        }
        for uid, why in strangers.items():
            if (uid, why) not in told:
                if len(told) >= _STRANGERS_MAX:
                    continue  # it names others at each look, and would fill the record
                self._metrics.stranger(why)
                self._record(Act.CUT, seen, CONTROLLER, guest=uid, reason=why)
            told[uid, why] = now
        self._told[seen.session.id] = told

    def _cut_ended(self, logins: Collection[Login], asked: bool) -> None:
        """Begin to close what people have open anywhere whose log-ins have ended."""
        if self._tasks is None:
            return  # it begins with a look at who is connected
        people = {one.person.uid for one in logins if asked or self._may_be_inside(one)}
        for uid in sorted(people):
            for seen in (*self._sessions.owned_by(uid), *self._shown_to(uid)):
                self._tasks.start_soon(self.cut, seen, uid)

    def _may_be_inside(self, ended: Login) -> bool:
        """Tell whether anything may be open by a log-in that has ended.

        Programs log in again and again: their people's own views stay open meanwhile.
        """
        if ended.script and self._logins.is_in(ended.person.uid):
            return self._sessions.usage.has_entered(ended.sid)
        return True

    def _shown_to(self, uid: UserId) -> list[Observed]:
        return [seen for seen, _ in self._sessions.shared_with(uid)]

    async def sweep(self, *, leads: bool) -> None:
        """Write down what was taken, and forget what is over.

        ``leads``: whether it is this controller that closes what had been opened by that. Raises
        StoreUnavailable.
        """
        # Who waits in line may have invited others already.
        living = {one.session.id: one for one in self._sessions.everything()}
        self._forget_gone(living.keys())
        if not leads:
            await self._records.withdrawals.write_down()
            return
        over = [share for share in self._grants.expire() if share.session in living]
        self._note_revoked(over, "expired")
        if over:
            self._sessions.announce()
        await self._carry_out(*((living[share.session], share.uid) for share in over))
        newer = {one.session.id for one in self._sessions.registry.newer}
        await self._records.sweep(living.keys() | newer)

    def _forget_gone(self, living: Collection[SessionId]) -> None:
        self._due = {one: who for one, who in self._due.items() if one in living}
        self._doubted = {one: who for one, who in self._doubted.items() if one in living}
        self._told = {one: who for one, who in self._told.items() if one in living}
        now = self._clock()
        self._questions = {
            uid: asked
            for uid, asked in self._questions.items()
            if asked and now - asked[-1] < _MINUTE
        }

    async def _person(self, typed: str) -> Person:
        uid = uid_of(typed)
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
