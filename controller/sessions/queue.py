"""The queue: which sessions wait, and which resources are short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import msgspec
import structlog

from controller.core.errors import HubError
from controller.core.model import Observed, Session, SessionId, UserId
from controller.core.records import Actor, Ticket
from controller.monitoring.audit import Act
from controller.rules import lifecycle, queue, quotas
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource, Shortfall
from controller.sessions.registry import Registry
from controller.sessions.rule_book import RuleBook
from controller.sessions.tasks import Tasks
from controller.settings.schema import Settings
from controller.store import SessionStore

_log = structlog.get_logger("sessions")


class Queue:
    """The sessions in the queue, and the resources that they wait for."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        rules: RuleBook,
        store: SessionStore,
        tasks: Tasks,
        *,
        wall: Callable[[], datetime],
    ) -> None:
        """``wall``: UTC now."""
        self._settings = settings
        self._registry = registry
        self._rules = rules
        self._store = store
        self._tasks = tasks
        self._wall = wall
        self._tickets: dict[SessionId, Ticket] = {}
        self._tickets_to_remove: set[SessionId] = set()  # started, but still in the store
        self._loaded = False

    # -- the queue -------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the queue again: another controller may have changed it. Raises StoreUnavailable."""
        found = await self._store.tickets()
        # A session that starts here, or has ended, leaves the store's queue a moment later.
        begun = {one for one, _ in self._registry.items()} | {*self._registry.gone()}
        begun |= {one for one, work in self._registry.at_work() if work.start}
        self._tickets = {one.session.id: one for one in found if one.session.id not in begun}
        self._loaded = True
        self._registry.announce()

    async def load_once(self) -> None:
        """Read the queue, unless that was done before. Raises StoreUnavailable."""
        if not self._loaded:
            await self.load()

    async def line_up(self, session: Session, by: Actor) -> Observed:
        """Put a session into the queue. Raises StoreUnavailable."""
        ticket = Ticket(session, self._wall().timestamp())
        # It counts before it is stored, so that of many launches each knows the ones before.
        self._tickets[session.id] = ticket
        try:
            await self._store.add_ticket(ticket)
        except BaseException:
            self._tickets.pop(session.id, None)
            raise
        if session.id not in self._tickets:
            await self.leave(session.id)  # it started meanwhile
        self._registry.record(Act.QUEUE, session, by)
        self._registry.announce()
        return waiting(ticket)

    def take_next(self) -> Session | None:
        """Take the next session with enough resources out of the queue; None: there is none."""
        tickets = tuple(self._tickets.values())
        ticket = queue.next_of(tickets, self.running(), self._ruled()) if tickets else None
        if ticket is None:
            return None
        del self._tickets[ticket.session.id]
        return ticket.session

    async def give_up(self, session_id: SessionId) -> Session | None:
        """Remove a session from the queue for good; None: it started meanwhile.

        Raises StoreUnavailable: then it stays in the queue.
        """
        await self._store.remove_ticket(session_id)
        ticket = self._tickets.pop(session_id, None)
        return ticket.session if ticket else None

    def drop_begun(self, known: Mapping[SessionId, Observed]) -> None:
        """Remove the sessions that an earlier controller had started from the queue.

        Also from the store: otherwise a later controller would start them again after their end.
        """
        for session_id in tuple(self._tickets):
            if session_id in known and not known[session_id].orphan:
                del self._tickets[session_id]
                self._tickets_to_remove.add(session_id)
                self._tasks.spawn("line", session_id, partial(self.leave, session_id))

    async def leave(self, session_id: SessionId) -> None:
        """Remove the ticket of a session from the store."""
        self._tickets_to_remove.add(session_id)
        try:
            await self._store.remove_ticket(session_id)
        except HubError as error:
            # Housekeeping tries again, and the session does not end before that has worked.
            _log.warning("ticket_left", session=session_id, error=error.in_full)
        else:
            self._tickets_to_remove.discard(session_id)

    async def leave_all(self) -> None:
        """Try again to remove tickets from the store."""
        for session_id in tuple(self._tickets_to_remove):
            await self.leave(session_id)

    async def end(self, session_id: SessionId) -> None:
        """Remove a remaining ticket before its session ends. Raises StoreUnavailable."""
        if session_id in self._tickets_to_remove:
            await self._store.remove_ticket(session_id)
            self._tickets_to_remove.discard(session_id)

    # -- questions -------------------------------------------------------------------------

    def __contains__(self, session_id: object) -> bool:
        """Tell whether a session waits in the queue."""
        return session_id in self._tickets

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._tickets)

    def find(self, session_id: SessionId) -> Observed | None:
        """Return a session in the queue as one that has not started."""
        ticket = self._tickets.get(session_id)
        return waiting(ticket) if ticket else None

    def all(self) -> list[Observed]:
        """Return all sessions in the queue as ones that have not started."""
        return [waiting(ticket) for ticket in self._tickets.values()]

    def place(self, seen: Observed) -> QueuePosition | None:
        """Return a session's position in the queue; None: it does not wait."""
        if seen.session.id not in self._tickets:
            return None
        return self.places().get(seen.session.id)

    def places(self) -> dict[SessionId, QueuePosition]:
        """Return the positions of all sessions in the queue."""
        tickets = tuple(self._tickets.values())
        return queue.places(tickets, self.running(), self._ruled()) if tickets else {}

    def waits(self) -> list[float]:
        """Return for how many seconds each session in the queue has waited."""
        now = self._wall().timestamp()
        return [max(0.0, now - ticket.since) for ticket in self._tickets.values()]

    def waiting_for(self, profile_id: str) -> int:
        """Return how many sessions of a profile wait in the queue."""
        return sum(1 for one in self._tickets.values() if one.session.profile == profile_id)

    def lease_book(self) -> queue.LeaseBook:
        """Return who has which graphics card, and who is next."""
        return queue.lease_book(tuple(self._tickets.values()), self.running(), self._settings)

    def free_gpus(self) -> int | None:
        """Return how many graphics cards are free; None: the hub does not assign them."""
        gpus = self._settings.limits.gpus
        return len(quotas.free_gpus(gpus, self.running())) if gpus else None

    def most_sessions(self, uid: UserId) -> int:
        """Return how many sessions a person may have."""
        return quotas.most_sessions(uid, self._ruled().limits)

    def running(self) -> list[Session]:
        """Return the sessions that count against the limits."""
        return [one.session for one in self._registry.all() if lifecycle.takes_place(one)]

    def shortfall_of(self, session: Session) -> Shortfall | None:
        """Return why a session cannot start now; sessions in the queue come first."""
        running = self.running()
        ruled = self._ruled()
        queued = (ticket.session for ticket in self._tickets.values())
        own = sum(1 for one in (*running, *queued) if one.owner == session.owner)
        if own >= quotas.most_sessions(session.owner, ruled.limits):
            return Shortfall(Resource.OWN, str(own))  # sessions in the queue count, too
        shortfall = quotas.shortfall_of(session, running, ruled)
        if shortfall is not None or not self._tickets:
            return shortfall
        ticket = Ticket(session, self._wall().timestamp())
        tickets = (*self._tickets.values(), ticket)
        if queue.next_of(tickets, running, ruled) is ticket:
            return None
        wanted = self._settings.profile(session.profile)
        return Shortfall(Resource.GPUS if wanted and wanted.gpus else Resource.TOTAL)

    def _ruled(self) -> Settings:
        """Return the settings with the quotas that administrators have set."""
        decided = self._rules.rules.quotas
        if not decided:
            return self._settings
        limits = self._settings.limits
        people = limits.people | {str(uid): most for uid, most in decided.items()}
        limits = msgspec.structs.replace(limits, people=people)
        return msgspec.structs.replace(self._settings, limits=limits)


def waiting(ticket: Ticket) -> Observed:
    """Return a session in the queue as one that has not started."""
    return Observed(session=ticket.session, complete=False)
