"""What the real engine is left with by a crash: it is seen for what it is, and mended or ended."""

from __future__ import annotations

import pytest

from controller.core.errors import SessionStopping
from controller.core.model import Observed
from controller.engines.docker.engine import DockerOrchestrator
from tests.contract.docker.parts import (
    NO_GRACE,
    make_container,
    make_network,
    network,
    session,
)
from tests.support.engine import Lab

pytestmark = pytest.mark.anyio


async def test_crash_after_the_network(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A network without its session is reported as left over, and removed or completed."""
    make_network(docker_lab, session(1))
    make_network(docker_lab, session(2, name="b"))
    found = sorted(await orchestrator.list(), key=lambda one: one.session.name)
    assert found == [
        Observed(session(2, name="b"), complete=False, orphan=True),
        Observed(session(1), complete=False, orphan=True),
    ]
    await orchestrator.remove(session(1).id, grace=NO_GRACE)
    await orchestrator.ensure(session(2, name="b"))
    assert await orchestrator.list() == [Observed(session(2, name="b"), running=True)]
    assert docker_lab.networks() == [network(docker_lab, session(2))]


async def test_crash_before_the_start(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A session whose start was cut short is seen as incomplete, and ensuring it completes it."""
    make_network(docker_lab, session())
    make_container(docker_lab, session())
    assert await orchestrator.list() == [Observed(session(), complete=False)]
    await orchestrator.ensure(session())
    assert await orchestrator.list() == [Observed(session(), running=True)]


async def test_traefik_was_replaced(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A session that a new Traefik does not reach is seen as incomplete, and joined again."""
    await orchestrator.ensure(session())
    docker_lab.api.disconnect_container_from_network(
        docker_lab.traefik, network(docker_lab, session())
    )
    assert await orchestrator.list() == [Observed(session(), running=True, complete=False)]
    before = docker_lab.inspect(session())["State"]["StartedAt"]
    await orchestrator.ensure(session())
    assert await orchestrator.list() == [Observed(session(), running=True)]
    assert docker_lab.inspect(session())["State"]["StartedAt"] == before


@pytest.mark.parametrize("step", ["renamed", "stopped", "network gone"])
async def test_crash_while_stopping(
    docker_lab: Lab, orchestrator: DockerOrchestrator, step: str
) -> None:
    """A stop that was cut short is seen as one, keeps its name taken, and can be finished."""
    await orchestrator.ensure(session())
    name = docker_lab.container_name(session())
    docker_lab.api.rename(name, f"{name}.stopping")
    if step != "renamed":
        docker_lab.api.stop(f"{name}.stopping", timeout=0)
    if step == "network gone":
        for container in (f"{name}.stopping", docker_lab.traefik):
            docker_lab.api.disconnect_container_from_network(
                container, network(docker_lab, session()), force=True
            )
        docker_lab.api.remove_network(network(docker_lab, session()))
    (seen,) = await orchestrator.list()
    assert seen.deleting
    for other in (session(2), session()):
        with pytest.raises(SessionStopping):
            await orchestrator.ensure(other)
    (seen,) = await orchestrator.list()
    assert seen.session == session()
    await orchestrator.remove(session().id, grace=NO_GRACE)
    assert docker_lab.containers() == []
    assert docker_lab.networks() == []
    await orchestrator.ensure(session(2))


async def test_paused(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A session that an administrator paused still runs, and can be stopped."""
    await orchestrator.ensure(session())
    docker_lab.api.pause(docker_lab.container_name(session()))
    assert await orchestrator.list() == [Observed(session(), running=True)]
    await orchestrator.remove(session().id, grace=NO_GRACE)
    assert docker_lab.containers() == []


async def test_another_controller(docker_lab: Lab) -> None:
    """A controller that has just been started knows every session from the engine alone."""
    await docker_lab.orchestrator().ensure(session())
    assert await docker_lab.orchestrator().list() == [Observed(session(), running=True)]
    await docker_lab.orchestrator().ensure(session())
    await docker_lab.orchestrator().remove(session().id, grace=NO_GRACE)
    assert await docker_lab.orchestrator().list() == []
