"""What proves controllers and gates to each other: made when it must be, and found by both."""

from __future__ import annotations

import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from controller.cluster.client import Api
from controller.core.errors import ConfigError, StoreUnavailable
from controller.feed.certificates import Proofs, fault_of, make_proofs
from controller.feed.proofs import ProofFolder
from controller.feed.proofs_secret import CONTROLLER_KEY, ProofSecret
from controller.gate.link import LINK_FILE, client_context
from controller.settings.schema import Kubernetes
from tests.support.fakes.api_server import ApiServer, api_server

pytestmark = pytest.mark.anyio

NAME = "slicerhub-gates"
META = {"name": NAME, "labels": {"site": "ours"}}
DAY = 86400
NOW = 1_800_000_000.0
ENDS = 3650 * DAY
GOOD = make_proofs(NOW)
OTHER = make_proofs(NOW)
KEY_END = b"-----END PRIVATE KEY-----\n"


def key_of(pem: bytes) -> bytes:
    """Return the first part of a side's proofs."""
    return pem.partition(KEY_END)[0] + KEY_END


def chain_of(pem: bytes) -> bytes:
    """Return the rest."""
    return pem.partition(KEY_END)[2]


DAMAGED = {
    "empty": Proofs(b"\n", GOOD.gate),
    "text": Proofs(GOOD.controller, b"changeme"),
    "binary": Proofs(b"\xff\x00" * 99, GOOD.gate),
    "cut": Proofs(GOOD.controller[:-200], GOOD.gate),
    "letter": Proofs(GOOD.controller.replace(b"MII", b"MIJ"), GOOD.gate),
    "key only": Proofs(key_of(GOOD.controller), GOOD.gate),
    "no key": Proofs(GOOD.controller, chain_of(GOOD.gate)),
    "another's key": Proofs(GOOD.controller, key_of(OTHER.gate) + chain_of(GOOD.gate)),
    "another's authority": Proofs(GOOD.controller, OTHER.gate),
    "exchanged": Proofs(GOOD.gate, GOOD.controller),
    "both a gate's": Proofs(GOOD.gate, GOOD.gate),
}


