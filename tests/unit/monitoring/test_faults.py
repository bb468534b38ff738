"""What the hub follows can be left at any time, without a fault and without anything left over."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest

from controller.monitoring.faults import until_closed
from tests.support.waits import settled

pytestmark = pytest.mark.anyio


class Source:
    """Something to be followed, with a task that works for it."""

    def __init__(self) -> None:
        """Nobody follows it."""
        self.working = False

    async def _work(self) -> None:
        self.working = True
        try:
            await anyio.sleep_forever()
        finally:
            self.working = False

    async def follow(self) -> AsyncGenerator[int]:
        """Yield numbers."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._work)
            await settled()
            with until_closed(group):
                for number in range(100):
                    yield number


async def test_whoever_has_seen_enough_leaves_without_a_fault() -> None:
    """The hub ends, or follows anew, with no error in its log and no work that goes on unseen."""
    source = Source()
    numbers = source.follow()
    assert await anext(numbers) == 0
    assert source.working
    await numbers.aclose()
    assert not source.working


async def test_an_error_on_the_way_is_still_one() -> None:
    """What really goes wrong is not lost: it ends the work, and the reader hears of it."""
    source = Source()
    numbers = source.follow()
    assert await anext(numbers) == 0
    with pytest.raises(ExceptionGroup) as raised:
        await numbers.athrow(ValueError("broken"))
    assert [str(one) for one in raised.value.exceptions] == ["broken"]
    assert not source.working


async def test_what_comes_to_its_end_leaves_no_work() -> None:
    """A reader who is at the end waits for nothing more."""
    source = Source()
    assert [number async for number in source.follow()] == list(range(100))
    assert not source.working
