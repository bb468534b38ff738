"""What the real engine makes of a session, and of a launch that cannot be."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import EngineUnavailable, ImageRefused, NoGpu
from controller.core.model import Observed, volume_name
from controller.engines.docker.answers import Info, read
from controller.engines.docker.engine import DockerOrchestrator
from tests.contract.conftest import DEADLINE
from tests.contract.docker.parts import (
    NO_GRACE,
    make_container,
    make_network,
    network,
    session,
)
from tests.support.engine import Lab

pytestmark = pytest.mark.anyio


async def test_hardened(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """The engine holds a session as closed in as it was asked to, and inside it shows."""
    made = session()
    await orchestrator.ensure(made)
    found = docker_lab.inspect(made)
    host: dict[str, Any] = found["HostConfig"]
    profile = docker_lab.settings.profile("good")
    assert profile is not None
    assert found["Config"]["User"] == "1000:1000"
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["IpcMode"] == "private"
    assert not host["PidMode"]
    assert not host["Binds"]
    assert host["Memory"] == host["MemorySwap"] == profile.memory_mib * 2**20
    assert host["CpuQuota"] == profile.cpus * host["CpuPeriod"]
    assert host["PidsLimit"] == profile.pids
    assert host["ShmSize"] == profile.shm_mib * 2**20
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    (mount,) = [one for one in found["Mounts"] if one["Type"] != "tmpfs"]
    assert mount["Type"] == "volume"
    assert mount["Name"] == volume_name(docker_lab.instance, made.owner)
    assert not found["NetworkSettings"]["Ports"]
    said = docker_lab.run(
        made,
        "id -u; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status | tr -d '\\t' | sort;"
        "touch /x 2>&1; touch /tmp/x /home/slicer/x && echo writable; ls /var/run/docker.sock 2>&1",
    )
    assert said.splitlines()[:4] == [
        "1000",
        "CapBnd:0000000000000000",
        "CapEff:0000000000000000",
        "NoNewPrivs:1",
    ]
    assert "/x': Read-only file system" in said
    assert "writable" in said
    assert "No such file" in said


async def test_network_of_its_own(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """Each session is alone in its network with Traefik; without egress it is an internal one."""
    made = [session(1), session(2, name="b"), session(3, name="c", profile="online")]
    for one in made:
        await orchestrator.ensure(one)
    subnets: set[str] = set()
    for one in made:
        name = network(docker_lab, one)
        container = docker_lab.inspect(one)
        assert list(container["NetworkSettings"]["Networks"]) == [name]
        found = docker_lab.api.inspect_network(name)
        assert set(found["Containers"]) == {container["Id"], docker_lab.traefik}
        assert found["Internal"] is (one.profile != "online")
        (pool,) = found["IPAM"]["Config"]
        assert pool["Subnet"].startswith("10.233.")
        assert pool["Subnet"].endswith("/28")
        subnets.add(pool["Subnet"])
    assert len(subnets) == len(made)


async def test_no_way_out(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """From a session without egress the host cannot be reached, by any of its addresses."""
    await orchestrator.ensure(session())
    traefik = docker_lab.api.inspect_container(docker_lab.traefik)
    bridge = traefik["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
    assert bridge
    own = docker_lab.inspect(session())["NetworkSettings"]["Networks"]
    gateway = own[network(docker_lab, session())]["Gateway"]
    with socket.create_server(("0.0.0.0", 0)) as host:  # noqa: S104 - to be found if it could be
        port = host.getsockname()[1]
        for address in filter(None, (bridge, gateway)):
            said = docker_lab.run(
                session(), f"timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>&1; echo $?"
            )
            assert said.splitlines()[-1] != "0", address


async def test_files_outlive_sessions(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """What a person wrote is there in the next session, and in no other person's."""
    await orchestrator.ensure(session(1))
    docker_lab.run(session(1), "echo mine > /home/slicer/note")
    await orchestrator.remove(session(1).id, grace=NO_GRACE)
    assert docker_lab.containers() == []
    assert docker_lab.networks() == []
    assert docker_lab.volumes() == [volume_name(docker_lab.instance, session().owner)]
    await orchestrator.ensure(session(2, name="other"))
    await orchestrator.ensure(session(3, owner="bob"))
    command = "cat /home/slicer/note 2>&1"
    assert docker_lab.run(session(2, name="other"), command) == "mine\n"
    assert "No such file" in docker_lab.run(session(3, owner="bob"), command)


