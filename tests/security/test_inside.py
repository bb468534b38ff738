"""Somebody who has taken over a session, or the front door (rows 35, 36, 38)."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import Any

import httpx
import pytest
from docker import DockerClient
from e2e.stack import URL, container_of, part
from security.attacker import (
    SECRETS,
    Person,
    door,
    handshake,
    helper,
    knock,
    networks_of,
)

from tests.support.inside import inside
from tests.support.reach import reached
from tests.support.waits import until

HUB_MS = 500  # for 99 of 100 answers of the hub, whatever a session does

ASK = """
import http.client, json, sys
host, method, path, body = sys.argv[1:]
try:
    line = http.client.HTTPConnection(host, 2375, timeout=5)
    line.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
    answer = line.getresponse()
    print(answer.status, answer.read(200000).decode("latin-1"))
except OSError as error:
    print(0, error)
"""


def test_row_35_a_session_reaches_nothing(
    bob: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """From inside, no part of the hub, no engine, no metadata, no other session answers."""
    own = container_of(engine, victim["id"])
    other = container_of(engine, bob.launch("echo", "neighbour")["id"])
    (network,) = own.attrs["NetworkSettings"]["Networks"].values()
    (theirs,) = other.attrs["NetworkSettings"]["Networks"].values()
    targets: list[str] = []
    for service, ports in (
        ("controller", (8000, 8001)),
        ("ldap", (389, 636)),
        ("engine-proxy", (2375,)),
        ("engine-proxy-traefik", (2375,)),
    ):
        for one in networks_of(engine, service).values():
            targets += [f"{one['IPAddress']}:{port}" for port in ports]
            targets += [f"{one['Gateway']}:{port}" for port in (22, 2375) if one["Gateway"]]
        targets += [f"{service}:{port}" for port in ports]
    for one in networks_of(engine, "traefik").values():
        targets += [f"{one['IPAddress']}:{port}" for port in (80, 443, 8080, 8081, 8082)]
    inner = networks_of(engine, "traefik")[f"{own.attrs['HostConfig']['NetworkMode']}"]["IPAddress"]
    targets += [
        f"{theirs['IPAddress']}:8080",
        f"{theirs['Gateway']}:8080",
        *(f"{network['Gateway']}:{port}" for port in (22, 80, 2375, 2376, 8080)),
        *(f"169.254.169.254:{port}" for port in (80, 443)),
        "100.100.100.200:80",
        "10.96.0.1:443",
    ]
    wanted = [one for one in targets if not one.startswith(":")]
    # Its own way in: the front door's public port, on their common network, and nothing else of it.
    assert reached(own, wanted) == [f"{inner}:8080"]


def test_row_35_the_front_door_asks_a_session_like_anybody(
    alice: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """What a session reaches of the front door is the public door, and knows it as nobody."""
    assert alice
    own = container_of(engine, victim["id"])
    inner = networks_of(engine, "traefik")[own.attrs["HostConfig"]["NetworkMode"]]["IPAddress"]
    ask = (
        "import http.client, sys\n"
        "line = http.client.HTTPConnection(sys.argv[1], 8080, timeout=10)\n"
        "line.request('GET', sys.argv[2], headers={'Host': sys.argv[3]})\n"
        "print(line.getresponse().status)\n"
    )
    at = door(alice, victim)
    for path, host, expected in (
        (at.base, at.host, "401"),
        ("/metrics", URL.partition("//")[2], "404"),
        (f"/verify/{victim['id']}", URL.partition("//")[2], "404"),
        (f"/verify/{victim['id']}", "verify-0:8001", "404"),
        ("/", "controller:8000", "404"),
    ):
        assert inside(own, "python", "-c", ask, inner, path, host).strip() == expected, path


def engine_asks(container: Any, method: str, path: str, body: str = "") -> tuple[int, str]:  # noqa: ANN401
    """Ask the engine through Traefik's proxy."""
    said = inside(container, "python", "-c", ASK, "engine-proxy-traefik", method, path, body)
    status, _, text = said.partition(" ")
    return int(status), text


