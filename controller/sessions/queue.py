"""Who waits for a place, and what there is not enough of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import msgspec
import structlog

from controller.core.errors import HubError
from controller.core.model import Observed, QueuePosition, Session, SessionId, UserId
from controller.core.records import Actor, Ticket
from controller.monitoring.audit import Act
from controller.rules import lifecycle, queue, quotas
from controller.rules.quotas import Resource, Shortfall
from controller.sessions.registry import Registry
from controller.sessions.rule_book import RuleBook
from controller.sessions.tasks import Tasks
from controller.settings.schema import Settings
from controller.store import SessionStore

_log = structlog.get_logger("sessions")


class Queue:
    """The sessions that wait in line, and the places that they wait for."""

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
        self._left: set[SessionId] = set()  # have begun, and stand in the store's line still
        self._loaded = False

    # -- the line --------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the line again: another controller may have changed it. Raises StoreUnavailable."""
        found = await self._store.tickets()
        # What begins here, or has ended, leaves the store's line a moment later.
        left = {one for one, _ in self._registry.items()} | {*self._registry.gone()}
        left |= {one for one, work in self._registry.at_work() if work.start}
        self._tickets = {one.session.id: one for one in found if one.session.id not in left}
        self._loaded = True
        self._registry.announce()

    async def load_once(self) -> None:
        """Read the line unless that was done before. Raises StoreUnavailable."""
        if not self._loaded:
            await self.load()

    async def line_up(self, session: Session, by: Actor) -> Observed:
        """Let a session wait for its turn. Raises StoreUnavailable."""
        ticket = Ticket(session, self._wall().timestamp())
        # First it counts, then it is written down: of many at once each knows of those before it.
        self._tickets[session.id] = ticket
        try:
            await self._store.add_ticket(ticket)
        except BaseException:
            self._tickets.pop(session.id, None)
            raise
        if session.id not in self._tickets:
            await self.leave(session.id)  # its turn came meanwhile
        self._registry.record(Act.QUEUE, session, by)
        self._registry.announce()
        return waiting(ticket)

    def take_next(self) -> Session | None:
        """Take the next for whom there is room out of the line; None: nobody."""
        line = tuple(self._tickets.values())
        ticket = queue.next_of(line, self.running(), self._ruled()) if line else None
        if ticket is None:
            return None
        del self._tickets[ticket.session.id]
        return ticket.session

    async def give_up(self, session_id: SessionId) -> Session | None:
        """Take somebody out of the line for good; None: their turn came meanwhile.

        Raises StoreUnavailable: then they wait on.
        """
        await self._store.remove_ticket(session_id)
        ticket = self._tickets.pop(session_id, None)
        return ticket.session if ticket else None

    def drop_begun(self, known: Mapping[SessionId, Observed]) -> None:
        """Take out of the line whom a controller before this one had started.

        Out of the store's, too: else a later controller would start it again, long after its end.
        """
        for session_id in tuple(self._tickets):
            if session_id in known and not known[session_id].orphan:
                del self._tickets[session_id]
                self._left.add(session_id)
                self._tasks.spawn("line", session_id, partial(self.leave, session_id))

    async def leave(self, session_id: SessionId) -> None:
        """Take the ticket of a session that has begun, or has not, out of the store."""
        self._left.add(session_id)
        try:
            await self._store.remove_ticket(session_id)
        except HubError as error:
            # Housekeeping tries again, and it does not end before that is done.
            _log.warning("ticket_left", session=session_id, error=error.in_full)
        else:
            self._left.discard(session_id)

    async def leave_all(self) -> None:
        """Try again to take tickets out of the store that could not be."""
        for session_id in tuple(self._left):
            await self.leave(session_id)

    async def end(self, session_id: SessionId) -> None:
        """See that no ticket of a session is left before that ends. Raises StoreUnavailable."""
        if session_id in self._left:
            await self._store.remove_ticket(session_id)
            self._left.discard(session_id)

    # -- questions -------------------------------------------------------------------------

    def __contains__(self, session_id: object) -> bool:
        """Tell whether a session waits in line."""
        return session_id in self._tickets

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._tickets)

    def find(self, session_id: SessionId) -> Observed | None:
        """Return somebody in line as a session that is not there yet."""
        ticket = self._tickets.get(session_id)
        return waiting(ticket) if ticket else None

    def all(self) -> list[Observed]:
        """Return everybody in line, as sessions that are not there yet."""
        return [waiting(ticket) for ticket in self._tickets.values()]

    def place(self, seen: Observed) -> QueuePosition | None:
        """Return where a session stands in line; None: it does not wait."""
        if seen.session.id not in self._tickets:
            return None
        return self.places().get(seen.session.id)

    def places(self) -> dict[SessionId, QueuePosition]:
        """Return where everybody in line stands."""
        line = tuple(self._tickets.values())
        return queue.places(line, self.running(), self._ruled()) if line else {}

    def waits(self) -> list[float]:
        """Return how long everybody in line has waited, in seconds."""
        now = self._wall().timestamp()
        return [max(0.0, now - ticket.since) for ticket in self._tickets.values()]

    def waiting_for(self, profile_id: str) -> int:
        """Return how many wait in line for a profile."""
        return sum(1 for one in self._tickets.values() if one.session.profile == profile_id)

    def lease_book(self) -> queue.LeaseBook:
        """Return who has which graphics card, and who is next."""
        return queue.lease_book(tuple(self._tickets.values()), self.running(), self._settings)

    def free_gpus(self) -> int | None:
        """Return how many graphics cards are free; None: no book is kept of them."""
        gpus = self._settings.limits.gpus
        return len(quotas.free_gpus(gpus, self.running())) if gpus else None

    def most_sessions(self, uid: UserId) -> int:
        """Return how many sessions a person may have."""
        return quotas.most_sessions(uid, self._ruled().limits)

    def running(self) -> list[Session]:
        """Return the sessions that take a place."""
        return [one.session for one in self._registry.all() if lifecycle.takes_place(one)]

    def shortfall_of(self, session: Session) -> Shortfall | None:
        """Return why a session cannot begin now; whoever waits in line comes first."""
        running = self.running()
        ruled = self._ruled()
        in_line = (ticket.session for ticket in self._tickets.values())
        own = sum(1 for one in (*running, *in_line) if one.owner == session.owner)
        if own >= quotas.most_sessions(session.owner, ruled.limits):
            return Shortfall(Resource.OWN, str(own))  # a place in line is as good as taken
        shortfall = quotas.shortfall_of(session, running, ruled)
        if shortfall is not None or not self._tickets:
            return shortfall
        ticket = Ticket(session, self._wall().timestamp())
        line = (*self._tickets.values(), ticket)
        if queue.next_of(line, running, ruled) is ticket:
            return None
        wanted = self._settings.profile(session.profile)
        return Shortfall(Resource.GPUS if wanted and wanted.gpus else Resource.TOTAL)

    def _ruled(self) -> Settings:
        """Return the settings with what administrators have decided about people."""
        decided = self._rules.rules.quotas
        if not decided:
            return self._settings
        limits = self._settings.limits
        people = limits.people | {str(uid): most for uid, most in decided.items()}
        limits = msgspec.structs.replace(limits, people=people)
        return msgspec.structs.replace(self._settings, limits=limits)


def waiting(ticket: Ticket) -> Observed:
    """Return somebody in line as a session that is not there yet."""
    return Observed(session=ticket.session, complete=False)
