"""Looks into sessions: who is connected, when somebody last did something, how busy they are.

What no proxy can know, the session itself is asked, through Traefik; what it cannot tell is
measured by the engine. A look that fails tells nothing, and nobody is stopped for it.
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
from controller.sessions.gateway import Client, Gateway, Inside
from controller.sessions.pace import Pace
from controller.sessions.sessions import Sessions

_AT_ONCE = 8  # measurements; each takes a thread of the engine's client

_FRESH_SECONDS = 2.0  # for which a look asked for by a page answers the next one, too

_log = structlog.get_logger("looks")


class PollResult(msgspec.Struct, frozen=True):
    """What was seen last. None: the session has no such endpoint, or did not answer."""

    at: float  # monotonic
    inside: Inside | None = None
    usage: Usage | None = None


class Poller:
    """The last look into every session."""

    def __init__(
        self, sessions: Sessions, orchestrator: Orchestrator, gateway: Gateway, metrics: Metrics
    ) -> None:
        """Nothing is asked before the first ``look``."""
        self._metrics = metrics
        self._pace = Pace()
        self._sessions = sessions
        self._orchestrator = orchestrator
        self._gateway = gateway
        self._last: dict[SessionId, PollResult] = {}
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._judge: Callable[[Observed, Sequence[Client]], Awaitable[None]] | None = None

    def judge_by(self, judge: Callable[[Observed, Sequence[Client]], Awaitable[None]]) -> None:
        """Let ``judge`` know who is connected after each look that was answered."""
        self._judge = judge

    def last(self, session_id: SessionId) -> PollResult | None:
        """Return what was seen last, without asking."""
        return self._last.get(session_id)

    def clients(self, session_id: SessionId) -> tuple[Client, ...]:
        """Return who was connected at the last look, the longest first."""
        look = self._last.get(session_id)
        return look.inside.clients if look and look.inside else ()

    async def all(self) -> None:
        """Look into every session that runs."""
        ready = [one for one in self._sessions.all() if self._sessions.phase(one) is Phase.READY]
        living = {one.session.id for one in ready}
        self._last = {one: look for one, look in self._last.items() if one in living}
        async with anyio.create_task_group() as group:
            for seen in ready:
                group.start_soon(self._pace.go, functools.partial(self.look, seen))

    async def refresh(self, seen: Observed) -> None:
        """Look into a session for a page, unless that was done this moment."""
        last = self._last.get(seen.session.id)
        if last is None or anyio.current_time() - last.at >= _FRESH_SECONDS:
            await self.look(seen)

    async def look(self, seen: Observed) -> None:
        """Look into one session, and tell ``sessions`` what it means for its being used."""
        with contained("look", self._metrics, session=seen.session.id):
            await self._look(seen)

    async def _look(self, seen: Observed) -> None:
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
