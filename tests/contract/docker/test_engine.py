"""An engine that is away, hangs or comes back: every call says so, and nothing wrong is seen."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import EngineUnavailable
from controller.core.model import Observed
from controller.core.sentence import Phrase
from controller.engines.docker.engine import DockerOrchestrator
from tests.contract.conftest import DEADLINE
from tests.contract.docker.parts import NO_GRACE, session
from tests.support.engine import Lab
from tests.support.waits import settled

pytestmark = pytest.mark.anyio


def away(lab: Lab, host: str) -> DockerOrchestrator:
    """Return an orchestrator whose engine is somewhere else, with little patience."""
    docker = replace(lab.settings.docker, host=host, timeout_seconds=1)
    return lab.orchestrator(replace(lab.settings, docker=docker))


async def all_calls(orchestrator: DockerOrchestrator) -> None:
    """See that each call ends in EngineUnavailable."""
    calls = (
        orchestrator.ping,
        orchestrator.list,
        lambda: orchestrator.ensure(session()),
        lambda: orchestrator.remove(session().id, grace=NO_GRACE),
        lambda: orchestrator.get(session().id),
        lambda: orchestrator.usage(session().id),
        lambda: orchestrator.check("good"),
        lambda: orchestrator.fetch("good", list[Phrase]().append),
    )
    with anyio.fail_after(DEADLINE):
        for call in calls:
            with pytest.raises(EngineUnavailable, match="does not answer"):
                await call()


async def test_engine_away(docker_lab: Lab, free_tcp_port: int) -> None:
    """If the engine is away every call says so, soon."""
    await all_calls(away(docker_lab, f"tcp://127.0.0.1:{free_tcp_port}"))


async def test_engine_hangs(docker_lab: Lab) -> None:
    """If the engine takes calls and never answers, every call says so in the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        await all_calls(away(docker_lab, f"tcp://127.0.0.1:{port}"))


async def test_watch_survives_the_engine(docker_lab: Lab, free_tcp_port: int) -> None:
    """Who watches an engine that is away gets nothing wrong, and the truth once it is back."""
    orchestrator = away(docker_lab, f"tcp://127.0.0.1:{free_tcp_port}")
    await docker_lab.orchestrator().ensure(session())
    snapshots: list[object] = []

    async def follow() -> None:
        async with aclosing(orchestrator.watch()) as watching:
            async for snapshot in watching:
                snapshots.append(snapshot)  # noqa: PERF401 - it never ends

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await settled()
        assert snapshots == []
        await group.start(relay, free_tcp_port)
        with anyio.fail_after(DEADLINE):
            while not snapshots:  # noqa: ASYNC110 - snapshots have no event of their own
                await anyio.sleep(0.02)
        assert snapshots[0] == [Observed(session(), running=True)]
        group.cancel_scope.cancel()


async def relay(port: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """Pass everything on between a port and the real engine."""

    async def copy(source: anyio.abc.ByteReceiveStream, sink: anyio.abc.ByteSendStream) -> None:
        async for data in chunks(source):
            await sink.send(data)

    async def handle(client: anyio.abc.SocketStream) -> None:
        engine = await anyio.connect_unix("/var/run/docker.sock")
        async with client, engine, anyio.create_task_group() as group:
            group.start_soon(copy, client, engine)
            await copy(engine, client)
            group.cancel_scope.cancel()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener:
        task_status.started()
        await listener.serve(handle)


async def chunks(source: anyio.abc.ByteReceiveStream) -> AsyncIterator[bytes]:
    """Read until the other side closes."""
    while True:
        try:
            yield await source.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
