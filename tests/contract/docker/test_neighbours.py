"""What else is on the real engine: hubs beside this one, older or newer, strangers, taken nets."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from controller.core import labels
from controller.core.errors import EngineUnavailable
from controller.core.model import Observed
from controller.engines.docker.engine import DockerOrchestrator
from tests.contract.docker.parts import NO_GRACE, make_network, network, session
from tests.support import samples
from tests.support.engine import Lab

pytestmark = pytest.mark.anyio


async def test_neighbours(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """Another hub on the same engine is neither seen nor touched, though it has the same ids."""
    other = Lab(docker_lab.api, f"{docker_lab.instance}x"[:16])
    theirs = session()
    try:
        make_network(other, theirs)
        body = {"image": f"{docker_lab.instance}:good"}
        docker_lab.api.create_container(
            body["image"],
            name=other.container_name(theirs),
            labels=labels.encode(theirs, other.instance),
        )
        assert await orchestrator.list() == []
        await orchestrator.ensure(session())
        await orchestrator.remove(session().id, grace=NO_GRACE)
        assert other.containers() == [other.container_name(theirs)]
        assert other.networks() == [network(other, theirs)]
    finally:
        other.clean()


async def test_two_hubs(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """Two hubs on one engine, with the same people and names, see and touch only their own."""
    other = Lab(docker_lab.api, f"{docker_lab.instance}y"[:16])
    other.settings = replace(docker_lab.settings, instance=other.instance)
    theirs = session(2, name="thesis")
    try:
        neighbour = other.orchestrator()
        await orchestrator.ensure(session(1))
        await neighbour.ensure(theirs)
        before = other.inspect(theirs)["State"]["StartedAt"]
        docker_lab.run(session(1), "echo mine > /home/slicer/note")
        assert "No such file" in other.run(theirs, "cat /home/slicer/note 2>&1")
        assert await orchestrator.list() == [Observed(session(1), running=True)]
        assert [one.session for one in await neighbour.list()] == [theirs]
        for stranger in (session(1).id, samples.session_id(9)):
            await neighbour.remove(stranger, grace=NO_GRACE)
        await orchestrator.remove(theirs.id, grace=NO_GRACE)
        assert await orchestrator.usage(theirs.id) is None
        assert [line async for line in orchestrator.logs(theirs.id, tail=5)] == []
        await orchestrator.remove(session(1).id, grace=NO_GRACE)
        await orchestrator.remove_volume(session(1).owner)
        assert other.inspect(theirs)["State"]["StartedAt"] == before
        assert [one.owner for one in await neighbour.volumes()] == [theirs.owner]
        assert await orchestrator.volumes() == []
    finally:
        other.clean()


def as_it_is(found: Mapping[str, str]) -> Mapping[str, str]:
    """Be the next schema, which says all in the same labels."""
    return found


async def test_an_older_hubs_sessions(docker_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub of the next schema adopts, mends and stops what this one has made."""
    await docker_lab.orchestrator().ensure(session())
    monkeypatch.setattr(labels, "UPGRADES", (as_it_is,))
    monkeypatch.setattr(labels, "SCHEMA_VERSION", "2")
    upgraded = docker_lab.orchestrator()
    assert await upgraded.list() == [Observed(session(), running=True)]
    await upgraded.ensure(session())
    await upgraded.ensure(session(2, name="new"))
    monkeypatch.undo()
    before = docker_lab.orchestrator()
    found = {one.session.id: one for one in await before.list()}
    assert found[session().id] == Observed(session(), running=True)
    newer = found[session(2).id]
    assert (newer.newer, newer.running, newer.session.owner) == (True, True, "alice")
    monkeypatch.setattr(labels, "UPGRADES", (as_it_is,))
    for number in (1, 2):
        await upgraded.remove(session(number).id, grace=NO_GRACE)
    assert await upgraded.list() == []


async def test_unreadable_labels(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """What carries labels that say no session is left out, and hinders no other."""
    await orchestrator.ensure(session(1))
    for number, damage in enumerate(
        ({labels.SCHEMA: "?"}, {labels.CREATED: "?"}, {labels.SESSION: "x"}, {labels.OWNER: ""})
    ):
        strange = labels.encode(session(5), docker_lab.instance) | damage
        docker_lab.api.create_container(
            f"{docker_lab.instance}:good",
            name=f"{docker_lab.instance}-strange-{number}",
            labels=strange,
        )
        docker_lab.api.create_network(f"{docker_lab.instance}-strange-{number}", labels=strange)
    assert await orchestrator.list() == [Observed(session(1), running=True)]


async def test_taken_subnets(docker_lab: Lab) -> None:
    """Where every subnet of the pool is taken the launch says what to do; nothing is left."""
    tight = replace(
        docker_lab.settings,
        docker=replace(docker_lab.settings.docker, network_pool="10.233.255.224/27"),
    )
    orchestrator = docker_lab.orchestrator(tight)
    await orchestrator.ensure(session(1))
    await orchestrator.ensure(session(2, name="b"))
    with pytest.raises(EngineUnavailable, match=r"widen docker\.network_pool"):
        await orchestrator.ensure(session(3, name="c"))
    assert len(docker_lab.containers()) == 2
    await orchestrator.remove(session(1).id, grace=NO_GRACE)
    await orchestrator.ensure(session(3, name="c"))
