"""Volumes of a group on the real engine: who may write, and what is never changed or taken."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest
from msgspec.structs import replace

from controller.core import labels
from controller.core.errors import EngineUnavailable
from controller.core.model import Mount, group_volume_name
from controller.engines.docker import manifests
from controller.engines.docker.engine import DockerOrchestrator
from tests.contract.conftest import DEADLINE
from tests.contract.docker.parts import NO_GRACE, session
from tests.support.engine import BASE, Lab

pytestmark = pytest.mark.anyio

ATLAS = Mount("atlas", writable=False)
ATLAS_WRITABLE = Mount("atlas", writable=True)


def open_volumes(lab: Lab) -> list[str]:
    """Return the containers that were made to open a volume."""
    wanted = [
        f"{labels.INSTANCE}={lab.instance}",
        f"{labels.COMPONENT}={manifests.OPENER}",
    ]
    return [str(one["Id"]) for one in lab.api.containers(all=True, filters={"label": wanted})]


async def test_group_volume(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A new volume of a group can be written by who may, is read by the others, and stays."""
    writer = replace(session(1), volumes=(ATLAS_WRITABLE,))
    reader = replace(session(2, owner="bob"), volumes=(ATLAS,))
    await orchestrator.ensure(reader)
    await orchestrator.ensure(writer)
    await orchestrator.ensure(session(3, owner="carol"))
    note = "id -u; mkdir /groups/atlas/study && echo ours > /groups/atlas/study/note && echo done"
    assert docker_lab.run(writer, note) == "1000\ndone\n"
    said = docker_lab.run(
        reader, "cat /groups/atlas/study/note; touch /groups/atlas/x /groups/atlas/study/note 2>&1"
    )
    assert said.startswith("ours\n")
    assert said.count("Read-only file system") == 2
    assert "No such file" in docker_lab.run(session(3, owner="carol"), "ls /groups/atlas 2>&1")
    assert open_volumes(docker_lab) == []
    found = docker_lab.api.inspect_volume(group_volume_name(docker_lab.instance, "atlas"))
    assert found["Labels"] == {
        labels.INSTANCE: docker_lab.instance,
        labels.SCHEMA: "1",
        labels.VOLUME: "atlas",
    }
    for one in (writer, reader):
        await orchestrator.remove(one.id, grace=NO_GRACE)
    again = replace(session(4, owner="dora"), volumes=(ATLAS_WRITABLE,))
    await docker_lab.orchestrator().ensure(again)
    assert docker_lab.run(again, "cat /groups/atlas/study/note") == "ours\n"
    assert docker_lab.run(again, "rm -r /groups/atlas/study && echo gone") == "gone\n"


async def test_a_filled_group_volume_stays_as_it_is(
    docker_lab: Lab, orchestrator: DockerOrchestrator
) -> None:
    """What an administrator has put into a group's volume, and who may use it, is not changed."""
    body = manifests.group_volume("atlas", docker_lab.settings)
    docker_lab.api.create_volume(body["Name"], labels=body["Labels"])
    command = "mkdir /v/brain && chown 1000:2000 /v && chmod 2750 /v"
    await anyio.run_process(
        ["docker", "run", "--rm", "-v", f"{body['Name']}:/v", BASE, "sh", "-c", command]
    )
    made = replace(session(), volumes=(ATLAS_WRITABLE,))
    await orchestrator.ensure(made)
    said = docker_lab.run(made, "stat -c '%u:%g %a' /groups/atlas; ls /groups/atlas")
    assert said == "1000:2000 2750\nbrain\n"


async def test_crash_while_a_volume_is_opened(
    docker_lab: Lab, orchestrator: DockerOrchestrator
) -> None:
    """What opens a volume is never taken for a session, and goes away if a crash left it."""
    profile = docker_lab.settings.profile("good")
    assert profile is not None
    body = manifests.group_volume("atlas", docker_lab.settings)
    docker_lab.api.create_volume(body["Name"], labels=body["Labels"])
    docker_lab.api.create_container_from_config(
        manifests.volume_opener("atlas", profile.image, docker_lab.settings)
    )
    assert await orchestrator.list() == []
    assert len(open_volumes(docker_lab)) == 1
    await watch_once(orchestrator)
    assert open_volumes(docker_lab) == []
    made = replace(session(), volumes=(ATLAS_WRITABLE,))
    await orchestrator.ensure(made)
    assert docker_lab.run(made, "touch /groups/atlas/x && echo done") == "done\n"


async def watch_once(orchestrator: DockerOrchestrator) -> None:
    """Watch an engine without sessions until it has been looked at."""
    with anyio.CancelScope() as scope, anyio.fail_after(DEADLINE):
        async with aclosing(orchestrator.watch()) as watching:
            async for snapshot in watching:
                assert snapshot == []
                scope.cancel()


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {labels.INSTANCE: "other", labels.VOLUME: "atlas"},
        {labels.VOLUME: "cases"},
        {labels.OWNER: "alice"},
    ],
)
async def test_somebody_elses_group_volume(
    docker_lab: Lab, orchestrator: DockerOrchestrator, strange: dict[str, str]
) -> None:
    """A volume of that name that is not labelled as this group's is never mounted."""
    name = group_volume_name(docker_lab.instance, "atlas")
    docker_lab.api.create_volume(name, labels={labels.INSTANCE: docker_lab.instance} | strange)
    try:
        with pytest.raises(EngineUnavailable, match="is not labelled as the group volume atlas"):
            await orchestrator.ensure(replace(session(), volumes=(ATLAS,)))
        assert docker_lab.containers() == []
        assert docker_lab.networks() == []
    finally:
        docker_lab.api.remove_volume(name)