async def test_leased_cards(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """The engine is asked for exactly the leased cards, and tells which they were."""
    made = replace(session(profile="card"), gpus=("0", "GPU-3f2e"))
    make_network(docker_lab, made)
    make_container(docker_lab, made)
    (request,) = docker_lab.inspect(made)["HostConfig"]["DeviceRequests"]
    assert request["DeviceIDs"] == ["0", "GPU-3f2e"]
    assert not request["Count"]
    assert request["Capabilities"] == [["gpu"]]
    assert await orchestrator.list() == [Observed(made, complete=False)]


@pytest.mark.parametrize("profile", ["missing", "routed", "posing", "broken"])
async def test_failed_launch(
    docker_lab: Lab, orchestrator: DockerOrchestrator, profile: str
) -> None:
    """A launch that cannot be leaves neither container nor network, and says why."""
    if profile == "broken":
        with pytest.raises(EngineUnavailable, match="/nowhere"):
            await orchestrator.ensure(session(profile=profile))
    else:
        for call in (orchestrator.check(profile), orchestrator.ensure(session(profile=profile))):
            with pytest.raises(ImageRefused) as caught:
                await call
            assert f"{docker_lab.instance}:" in caught.value.cause
            assert docker_lab.instance not in str(caught.value)
    assert docker_lab.containers() == []
    assert docker_lab.networks() == []
    traefik = docker_lab.api.inspect_container(docker_lab.traefik)
    assert list(traefik["NetworkSettings"]["Networks"]) == ["bridge"]
    await orchestrator.ensure(session(2))


async def test_no_graphics_card(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A profile that wants a card is refused in words where the engine has none to give."""
    if read(docker_lab.api.info(), Info).offers_gpu:
        await orchestrator.check("card")
        return
    with pytest.raises(NoGpu) as caught:
        await orchestrator.ensure(session(profile="card"))
    assert str(caught.value) == "This needs a graphics card, and the server has none."
    assert "gpus = 0" in caught.value.cause
    assert docker_lab.containers() == []
    assert docker_lab.networks() == []


async def test_cancelled_launch(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A launch that is broken off on the way leaves nothing behind."""
    async with anyio.create_task_group() as group:
        group.start_soon(orchestrator.ensure, session())
        with anyio.fail_after(DEADLINE):
            while not docker_lab.networks():  # noqa: ASYNC110 - the engine has no event of ours
                await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    assert docker_lab.containers() == []
    assert docker_lab.networks() == []


async def test_grace(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """The program inside has time to put things away, and ends by itself."""
    await orchestrator.ensure(session())
    container = docker_lab.inspect(session())["Id"]
    ended: list[int] = []

    async def watch() -> None:
        answer = await anyio.to_thread.run_sync(docker_lab.api.wait, container)
        ended.append(int(answer["StatusCode"]))

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await until_started(orchestrator)
        await orchestrator.remove(session().id, grace=timedelta(seconds=60))
    assert ended == [0]


async def until_started(orchestrator: DockerOrchestrator) -> None:
    """Wait until the program inside has begun its work."""
    with anyio.fail_after(DEADLINE):
        while True:
            if [line async for line in orchestrator.logs(session().id, tail=1)] == ["started"]:
                return
            await anyio.sleep(0.02)


async def test_out_of_memory(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A program that was killed is seen with the exit code that says so."""
    await orchestrator.ensure(session())
    docker_lab.api.kill(docker_lab.container_name(session()))
    with anyio.fail_after(DEADLINE):
        while True:
            seen = await orchestrator.get(session().id)
            if seen is not None and seen.exit_code is not None:
                break
            await anyio.sleep(0.05)
    assert seen.exit_code == 137
