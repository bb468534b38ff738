"""The orchestrator over the real engine."""

from __future__ import annotations

import pytest

from controller.engines.docker.engine import DockerOrchestrator
from tests.support.engine import Lab


@pytest.fixture
async def orchestrator(docker_lab: Lab, anyio_backend: str) -> DockerOrchestrator:
    """Give the orchestrator of the lab's instance."""
    assert anyio_backend == "asyncio"
    return docker_lab.orchestrator()
