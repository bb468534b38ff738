"""Numbers for the site's own monitoring, in Prometheus' format, on the private listener.

Names end in their unit, as Prometheus' conventions ask. No label contains a person's name, an
address or a session's id: each label has a few known values.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from controller import __version__
from controller.core.errors import Unavailable
from controller.core.model import Phase
from controller.monitoring.collectors import Gauge, Values, VerdictCollector
from controller.monitoring.verdicts import Verdicts

LOGIN_RESULTS = ("ok", "refused", "throttled", "unavailable")

STRANGERS = ("not_invited", "other_role", "logged_out")

Counted = Iterable[tuple[Phase, str]]  # phase and profile of each session

# Upper bounds in seconds. A call to another part takes milliseconds, a start seconds.
_CALL_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_START_BOUNDS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 180)

_STEP_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 180, 600)

_Part = TypeVar("_Part")


class Metrics:
    """All numbers of one controller, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        self.watch(
            "slicerhub_build_info",
            "Version of the running hub",
            ("version",),
            lambda: [((__version__,), 1)],
        )
        self._verdicts = Verdicts()
        registry.register(VerdictCollector(self._verdicts))
        self._decided = Counter(
            "slicerhub_housekeeping_decisions",
            "What housekeeping did to sessions",
            ["decision"],
            registry=registry,
        )
        self._rounds = Histogram(
            "slicerhub_housekeeping_round_seconds",
            "How long a round took",
            ["round"],
            buckets=_CALL_BOUNDS,
            registry=registry,
        )
        self._undone = Counter(
            "slicerhub_housekeeping_failures",
            "Acts that failed in a round; the next one tries again",
            ["round"],
            registry=registry,
        )
        self._asked = Counter(
            "slicerhub_session_questions",
            "Requests to sessions, by outcome: answered, refused, no answer, or unreadable",
            ["question", "outcome"],
            registry=registry,
        )
        self._faults = Counter(
            "slicerhub_faults",
            "Errors of the hub itself that were contained; the log has each",
            ["work"],
            registry=registry,
        )
        self._strangers = Counter(
            "slicerhub_connected_without_right",
            "People who were connected to a session without permission; they were disconnected",
            ["reason"],
            registry=registry,
        )
        for reason in STRANGERS:
            self._strangers.labels(reason)
        self._finished: dict[str, float] = {}
        self.watch(
            "slicerhub_housekeeping_last_finished_timestamp_seconds",
            "When a round last finished",
            ("round",),
            lambda: [((name,), at) for name, at in self._finished.items()],
        )
        self._starts = Histogram(
            "slicerhub_start_seconds",
            "From launch until a browser gets the page, without fetching the program",
            ["profile"],
            buckets=_START_BOUNDS,
            registry=registry,
        )
        self._steps = Histogram(
            "slicerhub_start_step_seconds",
            "Steps of a start: fetch the program, engine accepts, load until a browser gets it",
            ["profile", "step"],
            buckets=_STEP_BOUNDS,
            registry=registry,
        )
        self._logins = Counter(
            "slicerhub_logins", "Attempts to log in", ["result"], registry=registry
        )
        for result in LOGIN_RESULTS:
            self._logins.labels(result)
        self._acts = Counter(
            "slicerhub_audit_acts", "Acts in the audit log", ["act"], registry=registry
        )
        self._lost = Counter(
            "slicerhub_audit_lines_lost",
            "Lines that could not be written to the audit file",
            registry=registry,
        )
        self._calls = {part: _Calls(part, words, registry) for part, words in _PARTS.items()}

    # -- what happens ------------------------------------------------------------------------

    def verified(self, status: int, seconds: float) -> None:
        """Count an answer of verify, and how long it took to make it."""
        self._verdicts.add(status, seconds)

    def decided(self, decision: str) -> None:
        """Count an act of housekeeping."""
        self._decided.labels(decision).inc()

    @contextmanager
    def round(self, name: str) -> Generator[None]:
        """Measure a round of housekeeping, and note when it ended."""
        self._undone.labels(name)
        with self._rounds.labels(name).time():
            yield
        self._finished[name] = time.time()

    def not_done(self, name: str) -> None:
        """Count what a round of housekeeping could not do."""
        self._undone.labels(name).inc()

    def watched(self, work: str) -> None:
        """Count errors in this kind of work from zero on."""
        self._faults.labels(work)

    def fault(self, work: str) -> None:
        """Count an error that was contained in this kind of work."""
        self._faults.labels(work).inc()

    def stranger(self, reason: str) -> None:
        """Count somebody who was connected without permission; ``reason`` is one of STRANGERS."""
        self._strangers.labels(reason).inc()

    def asked(self, question: str, outcome: str) -> None:
        """Count a request to a session, and its outcome."""
        self._asked.labels(question, outcome).inc()

    def started(self, profile: str, seconds: float, steps: Mapping[str, float]) -> None:
        """Note how long a start took, and each of its steps."""
        self._starts.labels(profile).observe(seconds)
        for step, taken in steps.items():
            self._steps.labels(profile, step).observe(taken)

    def login(self, result: str) -> None:
        """Count an attempt to log in; ``result`` is one of LOGIN_RESULTS."""
        self._logins.labels(result).inc()

    def acted(self, act: str) -> None:
        """Count an act that was recorded."""
        self._acts.labels(act).inc()

    def audit_line_lost(self) -> None:
        """Count a line that the audit file did not take. May be called from any thread."""
        self._lost.inc()

    def measured(self, part: str, made: _Part) -> _Part:
        """Return ``made`` with each call that is awaited measured as one to this part.

        ``part``: directory, store or engine. Streams and plain attributes pass as they are.
        """
        return cast("_Part", _Measured(made, self._calls[part]))

    # -- what is read at each scrape -----------------------------------------------------------

    def watch(
        self, name: str, words: str, labels: tuple[str, ...], read: Callable[[], Values]
    ) -> None:
        """Call ``read`` at each scrape for the present numbers."""
        self._registry.register(Gauge(name, words, labels, read))

    def watch_sessions(self, sessions: Callable[[], Counted]) -> None:
        """Call ``sessions`` at each scrape for the phase and profile of every session."""
        self.watch(
            "slicerhub_sessions",
            "Sessions, by phase and profile",
            ("phase", "profile"),
            lambda: [
                ((phase.value, profile), number)
                for (phase, profile), number in Tally(sessions()).items()
            ],
        )

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)


