"""Polls sessions: who is connected, when the last input was, whether they compute.

The session itself answers through Traefik what no proxy can know. What it cannot tell, the engine
measures. A poll that fails says nothing, and no session is stopped because of it.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence

import anyio
import msgspec
import structlog

from controller.core.errors import EngineUnavailable
from controller.core.model import Observed, Phase, SessionId, Usage
from controller.engines import Orchestrator
from controller.monitoring.faults import contained
from controller.monitoring.metrics import Metrics
from controller.rules.felt import Felt
from controller.sessions.gateway import Client, Gateway, Inside
from controller.sessions.pace import Pace
from controller.sessions.sessions import Sessions

_AT_ONCE = 8  # measurements; each takes a thread of the engine's client

_FRESH_SECONDS = 2.0  # for which a page's poll also serves the next page

_log = structlog.get_logger("looks")


class PollResult(msgspec.Struct, frozen=True):
    """The result of a poll. None: the session has no such endpoint, or did not answer."""

    at: float  # monotonic
    inside: Inside | None = None
    usage: Usage | None = None


class Poller:
    """Polls every session, and keeps the last results."""

    def __init__(
        self, sessions: Sessions, orchestrator: Orchestrator, gateway: Gateway, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self._pace = Pace()
        self._sessions = sessions
        self._orchestrator = orchestrator
        self._gateway = gateway
        self._last: dict[SessionId, PollResult] = {}
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._judge: Callable[[Observed, Sequence[Client]], Awaitable[None]] | None = None

    def judge_by(self, judge: Callable[[Observed, Sequence[Client]], Awaitable[None]]) -> None:
        """Call ``judge`` with the people who are connected after each answered poll."""
        self._judge = judge

    def last(self, session_id: SessionId) -> PollResult | None:
        """Return the last result, without polling."""
        return self._last.get(session_id)

    def clients(self, session_id: SessionId) -> tuple[Client, ...]:
        """Return who was connected at the last poll, the longest first."""
        poll = self._last.get(session_id)
        return poll.inside.clients if poll and poll.inside else ()

    def felt(self, session_id: SessionId) -> Felt | None:
        """Return how quick the session felt in the minute before the last poll.

        None: nobody felt anything, its image does not measure it, or it did not answer.
        """
        poll = self._last.get(session_id)
        return poll.inside.felt if poll and poll.inside else None

    async def all(self) -> None:
        """Poll every running session."""
        ready = [one for one in self._sessions.all() if self._sessions.phase(one) is Phase.READY]
        living = {one.session.id for one in ready}
        self._last = {one: poll for one, poll in self._last.items() if one in living}
        async with anyio.create_task_group() as group:
            for seen in ready:
                group.start_soon(self._pace.go, functools.partial(self.poll, seen))

    async def refresh(self, seen: Observed) -> None:
        """Poll a session for a page, unless that has just been done."""
        last = self._last.get(seen.session.id)
        if last is None or anyio.current_time() - last.at >= _FRESH_SECONDS:
            await self.poll(seen)

    async def poll(self, seen: Observed) -> None:
        """Poll one session, and note its signs of life."""
        with contained("look", self._metrics, session=seen.session.id):
            await self._ask(seen)

    async def _ask(self, seen: Observed) -> None:
        session_id = seen.session.id
        profile = self._sessions.profile_of(seen)
        inside = await self._gateway.inside(session_id) if profile.endpoints else None
        usage: Usage | None = None
        measured = True
        try:
            async with self._limiter:
                usage = await self._orchestrator.usage(session_id)
        except EngineUnavailable as error:
            measured = False
            _log.info("usage_unknown", session=session_id, error=error.in_full)
        before = self.clients(session_id)
        self._last[session_id] = PollResult(anyio.current_time(), inside, usage)
        # An image that can say itself whether it is used is believed only when it does.
        if inside is None if profile.endpoints else not measured:
            return
        computing = usage is not None and usage.cpu_percent >= profile.busy_cpu_percent
        self._sessions.usage.note_poll(
            session_id,
            used=computing or (inside is not None and inside.busy),
            last_input=inside.last_input_at if inside else None,
        )
        if self.clients(session_id) != before:
            self._sessions.announce()
        if inside is not None and self._judge is not None:
            await self._judge(seen, inside.clients)
