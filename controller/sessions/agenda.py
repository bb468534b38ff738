"""Decides for each session: keep, poll, warn, repair or stop it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from controller.core.model import Observed, Phase
from controller.core.sentence import Phrase
from controller.rules import lifecycle
from controller.sessions.registry import Registry
from controller.sessions.usage import Usage

_log = structlog.get_logger("sessions")


class Agenda:
    """Decides about all sessions by their present records."""

    def __init__(
        self,
        registry: Registry,
        usage: Usage,
        *,
        message: Callable[[Observed], Phrase],
        clock: Callable[[], float],
    ) -> None:
        """``message`` says where a session stands; ``clock``: monotonic seconds."""
        self._registry = registry
        self._usage = usage
        self._message = message
        self._clock = clock

    def all(self) -> list[tuple[Observed, lifecycle.Decision]]:
        """Return the decision about each session now."""
        now = self._clock()
        decisions: list[tuple[Observed, lifecycle.Decision]] = []
        for session_id, known in self._registry.items():
            work = self._registry.work(session_id)
            if work.stopping or work.start is not None or known.accepted is not None:
                continue
            self._note_failure(known.seen, now)
            decisions.append((known.seen, self.of(known.seen)))
        return decisions

    def of(self, seen: Observed) -> lifecycle.Decision:
        """Return the decision about one session now."""
        activity = self._usage.of(seen)
        if activity is None:
            return lifecycle.Keep()
        limits = self._registry.limits(seen.session)
        return lifecycle.decide(seen, activity, self._clock(), limits)

    def _note_failure(self, seen: Observed, now: float) -> None:
        known = self._registry.get(seen.session.id)
        if known is None:
            return
        failed = self._registry.phase(seen) is Phase.FAILED
        if failed and known.activity.failed_since is None:
            _log.warning(
                "session_failed",
                session=seen.session.id,
                why=str(self._message(seen)),
                of=seen.message,
            )
        if failed is not (known.activity.failed_since is not None):
            known.activity = msgspec.structs.replace(
                known.activity, failed_since=now if failed else None
            )
