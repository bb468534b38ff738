"""What a gate has loaded before its first worker begins: all that each worker uses, no more.

What the parent has is in memory once for all its workers; what a worker loads itself it has alone.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import sys
import uvloop
from controller.cli.gate import gate_command
from controller.gate_app import rehearse

uvloop.run(rehearse())
print(*sys.modules)
"""

# The controller's own, and what is needed only once somebody asks a gate for its numbers.
OTHERS = (
    "aiohttp",
    "apscheduler",
    "docker",
    "httpx",
    "jinja2",
    "kubernetes",
    "ldap3",
    "litestar",
    "prometheus_client",
    "pydantic",
    "requests",
    "segno",
    "sqlite3",
    "uvicorn",
    "yaml",
    "controller.settings.loading",
)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Return the names of all modules."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, encoding="utf-8"
    )
    return set(done.stdout.split())


def test_nothing_of_the_controller(loaded: set[str]) -> None:
    """Two gates run on a small server, and each process of theirs would hold it."""
    assert loaded.isdisjoint(OTHERS)


def test_nothing_is_left_to_workers(loaded: set[str]) -> None:
    """Anyio loads its parts, and what makes asyncio its loop, when they are used first."""
    assert {"anyio._backends._asyncio", "anyio._core._sockets", "anyio.streams.tls"} <= loaded
