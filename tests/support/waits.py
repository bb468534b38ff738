"""Waiting for what happens: looks again and again, until a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

SHORTEST, LONGEST = 0.03, 0.3  # seconds between two looks


def until(look: Callable[[], T | None], *, seconds: float = 30, what: str = "it") -> T:
    """Look again and again until something is seen; fail the test after so many seconds.

    The longer it takes, the longer the pauses: what is asked computes for each answer, and beside
    it runs what is waited for.
    """
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        seen = look()
        if seen:
            return seen
        time.sleep(min(max(SHORTEST, waited / 10), LONGEST))
    pytest.fail(f"waited {seconds:.0f} s for {what}")
