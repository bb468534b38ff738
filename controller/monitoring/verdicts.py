"""Numbers of verdicts, which a controller and a gate count alike, and those of a gate."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from controller import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Values = Iterable[tuple[tuple[str, ...], float]]  # a number for each set of labels

# Upper bounds in seconds. A verdict takes microseconds.
_VERIFY_BOUNDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1)


class Verdicts(Collector):
    """Answers of verify and their times.

    Plain numbers, since all of it happens in the event loop's thread: the client's own counter and
    histogram take a lock for each step, which would cost more than a tenth of a whole verdict.
    """

    def __init__(self) -> None:
        self._statuses: dict[int, int] = {}
        self._buckets = [0] * (len(_VERIFY_BOUNDS) + 1)
        self._sum = 0.0

    def add(self, status: int, seconds: float) -> None:
        """Count an answer, and how long it took to make it."""
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._buckets[bisect_left(_VERIFY_BOUNDS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        answers = CounterMetricFamily(
            "slicerhub_verify_answers", "Answers to Traefik, by status", labels=["status"]
        )
        for status, number in self._statuses.items():
            answers.add_metric([str(status)], number)
        yield answers
        bounds = [*map(str, _VERIFY_BOUNDS), "+Inf"]
        below = 0
        buckets: list[tuple[str, float]] = []
        for bound, number in zip(bounds, self._buckets, strict=True):
            below += number
            buckets.append((bound, below))
        yield HistogramMetricFamily(
            "slicerhub_verify_seconds",
            "Time to answer Traefik, without waiting for its turn",
            buckets=buckets,
            sum_value=self._sum,
        )


class Gauge(Collector):
    """Numbers that are read at each scrape."""

    def __init__(
        self, name: str, words: str, labels: tuple[str, ...], read: Callable[[], Values]
    ) -> None:
        self._name, self._words, self._labels, self._read = name, words, labels, read

    def describe(self) -> Iterable[Metric]:
        """Tell the name without reading."""
        return [GaugeMetricFamily(self._name, self._words, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        family = GaugeMetricFamily(self._name, self._words, labels=self._labels)
        for values, number in self._read():
            family.add_metric(values, number)
        yield family


class GateMetrics:
    """All numbers of one process of a gate, in a registry of its own."""

    def __init__(self, *, fresh: Callable[[], bool], alone: Callable[[], bool]) -> None:
        """``fresh``: it may judge; ``alone``: it has no controller."""
        registry = self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        self._verdicts = Verdicts()
        registry.register(self._verdicts)
        for name, words, read in (
            ("slicerhub_gate_fresh", "Whether what the gate knows is fresh enough to judge", fresh),
            ("slicerhub_gate_alone", "Whether the gate answers without a controller", alone),
        ):
            registry.register(Gauge(name, words, (), lambda read=read: [((), float(read()))]))
        registry.register(
            Gauge(
                "slicerhub_gate_build_info",
                "Version of the running gate",
                ("version",),
                lambda: [((__version__,), 1)],
            )
        )

    def verified(self, status: int, seconds: float) -> None:
        """Count an answer of verify, and how long it took to make it."""
        self._verdicts.add(status, seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
