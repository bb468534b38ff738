"""Limits the time for a request's body: if it is not complete in a few seconds, the request ends.

Traefik passes on complete bodies only (traefik/dynamic/limits.yml). Another proxy may not, and a
client that sends half of a form and waits must not block anything there, either.
"""

from __future__ import annotations

from typing import Any

import anyio
from litestar.status_codes import HTTP_408_REQUEST_TIMEOUT
from litestar.types import ASGIApp

from controller.core.errors import HttpError

BODY_SECONDS = 10.0
"""Seconds for a body of at most 64 KiB, from the request's first line on."""

_GONE = {"type": "http.disconnect"}


def timely(app: ASGIApp, *, seconds: float = BODY_SECONDS) -> ASGIApp:
    """Let ``app`` wait no longer than this for a request's body."""

    async def in_time(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        due = anyio.current_time() + seconds
        whole = late = answered = False

        async def receive_soon() -> Any:  # noqa: ANN401
            nonlocal whole, late
            if whole:
                return await receive()  # to learn that the client has gone
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
