"""What the real engine makes of a session, and what survives crashes, neighbours and faults."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from controller.core import labels
from controller.core.errors import EngineUnavailable, ImageRefused, NoGpu, SessionStopping
from controller.core.model import Mount, Observed, Session, group_volume_name, volume_name
from controller.engines.docker import manifests
from controller.engines.docker.answers import Info, read
from controller.engines.docker.engine import DockerOrchestrator
from controller.engines.docker.images import registry_auth
from tests.contract.conftest import with_remote
from tests.support import samples
from tests.support.engine import BASE, Lab
from tests.support.registry import PASSWORD, USER, forget, publish, registry

pytestmark = pytest.mark.anyio

NO_GRACE = timedelta(0)
DEADLINE = 90.0  # seconds; the machine may be busy with other things


def session(
    number: int = 1, *, owner: str = "alice", name: str = "thesis", profile: str = "good"
) -> Session:
    """Return a session of one of the lab's profiles."""
    return samples.session(number, owner=owner, name=name, profile=profile)


@pytest.fixture
async def orchestrator(docker_lab: Lab, anyio_backend: str) -> DockerOrchestrator:
    """Give the orchestrator of the lab's instance."""
    assert anyio_backend == "asyncio"
    return docker_lab.orchestrator()


def network(lab: Lab, made: Session) -> str:
    """Return the name of a session's network."""
    return manifests.network_name(lab.instance, made.id)


def make_network(lab: Lab, made: Session) -> None:
    """Make a session's network by hand, as far as a crash let it come."""
    lab.api.create_network(
        network(lab, made), driver="bridge", internal=True, labels=labels.encode(made, lab.instance)
    )


def make_container(lab: Lab, made: Session) -> None:
    """Make a session's volume and container by hand, as far as a crash let it come."""
    profile = lab.settings.profile(made.profile)
    assert profile is not None
    volume = volume_name(lab.instance, made.owner)
    body = manifests.volume(volume, made.owner, lab.settings)
    lab.api.create_volume(body["Name"], labels=body["Labels"])
    config = manifests.container(made, profile, lab.settings, volume=volume)
    lab.api.create_container_from_config(config, lab.container_name(made))


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


async def test_one_transfer(docker_lab: Lab, remote_image: str) -> None:
    """Four who need the same program are served by one transfer, whose progress all can follow."""
    forget(docker_lab.api, remote_image)
    orchestrator = docker_lab.orchestrator(with_remote(docker_lab, remote_image))
    since = int(time.time())
    told: list[str] = []
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(orchestrator.fetch, "remote", told.append)
    events = docker_lab.api.events(
        since=since,
        until=int(time.time()) + 1,
        filters={"type": "image", "event": "pull", "image": remote_image},
        decode=True,
    )
    assert len(list(events)) == 1
    assert told[:4] == ["Fetching the program"] * 4


async def test_a_fetch_is_broken_off(docker_lab: Lab, remote_image: str) -> None:
    """Where the one who began gives up, the next in the queue goes on."""
    forget(docker_lab.api, remote_image)
    orchestrator = docker_lab.orchestrator(with_remote(docker_lab, remote_image))
    first = anyio.CancelScope()

    async def give_up() -> None:
        with first:
            await orchestrator.fetch("remote", lambda _: first.cancel())

    told: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(give_up)
        group.start_soon(orchestrator.fetch, "remote", told.append)
    assert first.cancelled_caught
    await orchestrator.check("remote")


