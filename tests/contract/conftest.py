"""The engines that must behave alike."""

from __future__ import annotations

from collections.abc import Generator

import anyio
import pytest

from controller.model import Observed, Session
from controller.orchestrators import Orchestrator
from controller.orchestrators.docker import DockerOrchestrator
from controller.orchestrators.memory import MemoryOrchestrator
from tests.engine import Lab, lab

DEADLINE = 90.0  # seconds; the machine may be busy with other things


class MemoryEngine:
    """The engine in memory, and how things happen in it."""

    def __init__(self, made: Lab) -> None:
        """Begin empty, with the profiles of the real one."""
        self.settings = made.settings
        self.orchestrator = MemoryOrchestrator(made.settings)

    async def end(self, session: Session) -> Session:
        """Make a session whose program ends by itself with exit code 3 after saying "last"."""
        await self.orchestrator.ensure(session)
        self.orchestrator.crash(session.id, exit_code=3, message="last")
        return session


class DockerEngine:
    """The real engine, and how things happen in it."""

    def __init__(self, made: Lab) -> None:
        """Use this instance."""
        self.settings = made.settings
        self.orchestrator: DockerOrchestrator = made.orchestrator()

    async def end(self, session: Session) -> Session:
        """Make a session whose program ends by itself with exit code 3 after saying "last"."""
        await self.orchestrator.ensure(session)
        await until_ended(self.orchestrator, session)
        return session


async def until_ended(orchestrator: Orchestrator, session: Session) -> Observed:
    """Wait until a session's program has ended."""
    with anyio.fail_after(DEADLINE):
        while True:
            seen = await orchestrator.get(session.id)
            if seen is not None and seen.exit_code is not None:
                return seen
            await anyio.sleep(0.05)


@pytest.fixture(scope="module")
def engine_lab() -> Generator[Lab, None, None]:
    """Give an instance on the real engine."""
    with lab() as made:
        yield made


@pytest.fixture
def docker_lab(engine_lab: Lab) -> Generator[Lab, None, None]:
    """Give the instance on the real engine, without sessions before and after."""
    yield engine_lab
    engine_lab.clean()


@pytest.fixture(params=["memory", "docker"])
async def engine(
    request: pytest.FixtureRequest, docker_lab: Lab, anyio_backend: str
) -> MemoryEngine | DockerEngine:
    """Give each engine in turn."""
    assert anyio_backend == "asyncio"
    return MemoryEngine(docker_lab) if request.param == "memory" else DockerEngine(docker_lab)
