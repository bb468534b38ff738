"""Whether the program computes: how much processor time its processes took since the last look."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

# Half a core for seconds on end: a segmentation or a filter. An idle Slicer takes a few percent.
BUSY_CORES = 0.5


def parse_ticks(stat: str) -> int:
    """Clock ticks in user and kernel mode from the text of ``/proc/<pid>/stat`` (proc(5))."""
    # The name stands in parentheses and may hold anything, parentheses and spaces too.
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def read_ticks(proc: Path, without: Collection[int]) -> dict[int, int]:
    """The ticks of every process below ``proc`` (normally /proc) but these."""
    ticks: dict[int, int] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) in without:
            continue
        try:
            ticks[int(entry.name)] = parse_ticks((entry / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
    return ticks


def cores_used(before: Mapping[int, int], after: Mapping[int, int], seconds: float) -> float:
    """How many cores were in use on average; a process that is new counts from its start."""
    spent = sum(max(0, ticks - before.get(pid, 0)) for pid, ticks in after.items())
    return spent / os.sysconf("SC_CLK_TCK") / seconds if seconds > 0 else 0.0
