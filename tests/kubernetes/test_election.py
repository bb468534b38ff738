"""Of several controllers one leads, and soon another one when it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest
from anyio.abc import Process
from kubernetes.aio import client

from controller.housekeeping.lease import LeaseElection
from controller.settings.schema import Settings
from tests.kubernetes.conftest import DEADLINE, Api, Core
from tests.kubernetes.controllers import election_of, leads
from tests.support.hub import Clock

pytestmark = pytest.mark.anyio

ELECTOR = """
import sys, time, anyio, msgspec
from controller.housekeeping.lease import LeaseElection
from controller.settings.schema import Settings

async def main():
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    election = LeaseElection(settings, identity="other", clock=time.monotonic, wall=time.time)
    async with anyio.create_task_group() as group:
        group.start_soon(election.run)
        while not election.leading:
            await anyio.sleep(0.05)
        print("leading", flush=True)

anyio.run(main)
"""


async def test_one_leads(configured: Settings) -> None:
    """Of controllers that start at once one leads; when it ends another does, at once."""
    elections = [election_of(configured, f"controller-{n}", time.monotonic) for n in range(3)]
    scopes = {one: anyio.CancelScope() for one in elections}

    async def take_part(one: LeaseElection) -> None:
        with scopes[one]:
            await one.run()

    async with anyio.create_task_group() as group:
        for one in elections:
            group.start_soon(take_part, one)
        first = await leads(*elections)
        for one in elections:
            if one is first:
                scopes[one].cancel()
        rest = [one for one in elections if one is not first]
        await leads(*rest)
        group.cancel_scope.cancel()
    assert not any(one.leading for one in elections)


async def test_one_that_was_held_up(configured: Settings) -> None:
    """A controller that could not renew in time does not keep house any more."""
    clock = Clock()
    election = election_of(configured, "controller-0", clock.monotonic)
    async with anyio.create_task_group() as group:
        group.start_soon(election.run)
        await leads(election)
        clock.advance(9.9)
        assert election.leading
        clock.advance(0.1)
        assert not election.leading
        group.cancel_scope.cancel()


@asynccontextmanager
async def elsewhere(configured: Settings) -> AsyncGenerator[Process, None]:
    """Give another process that leads."""
    sent = msgspec.json.encode(configured).decode()
    async with await anyio.open_process([sys.executable, "-c", ELECTOR, sent], stderr=None) as made:
        assert made.stdout is not None
        with anyio.fail_after(DEADLINE):
            assert b"leading" in await made.stdout.receive()
        try:
            yield made
        finally:
            if made.returncode is None:
                made.kill()


async def test_killed(configured: Settings, api: Api, namespace: str) -> None:
    """When the process that leads is killed, another controller leads within the lease."""
    coordination: Core = client.CoordinationV1Api(api)

    async def renewed() -> object:
        found = await coordination.read_namespaced_lease("kt-controller", namespace)
        assert found.spec.holder_identity == "other"
        return found.spec.renew_time

    election = election_of(configured, "controller-0", time.monotonic)
    async with elsewhere(configured) as process, anyio.create_task_group() as group:
        group.start_soon(election.run)
        for _ in range(2):
            before = await renewed()
            with anyio.fail_after(DEADLINE):
                while await renewed() == before:
                    assert not election.leading
                    await anyio.sleep(0.1)
        process.kill()
        await process.wait()
        killed = time.monotonic()
        await leads(election)
        print(f"leads {time.monotonic() - killed:.1f} s after the other was killed")  # noqa: T201 - a number for people
        group.cancel_scope.cancel()
