"""How tests break parts of the running stack, and bring them back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from docker import DockerClient
from docker.errors import APIError
from e2e.gates import GATES
from e2e.stack import INSTANCE, URL, hub_answers, part

from tests.support.inside import inside, run_inside
from tests.support.waits import until

ROOT = Path(__file__).parents[2]
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
CLOCK = ROOT / "tests/security/clock.yaml"
DISK = ROOT / "tests/security/disk.yaml"
SMALL = 4 << 20  # bytes of the disk that is filled, as disk.yaml says


def surroundings() -> dict[str, str]:
    """Return the environment in which Compose means the stack of the tests."""
    return os.environ | {
        "SLICERHUB_INSTANCE": INSTANCE,
        "SLICERHUB_PORT": str(urlsplit(URL).port or 80),
        "SLICERHUB_NETWORK_POOL": os.environ["SLICERHUB_TEST_NETWORK_POOL"],
    }


def compose(*words: str, **environment: str) -> None:
    """Run Compose on the stack of the tests, with settings of the moment."""
    done = subprocess.run(
        ["docker", "compose", *words],
        check=False,
        env=surroundings() | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def compose_files() -> list[str]:
    """Return the files that the stack is made of."""
    return os.environ.get("COMPOSE_FILE", "compose.yaml").split(":")


def wait_for_hub() -> None:
    """Wait until the hub answers, and knows all sessions."""
    until(hub_answers, seconds=60, what="the hub")


def healthy(engine: DockerClient, service: str) -> bool:
    """Tell whether a part of the stack is as it should be."""
    return part(engine, service).attrs["State"]["Health"]["Status"] == "healthy"


def kill(engine: DockerClient, service: str) -> None:
    """Kill the program of a part as the kernel would; the engine starts it again by itself.

    Not by the engine's own word, which would keep it from that.
    """
    container = part(engine, service)
    state = container.attrs["State"]
    # From a container that sees all processes of the machine: the tests need not be root's.
    engine.containers.run(
        "slicerhub-test/echo",
        ["sh", "-c", f"kill -9 {state['Pid']}"],
        pid_mode="host",
        user="0:0",
        network_mode="none",
        remove=True,
    )

    def again() -> bool:
        now: dict[str, Any] = part(engine, service).attrs["State"]
        return now["Running"] and now["StartedAt"] != state["StartedAt"]

    until(again, seconds=60, what=f"the next {service}")


@contextmanager
def frozen(engine: DockerClient, service: str) -> Generator[None]:
    """Let a part of the stack hang: it takes connections and does nothing."""
    container = part(engine, service)
    until(lambda: _is_paused(container), seconds=60, what=f"a {service} that hangs")
    try:
        yield
    finally:
        container.unpause()
        until(lambda: healthy(engine, service), seconds=60, what=f"{service} again")


def _is_paused(container: Any) -> bool:  # noqa: ANN401
    try:
        container.pause()
    except APIError as error:
        if "unable to freeze" not in str(error):
            raise
        return False  # a machine under load does not always get it done
    return True


@contextmanager
def changed(
    overlay: Path, services: Sequence[str] = ("controller",), **environment: str
) -> Generator[None]:
    """Let parts of the stack run with something else for a while."""
    files = [one for name in (*compose_files(), str(overlay)) for one in ("--file", name)]
    again = ("up", "--detach", "--wait", "--no-deps", *services)
    try:
        compose(*files, *again, **environment)
        wait_for_hub()
        yield
    finally:
        compose(*again)
        wait_for_hub()


def data_folder(engine: DockerClient) -> Path:
    """Return where the hub's own files lie on this machine."""
    (mount,) = [
        one for one in part(engine, "controller").attrs["Mounts"] if one["Destination"] == "/data"
    ]
    return Path(mount["Source"])


def check_small(controller: Any) -> None:  # noqa: ANN401
    """Fail unless /small is what disk.yaml says: never is a disk of this machine filled.

    It is in memory, and what is written to it is little.
    """
    kind, blocks, size = inside(controller, "stat", "-f", "-c", "%T %b %S", "/small").split()
    assert kind == "tmpfs"
    assert int(blocks) * int(size) <= SMALL


def fill(controller: Any) -> None:  # noqa: ANN401
    """Leave no room in /small."""
    check_small(controller)
    command = ["dd", "if=/dev/zero", "of=/small/full", "bs=4k", f"count={2 * SMALL // 4096}"]
    assert run_inside(controller, *command).exit_code == 1, "it was not full"


@contextmanager
def clock() -> Generator[Callable[[str], None]]:
    """Let controller and gates have a clock that can be set; yields how to, such as ``+3600``.

    They are on one machine, so they have one clock.
    """
    if not FAKETIME.exists():
        pytest.fail(f"{FAKETIME} is missing (Debian's package libfaketime).")
    folder = Path(tempfile.mkdtemp(prefix="slicerhub-clock-"))
    folder.chmod(0o755)
    shutil.copy(FAKETIME, folder / "faketime.so")
    hand = folder / "now"

    def put(step: str) -> None:
        hand.write_text(f"{step}\n", encoding="ascii")
        hand.chmod(0o644)

    put("+0")
    try:
        with changed(CLOCK, ("controller", *GATES), SLICERHUB_TEST_CLOCK=str(folder)):
            yield put
    finally:
        shutil.rmtree(folder)


def hub_time(engine: DockerClient) -> float:
    """Return what time it is to the hub, as its log says."""
    # Each look at such a clock is a look into a file: it may take its time.
    httpx.post(f"{URL}/api/v1/login", json={"username": "no one", "password": "x"}, timeout=60)
    lines = part(engine, "controller").logs(tail=50).decode().splitlines()
    stamps = [json.loads(line)["timestamp"] for line in lines if '"timestamp"' in line]
    return datetime.fromisoformat(stamps[-1]).timestamp()
