"""How much of the other controllers' changes is in what one reads of the cluster's records."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from controller.core.records import Login, Reading
from controller.settings.schema import Kubernetes
from controller.store.kubernetes.store import KubernetesStore
from tests.support.fakes.api_server import ApiServer, api_server
from tests.support.fakes.directory import PEOPLE
from tests.support.samples import settings

pytestmark = pytest.mark.anyio

LOGIN = Login("sid-1", PEOPLE["carol"], created=100.0, expires=200.0)
DEADLINE = 20.0  # seconds


class Pair:
    """A controller that writes, and another one that follows what is written."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        """Both reach this server."""
        self.server = server
        there = Kubernetes(namespace="n", hub_namespace="n", kubeconfig=str(kubeconfig))
        configured = replace(settings(), kubernetes=there)
        self.writer, self.follower, self.late = (
            KubernetesStore(configured, identity=name, wall=time.time)
            for name in ("writer", "follower", "late")
        )
        self.following = anyio.Event()

    async def follow(self) -> None:
        """Follow until cancelled."""
        async with aclosing(self.follower.changes()) as changes:
            async for _ in changes:
                self.following.set()

    async def heard(self, revision: int) -> Reading:
        """Return what the follower reads once it has heard of this change."""
        with anyio.fail_after(DEADLINE):
            while True:
                found = await self.follower.read_logins()
                if found.revision >= revision:
                    return found
                await anyio.sleep(0.01)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncGenerator[Pair, None]:
    """Give two controllers, of which the second one hears nothing until it is let."""
    async with api_server(tmp_path) as (server, path):
        made = Pair(server, path)
        async with anyio.create_task_group() as group:
            group.start_soon(made.follow)
            with anyio.fail_after(DEADLINE):
                await made.following.wait()
            server.held = True
            yield made
            group.cancel_scope.cancel()
        for store in (made.writer, made.follower, made.late):
            await store.aclose()


def sids(found: Reading) -> set[str]:
    """Return which log-ins were read."""
    return {one.sid for one in found.logins}


async def test_not_heard_of(pair: Pair) -> None:
    """A reading does not claim to know what another controller did and no news told."""
    made = await pair.writer.add_login(LOGIN)
    found = await pair.follower.read_logins()
    assert not found.logins
    assert found.revision < made
    pair.server.held = False
    assert (await pair.heard(made)).logins == (replace(LOGIN, revision=made),)


async def test_own_writing_tells_nothing(pair: Pair) -> None:
    """What a controller writes itself counts at once, and says nothing of what others wrote."""
    theirs = await pair.writer.add_login(LOGIN)
    own = await pair.follower.add_login(replace(LOGIN, sid="sid-2"))
    found = await pair.follower.read_logins()
    assert sids(found) == {"sid-2"}
    assert found.revision < theirs < own
    pair.server.held = False
    assert sids(await pair.heard(own)) == {"sid-1", "sid-2"}


async def test_come_and_gone(pair: Pair) -> None:
    """A log-in that was made and ended before it was heard of is known to have been."""
    gone = await pair.writer.add_login(LOGIN)
    await pair.writer.remove_login(LOGIN.sid)
    pair.server.held = False
    assert not (await pair.heard(gone + 1)).logins


async def test_who_does_not_follow(pair: Pair) -> None:
    """A controller that has just started knows everything that was written before."""
    made = await pair.writer.add_login(LOGIN)
    gone = await pair.writer.add_login(replace(LOGIN, sid="sid-2"))
    await pair.writer.remove_login("sid-2")
    found = await pair.late.read_logins()
    assert found.logins == (replace(LOGIN, revision=made),)
    assert found.revision >= gone


async def test_revisions_are_not_kept(pair: Pair) -> None:
    """A record does not hold the revision that it was read in, however often it is changed."""
    made = await pair.writer.add_login(LOGIN)
    await pair.writer.set_seen(LOGIN.sid, 150.0)
    assert await pair.writer.logins(150.0) == [replace(LOGIN, seen=150.0)]
    (found,) = (await pair.late.read_logins()).logins
    assert found.revision > made


async def test_left_while_what_was_heard_is_read(pair: Pair) -> None:
    """A follower that stops in the middle of reading leaves nothing running."""
    pair.server.held = False
    with anyio.CancelScope() as scope:
        async with aclosing(pair.late.changes()) as changes:
            await anext(changes)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
