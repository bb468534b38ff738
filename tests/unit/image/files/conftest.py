"""A person's volume."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A person's volume."""
    (tmp_path / "files").mkdir()
    return tmp_path
