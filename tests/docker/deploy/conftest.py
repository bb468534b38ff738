"""The real engine proxies in front of the real engine."""

from __future__ import annotations

import http.client
import json
import os
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import docker
import pytest
from docker.errors import DockerException

ROOT = Path(__file__).parents[3]
IMAGE = "slicerhub/engine-proxy:0.1.0"
INSTANCE = "proxied"  # of the hub whose Traefik asks
START_SECONDS = 20
DENIED = 403

Untyped = Any  # of the docker client: its published types leave most of it unknown


class Answer(NamedTuple):
    """What came back, from the proxy itself or from the engine behind it."""

    status: int
    headers: Mapping[str, str]
    text: str


def from_engine(answer: Answer) -> bool:
    """The engine signs its answers with the version of its API; the proxy's own have none."""
    return "api-version" in answer.headers


def assert_refused(answer: Answer) -> None:
    """The proxy said no by itself, in the engine's way of saying why."""
    assert (answer.status, from_engine(answer)) == (DENIED, False), answer.text
    assert json.loads(answer.text)["message"].startswith("the engine proxy")


def encode(body: object) -> bytes:
    """Write JSON as the engine's Python client does."""
    return json.dumps(body).encode()


class Proxy(NamedTuple):
    """One proxy and where it listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As the engine's clients write it."""
        return f"tcp://{self.host}:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """Send exactly this path and body. The answer's text is read as far as it is given."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            sent = {"Content-Type": "application/json"} | dict(headers or {})
            if chunked:
                sent["Transfer-Encoding"] = "chunked"
                pieces = iter([body or b""])
                connection.request(method, path, pieces, sent, encode_chunked=True)
            else:
                connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            endless = "content-length" not in found and "/events" in path
            text = "" if endless else answer.read().decode(errors="replace")
            return Answer(answer.status, found, text)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[Untyped]:
    """Give the engine itself, without a proxy."""
    try:
        client = cast("Untyped", docker).from_env()
        client.ping()
    except DockerException as error:
        if os.environ.get("SLICERHUB_TEST_STRICT"):
            raise
        pytest.skip(f"no Docker engine: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def proxy_image(engine: Untyped) -> str:
    """Build the proxies' image as it is in the repository now."""
    engine.images.build(path=str(ROOT / "deploy/engine-proxy"), tag=IMAGE, rm=True)
    return IMAGE


@contextmanager
def running_proxy(engine: Untyped, image: str, role: str) -> Generator[Proxy]:
    """Start a proxy as compose.yaml does, but with a port of its own on loopback."""
    container: Untyped = engine.containers.run(
        image,
        [role],
        name=f"slicerhub-test-{role}-{uuid.uuid4().hex[:8]}",
        environment={"SLICERHUB_INSTANCE": INSTANCE},
        detach=True,
        read_only=True,
        cap_drop=["ALL"],
        cap_add=["SETUID", "SETGID"],
        security_opt=["no-new-privileges:true"],
        volumes={"/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"}},
        ports={"2375/tcp": ("127.0.0.1", None)},
    )
    try:
        yield _wait_until_it_answers(container)
    finally:
        container.remove(force=True)


def _wait_until_it_answers(container: Untyped) -> Proxy:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        container.reload()
        bindings = container.ports.get("2375/tcp")
        if bindings:
            proxy = Proxy("127.0.0.1", int(bindings[0]["HostPort"]))
            try:
                if proxy.ask("GET", "/_ping").status == http.client.OK:
                    return proxy
            except (OSError, http.client.HTTPException):
                pass
        time.sleep(0.05)
    raise TimeoutError(f"the proxy does not answer: {container.logs().decode()}")


@pytest.fixture(scope="session")
def controller_proxy(engine: Untyped, proxy_image: str) -> Iterator[Proxy]:
    """Give the proxy that stands before the controller."""
    with running_proxy(engine, proxy_image, "controller") as proxy:
        yield proxy


@pytest.fixture(scope="session")
def traefik_proxy(engine: Untyped, proxy_image: str) -> Iterator[Proxy]:
    """Give the proxy that stands before Traefik."""
    with running_proxy(engine, proxy_image, "traefik") as proxy:
        yield proxy


@contextmanager
def _sleeper(engine: Untyped, name: str, labels: Mapping[str, str]) -> Generator[Untyped]:
    """Run a container that does nothing."""
    container: Untyped = engine.containers.run(
        "debian:bookworm-slim",
        ["sleep", "600"],
        name=f"slicerhub-test-{name}-{uuid.uuid4().hex[:8]}",
        labels=dict(labels),
        detach=True,
        init=True,
    )
    yield container
    container.remove(force=True)


@pytest.fixture(scope="session")
def victim(engine: Untyped) -> Iterator[Untyped]:
    """Give a running container of somebody else, which the proxies are asked about."""
    with _sleeper(engine, "victim", {}) as container:
        yield container


@pytest.fixture(scope="session")
def routed(engine: Untyped) -> Iterator[Untyped]:
    """Give a running container of the hub's own."""
    with _sleeper(engine, "routed", {"slicerhub.instance": INSTANCE}) as container:
        yield container
