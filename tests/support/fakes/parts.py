"""The parts of the sessions, without a hub around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controller.core.model import Observed, Person, SessionId, UserId
from controller.engines.memory import MemoryOrchestrator
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.sessions import Sessions
from controller.settings.loading import load
from controller.settings.schema import Settings
from tests.support.fakes.gateway import FakeGateway
from tests.support.fakes.records import Records
from tests.support.samples import session_id

ALICE = Person(UserId("alice"), "Alice Example", frozenset({"students"}))
BOB = Person(UserId("bob"), "Bob Example", frozenset())

CONFIGURATION = """
idle_seconds = 1800
[limits]
sessions_per_user = 2
sessions_total = 3
[profiles.slicer]
title = "Slicer"
image = "slicer"
default = true
endpoints = true
[profiles.lined]
title = "Lined"
image = "lined"
queue = true
max_sessions = 1
"""


def configured(more: str = "", **environ: str) -> Settings:
    """Return the settings of a small hub; ``limits_gpus="0"`` sets SLICERHUB_LIMITS_GPUS."""
    variables = {"SLICERHUB_ORCHESTRATOR": "memory", "SLICERHUB_CONFIG": "there"}
    variables |= {f"SLICERHUB_{name.upper()}": value for name, value in environ.items()}
    found, _ = load(variables, lambda _: CONFIGURATION + more)
    return found


class Parts:
    """The sessions of one controller; the test lets time pass, and tells what the engine shows."""

    def __init__(self, settings: Settings | None = None, store: Records | None = None) -> None:
        """Begin before the first snapshot. ``store``: another one's, too."""
        self.settings = settings or configured()
        self.seconds = 1000.0  # monotonic
        self.now = datetime(2026, 3, 5, 14, 5, tzinfo=UTC)
        self.leading = True
        self.made = 0
        self.metrics = Metrics()
        self.audit = Audit(self.settings.audit, self.metrics, wall=self.epoch)
        self.store = store or Records()
        self.engine = MemoryOrchestrator(self.settings)
        self.gateway = FakeGateway()
        self.grants = Grants(wall=self.epoch)
        self.grant_records = GrantRecords(self.grants, self.store, wall=self.epoch)
        self.sessions = Sessions(
            self.settings,
            self.engine,
            self.gateway,
            self.store,
            grants=self.grants,
            audit=self.audit,
            metrics=self.metrics,
            clock=lambda: self.seconds,
            wall=lambda: self.now,
            leads=lambda: self.leading,
            new_id=self._mint,
        )
        self.registry = self.sessions.registry

    def _mint(self) -> SessionId:
        self.made += 1
        return session_id(self.made)

    def epoch(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now.timestamp()

    def spend(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)

    def show(self, *observed: Observed) -> None:
        """Let the engine show these sessions, and no others."""
        self.sessions._following._take(observed)  # pyright: ignore[reportPrivateUsage] - what its watch gives
