"""Whether a full desktop computes: also where the server is full and lets it hardly compute."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path, PosixPath
from typing import ClassVar

import pytest
from desktop.load import Load, Sample, sample_of

SECONDS = 2.0  # between two samples
TICKS = os.sysconf("SC_CLK_TCK")


def told(samples: list[tuple[float, bool]]) -> list[bool]:
    """Return what is told at each sample: cores used since the last, whether one is wanted."""
    load, spent, answers = Load(Sample({7: 0}, runnable=False), 0.0), 0.0, list[bool]()
    for number, (cores, runnable) in enumerate(samples, 1):
        spent += cores * SECONDS * TICKS
        answers.append(load.is_busy(Sample({7: int(spent)}, runnable), number * SECONDS))
    return answers


@pytest.mark.parametrize(
    ("samples", "answers"),
    [
        ([(0.04, False)] * 4, [False] * 4),
        ([(1.0, True), (1.0, True), (0.02, False)], [True, True, False]),
        # A full server: a tenth of a core is all that it gets, and it wants more all the time.
        ([(0.1, True)] * 4, [False, False, True, True]),
        ([(0.1, True)] * 5 + [(0.02, False)] * 3, [False] * 2 + [True] * 5 + [False]),
        # An idle one is met at work now and then.
        ([(0.04, True), (0.04, False), (0.04, False)] * 3, [False] * 9),
    ],
    ids=["idle", "computes", "wants to compute", "computed", "blinks"],
)
def test_busy(samples: list[tuple[float, bool]], answers: list[bool]) -> None:
    """A computation counts whether or not the server lets it have a core, and an idle one not."""
    assert told(samples) == answers


def write_process(proc: Path, pid: int, threads: list[str], *, ticks: tuple[int, int]) -> None:
    """Write what the kernel tells of a process, with threads in these states."""
    for number, state in enumerate(threads):
        task = proc / str(pid) / "task" / str(pid + number)
        task.mkdir(parents=True)
        (task / "stat").write_text(stat(pid + number, state, (0, 0)))
    (proc / str(pid) / "stat").write_text(stat(pid, threads[0], ticks))


def stat(number: int, state: str, ticks: tuple[int, int]) -> str:
    """Return a ``stat`` file of a program whose name is as odd as a name may be."""
    return f"{number} (a ) R (b) {state} 1 1 1 0 -1 0 0 0 0 0 {ticks[0]} {ticks[1]} 0 0 20 0 1\n"


def test_what_is_looked_at(tmp_path: Path) -> None:
    """All threads of all processes count but those of the desktop itself; names may be odd."""
    write_process(tmp_path, 1, ["R"], ticks=(900, 9))
    write_process(tmp_path, 40, ["S", "S"], ticks=(3, 4))
    (tmp_path / "self").mkdir()
    (tmp_path / "99").mkdir()  # ended before it could be read
    assert sample_of(tmp_path, {1}) == Sample({40: 7}, runnable=False)
    write_process(tmp_path, 60, ["S", "D", "R"], ticks=(1, 0))
    assert sample_of(tmp_path, {1}) == Sample({40: 7, 60: 1}, runnable=True)


class Listed(PosixPath):
    """A folder that notes whose threads are listed."""

    of: ClassVar[list[str]] = []

    def iterdir(self) -> Generator[Listed]:
        """List what is in it."""
        if self.name == "task":
            self.of.append(self.parent.name)
        yield from super().iterdir()


def test_one_thread_that_runs_is_enough(tmp_path: Path) -> None:
    """Measuring a program of many processes leaves it its processors: the first that runs tells."""
    for pid in (20, 40, 60):
        write_process(tmp_path, pid, ["R", "R"], ticks=(1, 0))
    assert sample_of(Listed(tmp_path), ()) == Sample({20: 1, 40: 1, 60: 1}, runnable=True)
    assert len(Listed.of) == 1


def test_this_process_is_met_at_work() -> None:
    """The real kernel is understood: the process that reads is running."""
    seen = sample_of(Path("/proc"), ())
    assert seen.runnable
    assert seen.ticks[os.getpid()] >= 0
