"""An authenticated page through Traefik, beside the same without (``python -m bench.front_door``).

One small server of static answers stands behind a Traefik with the settings of the running stack's,
which itself routes nothing but sessions and companions. Sixteen ``shut`` routers have the
middlewares of a real session of the hub, each by another of the gates' addresses, as sixteen
people's sessions have; sixteen ``open`` ones only strip the prefix. With ``--addresses 1``
everybody works in one session. Asked at Traefik's own address, so that no forwarder of the engine
is between. New connections to verify are those that the gates' kernels count as accepted.
"""

from __future__ import annotations

import io
import re
import secrets
import subprocess
import tarfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import click
import docker
import httpx
from bench.measure import CONNECTIONS, Load, machine, table, wrk
from docker import DockerClient
from e2e.stack import INSTANCE, Member, container_of, part, place_of

from controller.rules.routes import VERIFY_ALIASES
from tests.support.inside import inside

USER = "bob"
PROFILE = "echo"
SERVER = "slicerhub/engine-proxy:0.1.0"  # holds HAProxy
EDGE = f"{INSTANCE}_edge"
PORT = 8080
TRAEFIK_FOLDER = "/etc/slicerhub/traefik"
MARK = "slicerhub.bench"
_ROUTED_SECONDS = 20

# One KiB, the size of a small answer of a desktop's page.
HAPROXY = f"""
defaults
    mode http
    timeout client 60s
    timeout connect 5s
    timeout server 60s
frontend page
    bind :{PORT}
    http-request return status 200 content-type text/plain string "{"x" * 1024}"
"""


def labels_for(like: dict[str, str], session_id: str, name: str, addresses: int) -> dict[str, str]:
    """Return the labels of a container that stands behind the routers.

    ``like``: the labels of a real session, whose forwardAuth is taken over under other names.
    """
    strip = f"{name}-strip"
    found = {
        MARK: name,
        "slicerhub.instance": INSTANCE,  # else no Traefik is told of it
        "traefik.enable": "true",
        "traefik.docker.network": EDGE,
        f"traefik.http.middlewares.{strip}.stripprefixregex.regex": f"^/{name}/[a-z]+/[0-9]+",
        f"traefik.http.services.{name}.loadbalancer.server.port": str(PORT),
    }
    old = f"traefik.http.middlewares.{session_id}-auth."
    for number in range(addresses):
        auth = f"{name}-auth-{number}"
        found |= {
            key.replace(old, f"traefik.http.middlewares.{auth}."): re.sub(
                r"//verify-\d+:", f"//verify-{number}:", value
            )
            for key, value in like.items()
            if key.startswith(old)
        }
        for way, chain in (("open", strip), ("shut", f"{auth},{strip}")):
            router = f"traefik.http.routers.{name}-{way}-{number}"
            found |= {
                f"{router}.entrypoints": "web",
                f"{router}.rule": f"PathPrefix(`/{name}/{way}/{number}/`)",
                f"{router}.priority": "2000",
                f"{router}.service": name,
                f"{router}.middlewares": chain,
            }
    return found


@contextmanager
def page_server(engine: DockerClient, labels: dict[str, str], name: str) -> Generator[None]:
    """Run the server of static answers; it is gone afterwards."""
    container = engine.containers.create(
        SERVER,
        entrypoint=["haproxy", "-db", "-f", "/tmp/page.cfg"],  # noqa: S108 - in the container
        name=name,
        labels=labels,
        network=EDGE,
    )
    try:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("page.cfg")
            entry.size, entry.mode = len(HAPROXY), 0o644
            archive.addfile(entry, io.BytesIO(HAPROXY.encode()))
        container.put_archive("/tmp", packed.getvalue())  # pyright: ignore[reportUnknownMemberType]  # noqa: S108
        container.start()
        yield
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def routing_only(name: str, folder: Iterable[bytes]) -> bytes:
    """Return an archive of Traefik's settings, by which it routes what is marked with ``name``."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(b"".join(folder))) as found,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for entry in found:
            file = found.extractfile(entry) if entry.isfile() else None
            content = file.read() if file else b""
            if entry.name == "traefik/traefik.yml":
                mine = f"constraints: 'Label(`{MARK}`, `{name}`)'"
                content, times = re.subn(rb"constraints: .*", mine.encode(), content)
                if times != 1:
                    raise click.ClickException("Traefik's settings have no constraints.")
            entry.name = entry.name.replace("traefik", TRAEFIK_FOLDER.lstrip("/"), 1)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@contextmanager
def traefik_of(engine: DockerClient, name: str) -> Generator[Any]:
    """Run a Traefik like the stack's that routes what is marked with ``name``, and nothing else."""
    like = part(engine, "traefik")
    config = like.attrs["Config"]
    folder, _ = like.get_archive(TRAEFIK_FOLDER)
    container = engine.containers.create(
        config["Image"],
        entrypoint=config["Entrypoint"],
        user=config["User"],
        environment=config["Env"],
        name=f"{name}-traefik",
        network=EDGE,
    )
    try:
        container.put_archive("/", routing_only(name, folder))  # pyright: ignore[reportUnknownMemberType]
        discovery = engine.networks.get(f"{INSTANCE}_discovery")
        discovery.connect(container)  # pyright: ignore[reportUnknownMemberType]
        container.start()
        container.reload()
        yield container
    finally:
        subprocess.run(
            ["docker", "rm", "--force", "--volumes", f"{name}-traefik"],
            check=True,
            capture_output=True,
        )


