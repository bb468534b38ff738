"""Is the controller fit to work?

``/healthz``: it is alive; ``/startz``: it has read log-ins and sessions, and is not leaving, so
requests may be sent to it, even if its parts fail later; ``/readyz``: all its parts answer.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

import anyio
import msgspec

from controller.core.errors import HubError, NotReadyYet
from controller.sessions.sessions import Sessions

_PING_SECONDS = 6.0  # a part that takes longer counts as away

_KEEP_SECONDS = 15.0  # health checks come often and must not load the directory


class Report(msgspec.Struct, frozen=True):
    """``parts``: "ok" or a sentence, by the part's name."""

    ready: bool
    parts: dict[str, str]
    notes: list[str] = []  # states that are intended, such as a drain


class Health:
    """Asks every part, and remembers the answer for a few seconds."""

    def __init__(
        self, sessions: Sessions, parts: Mapping[str, Callable[[], Awaitable[None]]]
    ) -> None:
        """``parts``: what asks each of the others, by its name. ``report`` begins."""
        self._parts = {"sessions": self._ask_sessions, **parts}
        self.leaving = False  # it still answers, but new requests should go to others
        self._sessions = sessions
        self._turn = anyio.Lock()
        self._report: Report | None = None
        self._at = 0.0

    @property
    def knows(self) -> bool:
        """Whether log-ins and sessions have been read; sessions are read last."""
        return self._sessions.ready

    async def report(self) -> Report:
        """Return the state of the parts."""
        async with self._turn:
            if self._report is None or time.monotonic() - self._at >= _KEEP_SECONDS:
                self._report = await self._ask()
                # A part that is not ready may be so a moment later.
                self._at = time.monotonic() if self._report.ready else 0.0
            if (drain := self._sessions.drain) is None:
                return self._report
            note = f"draining, by {drain.by}: new sessions are blocked"
            return msgspec.structs.replace(self._report, notes=[note])

    async def _ask(self) -> Report:
        found: dict[str, str] = {}

        async def ask(name: str, ping: Callable[[], Awaitable[None]]) -> None:
            found[name] = f"no answer within {_PING_SECONDS:.0f} seconds"
            with anyio.move_on_after(_PING_SECONDS):
                try:
                    await ping()
                except HubError as error:
                    found[name] = str(error)
                else:
                    found[name] = "ok"

        async with anyio.create_task_group() as group:
            for name, ping in self._parts.items():
                group.start_soon(ask, name, ping)
        return Report(all(text == "ok" for text in found.values()), dict(sorted(found.items())))

    async def _ask_sessions(self) -> None:
        # A controller that leaves gets no new requests, if there are others.
        if not self._sessions.ready or self._sessions.registry.closing:
            raise NotReadyYet
