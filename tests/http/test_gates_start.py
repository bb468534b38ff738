"""Gates come to a whole hub whose cluster did not answer at first."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from controller.cluster.client import Api
from controller.feed.proofs_secret import ProofSecret
from controller.gate.facts import Change, Snapshot, Used
from controller.gate.follower import Address, Follower
from controller.gate.freshness import Freshness, boot_clock
from controller.gate.link import LINK_FILE, client_context
from controller.settings.schema import PATH_MODE, Kubernetes
from tests.support.fakes.api_server import api_server
from tests.support.hub import ORIGIN, World, eventually, running
from tests.support.samples import settings

pytestmark = pytest.mark.anyio


class Memory:
    """What a gate was told."""

    def __init__(self) -> None:
        """Nothing was."""
        self.people: set[str] = set()

    def replace(self, snapshot: Snapshot) -> None:
        """Know the people of this, and nobody else."""
        self.people = {one.person.uid for one in snapshot.logins}

    def apply(self, change: Change) -> None:
        """Know those of this, too."""
        self.people |= {one.person.uid for one in change.logins}

    def report(self) -> Used | None:
        """Nothing was used."""
        return None


async def test_proofs_that_cannot_be_read_yet(tmp_path: Path) -> None:
    """People log in meanwhile; gates follow as soon as that can be, and know who has."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configured = settings(
        public_url=ORIGIN, session_domain=PATH_MODE, listen="127.0.0.1", gates_port=str(port)
    )
    async with api_server(tmp_path) as (server, kubeconfig):
        server.down = True
        there = Kubernetes(hub_namespace="n", kubeconfig=str(kubeconfig))
        proofs = ProofSecret(Api(there), "slicerhub", "slicerhub-gates", time.time)
        with capture_logs() as logs:
            async with running(World(configured, proofs=proofs)) as hub:
                await hub.browser("alice")
                server.down = False
                stored = await proofs.proofs()
                (tmp_path / LINK_FILE).write_bytes(stored.gate)
                memory = Memory()
                follower = Follower(
                    Address("127.0.0.1", port),
                    memory,
                    Freshness(),
                    name="gate-1",
                    boot="gate-1-boot",
                    connect_by=lambda: client_context(tmp_path),
                    clock=boot_clock,
                )
                async with anyio.create_task_group() as group:
                    group.start_soon(follower.run)
                    await eventually(lambda: memory.people == {"alice"})
                    group.cancel_scope.cancel()
        assert "gate_proofs_not_read" in {one["event"] for one in logs}
