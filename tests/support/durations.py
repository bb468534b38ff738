"""Where the time of a run goes: what each test and each step took, and how much of it was work.

As a plugin of pytest it writes a line for each test to ``<folder>/<part>-<process>.jsonl``; the
folder is named by SLICERHUB_DURATIONS, and without it nothing is written. The command that runs
all parts adds its steps (``steps.jsonl``) and writes ``durations.md`` (`tests.support.report`).
"""

from __future__ import annotations

import os
import resource
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from tests.support import choice


class TestTime(msgspec.Struct, frozen=True):
    """What one test took, in seconds."""

    __test__ = False  # pytest looks for classes of that name

    part: str
    test: str
    outcome: str  # passed, failed or skipped
    setup: float  # until it could begin: its fixtures
    call: float
    teardown: float
    computing: float  # of the tests' own processes; engine, sessions and browsers are not theirs
    extra: bool = False  # a short run took it for its quarter

    @property
    def total(self) -> float:
        """Return seconds from its first fixture to the end of its last."""
        return self.setup + self.call + self.teardown


class StepTime(msgspec.Struct, frozen=True):
    """What one step of a lane took, in seconds."""

    lane: str
    step: str
    began: float  # after the start of the run
    took: float
    computing: float
    ok: bool


def computed() -> float:
    """Return seconds of CPU that this process and those that it has waited for have used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


class Stopwatch:
    """Pytest's plugin: times each test in the process that runs it."""

    def __init__(self, folder: Path, part: str) -> None:
        """``part``: of deploy/test, as it stands in the table."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{part}-{os.getpid()}.jsonl"
        self._part = part
        self._phases: dict[str, float] = {}
        self._outcome = "passed"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Time one test with all its fixtures."""
        self._phases, self._outcome = {}, "passed"
        before = computed()
        answer = yield
        phases = self._phases
        line = TestTime(
            self._part,
            item.nodeid,
            self._outcome,
            phases.get("setup", 0),
            phases.get("call", 0),
            phases.get("teardown", 0),
            computed() - before,
            choice.is_extra(item),
        )
        with self._file.open("ab") as out:
            out.write(msgspec.json.encode(line) + b"\n")
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note how long a phase took, and the worst that came of any."""
        report = yield
        self._phases[call.when] = call.duration
        if report.outcome == "failed" or (
            report.outcome == "skipped" and self._outcome == "passed"
        ):
            self._outcome = report.outcome
        return report


def pytest_configure(config: pytest.Config) -> None:
    """Time the tests of this process, if somebody wants to know and it runs any itself."""
    folder = os.environ.get("SLICERHUB_DURATIONS")
    hands_on = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if folder and not hands_on:
        part = os.environ.get("SLICERHUB_TEST_PART", "by-hand")
        config.pluginmanager.register(Stopwatch(Path(folder), part), "stopwatch")
