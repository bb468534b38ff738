"""How numbers that are kept here are told to Prometheus' client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from controller.monitoring.verdicts import BOUNDS, Verdicts

Values = Iterable[tuple[tuple[str, ...], float]]  # a number for each set of labels


class VerdictCollector(Collector):
    """Answers of verify and their times."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        answers = CounterMetricFamily(
            "slicerhub_verify_answers", "Answers to Traefik, by status", labels=["status"]
        )
        for status, number in self._verdicts.statuses.items():
            answers.add_metric([str(status)], number)
        yield answers
        bounds = [*map(str, BOUNDS), "+Inf"]
        below = 0
        buckets: list[tuple[str, float]] = []
        for bound, number in zip(bounds, self._verdicts.buckets, strict=True):
            below += number
            buckets.append((bound, below))
        yield HistogramMetricFamily(
            "slicerhub_verify_seconds",
            "Time to answer Traefik, without waiting for its turn",
            buckets=buckets,
            sum_value=self._verdicts.seconds,
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


def text_of(collectors: Iterable[Collector]) -> bytes:
    """Return these numbers, and those of this process, as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    for one in collectors:
        registry.register(one)
    return generate_latest(registry)