_PARTS = {
    "directory": "Questions to the directory of people",
    "store": "Reads and writes of the hub's own records",
    "engine": "Calls to the engine that runs sessions",
}


class _Calls:
    def __init__(self, part: str, words: str, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            f"slicerhub_{part}_call_seconds",
            f"{words}: how long they took",
            ["call"],
            buckets=_CALL_BOUNDS,
            registry=registry,
        )
        self._failures = Counter(
            f"slicerhub_{part}_failures",
            f"{words}: how many had no usable answer",
            ["call"],
            registry=registry,
        )

    @contextmanager
    def call(self, name: str) -> Generator[None]:
        failures = self._failures.labels(name)
        begun = time.perf_counter()
        try:
            yield
        except Unavailable:
            failures.inc()
            raise
        finally:
            self._seconds.labels(name).observe(time.perf_counter() - begun)


class _Measured:
    """Measures calls to a part of the hub. Only Unavailable is a failure, a refusal is not."""

    def __init__(self, made: object, calls: _Calls) -> None:
        self._made = made
        self._calls = calls

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the part has
        found = getattr(self._made, name)
        if not inspect.iscoroutinefunction(found):
            return found
        work = cast("Callable[..., Awaitable[object]]", found)

        @functools.wraps(work)
        async def measured(*values: object, **named: object) -> object:
            with self._calls.call(name):
                return await work(*values, **named)

        return measured
