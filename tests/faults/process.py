"""Controllers as processes of their own, and people who use them without a directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from controller.core.model import Person, UserId
from controller.core.records import Login
from controller.people.keys import KeyFile
from controller.people.tokens import Audience, Claims
from controller.store.sqlite.store import SqliteStore
from tests.faults.controller import Plan
from tests.support.waits import until

ROOT = Path(__file__).parents[2]
START_SECONDS = 300.0  # the machine may be busy with other things
ALICE = Person(UserId("alice"), "Alice Archer", frozenset({"slicer-users"}))


async def _log_in(data: Path) -> str:
    """Let Alice be logged in already, and return what proves it."""
    ring = await KeyFile(data / "keys.json", time.time).key_ring()
    now = time.time()
    login = Login("sid-of-alice", ALICE, created=now, expires=now + 86_400, script=True)
    store = SqliteStore(data / "store.sqlite")
    await store.add_login(login)
    await store.aclose()
    claims = Claims(ALICE.uid, login.sid, Audience.API, iat=now, exp=login.expires)
    return ring.issue(claims)


class Hub:
    """One data folder, and the controllers that use it one after the other."""

    def __init__(self, data: Path, environment: dict[str, str], ports: tuple[int, int]) -> None:
        """``environment``: settings; ``ports``: the public and the private one."""
        self.data = data
        self.public, self.private = (f"http://127.0.0.1:{port}" for port in ports)
        settings = environment | {
            "SLICERHUB_DATA_DIR": str(data),
            "SLICERHUB_LISTEN": "127.0.0.1",
            "SLICERHUB_PUBLIC_PORT": str(ports[0]),
            "SLICERHUB_PRIVATE_PORT": str(ports[1]),
            "SLICERHUB_PUBLIC_URL": self.public,
        }
        clean = {name: text for name, text in os.environ.items() if "SLICERHUB" not in name}
        path = f"{Path(sys.executable).parent}:{clean.get('PATH', '')}"
        self.environment = clean | {"PYTHONPATH": str(ROOT), "PATH": path} | settings
        self.token = anyio.run(_log_in, data)
        self.said = data / "point-reached"

    @contextmanager
    def controller(
        self, plan: Plan | None = None
    ) -> Generator[subprocess.Popen[bytes], None, None]:
        """Run a controller until it is ready, and kill it at the end unless it has ended."""
        file = self.data / "plan.json"
        plan = msgspec.structs.replace(plan or Plan(), said=str(self.said))
        file.write_bytes(msgspec.json.encode(plan))
        self.said.unlink(missing_ok=True)
        # Nothing but what the test does passes a point.
        rounds = {"SLICERHUB_HOUSEKEEPING_SECONDS": "86400"} if plan.point else {}
        with (self.data / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.controller", str(file)],
                cwd=ROOT,
                env=self.environment | rounds,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(
                lambda: process.poll() is not None or self._answers(),
                seconds=START_SECONDS,
                what="the controller",
            )
            if process.poll() is not None:
                pytest.fail((self.data / "log.txt").read_text()[-3000:])
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _answers(self) -> bool:
        try:
            found = httpx.get(f"{self.private}/readyz", timeout=5).json()["parts"]["sessions"]
        except (httpx.HTTPError, KeyError, ValueError):
            return False
        return found == "ok"

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        """Ask as Alice's script."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(
            method, f"{self.public}/api/v1{path}", headers=headers, timeout=60, **more
        )

    def launch(self, name: str, profile: str = "good") -> httpx.Response | None:
        """Start a session; None: the controller was killed over it."""
        try:
            return self.ask("POST", "/sessions", json={"name": name, "profile": profile})
        except httpx.TransportError:
            return None

    def sessions(self) -> dict[str, dict[str, Any]]:
        """Return Alice's sessions by name."""
        return {one["name"]: one for one in self.ask("GET", "/sessions").json()["items"]}