async def test_a_private_registry(docker_lab: Lab, tmp_path: Path, free_tcp_port: int) -> None:
    """With its name and password in a file the hub fetches from a private registry, else not."""
    with registry(tmp_path, free_tcp_port, private=True) as address:
        image = f"{address}/{docker_lab.instance}:remote"
        publish(docker_lab.api, image, auth={"username": USER, "password": PASSWORD})
        forget(docker_lab.api, image)
        settings = with_remote(docker_lab, image)
        accounts = tmp_path / "accounts.json"
        known = replace(settings, docker=replace(settings.docker, registry_auth_file=str(accounts)))
        with pytest.raises(ImageRefused) as caught:
            await docker_lab.orchestrator(settings).fetch("remote", lambda _: None)
        assert "no basic auth credentials" in caught.value.cause
        with pytest.raises(ImageRefused) as caught:
            await docker_lab.orchestrator(known).fetch("remote", lambda _: None)
        assert f"docker.registry_auth_file: {accounts} cannot be read" in caught.value.cause
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        accounts.write_text(json.dumps({"auths": {address: {"auth": pair}}, "credsStore": "x"}))
        try:
            await docker_lab.orchestrator(known).fetch("remote", lambda _: None)
            await docker_lab.orchestrator(known).check("remote")
        finally:
            forget(docker_lab.api, image)


async def test_giving_up_takes_no_patience(docker_lab: Lab) -> None:
    """Who does not want to wait for a silent registry any more is free at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        image = f"127.0.0.1:{deaf.getsockname()[1]}/slicerhub-test:remote"
        settings = with_remote(docker_lab, image)
        patient = replace(settings.docker, registry_silence_seconds=3600)
        orchestrator = docker_lab.orchestrator(replace(settings, docker=patient))
        with anyio.fail_after(DEADLINE), anyio.move_on_after(0.5) as tired:
            await orchestrator.fetch("remote", lambda _: None)
    assert tired.cancelled_caught


@pytest.mark.parametrize("silent", [True, False])
async def test_no_registry(docker_lab: Lab, free_tcp_port: int, *, silent: bool) -> None:
    """A registry that is away, or takes calls and never answers, is given up, and it is said."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        port = deaf.getsockname()[1] if silent else free_tcp_port
        settings = with_remote(docker_lab, f"127.0.0.1:{port}/slicerhub-test:remote")
        impatient = replace(settings.docker, registry_silence_seconds=2)
        orchestrator = docker_lab.orchestrator(replace(settings, docker=impatient))
        with anyio.fail_after(DEADLINE), pytest.raises(ImageRefused) as caught:
            await orchestrator.fetch("remote", lambda _: None)
    expected = "timed out" if silent else "connection refused"
    assert expected in caught.value.cause


@pytest.mark.parametrize(
    ("text", "image", "account"),
    [
        ("{}", "registry.example.org/a", None),
        ('{"auths": {"other.example.org": {"auth": "YTpi"}}}', "registry.example.org/a", None),
        (
            '{"auths": {"registry.example.org": {"auth": "YTpi"}}}',
            "registry.example.org/a:1",
            ("a", "b"),
        ),
        (
            '{"auths": {"https://index.docker.io/v1/": {"auth": "YTpiOmM="}}}',
            "debian:bookworm-slim",
            ("a", "b:c"),
        ),
        ('{"auths": {"localhost:5000": {}}}', "localhost:5000/a@sha256:00", None),
    ],
)
def test_registry_auth(text: str, image: str, account: tuple[str, str] | None) -> None:
    """The account for an image is that of its registry, and no other's."""
    header = registry_auth(text, image)
    if account is None:
        assert header is None
        return
    assert header is not None
    found = json.loads(base64.urlsafe_b64decode(header))
    assert (found["username"], found["password"]) == account


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        '{"auths": 5}',
        '{"auths": {"a": "secret"}}',
        '{"auths": {"a": {"auth": 5}}}',
        '{"auths": {"a": {"auth": "secret"}}}',
        '{"auths": {"a": {"auth": "c2VjcmV0"}}}',
    ],
)
def test_unreadable_accounts(text: str) -> None:
    """A file that is no list of accounts is called so, and nothing of it is repeated."""
    with pytest.raises(ValueError, match="like Docker's config") as caught:
        registry_auth(text, "a/b")
    assert "secret" not in str(caught.value)


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


