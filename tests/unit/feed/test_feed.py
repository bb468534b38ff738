"""A controller uses the proofs that all controllers use, also if another one replaces them."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from controller.core.changes import ChangeCount
from controller.core.errors import StoreUnavailable
from controller.core.records import Reading
from controller.feed.certificates import Proofs, hand_out, make_proofs
from controller.feed.feed import Feed
from controller.feed.gates import Gates
from controller.feed.proofs import ProofStorage
from controller.feed.publisher import Sources
from controller.gate.addresses import Address
from controller.gate.answers import Answer
from controller.gate.facts import Change, Extra, Site, Snapshot, Used
from controller.gate.follower import Follower
from controller.gate.freshness import Freshness, boot_clock
from controller.gate.link import client_context
from controller.gate.refusals import Closed
from controller.people.standing import Standing
from controller.settings.schema import Settings
from tests.support.fakes.parts import Parts
from tests.support.waits import become

pytestmark = pytest.mark.anyio

PAGE = Answer(403, ())
SITE = Site(Settings(), Closed(PAGE, PAGE, PAGE, PAGE))
LOOK_SECONDS = 0.02
WHILE = 0.3  # seconds in which what must not happen would have


def nothing_proven(token: str, audience: str) -> bytes:
    """See ``facts.Proven``."""
    del token, audience
    return b""


class Storage(ProofStorage):
    """Proofs that the test replaces, or takes away for a while."""

    def __init__(self, folder: Path, *, shared: bool) -> None:
        """``folder``: where gates find their part."""
        self.shared = shared
        self.away = False
        self.asked = 0
        self._folder = folder
        self.replace()

    def replace(self) -> None:
        """Let another controller make new ones."""
        self._now: Proofs = make_proofs(time.time())
        hand_out(self._now, self._folder)

    @override
    async def proofs(self) -> Proofs:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("The cluster does not answer.")
        return self._now


class Hub:
    """What gates follow of a hub."""

    def __init__(self, folder: Path, *, shared: bool = True) -> None:
        """Nothing runs yet."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        self.storage = Storage(folder, shared=shared)
        parts, changes = Parts(), ChangeCount()
        parts.show()  # no sessions
        standing = Standing(time.time, changes)
        standing.follow(Reading((), 0), proven=lambda _: True)
        self.gates = Gates(
            parts.store, parts.sessions.usage, standing, clock=time.monotonic, wall=time.time
        )
        self.extra = Extra(b"keys", b"entry")
        self.changes = changes
        self.feed = Feed(
            SITE,
            Sources(parts.registry, parts.grants, standing, extra=lambda: self.extra),
            self.gates,
            changes,
            proofs=self.storage,
            listen="127.0.0.1",
            port=self.port,
            prove=nothing_proven,
            wall=time.time,
            look_seconds=LOOK_SECONDS,
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve gates meanwhile."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.feed.run)
            yield
            group.cancel_scope.cancel()


class Gate:
    """A gate, and how often it has begun to follow."""

    def __init__(self, hub: Hub, name: str, context: ssl.SSLContext | None = None) -> None:
        """Nothing is followed yet. ``context``: with what it comes, whatever is in its file."""
        self.snapshots = 0
        self.keys = b""
        self.follower = Follower(
            Address("127.0.0.1", hub.port),
            self,
            Freshness(),
            name=name,
            boot=f"{name}-boot",
            connect_by=lambda: context or client_context(hub.folder),
            clock=boot_clock,
        )

    def replace(self, snapshot: Snapshot) -> None:
        """Know this, and nothing else."""
        self.snapshots += 1
        self.keys = snapshot.extra.keys

    def apply(self, change: Change) -> None:
        """Know this, too."""
        if change.extra:
            self.keys = change.extra.keys

    def report(self) -> Used | None:
        """Nothing was used."""
        return None

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[None]:
        """Follow meanwhile."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.follower.run)
            yield
            group.cancel_scope.cancel()


async def test_replaced_by_another_controller(tmp_path: Path) -> None:
    """Gates that come with new proofs get in; streams that are open stay, and hear on."""
    hub = Hub(tmp_path)
    before, after = Gate(hub, "gate-1"), Gate(hub, "gate-2")
    async with hub.running(), before.following():
        await become(lambda: before.snapshots)
        hub.storage.replace()
        async with after.following():
            await become(lambda: after.snapshots)
        hub.extra = Extra(b"others", b"entry")
        hub.changes.add()
        await become(lambda: before.keys == b"others")
        assert before.snapshots == 1


async def test_earlier_proofs_count_no_more(tmp_path: Path) -> None:
    """Who comes with the proofs that were replaced is refused."""
    hub = Hub(tmp_path)
    earlier = client_context(tmp_path)
    with capture_logs() as logs:
        async with hub.running():
            await become(lambda: hub.storage.asked > 1)
            hub.storage.replace()
            await become(lambda: "gate_proofs_renewed" in {one["event"] for one in logs})
            late = Gate(hub, "gate-1", earlier)
            async with late.following():
                await become(lambda: "controller_not_followed" in {one["event"] for one in logs})
                await anyio.sleep(WHILE)
    assert late.snapshots == 0
    assert [one["event"] for one in logs].count("gate_proofs_renewed") == 1
    assert "PRIVATE" not in str(logs)


async def test_proofs_that_cannot_be_read_again(tmp_path: Path) -> None:
    """While they cannot be read, what was read before counts on."""
    hub = Hub(tmp_path)
    gate, late = Gate(hub, "gate-1"), Gate(hub, "gate-2")
    with capture_logs() as logs:
        async with hub.running():
            await become(lambda: hub.storage.asked > 1)
            hub.storage.away = True
            await become(lambda: "gate_proofs_not_read" in {one["event"] for one in logs})
            async with gate.following():
                await become(lambda: gate.snapshots)
            hub.storage.replace()
            hub.storage.away = False
            async with late.following():
                await become(lambda: late.snapshots)


async def test_a_folder_is_nobody_elses(tmp_path: Path) -> None:
    """Proofs of a single controller are made once at each start."""
    hub = Hub(tmp_path, shared=False)
    gate = Gate(hub, "gate-1")
    async with hub.running(), gate.following():
        await become(lambda: gate.snapshots)
        await anyio.sleep(WHILE)
    assert hub.storage.asked == 1
