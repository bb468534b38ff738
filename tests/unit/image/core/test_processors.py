"""A session draws with as many threads as its limit carries, whatever the server has."""

from __future__ import annotations

from pathlib import Path

import pytest
from app.core.processors import count_processors

V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 64),
        ({"cpu.max": "what?"}, 64),
        ({V1[0]: "-1\n", V1[1]: "100000\n"}, 64),
        ({V1[0]: "300000\n", V1[1]: "100000\n"}, 3),
        ({V1[0]: "300000\n"}, 64),
        ({V1[0]: "300000\n", V1[1]: "0\n"}, 64),
    ],
)
def test_the_limit_counts(files: dict[str, str], processors: int, tmp_path: Path) -> None:
    """A limit of two processors is told as two in both versions of control groups; none as all."""
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="ascii")
    assert count_processors(tmp_path, 64) == processors
