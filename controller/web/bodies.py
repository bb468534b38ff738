"""A request's body comes in within a few seconds, or the request ends.

Traefik hands on only what has come in whole (traefik/dynamic/limits.yml). Another way to the hub
may not, and whoever sends half of a form and waits must hold up nothing there either.
"""

from __future__ import annotations

from typing import Any

import anyio
from litestar.status_codes import HTTP_408_REQUEST_TIMEOUT
from litestar.types import ASGIApp

from controller.web.answers import HttpError

BODY_SECONDS = 10.0
"""For at most 64 KiB, from the request's first line on."""

_GONE = {"type": "http.disconnect"}


def timely(app: ASGIApp, *, seconds: float = BODY_SECONDS) -> ASGIApp:
    """Let ``app`` wait no longer than this for a request's body."""

    async def in_time(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        due = anyio.current_time() + seconds
        whole = late = answered = False

        async def receive_soon() -> Any:  # noqa: ANN401
            nonlocal whole, late
            if whole:
                return await receive()  # to hear that whoever asked has gone
            with anyio.CancelScope(deadline=due) as waiting:
                message = await receive()
                whole = not message.get("more_body", False)
                return message
            late = waiting.cancelled_caught
            if answered:
                return _GONE
            raise HttpError(HTTP_408_REQUEST_TIMEOUT)

        async def send_on(message: Any) -> None:  # noqa: ANN401
            nonlocal answered
            answered = True
            if late and message["type"] == "http.response.start":
                # The rest of the body is not waited for either.
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive_soon, send_on)

    return in_time
