"""The cost of one check by verify, beside a plain handler (``python -m bench.verify``).

Three applications under the same server, asked in turn as Traefik asks. ``hub``: the controller's
private listener, in path mode. ``litestar``: a handler with dependency injection that verifies the
token with PyJWT each time. ``bare``: an ASGI function that always says 200, which is the server's
own cost. Processor time for each request depends least on what else the machine does.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from statistics import median
from typing import Any, NamedTuple

import anyio
import click
import httpx
import jwt
import structlog
import uvicorn
from bench.measure import CONNECTIONS, Load, cpu_seconds, machine, table, wrk
from litestar import Litestar, Request, Response, get
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException

from controller.app import Application
from controller.engines.memory import MemoryOrchestrator
from controller.people.tokens import Keys
from controller.sessions.gateway import OpenGateway
from controller.settings.schema import PATH_MODE
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.directory import FakeDirectory
from tests.support.hub import ORIGIN, RING
from tests.support.samples import settings

KINDS = ("hub", "litestar", "bare")
COOKIE = "login"
KEY = bytes.fromhex(RING.keys[0].secret)
_BEGIN_SECONDS = 20
_WARM_SECONDS = 1


class Question(NamedTuple):
    """What a served application wants to be asked."""

    path: str
    cookie: str

    def headers(self) -> list[str]:
        """Return what Traefik sends along with a browser's navigation."""
        return [
            "X-Forwarded-Method: GET",
            "X-Forwarded-Uri: /s/x/",
            "X-Forwarded-Host: localhost:8080",
            "X-Forwarded-Proto: http",
            "X-Forwarded-For: 10.0.0.1",
            "Accept: text/html,application/xhtml+xml",
            f"Cookie: {self.cookie}",
        ]


async def bare(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
    """Say 200."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def claims_of(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return what the log-in cookie proves."""
    try:
        return jwt.decode(  # pyright: ignore[reportUnknownMemberType] - keys of a package not here
            request.cookies.get(COOKIE, ""), KEY, algorithms=["HS256"], audience=COOKIE
        )
    except jwt.InvalidTokenError as error:
        raise NotAuthorizedException from error


@get("/verify/{session_id:str}", sync_to_thread=False)
def plain(session_id: str, claims: dict[str, Any]) -> Response[bytes]:
    """Let the session's owner pass."""
    if claims["session"] != session_id:
        raise NotAuthorizedException
    return Response(b"", headers={"X-Slicerhub-User": claims["sub"], "X-Slicerhub-Role": "owner"})


def plain_app() -> tuple[Litestar, Question]:
    """Make the plain handler's application."""
    claims = {"sub": "alice", "session": "x", "aud": COOKIE, "exp": time.time() + 3600}
    token = jwt.encode(claims, KEY, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType]
    app = Litestar(
        [plain],
        dependencies={"claims": Provide(claims_of, sync_to_thread=False)},
        openapi_config=None,
        logging_config=None,
    )
    return app, Question("/verify/x", f"{COOKIE}={token}")


async def hub_question(app: Application) -> Question:
    """Log in at a running hub and launch a session there."""
    while not app.sessions.ready:  # noqa: ASYNC110 - what is waited for has no event
        await anyio.sleep(0.01)
    public: Any = app.public
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(public),
        base_url=ORIGIN,
        headers={"Origin": ORIGIN, "X-Real-Ip": "10.0.0.1"},
    ) as client:
        alice = {"username": "alice", "password": "alice"}
        login = await client.post("/login", data=alice)
        if not login.is_redirect:
            login.raise_for_status()
        answer = await client.post("/api/v1/login", json=alice)
        token = answer.raise_for_status().json()["token"]
        answer = await client.post(
            "/api/v1/sessions", json={}, headers={"Authorization": f"Bearer {token}"}
        )
        session_id = answer.raise_for_status().json()["id"]
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return Question(f"/verify/{session_id}", cookie)


async def serve(kind: str, listener: socket.socket) -> None:
    """Serve one of the three until killed; print what it wants to be asked."""
    async with anyio.create_task_group() as group:
        app: Any = bare
        question = Question("/verify/x", "")
        if kind == "litestar":
            app, question = plain_app()
        elif kind == "hub":
            configured = settings(public_url=ORIGIN, session_domain=PATH_MODE)
            hub = Application(
                configured,
                orchestrator=MemoryOrchestrator(configured),
                gateway=OpenGateway(),
                directory=FakeDirectory(),
                store=SqliteStore(":memory:"),
                keys=Keys(RING),
            )
            group.start_soon(hub.run)
            app, question = hub.private, await hub_question(hub)
        print(json.dumps(question), flush=True)  # noqa: T201 - the parent reads it
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
        )
        await uvicorn.Server(config).serve(sockets=[listener])


class Served(NamedTuple):
    """A served application."""

    url: str
    question: Question
    pid: int


@contextmanager
def served(kind: str) -> Generator[Served]:
    """Serve one of the three in a process of its own."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-m", "bench.verify", "--serve", kind, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=said,
        ) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                process.wait()
                said.seek(0)
                raise click.ClickException(f"{kind} did not begin:\n{said.read().decode()}")
            question = Question(*json.loads(line))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}{question.path}"
            wait_for_200(url, question)
            yield Served(url, question, process.pid)
        finally:
            process.terminate()


def wait_for_200(url: str, question: Question) -> None:
    """Ask until the answer is 200."""
    headers = dict(line.split(": ", 1) for line in question.headers())
    deadline = time.monotonic() + _BEGIN_SECONDS
    status = 0
    while status != HTTPStatus.OK:
        if time.monotonic() > deadline:
            raise click.ClickException(f"{url} answers {status}")
        try:
            status = httpx.get(url, headers=headers, trust_env=False).status_code
        except httpx.TransportError:
            status = -1


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is measured.")
@click.option("--seconds", default=3, show_default=True, help="How long each time.")
@click.option("--serve", "child", type=(str, int), hidden=True)
def main(rounds: int, seconds: int, child: tuple[str, int] | None) -> None:
    """Measure on the loopback, in turn."""
    if child:
        kind, handle = child
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        anyio.run(serve, kind, socket.socket(fileno=handle), backend_options={"use_uvloop": True})
        return
    before = machine()
    loads: dict[str, list[Load]] = {kind: [] for kind in KINDS}
    costs: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        apps = {kind: stack.enter_context(served(kind)) for kind in KINDS}
        for app in apps.values():
            wrk(app.url, app.question.headers(), seconds=_WARM_SECONDS)
        for _ in range(rounds):
            for kind, app in apps.items():
                used = cpu_seconds(app.pid)
                load = wrk(app.url, app.question.headers(), seconds=seconds)
                costs[kind].append((cpu_seconds(app.pid) - used) / load.requests * 1e6)
                loads[kind].append(load)
    middle = {kind: Load.middle(loads[kind]) for kind in KINDS}
    cost = {kind: median(costs[kind]) for kind in KINDS}
    table(
        f"verify alone, {CONNECTIONS} connections, medians of {rounds} rounds of {seconds} s "
        f"(before: {before}; after: {machine()})",
        ["", "requests/s", "of litestar", "CPU us/request", "litestar's CPU / own", "p99 ms"],
        [
            [
                kind,
                f"{middle[kind].rate:.0f}",
                f"{middle[kind].rate / middle['litestar'].rate:.2f}",
                f"{cost[kind]:.1f}",
                f"{cost['litestar'] / cost[kind]:.2f}",
                f"{middle[kind].p99:.1f}",
            ]
            for kind in KINDS
        ],
    )


if __name__ == "__main__":
    main()
