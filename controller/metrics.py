"""Numbers for the site's own monitoring, in Prometheus' format, on the private listener."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.model import Phase

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Counted = Iterable[tuple[Phase, str]]  # phase and profile of each session


class Metrics:
    """All numbers of one controller, in a registry of its own."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = CollectorRegistry(auto_describe=True)
        self._verified = Counter(
            "slicerhub_verify_answers",
            "Answers to Traefik, by status",
            ["status"],
            registry=self._registry,
        )
        self._by_status: dict[int, Counter] = {}  # looking a label up costs more than counting
        self._decided = Counter(
            "slicerhub_housekeeping_decisions",
            "What housekeeping did about sessions",
            ["decision"],
            registry=self._registry,
        )
        self._starts = Histogram(
            "slicerhub_start_seconds",
            "From launch until a browser gets the page",
            ["profile"],
            buckets=(1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 180),
            registry=self._registry,
        )

    def verified(self, status: int) -> None:
        """Count an answer of verify."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._verified.labels(status)
        counter.inc()

    def decided(self, decision: str) -> None:
        """Count an act of housekeeping."""
        self._decided.labels(decision).inc()

    def started(self, profile: str, seconds: float) -> None:
        """Note how long a start took."""
        self._starts.labels(profile).observe(seconds)

    def watch_sessions(self, sessions: Callable[[], Counted]) -> None:
        """Ask ``sessions`` at each scrape for the phase and profile of every session."""
        self._registry.register(_Sessions(sessions))

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)


class _Sessions(Collector):
    def __init__(self, sessions: Callable[[], Counted]) -> None:
        self._sessions = sessions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "slicerhub_sessions", "Sessions, by phase and profile", labels=["phase", "profile"]
        )
        for (phase, profile), number in Tally(self._sessions()).items():
            family.add_metric([phase.value, profile], number)
        yield family
