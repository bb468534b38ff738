"""The cost of one check by verify, beside Go and a plain handler (``python -m bench.verify``).

Programs that answer on the loopback, asked in turn as Traefik asks:

- ``gate``: the gate's own protocol over the hub's verdict, in path mode;
- ``go``: the same verdict by a server of Go's on one processor, which verifies each token's EdDSA
  signature; ``go-hs256`` the same with HS256 (``verify.go``, built here);
- ``litestar``: a handler with dependency injection that verifies the token with PyJWT each time;
- ``uvicorn``: an ASGI function that always says 200, which is that server's own cost;
- ``bare``: the gate's protocol with an answer that is always 200, which is its own cost.

Processor time for each request depends least on what else the machine does.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
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
from controller.gate.answers import Answer, Headers, answer
from controller.gate.contract import AskFirst
from controller.gate.protocol import Listener, Verifying
from controller.gate.verify import Verify
from controller.people.tokens import Keys
from controller.sessions.gateway import OpenGateway
from controller.settings.schema import PATH_MODE
from controller.store.sqlite.store import SqliteStore
from controller.web.answers import closed_pages
from controller.web.render import Renderer
from tests.support.fakes.directory import FakeDirectory
from tests.support.hub import ORIGIN, RING
from tests.support.samples import settings

GO = {"go": "eddsa", "go-hs256": "hs256"}
KINDS = ("gate", *GO, "litestar", "uvicorn", "bare")
MEASURES = ("go", "go-hs256", "litestar")
TITLES = [text for one in MEASURES for text in (f"of {one}", "by CPU")]
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


async def nothing(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
    """Say 200."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Bare:
    """Says 200."""

    def __init__(self) -> None:
        """Make the answer."""
        self._answer = answer(200, {})

    def answer(self, path: str, headers: Headers) -> Answer:
        """See Verifying."""
        del path, headers
        return self._answer

    async def answer_after(self, asked: AskFirst, path: str, headers: Headers) -> Answer:
        """See Verifying."""
        del asked
        return self.answer(path, headers)


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


def hub_of() -> Application:
    """Return a hub over the memory engine."""
    configured = settings(public_url=ORIGIN, session_domain=PATH_MODE)
    return Application(
        configured,
        orchestrator=MemoryOrchestrator(configured),
        gateway=OpenGateway(),
        directory=FakeDirectory(),
        store=SqliteStore(":memory:"),
        keys=Keys(RING),
    )


def verify_of(hub: Application) -> Verify:
    """Return verify over this hub's memory."""
    return Verify(
        hub.settings,
        hub.sessions,
        hub.logins.proofs,
        hub.companions,
        entries=hub.handoffs,
        closed=closed_pages(Renderer(), hub.settings),
        metrics=hub.metrics,
    )


async def serve(kind: str, listener: socket.socket) -> None:
    """Serve one of those in Python until killed; print what it wants to be asked."""
    async with anyio.create_task_group() as group:
        app: Any = nothing
        verify: Verifying = Bare()
        question = Question("/verify/x", "")
        if kind == "litestar":
            app, question = plain_app()
        elif kind == "gate":
            hub = hub_of()
            group.start_soon(hub.run)
            verify, question = verify_of(hub), await hub_question(hub)
        if kind in {"gate", "bare"}:
            gc.collect()
            gc.freeze()  # as the gate does
            await Listener(verify, {}).start(listener)
            tell(question)
            await anyio.sleep_forever()
        tell(question)
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


def tell(question: Question) -> None:
    """Tell the parent what to ask."""
    print(json.dumps(question), flush=True)  # noqa: T201 - the parent reads it


def built(folder: str) -> str:
    """Compile the program in Go; return where it is."""
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        raise click.ClickException("go is missing. Install the package golang.")
    program = f"{folder}/verify"
    source = Path(__file__).with_suffix(".go")
    subprocess.run([go, "build", "-o", program, str(source)], check=True)
    return program


class Served(NamedTuple):
    """A served application."""

    url: str
    question: Question
    pid: int


@contextmanager
def served(kind: str, go: str) -> Generator[Served]:
    """Serve one of the kinds in a process of its own; ``go``: the program in Go."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [go, str(listener.fileno()), GO[kind]]
            if kind in GO
            else [sys.executable, "-m", "bench.verify", "--serve", kind, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env=os.environ | {"GOMAXPROCS": "1"},
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
        go = built(stack.enter_context(tempfile.TemporaryDirectory()))
        apps = {kind: stack.enter_context(served(kind, go)) for kind in KINDS}
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
        ["", "requests/s", "CPU us/answer", "p99 ms", *TITLES],
        [
            [
                kind,
                f"{middle[kind].rate:.0f}",
                f"{cost[kind]:.1f}",
                f"{middle[kind].p99:.1f}",
                *ratios(middle, cost, kind),
            ]
            for kind in KINDS
        ],
    )


def ratios(middle: Mapping[str, Load], cost: Mapping[str, float], kind: str) -> list[str]:
    """Return how many times as good as each measure something is: by rate, and by its cost."""
    return [
        text
        for one in MEASURES
        for text in (
            f"{middle[kind].rate / middle[one].rate:.2f}",
            f"{cost[one] / cost[kind]:.2f}",
        )
    ]


if __name__ == "__main__":
    main()
