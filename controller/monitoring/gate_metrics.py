"""Numbers of one process of a gate."""

from __future__ import annotations

from collections.abc import Callable

from controller import __version__
from controller.monitoring.verdicts import Verdicts


class GateMetrics:
    """All numbers of one process of a gate.

    Prometheus' client is loaded when they are asked for: that takes some 15 ms once, and most gates
    nobody asks.
    """

    def __init__(self, *, fresh: Callable[[], bool], alone: Callable[[], bool]) -> None:
        """``fresh``: it may judge; ``alone``: it has no controller."""
        self._fresh = fresh
        self._alone = alone
        self._verdicts = Verdicts()

    def verified(self, status: int, seconds: float) -> None:
        """Count an answer of verify, and how long it took to make it."""
        self._verdicts.add(status, seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        from controller.monitoring.collectors import Gauge, VerdictCollector, text_of

        fresh, alone = float(self._fresh()), float(self._alone())
        return text_of(
            (
                VerdictCollector(self._verdicts),
                Gauge(
                    "slicerhub_gate_fresh",
                    "Whether what the gate knows is fresh enough to judge",
                    (),
                    lambda: [((), fresh)],
                ),
                Gauge(
                    "slicerhub_gate_alone",
                    "Whether the gate answers without a controller",
                    (),
                    lambda: [((), alone)],
                ),
                Gauge(
                    "slicerhub_gate_build_info",
                    "Version of the running gate",
                    ("version",),
                    lambda: [((__version__,), 1)],
                ),
            )
        )
