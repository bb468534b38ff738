"""What the scripts in deploy/ tell people while they work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("before", range(3))
def test_progress_is_told_in_whole_characters(tmp_path: Path, before: int) -> None:
    """However long another program's progress bar is, nothing torn is shown of it."""
    log = tmp_path / "log"
    log.write_text("━" * 800 + "x" * before, "utf-8")  # more than is looked at
    shown = subprocess.run(
        ["bash", "-c", '. deploy/lib.sh; last_words "$1"', "bash", log],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    assert 90 <= len(shown) <= 100
    assert set(shown.decode().strip()) == {"━"}
