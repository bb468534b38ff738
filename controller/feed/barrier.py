"""No answer of the hub says what a gate does not know yet.

Who has just logged in, was invited, or reads that a session is ready, must get in with the next
request; and who reads that somebody is out, that they are. So each answer waits until the gates
have confirmed what counts by now: a millisecond, as a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar.types import ASGIApp

from controller.feed.gates import Gates

WAIT_SECONDS = 0.5
"""At most: a gate that stands still must not hold up the pages. Nothing wrong follows from it: such
a gate denies, or sends people back here."""


def behind_gates(app: ASGIApp, publish: Callable[[], int], gates: Gates) -> ASGIApp:
    """Let each part of an answer of ``app`` wait for the gates."""

    async def waiting(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        async def send_after(message: Any) -> None:  # noqa: ANN401
            number = publish()
            if gates.to_be_told(number):
                await gates.until_told(number, WAIT_SECONDS)
            await send(message)

        await app(scope, receive, send_after)

    return waiting
