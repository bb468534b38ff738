"""An event loop whose time passes only when nothing else is left to do, and its one thread.

Threads are replaced by turns in the loop, with a while before and after each: so the same seed
makes the same run, and an hour costs milliseconds.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")

LATENCY = 0.01  # seconds that a call to engine or store takes, half before and half after


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if found:
            return found
        assert timeout is not None, "nothing will ever happen again"
        self.now += max(0.0, timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop in simulated time."""

    def __init__(self) -> None:
        """Begin at some moment."""
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self) -> float:
        """Return simulated seconds."""
        return self._simulated.now


async def in_turn(work: Callable[..., T], *values: Any, **_: object) -> T:  # noqa: ANN401
    """Do what a thread would, in the loop. Not to be cancelled on the way, like a thread."""
    await anyio.lowlevel.checkpoint()
    with anyio.CancelScope(shield=True):
        await anyio.sleep(LATENCY / 2)
    try:
        return work(*values)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(LATENCY / 2)
