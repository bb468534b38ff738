"""How many processors this session may use.

Libraries count those of the server. With its 64 and a limit of two, 64 threads use up the time that
the limit gives in each tenth of a second at once, and then nothing runs until the next one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_QUOTA_V2 = "cpu.max"
_QUOTA_V1 = "cpu/cpu.cfs_quota_us"
_PERIOD_V1 = "cpu/cpu.cfs_period_us"


def count_processors(cgroup: Path, available: int) -> int:
    """The processors that the engine's limit gives, at most ``available``; at least one.

    ``cgroup``: where the control groups are mounted (of version 1 or 2).
    """
    quota = _read_quota(lambda name: (cgroup / name).read_text(encoding="ascii"))
    return available if quota is None else max(1, min(available, math.ceil(quota)))


def _read_quota(read: Callable[[str], str]) -> float | None:
    """Processors, as a part; None if there is no limit, or it is told in no known way."""
    try:
        words = read(_QUOTA_V2).split()
    except OSError:
        try:
            words = [read(_QUOTA_V1), read(_PERIOD_V1)]
        except OSError:
            return None
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # "max"
        return None
    return quota / period if quota > 0 and period > 0 else None
