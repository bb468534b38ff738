"""A session on Docker is made whole or not at all, and all of it goes; files stay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from controller.core import labels
from controller.core.errors import EngineUnavailable, FilesInUse, SessionExists
from controller.core.model import Mount, group_volume_name, volume_name
from controller.engines.docker import client, manifests
from controller.engines.docker.engine import DockerOrchestrator
from controller.settings.schema import Settings
from tests.support.fakes.engine import TRAEFIK, Engine
from tests.support.fakes.engine import Api as FakeApi
from tests.support.samples import session, settings

pytestmark = pytest.mark.anyio

HUB = settings()
ALICE = session().owner
NO_GRACE = timedelta(0)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Give an engine in memory, to which every client leads."""
    made = Engine(HUB.instance)

    def connect(_: Settings) -> FakeApi:
        return made.api()

    monkeypatch.setattr(client, "connect_engine", connect)
    return made


@pytest.fixture
def orchestrator(engine: Engine) -> DockerOrchestrator:
    """Give the orchestrator on that engine."""
    del engine  # it is found by its name
    return DockerOrchestrator(HUB)


async def test_made_and_removed(engine: Engine, orchestrator: DockerOrchestrator) -> None:
    """A session that was asked for twice is there once, and after its end only its files are."""
    for _ in range(2):
        await orchestrator.ensure(session())
    network = manifests.network_name(HUB.instance, session().id)
    assert list(engine.networks) == [network]
    assert network in engine.containers[TRAEFIK]["Networks"]
    with pytest.raises(FilesInUse):
        await orchestrator.remove_volume(ALICE)
    (seen,) = await orchestrator.list()
    assert (seen.session, seen.running, seen.complete) == (session(), True, True)
    await orchestrator.remove(session().id, grace=NO_GRACE)
    assert (list(engine.containers), list(engine.networks)) == ([TRAEFIK], [])
    assert list(engine.volumes) == [volume_name(HUB.instance, ALICE)]
    await orchestrator.remove_volume(ALICE)
    await orchestrator.remove_volume(ALICE)
    assert engine.volumes == {}


async def test_the_name_is_taken(engine: Engine, orchestrator: DockerOrchestrator) -> None:
    """A second session of the same name is refused, and the first is as it was."""
    await orchestrator.ensure(session(1))
    with pytest.raises(SessionExists):
        await orchestrator.ensure(session(2))
    assert len(engine.sessions()) == 1
    assert len(engine.networks) == 1


async def test_files_of_groups(engine: Engine, orchestrator: DockerOrchestrator) -> None:
    """A group's files are there with the session, and what opened them is gone."""
    mount = Mount("atlas", writable=True)
    await orchestrator.ensure(replace(session(), volumes=(mount,)))
    assert group_volume_name(HUB.instance, "atlas") in engine.volumes
    assert len(engine.containers) == 1 + len(engine.sessions())


async def test_files_of_somebody_else(engine: Engine, orchestrator: DockerOrchestrator) -> None:
    """Files that are not labelled as a person's are neither given to them nor removed for them."""
    name = volume_name(HUB.instance, ALICE)
    engine.volumes[name] = {labels.OWNER: "mallory"}
    with pytest.raises(EngineUnavailable, match="Nothing is mounted"):
        await orchestrator.ensure(session())
    with pytest.raises(EngineUnavailable, match="was not changed"):
        await orchestrator.remove_volume(ALICE)
    assert (list(engine.volumes), engine.networks) == ([name], {})


async def test_no_subnet(engine: Engine) -> None:
    """Where every subnet is taken it is said what to widen, and nothing is left of the try."""
    tight = replace(HUB, docker=replace(HUB.docker, network_pool="10.233.0.0/28"))
    orchestrator = DockerOrchestrator(tight)
    await orchestrator.ensure(session(1))
    with pytest.raises(EngineUnavailable, match=r"docker\.network_pool"):
        await orchestrator.ensure(session(2, name="other"))
    assert len(engine.sessions()) == 1
    assert len(engine.networks) == 1
