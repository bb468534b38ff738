"""What the tests wait with comes to an end."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from tests.support.waits import settled

pytestmark = pytest.mark.anyio

IN_STEP = 0.1  # seconds, as often as anyio looks


async def test_a_loop_in_step_does_not_keep_the_waiting_from_its_end() -> None:
    """A test goes on although something wakes up exactly as often as it is looked at."""

    async def wake_up(after: int) -> None:
        for _ in range(after):  # so that some of them are seen at work, and begin right after that
            await anyio.lowlevel.checkpoint()
        while True:  # noqa: ASYNC110 - it is what is meant: nothing to wait for
            await anyio.sleep(IN_STEP)

    async with anyio.create_task_group() as group:
        for after in range(10):
            group.start_soon(wake_up, after)
        await settled()
        group.cancel_scope.cancel()
