"""The real image, run as the hub runs it."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from slicer_session import IMAGE, Session, docker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Start = Callable[..., Session]

_CONTEXT = Path(__file__).parents[2] / "deploy" / "slicer"


@pytest.fixture(scope="session")
def network() -> Iterator[str]:
    """An internal network: no way out, as the hub gives each session."""
    if shutil.which("docker") is None:
        pytest.fail("The image is tested with Docker, and there is no docker command here.")
    if not docker("images", "--quiet", IMAGE):
        docker("build", "--quiet", "--tag", IMAGE, str(_CONTEXT))
    name = f"slicer-test-{secrets.token_hex(4)}"
    docker("network", "create", "--internal", name)
    yield name
    docker("network", "rm", name, check=False)


@pytest.fixture
def start(network: str) -> Iterator[Start]:
    """Starts sessions; each without a volume of its own gets a new one. All go at the end."""
    sessions: list[Session] = []
    volumes: list[str] = []

    def one(*, volume: str | None = None, environment: Mapping[str, str] | None = None) -> Session:
        if volume is None:
            volume = f"slicer-test-{secrets.token_hex(4)}"
            docker("volume", "create", volume)
            volumes.append(volume)
        session = Session(network, volume, environment or {})
        sessions.append(session)
        return session

    yield one
    for session in sessions:
        session.remove()
    for volume in volumes:
        docker("volume", "rm", "--force", volume, check=False)


@pytest.fixture(scope="module")
def session(network: str) -> Iterator[Session]:
    """One ready session for all tests of a module."""
    volume = f"slicer-test-{secrets.token_hex(4)}"
    docker("volume", "create", volume)
    one = Session(network, volume, {})
    try:
        yield one.wait_ready()
    finally:
        one.remove()
        docker("volume", "rm", "--force", volume, check=False)