async def test_crash_after_the_network(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A network without its session is reported as left over, and removed or completed."""
    make_network(docker_lab, session(1))
    make_network(docker_lab, session(2, name="b"))
    found = sorted(await orchestrator.list(), key=lambda one: one.session.name)
    assert found == [
        Observed(session(2, name="b"), complete=False, orphan=True),
        Observed(session(1), complete=False, orphan=True),
    ]
    await orchestrator.remove(session(1).id, grace=NO_GRACE)
    await orchestrator.ensure(session(2, name="b"))
    assert await orchestrator.list() == [Observed(session(2, name="b"), running=True)]
    assert docker_lab.networks() == [network(docker_lab, session(2))]


async def test_crash_before_the_start(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A session whose start was cut short is seen as incomplete, and ensuring it completes it."""
    make_network(docker_lab, session())
    make_container(docker_lab, session())
    assert await orchestrator.list() == [Observed(session(), complete=False)]
    await orchestrator.ensure(session())
    assert await orchestrator.list() == [Observed(session(), running=True)]


async def test_traefik_was_replaced(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A session that a new Traefik does not reach is seen as incomplete, and joined again."""
    await orchestrator.ensure(session())
    docker_lab.api.disconnect_container_from_network(
        docker_lab.traefik, network(docker_lab, session())
    )
    assert await orchestrator.list() == [Observed(session(), running=True, complete=False)]
    before = docker_lab.inspect(session())["State"]["StartedAt"]
    await orchestrator.ensure(session())
    assert await orchestrator.list() == [Observed(session(), running=True)]
    assert docker_lab.inspect(session())["State"]["StartedAt"] == before


@pytest.mark.parametrize("step", ["renamed", "stopped", "network gone"])
async def test_crash_while_stopping(
    docker_lab: Lab, orchestrator: DockerOrchestrator, step: str
) -> None:
    """A stop that was cut short is seen as one, keeps its name taken, and can be finished."""
    await orchestrator.ensure(session())
    name = docker_lab.container_name(session())
    docker_lab.api.rename(name, f"{name}.stopping")
    if step != "renamed":
        docker_lab.api.stop(f"{name}.stopping", timeout=0)
    if step == "network gone":
        for container in (f"{name}.stopping", docker_lab.traefik):
            docker_lab.api.disconnect_container_from_network(
                container, network(docker_lab, session()), force=True
            )
        docker_lab.api.remove_network(network(docker_lab, session()))
    (seen,) = await orchestrator.list()
    assert seen.deleting
    for other in (session(2), session()):
        with pytest.raises(SessionStopping):
            await orchestrator.ensure(other)
    (seen,) = await orchestrator.list()
    assert seen.session == session()
    await orchestrator.remove(session().id, grace=NO_GRACE)
    assert docker_lab.containers() == []
    assert docker_lab.networks() == []
    await orchestrator.ensure(session(2))


async def test_paused(docker_lab: Lab, orchestrator: DockerOrchestrator) -> None:
    """A session that an administrator paused still runs, and can be stopped."""
    await orchestrator.ensure(session())
    docker_lab.api.pause(docker_lab.container_name(session()))
    assert await orchestrator.list() == [Observed(session(), running=True)]
    await orchestrator.remove(session().id, grace=NO_GRACE)
    assert docker_lab.containers() == []


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


async def test_another_controller(docker_lab: Lab) -> None:
    """A controller that has just been started knows every session from the engine alone."""
    await docker_lab.orchestrator().ensure(session())
    assert await docker_lab.orchestrator().list() == [Observed(session(), running=True)]
    await docker_lab.orchestrator().ensure(session())
    await docker_lab.orchestrator().remove(session().id, grace=NO_GRACE)
    assert await docker_lab.orchestrator().list() == []


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
        lambda: orchestrator.fetch("good", list[str]().append),
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
        await anyio.wait_all_tasks_blocked()
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