def test_row_36_a_front_door_that_was_taken_over_only_looks(
    alice: Person, victim: dict[str, Any], engine: DockerClient
) -> None:
    """From Traefik's own place the engine lists and inspects; no file, no command, no change."""
    assert alice
    traefik, controller = part(engine, "traefik"), part(engine, "controller")
    target = container_of(engine, victim["id"])
    run = '{"Cmd": ["id"], "AttachStdout": true}'
    made = '{"Image": "slicerhub-test/echo", "HostConfig": {"Binds": ["/:/host"]}}'
    with helper(engine, command=["sleep", "600"], network_mode=f"container:{traefik.id}") as place:
        status, listed = engine_asks(place, "GET", "/v1.41/containers/json")
        assert status == 200, "the proxy is not where Traefik would ask it"
        status, seen = engine_asks(place, "GET", f"/v1.41/containers/{controller.id}/json")
        assert status == 200
        assert not [one for one in SECRETS if one in listed + seen]
        for victim_id in (controller.id, target.id):
            one = f"/v1.41/containers/{victim_id}"
            for method, path, body in (
                ("GET", f"{one}/archive?path=/data", ""),
                ("HEAD", f"{one}/archive?path=/data", ""),
                ("PUT", f"{one}/archive?path=/", "x"),
                ("GET", f"{one}/export", ""),
                ("GET", f"{one}/logs?stdout=1", ""),
                ("GET", f"{one}/top", ""),
                ("GET", f"{one}/changes", ""),
                ("POST", f"{one}/exec", run),
                ("POST", f"{one}/attach?stream=1", ""),
                ("POST", f"{one}/kill", ""),
                ("POST", f"{one}/stop", ""),
                ("POST", f"{one}/restart", ""),
                ("POST", f"{one}/update", "{}"),
                ("POST", f"{one}/rename?name=x", ""),
                ("DELETE", f"{one}?force=1", ""),
                ("GET", f"{one}/json/../archive?path=/data", ""),
                ("GET", f"{one}/%2e%2e/{victim_id}/export", ""),
                ("GET", f"//containers/{victim_id}/export", ""),
                ("POST", f"/commit?container={victim_id}", "{}"),
            ):
                assert engine_asks(place, method, path, body)[0] == 403, (method, path)
        for method, path, body in (
            ("POST", "/v1.41/containers/create", made),
            ("POST", "/v1.41/volumes/create", "{}"),
            ("POST", "/v1.41/networks/create", '{"Name": "x"}'),
            ("POST", "/v1.41/networks/bridge/connect", "{}"),
            ("POST", "/v1.41/build", ""),
            ("POST", "/v1.41/images/create?fromImage=x", ""),
            ("GET", "/v1.41/images/json", ""),
            ("GET", "/v1.41/volumes", ""),
            ("GET", "/v1.41/networks", ""),
            ("GET", "/v1.41/secrets", ""),
            ("GET", "/v1.41/info", ""),
            ("GET", "/v1.41/system/df", ""),
            ("POST", "/v1.41/session", ""),
            ("POST", "/grpc", ""),
        ):
            assert engine_asks(place, method, path, body)[0] == 403, (method, path)
        # The other proxy, which may change things, and the directory are out of its reach.
        others = [
            f"{one['IPAddress']}:{port}"
            for service, port in (("engine-proxy", 2375), ("ldap", 636))
            for one in networks_of(engine, service).values()
        ]
        assert reached(place, others) == []
        mounts = {one["Destination"] for one in traefik.attrs["Mounts"]}
        assert not [one for one in mounts if "docker" in one or one == "/data"]


BOMBS = {
    "forks": """
import os, time
for _ in range(3000):
    try:
        if os.fork() == 0:
            time.sleep(8)
            os._exit(0)
    except OSError as error:
        print("stopped:", error.errno)
        break
else:
    print("no limit")
""",
    "memory": """
held = []
try:
    while len(held) < 4096:
        held.append(bytearray(1 << 20))
    print("no limit")
except MemoryError:
    print("stopped: memory")
""",
    "disk": """
import os
for place in ("/tmp/x", "/dev/shm/x", "/x"):
    try:
        with open(place, "wb") as file:
            for _ in range(2048):
                file.write(bytes(1 << 20))
        print("no limit at", place)
    except OSError as error:
        print("stopped:", error.errno)
    finally:
        if os.path.exists(place):
            os.unlink(place)
""",
    "log": """
line = "x" * 4000 + "\\n"
with open("/proc/1/fd/1", "w") as log:
    for _ in range(12000):
        log.write(line)
print("stopped: the end")
""",
    "processor": """
import time, os
children = [os.fork() for _ in range(3)]
end = time.monotonic() + 6
while time.monotonic() < end:
    pass
if all(children):
    print("stopped: the end")
""",
}


def slowest(at: Any, count: int = 100) -> float:  # noqa: ANN401
    """Return the 99th of a hundred answers of the hub and of a session, in milliseconds."""
    taken: list[float] = []
    headers = {"Host": at.host, "Cookie": at.cookie}
    with httpx.Client(base_url=URL, timeout=30) as client:
        for number in range(count):
            begun = time.perf_counter()
            path, more = ("/login", {}) if number % 2 else (at.base, headers)
            answer = client.get(path, headers=more)
            taken.append((time.perf_counter() - begun) * 1000)
            assert answer.status_code == 200
    return statistics.quantiles(taken, n=100)[98]


@pytest.mark.parametrize("bomb", BOMBS)
def test_row_38_a_session_cannot_use_up_the_machine(
    alice: Person, bob: Person, victim: dict[str, Any], engine: DockerClient, bomb: str
) -> None:
    """Meanwhile the hub answers as before, and other sessions are alive."""
    quiet = slowest(door(alice, victim))
    session = bob.launch("echo", f"bomb {bomb}")
    container = container_of(engine, session["id"])
    throwing = ["docker", "exec", container.id, "python", "-c", BOMBS[bomb]]
    # A machine that is busy with something else is busy before as well.
    allowed = max(HUB_MS, 3 * quiet)
    seen: list[float] = []
    with subprocess.Popen(throwing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as work:
        for _ in range(3):
            seen.append(slowest(door(alice, victim)))
            if seen[-1] <= allowed:
                break
        said = work.communicate()[0].decode(errors="replace")
    assert min(seen) <= allowed, (quiet, seen)
    assert "no limit" not in said, said
    assert "stopped" in said or work.returncode != 0, "it was not stopped by anything"
    assert knock(door(alice, victim)).status_code == 200
    assert handshake(door(alice, victim)) == 101
    if bomb == "log":
        kept = len(container.logs())
        assert kept <= 31 * 1024 * 1024, "three files of ten megabytes are kept"
    bob.stop(session["id"])
    until(lambda: alice.phase(victim["id"]) == "ready", what="the other session")
