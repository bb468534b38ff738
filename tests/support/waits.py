"""Waiting for what happens: looks again and again, until a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import anyio
import pytest

T = TypeVar("T")

SHORTEST, LONGEST = 0.03, 0.3  # seconds between two looks
SETTLED = 10.0  # seconds within which a loop comes to rest
OUT_OF_STEP = 0.07  # seconds; 0.1 is no multiple of it


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


async def become(look: Callable[[], T | None], *, seconds: float = 30, what: str = "it") -> T:
    """Look again and again like ``until``, while the other tasks of this loop go on."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if seen := look():
            return seen
        await anyio.sleep(min(max(SHORTEST, waited / 10), LONGEST))
    pytest.fail(f"waited {seconds:.0f} s for {what}")


def until_steady(
    look: Callable[[], object], *, steady: float, seconds: float = 30, what: str = "it"
) -> None:
    """Look until it has been seen each time for so long; fail the test after so many seconds.

    For what is seen now because the news of a change have not come yet, and will be away for a
    moment when they do.
    """
    since = time.monotonic()

    def seen_for_long() -> bool:
        nonlocal since
        if not look():
            since = time.monotonic()
        return time.monotonic() - since >= steady

    until(seen_for_long, seconds=seconds, what=what)


async def settled() -> None:
    """Wait until no task of this loop can go on by itself; fail the test if that takes too long.

    ``wait_all_tasks_blocked`` looks once, and then every 0.1 s. That is also the pause between two
    probes of a session that starts: if both fall together once, they do so for ever. So it begins
    again out of step.
    """
    with anyio.fail_after(SETTLED):
        while True:
            with anyio.move_on_after(OUT_OF_STEP) as looking:
                await anyio.wait_all_tasks_blocked()
            if not looking.cancelled_caught:
                return
