"""From the request to the first page, beside a bare ``docker run`` (``python -m bench.start``).

Both start the same image with the same limits on the same volume in an internal network. The hub's
time runs from sending POST /api/v1/sessions to the first 200 of /-/ready through Traefik, asked as
soon as the session's events tell that it is ready, as the progress page does; the bare one from
calling ``docker run`` to the first 200 of /-/ready at the container's address, asked again and
again. The network of the bare start is there before, the hub makes one: that is its own work.
"""

from __future__ import annotations

import http.client
import secrets
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import click
import docker
from bench.measure import machine, table
from docker import DockerClient
from e2e.stack import URL, Member, container_of, session_url

USER = "bob"
PROFILE = "slicer"
READY = "/-/ready"
PORT = 8080
DEADLINE = 180.0  # seconds
_POLL = 0.02  # seconds


def wait_for_200(host: str, port: int, path: str, headers: dict[str, str], since: float) -> float:
    """Ask until the answer is 200; return the seconds since ``since``."""
    while time.monotonic() - since < DEADLINE:
        connection = http.client.HTTPConnection(host, port, timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return time.monotonic() - since
        except OSError:
            pass  # nobody listens yet
        finally:
            connection.close()
        time.sleep(_POLL)
    raise click.ClickException(f"{path} was not there after {DEADLINE:.0f} s")


class Hub:
    """Starts by the hub."""

    def __init__(self, member: Member) -> None:
        """Launch as this person."""
        self._member = member
        parts = urlsplit(URL)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._headers = {"Authorization": f"Bearer {member.token}"}

    def start(self, number: int) -> float:
        """Launch one and wait until it is served; return seconds."""
        since = time.monotonic()
        answer = self._member.api.post(
            "/api/v1/sessions", json={"profile": PROFILE, "name": f"bench {number}"}
        )
        answer.raise_for_status()
        session_id: str = answer.json()["id"]
        events = f"/api/v1/sessions/{session_id}/events"
        with self._member.api.stream("GET", events, timeout=DEADLINE) as told:
            for line in told.iter_lines():
                if '"phase":"failed"' in line:
                    raise click.ClickException(f"{session_id} failed: {line}")
        place = urlsplit(session_url(session_id))
        headers = self._headers | {"Host": place.netloc}
        path = place.path.rstrip("/") + READY
        return wait_for_200(self._host, self._port, path, headers, since)

    def clear(self) -> None:
        """Stop all and wait until they are gone."""
        self._member.stop_all()


class Bare:
    """Starts by ``docker run`` with what the hub gave to one of its own sessions."""

    def __init__(self, engine: DockerClient, network: str, like: dict[str, Any]) -> None:
        """``like``: the engine's description of a session of the hub."""
        self._engine = engine
        self._network = network
        self._names: list[str] = []
        self._words = words_for(like)

    def start(self, number: int) -> float:
        """Start one and wait until it answers; return seconds."""
        name = f"{self._network}-{number}"
        self._names.append(name)
        since = time.monotonic()
        subprocess.run(
            ["docker", "run", "--detach", "--name", name, "--network", self._network, *self._words],
            check=True,
            capture_output=True,
        )
        seen: Any = self._engine.containers.get(name).attrs
        address: str = seen["NetworkSettings"]["Networks"][self._network]["IPAddress"]
        return wait_for_200(address, PORT, READY, {}, since)

    def clear(self) -> None:
        """Remove all."""
        if self._names:
            subprocess.run(
                ["docker", "rm", "--force", *self._names], check=True, capture_output=True
            )
        self._names = []


def words_for(like: dict[str, Any]) -> list[str]:
    """Return the words of ``docker run`` that make a container like this one of the engine's."""
    host, config = like["HostConfig"], like["Config"]
    named = {
        "--user": config["User"],
        "--memory": host["Memory"],
        "--memory-swap": host["MemorySwap"],
        "--cpu-period": host["CpuPeriod"],
        "--cpu-quota": host["CpuQuota"],
        "--pids-limit": host["PidsLimit"],
        "--shm-size": host["ShmSize"],
        "--log-driver": host["LogConfig"]["Type"],
    }
    words = [f"{name}={value}" for name, value in named.items()]
    words += [f"--cap-drop={one}" for one in host["CapDrop"]]
    words += [f"--security-opt={one}" for one in host["SecurityOpt"]]
    words += [f"--log-opt={name}={value}" for name, value in host["LogConfig"]["Config"].items()]
    words += [f"--tmpfs={path}:{options}" for path, options in host["Tmpfs"].items()]
    words += [f"--env={one}" for one in config["Env"]]
    words += [f"--volume={one['Name']}:{one['Destination']}" for one in like["Mounts"]]
    if host["ReadonlyRootfs"]:
        words.append("--read-only")
    return [*words, "--no-healthcheck", config["Image"]]


@contextmanager
def internal_network() -> Generator[str]:
    """Make a network without a way out; it is gone afterwards."""
    name = f"slicerhub-bench-{secrets.token_hex(4)}"
    subprocess.run(
        ["docker", "network", "create", "--internal", name], check=True, capture_output=True
    )
    try:
        yield name
    finally:
        subprocess.run(["docker", "network", "rm", name], check=True, capture_output=True)


def at_once(way: Hub | Bare, number: int) -> list[float]:
    """Start so many at the same moment; return each one's seconds. All are gone afterwards."""
    barrier = Barrier(number)

    def one(index: int) -> float:
        barrier.wait()
        return way.start(index)

    try:
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(one, range(number)))
    finally:
        way.clear()


