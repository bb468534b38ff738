"""The real images, run as the hub runs them."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import chromium
from tests.support.desktop_session import Desktop, build_standin, new_volume
from tests.support.session_door import Door
from tests.support.slicer_session import IMAGE, Session, docker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from playwright.sync_api import Browser

    Start = Callable[..., Session]
    Let = Callable[[Session, str, str | None], str]

_CONTEXT = Path(__file__).parents[3] / "deploy" / "slicer"
# What the hub tells each session of itself.
HUB = {"SLICERHUB_SESSION": "aebagbafaydqqcikbmgayaodh4"}


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
            volume = new_volume()
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
    volume = new_volume()
    one = Session(network, volume, HUB)
    try:
        yield one.wait_ready()
    finally:
        one.remove()
        docker("volume", "rm", "--force", volume, check=False)


@pytest.fixture(scope="session")
def standin() -> None:
    """The desktop's image, with another program in the place of Slicer."""
    build_standin()


@pytest.fixture(scope="module")
def desktop(network: str, standin: None) -> Iterator[Desktop]:
    """One ready desktop session for all tests of a module; xterm fills its screen."""
    del standin
    volume = new_volume()
    one = Desktop(network, volume, HUB)
    try:
        yield one.wait_ready()
    finally:
        one.remove()
        docker("volume", "rm", "--force", volume, check=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def door(network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Let]:
    """Lets people into sessions: call it with a session, a user and a role; see `Door.let`."""
    doors: dict[str, Door] = {}

    def let(session: Session, user: str, role: str | None) -> str:
        if session.name not in doors:
            folder = tmp_path_factory.mktemp("traefik")
            for each in (folder, *folder.parents[:2]):
                each.chmod(0o755)
            doors[session.name] = Door(session, network, folder)
        return doors[session.name].let(user, role)

    yield let
    for each in doors.values():
        each.close()
