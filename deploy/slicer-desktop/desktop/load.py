"""Whether the program computes: the processor time that it uses, and whether it waits for more."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

# Half a core for seconds on end: a segmentation or a filter. An idle Slicer takes a few percent.
BUSY_CORES = 0.5
# A computing program has a thread that runs or waits for a core in each of five samples. An idle
# program has one in hardly any, so three of five are no coincidence.
_SAMPLES, _MOST = 5, 3


class Sample(NamedTuple):
    """The state of the processes at one moment.

    ``ticks``: by process, of clock time in user and kernel mode since its start; ``runnable``:
    whether any thread runs or waits for a core.
    """

    ticks: Mapping[int, int]
    runnable: bool


def parse_stat(stat: str) -> tuple[str, int]:
    """State and ticks in user and kernel mode from the text of a ``stat`` file (proc(5))."""
    # The name stands in parentheses and may hold anything, parentheses and spaces too.
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[11]) + int(fields[12])


def sample_of(proc: Path, without: Collection[int]) -> Sample:
    """Read the state of every process below ``proc`` (normally /proc) but these."""
    ticks: dict[int, int] = {}
    runnable = False
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) in without:
            continue
        try:
            _, ticks[int(entry.name)] = parse_stat((entry / "stat").read_text())
            # One is enough. A program that computes has hundreds of threads.
            runnable = runnable or any(map(_is_runnable, (entry / "task").iterdir()))
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    return Sample(ticks, runnable)


def _is_runnable(thread: Path) -> bool:
    try:
        return parse_stat((thread / "stat").read_text())[0] == "R"
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return False


def cores_used(before: Sample, after: Sample, seconds: float) -> float:
    """How many cores were in use on average; a process that is new counts from its start."""
    spent = sum(max(0, ticks - before.ticks.get(pid, 0)) for pid, ticks in after.ticks.items())
    return spent / os.sysconf("SC_CLK_TCK") / seconds if seconds > 0 else 0.0


class Load:
    """Whether the program computes, by one sample after the other.

    Time used alone does not tell: on a full server a computation may get a tenth of a core, and
    its session would be stopped as one that nobody needs.
    """

    def __init__(self, first: Sample, at: float) -> None:
        """``at``: the time of the sample in seconds of a clock that never goes back."""
        self._last, self._at = first, at
        self._runnable = deque([False] * _SAMPLES, maxlen=_SAMPLES)

    def is_busy(self, now: Sample, at: float) -> bool:
        """Tell whether it computed since the last sample, or has long been waiting for a core."""
        used = cores_used(self._last, now, at - self._at)
        self._last, self._at = now, at
        self._runnable.append(now.runnable)
        return used >= BUSY_CORES or sum(self._runnable) >= _MOST