def row(what: str, hub: Sequence[float], bare: Sequence[float]) -> list[str]:
    """Return a line of the table from the rounds' seconds."""
    of_hub, of_bare = median(hub), median(bare)
    return [
        what,
        f"{of_hub:.2f}",
        f"{of_bare:.2f}",
        f"{of_hub / of_bare:.2f}",
        f"{(of_hub - of_bare) * 1000:+.0f}",
    ]


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is measured.")
@click.option("--together", default=4, show_default=True, help="How many start at once.")
def main(rounds: int, together: int) -> None:
    """Measure on the running stack, in turn; the first round of each only warms up."""
    before = machine()
    engine = docker.from_env()
    member = Member(USER)
    member.stop_all()
    like = container_of(engine, member.launch(PROFILE, "bench like this")["id"]).attrs
    member.stop_all()
    hub = Hub(member)
    seen: dict[tuple[int, str], list[list[float]]] = {}
    with internal_network() as network:
        bare = Bare(engine, network, like)
        for turn in range(rounds + 1):
            for number in (1, together):
                ways: list[tuple[str, Hub | Bare]] = [("hub", hub), ("bare", bare)]
                for name, way in ways if turn % 2 else reversed(ways):
                    seconds = at_once(way, number)
                    click.echo(
                        f"round {turn} {name:4} {number}: "
                        + " ".join(f"{one:.2f}" for one in sorted(seconds))
                    )
                    if turn:
                        seen.setdefault((number, name), []).append(seconds)
    member.leave()
    engine.close()

    def of(number: int, name: str, pick: Callable[[list[float]], float]) -> list[float]:
        return [pick(one) for one in seen[number, name]]

    table(
        f"Start to first 200, seconds, medians of {rounds} rounds "
        f"(before: {before}; after: {machine()})",
        ["", "hub", "docker run", "ratio", "ms more"],
        [
            row("one alone", of(1, "hub", max), of(1, "bare", max)),
            row(f"{together} at once, each", *(of(together, n, median) for n in ("hub", "bare"))),
            row(f"{together} at once, last", *(of(together, n, max) for n in ("hub", "bare"))),
        ],
    )


if __name__ == "__main__":
    main()