def address_on_edge(container: Any) -> str:  # noqa: ANN401 - the client's own
    """Return a container's address on the network that faces outwards."""
    return container.attrs["NetworkSettings"]["Networks"][EDGE]["IPAddress"]


def accepted(gates: Iterable[Any]) -> int:
    """Return how many connections the gates' kernels have accepted so far."""
    found = 0
    for gate in gates:
        said = inside(gate, "cat", "/proc/net/snmp")
        names, values = (line.split() for line in said.splitlines() if line.startswith("Tcp:"))
        found += int(values[names.index("PassiveOpens")])
    return found


def wait_until_routed(url: str, headers: dict[str, str]) -> None:
    """Ask until Traefik serves it."""
    deadline = time.monotonic() + _ROUTED_SECONDS
    while True:
        try:
            answer = httpx.get(url, headers=headers, trust_env=False)
        except httpx.TransportError as error:
            said = str(error)
        else:
            if answer.status_code == HTTPStatus.OK and len(answer.content) >= 1024:
                return
            said = f"{answer.status_code} with {len(answer.content)} bytes"
        if time.monotonic() > deadline:
            raise click.ClickException(f"{url} answers {said}")
        time.sleep(0.05)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is measured.")
@click.option("--seconds", default=4, show_default=True, help="How long each time.")
@click.option(
    "--addresses",
    default=VERIFY_ALIASES,
    show_default=True,
    type=click.IntRange(1, VERIFY_ALIASES),
    help="Over how many of the gates' addresses the checks are spread.",
)
def main(rounds: int, seconds: int, addresses: int) -> None:
    """Measure on the running stack, in turn."""
    before = machine()
    engine = docker.from_env()
    member = Member(USER)
    name = f"bench-{secrets.token_hex(4)}"
    below = [str(number) for number in range(addresses)]
    loads: dict[str, list[Load]] = {"open": [], "shut": []}
    opened = checks = 0
    try:
        session = member.launch(PROFILE, name)
        session_id: str = session["id"]
        like: dict[str, str] = container_of(engine, session_id).labels
        gates = [part(engine, name) for name in ("gate-1", "gate-2")]
        host = urlsplit(place_of(session)).netloc
        headers = {"Host": host} | member.cookie_in(session)
        lines = [": ".join(pair) for pair in headers.items()]
        with (
            page_server(engine, labels_for(like, session_id, name, addresses), name),
            traefik_of(engine, name) as front,
        ):
            traefik = address_on_edge(front)
            urls = {way: f"http://{traefik}:8080/{name}/{way}/" for way in loads}
            for url in urls.values():
                for number in below:
                    wait_until_routed(f"{url}{number}/", headers)
                wrk(url, lines, seconds=1, below=below)
            shut = httpx.get(f"{urls['shut']}0/", headers={"Host": host}, trust_env=False)
            if shut.status_code != HTTPStatus.UNAUTHORIZED:
                raise click.ClickException(f"an anonymous request was answered {shut.status_code}")
            for _ in range(rounds):
                for way, url in urls.items():
                    first = accepted(gates)
                    load = wrk(url, lines, seconds=seconds, below=below)
                    loads[way].append(load)
                    if way == "shut":
                        opened += accepted(gates) - first
                        checks += load.requests
    finally:
        member.stop_all()
        member.leave()
        engine.close()
    without, with_auth = Load.middle(loads["open"]), Load.middle(loads["shut"])
    table(
        f"Through Traefik, {CONNECTIONS} connections, addresses: {addresses}, medians of {rounds} "
        f"rounds of {seconds} s (before: {before}; after: {machine()})",
        ["", "requests/s", "p99 ms"],
        [
            ["without auth", f"{without.rate:.0f}", f"{without.p99:.1f}"],
            ["with auth", f"{with_auth.rate:.0f}", f"{with_auth.p99:.1f}"],
            ["ratio", f"{with_auth.rate / without.rate:.2f}", f"{with_auth.p99 / without.p99:.2f}"],
        ],
    )
    click.echo(f"  {opened / checks:.1%} of {checks} checks opened a new connection to verify")


if __name__ == "__main__":
    main()
