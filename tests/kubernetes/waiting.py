"""Waits as long as a machine may take that is busy with other things."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tests.support import waits

T = TypeVar("T")

SECONDS = 120.0


def until(look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """Look again and again until something is seen; fail the test after so many seconds."""
    return waits.until(look, seconds=seconds, what=what)