class Cluster:
    """A cluster with a Secret, and two controllers that use it."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        """Each controller reaches this server by a connection of its own."""
        self.server = server
        self.seconds = NOW
        there = Kubernetes(hub_namespace="n", kubeconfig=str(kubeconfig))
        self.one, self.other = (
            ProofSecret(Api(there), "slicerhub", NAME, lambda: self.seconds) for _ in range(2)
        )

    def fill(self, **data: bytes) -> None:
        """Let somebody write the Secret."""
        written = {key: b64encode(value).decode() for key, value in data.items()}
        self.server.put({"kind": "Secret", "metadata": META, "data": written})

    def keep(self, proofs: Proofs) -> None:
        """Let somebody write these proofs."""
        self.fill(**{CONTROLLER_KEY: proofs.controller, LINK_FILE: proofs.gate})

    @property
    def stored(self) -> Proofs:
        """Return what is in the Secret."""
        data = self.server.named(NAME)["data"]
        return Proofs(b64decode(data[CONTROLLER_KEY]), b64decode(data[LINK_FILE]))


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncGenerator[Cluster, None]:
    """Give a cluster whose Secret is as the installation has brought it: empty."""
    async with api_server(tmp_path) as (server, path):
        server.put({"kind": "Secret", "metadata": META})
        yield Cluster(server, path)


def replaced(logs: list[MutableMapping[str, Any]]) -> list[str]:
    """Return why proofs were replaced, as the log says it."""
    return [
        one["reason"]
        for one in logs
        if (one["event"], one["log_level"]) == ("gate_proofs_replaced", "warning")
    ]


async def test_a_folder_of_each_start(tmp_path: Path) -> None:
    """Where there is a folder, each start of the controller makes new proofs; gates find theirs."""
    folder = ProofFolder(tmp_path, lambda: NOW)
    first = await folder.proofs()
    second = await folder.proofs()
    assert first != second
    assert (tmp_path / LINK_FILE).read_bytes() == second.gate
    assert client_context(tmp_path).verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(ConfigError, match=r"gates\.folder \(SLICERHUB_GATES_FOLDER\)"):
        await ProofFolder(tmp_path / "missing", lambda: NOW).proofs()


async def test_all_share_what_the_first_has_made(cluster: Cluster) -> None:
    """A gate gets in at each controller, whichever was started first and however often since."""
    with capture_logs() as logs:
        made = await cluster.one.proofs()
        assert await cluster.other.proofs() == made
        assert await cluster.one.proofs() == made
    assert cluster.stored == made
    assert cluster.server.named(NAME)["metadata"]["labels"] == META["labels"]
    assert fault_of(made, NOW) is None
    assert replaced(logs) == []


async def test_two_that_start_at_once(cluster: Cluster) -> None:
    """Of controllers that start at the same moment, the slower one takes what the other made."""
    found: list[Proofs] = []

    async def start(one: ProofSecret) -> None:
        found.append(await one.proofs())

    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            for one in (cluster.one, cluster.other):
                group.start_soon(start, one)
    assert found == [cluster.stored] * 2
    assert replaced(logs) == []


@pytest.mark.parametrize("proofs", DAMAGED.values(), ids=DAMAGED)
async def test_damaged(cluster: Cluster, proofs: Proofs) -> None:
    """A Secret that somebody has damaged keeps no hub from starting, and the log tells of it."""
    cluster.keep(proofs)
    with capture_logs() as logs:
        made = await cluster.one.proofs()
        assert await cluster.other.proofs() == made == cluster.stored
    assert fault_of(made, NOW) is None
    assert len(replaced(logs)) == 1
    assert "PRIVATE" not in str(logs)


@pytest.mark.parametrize("missing", [CONTROLLER_KEY, LINK_FILE])
async def test_one_is_missing(cluster: Cluster, missing: str) -> None:
    """Both are made again if one is lost, since no other fits to the one that is left."""
    both = {CONTROLLER_KEY: GOOD.controller, LINK_FILE: GOOD.gate, "note": b"ours"}
    del both[missing]
    cluster.fill(**both)
    with capture_logs() as logs:
        made = await cluster.one.proofs()
    assert made == cluster.stored
    assert made.controller != GOOD.controller
    assert made.gate != GOOD.gate
    assert replaced(logs) == ["one of the two is missing"]
    assert b64decode(cluster.server.named(NAME)["data"]["note"]) == b"ours"


async def test_renewed_by_hand(cluster: Cluster) -> None:
    """Who removes both gets new ones with the next start, without an alarm."""
    made = await cluster.one.proofs()
    cluster.fill()
    with capture_logs() as logs:
        assert await cluster.one.proofs() != made
    assert replaced(logs) == []


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (-2 * DAY, "they do not count yet"),
        (0, None),
        (ENDS - 31 * DAY, None),
        (ENDS - 29 * DAY, "they have ended or will soon"),
        (ENDS + DAY, "they have ended or will soon"),
    ],
)
async def test_age(cluster: Cluster, age: float, reason: str | None) -> None:
    """Proofs are replaced a month before they end, so that none ends while it is in use."""
    cluster.keep(GOOD)
    cluster.seconds += age
    with capture_logs() as logs:
        found = await cluster.one.proofs()
    assert replaced(logs) == ([reason] if reason else [])
    assert (found == GOOD) == (reason is None)
    assert fault_of(found, cluster.seconds) is None


async def test_a_cluster_that_does_not_answer(cluster: Cluster) -> None:
    """What cannot be read is not replaced, and is read as soon as it can be."""
    made = await cluster.one.proofs()
    cluster.server.down = True
    with pytest.raises(StoreUnavailable, match=f"No gate can follow .* check the Secret {NAME}"):
        await cluster.other.proofs()
    cluster.server.down = False
    assert await cluster.other.proofs() == made
