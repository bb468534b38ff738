"""The two listeners, and an orderly end: no request is refused while the program stops.

Public (Traefik's way in): pages and API. Private (never routed by Traefik): verify, health and
metrics. Both listen in one process and one event loop.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol

import anyio
import structlog
import uvicorn
from litestar.types import ASGIApp

from controller.settings.schema import Settings

_log = structlog.get_logger("app")

# The three times of an end, after twice ``leave_seconds``. Their sum is less than the time after
# which the process is killed (compose.yaml, terminationGracePeriodSeconds).
_FINISH_SECONDS = 20.0  # for launches and stops that are under way

_SHUTDOWN_SECONDS = 3  # for open event streams; sessions run on

_LET_GO_SECONDS = 4.0  # until Traefik asks another controller, if there is one

_QUIET_SECONDS = 1.0  # without questions, after which Traefik asks no more

_UNVISITED_SECONDS = 3.0  # without requests, after which no more people come; there may be few


class Program(Protocol):
    """What is served."""

    @property
    def public(self) -> ASGIApp:
        """Return what Traefik routes people to."""
        ...

    @property
    def private(self) -> ASGIApp:
        """Return what only Traefik and the site's monitoring may ask."""
        ...

    async def run(self) -> None:
        """Do the work that no request starts, until cancelled."""
        ...

    def leave(self) -> None:
        """Report from now on that requests should go to other controllers."""
        ...

    async def finish(self, seconds: float) -> None:
        """Begin nothing new, and wait at most this long for what is under way."""
        ...

    async def aclose(self) -> None:
        """Close what is open; no more requests come."""
        ...


class _Server(uvicorn.Server):
    """A server that leaves signals to ``serve``, which must stop two of them."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _server(app: ASGIApp, settings: Settings, port: int) -> _Server:
    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType] - two spellings of ASGI's types
        host=settings.listen,
        port=port,
        log_config=None,
        access_log=False,  # Traefik keeps it
        server_header=False,
        proxy_headers=False,
        ws="none",  # no WebSocket ends here; a handshake is answered like a request
        lifespan="off",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        # Longer than Traefik keeps an idle connection (90 s). If the connection closes here while a
        # POST is on its way, the answer is 502, because a POST must not be sent twice.
        timeout_keep_alive=120,
    )
    return _Server(config)


class _Asked:
    """Notes when the last request came, so that the program answers until Traefik has moved on."""

    def __init__(self, app: ASGIApp, paths: str) -> None:
        """``paths``: beginnings of the paths that Traefik requests."""
        self._app = app
        self._paths = paths
        self._last = 0.0  # monotonic

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        if scope.get("path", "").startswith(self._paths):
            self._last = time.monotonic()
        await self._app(scope, receive, send)

    async def until_quiet(self, seconds: float, *, at_most: float) -> None:
        """Wait until no request has come for ``seconds``; with one controller they may go on."""
        with anyio.move_on_after(at_most):
            while time.monotonic() - self._last < seconds:  # noqa: ASYNC110
                await anyio.sleep(seconds / 10)


async def serve(program: Program, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Sessions go on without the controller.

    After a signal it reports for ``leave_seconds`` that it is leaving, and goes on answering; for
    up to twice as long if people are still sent here. Then it begins nothing new and finishes what
    is under way. The pages end after that, and the answers to Traefik last.
    """
    asked = _Asked(program.private, "/verify/")
    visited = _Asked(program.public, "/")
    public = _server(visited, settings, settings.public_port)
    private = _server(asked, settings, settings.private_port)
    closed = anyio.Event()

    async def serve_public() -> None:
        await public.serve()
        closed.set()

    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as work:
            work.start_soon(program.run)
            async with anyio.create_task_group() as listeners:
                listeners.start_soon(serve_public)
                listeners.start_soon(private.serve)
                _log.info("serving", instance=settings.instance, url=settings.public_url)
                if settings.demo:
                    _log.warning(
                        "demo_directory_in_use",
                        advice="Anyone can log in as alice, bob or carol. Set SLICERHUB_LDAP_URL.",
                    )
                async for received in signals:
                    _log.info("stopping", signal=received.name)
                    break
                # Traefik goes on sending those whose cookie names this controller, as long as it
                # is ready; one that closes its door first answers them 502.
                program.leave()
                if settings.leave_seconds:
                    await anyio.sleep(settings.leave_seconds)
                    # On a busy machine Traefik learns of it late.
                    most = settings.leave_seconds
                    await visited.until_quiet(_UNVISITED_SECONDS, at_most=most)
                await program.finish(_FINISH_SECONDS)
                public.should_exit = True
                await closed.wait()
                await asked.until_quiet(_QUIET_SECONDS, at_most=_LET_GO_SECONDS)
                private.should_exit = True
            work.cancel_scope.cancel()
    await program.aclose()
    _log.info("stopped", instance=settings.instance)
