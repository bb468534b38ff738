"""The engine proxies let through what the hub does, and nothing that would take over a machine."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import docker
import msgspec
import pytest
from docker.errors import ImageNotFound

from controller.core.model import Mount, Session, SessionId, UserId
from controller.engines.docker import manifests
from controller.engines.docker.engine import DockerOrchestrator
from controller.settings.loading import SLICER
from controller.settings.schema import Docker, Settings
from tests.docker.deploy.conftest import INSTANCE, Answer, Proxy, Untyped
from tests.support.registry import PASSWORD, USER, forget, publish, registry

DENIED = 403


class Bodies(NamedTuple):
    """What the controller sends for one session."""

    network: dict[str, Any]
    volume: dict[str, Any]
    group_volume: dict[str, Any]
    opener: dict[str, Any]
    container: dict[str, Any]


def bodies(name: str = "") -> Bodies:
    """Build the bodies of a new session with the controller's own builders."""
    settings = Settings(instance="slicerhub-test")
    profile = msgspec.structs.replace(SLICER, image="debian:bookworm-slim")
    session = Session(
        id=SessionId(uuid.uuid4().hex),
        owner=UserId("alice"),
        profile=profile.id,
        name=name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        volumes=(Mount(f"x{uuid.uuid4().hex[:8]}", writable=False),),
    )
    shared = session.volumes[0].name
    volume = f"slicerhub-test-{uuid.uuid4().hex[:8]}"
    container = manifests.container(session, profile, settings, volume=volume)
    return Bodies(
        manifests.network(session, profile, settings, subnet="10.234.0.0/28"),
        manifests.volume(volume, session.owner, settings),
        manifests.group_volume(shared, settings),
        manifests.volume_opener(shared, profile.image, settings),
        container | {"Cmd": ["sleep", "600"]},
    )


@pytest.fixture
def client(controller_proxy: Proxy) -> Iterator[Untyped]:
    """Give the engine's own client behind the controller's proxy."""
    client = cast("Untyped", docker).APIClient(
        base_url=controller_proxy.url, version="auto", timeout=30
    )
    yield client
    client.close()


def from_engine(answer: Answer) -> bool:
    """The engine signs its answers with the version of its API; the proxy's own have none."""
    return "api-version" in answer.headers


def assert_refused(answer: Answer) -> None:
    """The proxy said no by itself, in the engine's way of saying why."""
    assert (answer.status, from_engine(answer)) == (DENIED, False), answer.text
    assert json.loads(answer.text)["message"].startswith("the engine proxy")


# --- what the hub does --------------------------------------------------------------------------


def test_the_whole_life_of_a_session(
    client: Untyped, controller_proxy: Proxy, engine: Untyped
) -> None:
    """Everything that the hub does with a session works through its proxy."""
    body = bodies('Größe ("host": 1) {"Privileged": true} 頭')
    name = body.network["Name"]
    volume = body.volume["Name"]
    shared = body.group_volume["Name"]
    try:
        assert controller_proxy.ask("GET", "/_ping").text == "OK"
        client.info()
        client.inspect_image("debian:bookworm-slim")
        created = controller_proxy.ask("POST", "/networks/create", encode(body.network))
        assert created.status == 201, created.text
        created = controller_proxy.ask("POST", "/volumes/create", encode(body.volume))
        assert created.status == 201, created.text
        created = controller_proxy.ask("POST", "/volumes/create", encode(body.group_volume))
        assert created.status == 201, created.text
        measured = json.loads(controller_proxy.ask("GET", "/system/df?type=volume").text)
        assert volume in {one["Name"] for one in measured["Volumes"]}
        opener = client.create_container_from_config(body.opener, f"{name}-opener")["Id"]
        client.remove_container(opener, v=True, force=True)
        container = client.create_container_from_config(body.container, name)["Id"]
        client.start(container)
        assert [item["Id"] for item in client.containers(filters={"name": name})] == [container]
        assert client.inspect_container(container)["State"]["Running"]
        assert client.stats(container, stream=False)["id"] == container
        assert client.logs(container, stream=False) == b""
        assert client.networks(names=[name])[0]["Name"] == name
        assert client.inspect_network(name)["Internal"]
        client.disconnect_container_from_network(container, name, force=True)
        client.connect_container_to_network(container, name)
        client.rename(container, f"{name}-stopping")
        client.kill(container)
        assert client.wait(container)["StatusCode"] == 137
        client.stop(container)
        client.remove_container(container, v=True, force=True)
        client.remove_network(name)
        assert client.inspect_volume(volume)["Name"] == volume
        client.remove_volume(volume)
        client.remove_volume(shared)
    finally:
        for left in engine.containers.list(all=True, filters={"name": name}):
            left.remove(force=True)
        for left in engine.networks.list(names=[name]):
            left.remove()
        for one in (volume, shared):
            for left in engine.volumes.list(filters={"name": one}):
                left.remove(force=True)


def test_events_arrive(client: Untyped, engine: Untyped) -> None:
    """The hub hears at once that something happened to a container."""
    name = f"slicerhub-test-{uuid.uuid4().hex[:8]}"
    events = client.events(decode=True, filters={"event": "create", "container": name})
    heard: list[dict[str, Any]] = []
    listener = threading.Thread(target=lambda: heard.append(next(events)), daemon=True)
    listener.start()
    engine.containers.create("debian:bookworm-slim", name=name).remove()
    listener.join(timeout=10)
    events.close()
    assert [event["Actor"]["Attributes"]["name"] for event in heard] == [name]


def test_an_image_may_be_pulled_by_name(controller_proxy: Proxy) -> None:
    """The wish to pull reaches the engine; whether a registry has the image is another matter."""
    answer = controller_proxy.ask(
        "POST", "/v1.41/images/create?fromImage=localhost:1%2Fslicerhub-test&tag=none"
    )
    assert from_engine(answer), answer


@pytest.mark.anyio
async def test_a_program_is_fetched(
    controller_proxy: Proxy, engine: Untyped, tmp_path: Path, free_tcp_port: int
) -> None:
    """The hub fetches a program from a private registry through its proxy, and can follow it."""
    with registry(tmp_path, free_tcp_port, private=True) as address:
        image = f"{address}/slicerhub-test/{uuid.uuid4().hex[:8]}:1"
        publish(engine.api, image, auth={"username": USER, "password": PASSWORD})
        forget(engine.api, image)
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "accounts").write_text(json.dumps({"auths": {address: {"auth": pair}}}))
        settings = Settings(
            docker=Docker(host=controller_proxy.url, registry_auth_file=str(tmp_path / "accounts")),
            profiles=(msgspec.structs.replace(SLICER, image=image),),
        )
        orchestrator, told = DockerOrchestrator(settings), list[str]()
        try:
            await orchestrator.fetch(SLICER.id, told.append)
            await orchestrator.check(SLICER.id)
        finally:
            orchestrator.close()
            forget(engine.api, image)
    assert told


@pytest.mark.parametrize("wish", [{"Count": 1}, {"DeviceIDs": ["0", "GPU-3f2e"]}])
@pytest.mark.parametrize("driver", ["", "nvidia"])
def test_a_graphics_card_may_be_asked_for(
    controller_proxy: Proxy, wish: dict[str, Any], driver: str
) -> None:
    """A profile with a GPU gets as far as the engine, which alone knows whether there is one."""
    body = bodies().container
    body["HostConfig"]["DeviceRequests"] = [{"Driver": driver, "Capabilities": [["gpu"]]} | wish]
    body["Image"] = "slicerhub-test/no-such-image"
    assert controller_proxy.ask("POST", "/containers/create", encode(body)).status == 404


# --- what the controller's proxy refuses --------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/{id}/exec"),
        ("POST", "/v1.41/containers/{id}/exec"),
        ("POST", "/exec/0123/start"),
        ("GET", "/exec/0123/json"),
        ("POST", "/containers/{id}/attach"),
        ("GET", "/containers/{id}/attach/ws"),
        ("GET", "/containers/{id}/archive?path=/etc/shadow"),
        ("HEAD", "/containers/{id}/archive?path=/etc/shadow"),
        ("PUT", "/containers/{id}/archive?path=/"),
        ("GET", "/containers/{id}/export"),
        ("GET", "/containers/{id}/changes"),
        ("GET", "/containers/{id}/top"),
        ("POST", "/containers/{id}/update"),
        ("POST", "/containers/{id}/pause"),
        ("POST", "/containers/{id}/restart"),
        ("POST", "/containers/{id}/resize"),
        ("POST", "/containers/prune"),
        ("POST", "/networks/prune"),
        ("POST", "/volumes/prune"),
        ("POST", "/images/prune"),
        ("POST", "/build"),
        ("POST", "/build/prune"),
        ("POST", "/commit?container={id}"),
        ("POST", "/images/load"),
        ("GET", "/images/get?names=debian"),
        ("GET", "/images/debian:bookworm-slim/get"),
        ("POST", "/images/debian:bookworm-slim/tag?repo=x"),
        ("POST", "/images/debian:bookworm-slim/push"),
        ("DELETE", "/images/debian:bookworm-slim"),
        ("GET", "/images/a/../../containers/{id}/json"),
        ("GET", "/images/a//json"),
        ("POST", "/images/create?fromSrc=http://127.0.0.1/image.tar"),
        ("POST", "/images/create?from%53rc=-"),
        ("POST", "/images/create?fromImage=a&fromSrc=-"),
        ("POST", "/images/create?fromImage=a;fromSrc=-"),
        ("POST", "/images/create?fromImage=a&repo=b"),
        ("POST", "/images/create?fromImage=a&changes=USER%20root"),
        ("POST", "/images/create?fromImage="),
        ("POST", "/images/create?fromImage=&tag=x"),
        ("POST", "/images/create?tag=x"),
        ("POST", "/images/create?xfromImage=a"),
        ("GET", "/images/create?fromImage=a"),
        ("POST", "/images/create/?fromImage=a"),
        ("POST", "/images/create"),
        ("POST", "/auth"),
        ("GET", "/system/df"),
        ("GET", "/system/df?type=container"),
        ("GET", "/system/df?type=volume&type=image"),
        ("GET", "/system/df?type=volume;type=image"),
        ("POST", "/system/df?type=volume"),
        ("HEAD", "/system/df?type=volume"),
        ("POST", "/session"),
        ("POST", "/grpc"),
        ("GET", "/swarm"),
        ("POST", "/swarm/init"),
        ("GET", "/nodes"),
        ("GET", "/services"),
        ("GET", "/tasks"),
        ("GET", "/secrets"),
        ("GET", "/configs"),
        ("GET", "/plugins"),
        ("POST", "/plugins/pull?remote=x"),
        ("GET", "/distribution/debian/json"),
        ("PUT", "/volumes/x"),
        # One path, written in ways that two programs read differently.
        ("GET", "//containers/{id}/export"),
        ("GET", "/containers//{id}/json"),
        ("GET", "/containers/x/../{id}/export"),
        ("GET", "/v1.41/../containers/{id}/export"),
        ("GET", "/containers/{id}%2Fexport"),
        ("GET", "/containers/{id}/%6Ason"),
        ("GET", "/containers/{id}/json/../export"),
        ("GET", "/containers/{id}/json%00"),
        ("GET", "/containers/{id}/json;x"),
        ("GET", "/CONTAINERS/json"),
        ("POST", "/containers/%63reate"),
        # Before 1.24 starting a container takes a body that changes its walls.
        ("POST", "/v1.12/containers/{id}/start"),
        ("POST", "/v1.23/containers/{id}/start"),
        ("GET", "/v2.0/containers/json"),
        ("GET", "/"),
        ("DELETE", "/containers/json/x"),
        ("PATCH", "/containers/json"),
        ("OPTIONS", "/containers/json"),
        ("TRACE", "/containers/json"),
    ],
)
def test_the_controller_may_not(
    controller_proxy: Proxy, victim: Untyped, method: str, path: str
) -> None:
    """A controller in foreign hands reads no files, runs no commands and changes nothing else."""
    answer = controller_proxy.ask(method, path.format(id=victim.id), b"{}")
    if method == "HEAD":
        assert (answer.status, from_engine(answer)) == (DENIED, False)
    else:
        assert_refused(answer)


ESCAPES: dict[str, dict[str, Any]] = {
    "privileged": {"Privileged": True},
    "privileged, as a number": {"Privileged": 1},
    "host network": {"NetworkMode": "host"},
    "network of another": {"NetworkMode": "container:0123"},
    "host processes": {"PidMode": "host"},
    "processes of another": {"PidMode": "container:0123"},
    "host memory": {"IpcMode": "host"},
    "host name": {"UTSMode": "host"},
    "host users": {"UsernsMode": "host"},
    "host control groups": {"CgroupnsMode": "host"},
    "control group of another": {"Cgroup": "container:0123"},
    "parent control group": {"CgroupParent": "/"},
    "bound folder": {"Binds": ["/:/host"]},
    "bound folder, after a volume": {"Binds": ["a:/a", "/:/host"]},
    "bound folder, after a bracket": {"Binds": ["]", "/:/host"]},
    "mounted folder": {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]},
    "mounted folder, key after value": {
        "Mounts": [{"Source": "/", "Target": "/h", "Type": "bind"}]
    },
    "mount of a kind unheard of": {"Mounts": [{"Type": "cluster", "Source": "a", "Target": "/a"}]},
    "folder behind a volume": {
        "Mounts": [
            {
                "Type": "volume",
                "Source": "a",
                "Target": "/a",
                "VolumeOptions": {
                    "DriverConfig": {
                        "Name": "local",
                        "Options": {"type": "none", "o": "bind", "device": "/"},
                    }
                },
            }
        ]
    },
    "volume driver": {"VolumeDriver": "other"},
    "volumes of another": {"VolumesFrom": ["0123"]},
    "device": {"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}]},
    "device rule": {"DeviceCgroupRules": ["a *:* rwm"]},
    "capability": {"CapAdd": ["SYS_ADMIN"]},
    "capability, not in a list": {"CapAdd": "SYS_ADMIN"},
    "no seccomp": {"SecurityOpt": ["seccomp=unconfined"]},
    "no seccomp, after a good one": {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
    "no AppArmor": {"SecurityOpt": ["apparmor:unconfined"]},
    "new privileges": {"SecurityOpt": ["no-new-privileges:false"]},
    "unmasked paths": {"MaskedPaths": []},
    "writable kernel": {"ReadonlyPaths": ["/x"]},
    "published port": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
    "all ports": {"PublishAllPorts": True},
    "other runtime": {"Runtime": "/bin/sh"},
    "log driver": {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "udp://a:1"}}},
}


def encode(body: object) -> bytes:
    """Write JSON as the engine's Python client does."""
    return json.dumps(body).encode()


def image_of(host_config: dict[str, Any]) -> dict[str, Any]:
    """A container's body; the image does not exist, so the engine makes nothing of it."""
    return {"Image": "slicerhub-test/no-such-image", "HostConfig": host_config}


@pytest.mark.parametrize("host_config", ESCAPES.values(), ids=ESCAPES.keys())
def test_no_container_without_walls(controller_proxy: Proxy, host_config: dict[str, Any]) -> None:
    """No container that the controller makes gets at the machine or at other containers."""
    body = encode(image_of(host_config))
    assert_refused(controller_proxy.ask("POST", "/v1.41/containers/create?name=x", body))


def test_the_engine_itself_would_take_such_bodies(engine: Untyped) -> None:
    """The bodies of these tests are meant seriously: it is the proxy that refuses them."""
    api = engine.api
    for name in ("privileged", "host network", "bound folder", "device", "capability"):
        with pytest.raises(ImageNotFound):
            api.create_container_from_config(image_of(ESCAPES[name]))


PRIVILEGED = '{"Image": "slicerhub-test/no-such-image", "HostConfig": {%s}}'
DISGUISES = {
    "small letters": '"privileged": true',
    "mixed letters": '"pRIVILEGEd": true',
    "no space": '"Privileged":true',
    "much space": '"Privileged" \t\r\n : \n\n true',
    "after a good one": '"Privileged": false, "Privileged": true',
    "before a good one": '"Privileged": true, "Privileged": false',
    "an escaped letter in the key": '"Privil\\u0065ged": true',
    "an escaped capital": '"\\u0050rivileged": true',
    "an escaped letter in the value": '"NetworkMode": "h\\u006fst"',
    "an escaped quote": '\\u0022Privileged": true',
    "a long s": '"Bind\u017f": ["/:/host"]',
    "a long s, escaped": '"Bind\\u017F": ["/:/host"]',
    "a Kelvin sign": '"Networ\u212aMode": "host"',
    "a Kelvin sign, escaped": '"Networ\\u212AMode": "host"',
    "an escaped slash": '"Binds": ["\\/:/host"]',
    "in a nested object": '"X": {"Privileged": true}',
    "behind many backslashes": '"X": "' + "\\\\" * 20000 + '", "Privil\\u0065ged": true',
    "behind many long letters": '"X": "' + "s" * 50000 + '", "Privileged": true',
    "behind many brackets": '"X": ' + "[" * 20000 + "]" * 20000 + ', "Privileged": true',
    "behind many spaces": " " * 60000 + '"Privileged": true',
    "behind many spaces inside": '"Privileged"' + " " * 60000 + ": true",
    "many times harmless": '"Privileged": false, ' * 2500 + '"Privileged": true',
}


@pytest.mark.parametrize("text", DISGUISES.values(), ids=DISGUISES.keys())
def test_no_disguise_helps(controller_proxy: Proxy, text: str) -> None:
    """The engine reads keys in any case and letters in any notation; so does the proxy."""
    body = (PRIVILEGED % text).encode()
    assert_refused(controller_proxy.ask("POST", "/containers/create", body))


def test_only_whole_bodies_are_judged(controller_proxy: Proxy) -> None:
    """What the proxy cannot see as a whole, because of its size or manner, does not pass."""
    good = encode(image_of({}))
    assert controller_proxy.ask("POST", "/containers/create", good).status == 404
    assert_refused(controller_proxy.ask("POST", "/containers/create", good, chunked=True))
    assert_refused(controller_proxy.ask("POST", "/containers/create", good + b" " * 100_000))


def test_what_follows_a_zero_byte_does_nothing(controller_proxy: Proxy) -> None:
    """A zero byte ends what the proxy reads; the engine takes nothing behind it either."""
    body = (
        (PRIVILEGED % '"Privileged": false').encode()
        + b"\0"
        + (PRIVILEGED % '"Privileged": true').encode()
    )
    first = controller_proxy.ask("POST", "/containers/create", body)
    inside = b'{"Image": "slicerhub-test/no-such-image", \0"HostConfig": {"Privileged": true}}'
    second = controller_proxy.ask("POST", "/containers/create", inside)
    # 404: only the harmless first object was read. 400 or 500: not JSON to the engine.
    assert first.status in {400, 403, 404, 500}
    assert second.status in {400, 403, 500}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/networks/create", {"Name": "x", "Driver": "macvlan", "Options": {"parent": "eth0"}}),
        ("/networks/create", {"Name": "x", "Driver": "host"}),
        (
            "/networks/create",
            {"Name": "x", "Options": {"com.docker.network.bridge.name": "docker0"}},
        ),
        (
            "/volumes/create",
            {
                "Name": "x",
                "Driver": "local",
                "DriverOpts": {"type": "none", "o": "bind", "device": "/"},
            },
        ),
        ("/volumes/create", {"Name": "x", "Driver": "other"}),
    ],
)
def test_no_way_out_by_networks_or_volumes(
    controller_proxy: Proxy, path: str, body: dict[str, Any]
) -> None:
    """A network is a bridge of its own and a volume a folder of the engine's, nothing else."""
    assert_refused(controller_proxy.ask("POST", path, encode(body)))


# --- Traefik's ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/_ping",
        "/version",
        "/v1.41/version",
        "/containers/json?all=1",
        "/v1.41/containers/{id}/json",
    ],
)
def test_traefik_may_look(traefik_proxy: Proxy, victim: Untyped, path: str) -> None:
    """Traefik finds the sessions that it routes to."""
    answer = traefik_proxy.ask("GET", path.format(id=victim.id))
    assert (answer.status, from_engine(answer)) == (200, True)


@pytest.mark.parametrize(
    "path",
    [
        "/containers/json",
        "/v1.41/containers/json?all=1",
        "/containers/json?filters=%7B%7D",
        "/containers/json?all=true&filters=%7B%22label%22%3A%5B%22x%22%5D%7D&filters=%7B%7D",
    ],
)
def test_traefik_lists_what_is_of_its_hub(
    traefik_proxy: Proxy, victim: Untyped, routed: Untyped, path: str
) -> None:
    """Whatever Traefik asks, it is told of no container of anybody else."""
    answer = traefik_proxy.ask("GET", path)
    found = [one["Id"] for one in json.loads(answer.text)]
    assert routed.id in found
    assert victim.id not in found
    assert {one["Labels"].get("slicerhub.instance") for one in json.loads(answer.text)} == {
        INSTANCE
    }


def test_traefik_hears_of_what_is_of_its_hub(
    traefik_proxy: Proxy, victim: Untyped, routed: Untyped
) -> None:
    """What happens to others is not told to Traefik, or it would look at everything each time."""
    traefik = docker.DockerClient(base_url=traefik_proxy.url, version="1.41")
    with closing(traefik), closing(traefik.events(decode=True, filters={"type": "image"})) as heard:
        victim.rename(f"{victim.name}-renamed")
        routed.rename(f"{routed.name}-renamed")
        event = next(heard)
    assert (event["Action"], event["Actor"]["ID"]) == ("rename", routed.id)


def test_traefik_hears_events(traefik_proxy: Proxy) -> None:
    """Traefik learns of a new session without asking again and again."""
    answer = traefik_proxy.ask("GET", "/v1.41/events")
    assert (answer.status, from_engine(answer)) == (200, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/{id}/archive?path=/etc/shadow"),
        ("GET", "/containers/{id}/export"),
        ("GET", "/containers/{id}/logs?stdout=1"),
        ("GET", "/containers/{id}/attach/ws"),
        ("GET", "/containers/{id}/stats"),
        ("GET", "/containers/{id}/top"),
        ("POST", "/containers/{id}/exec"),
        ("POST", "/containers/{id}/start"),
        ("POST", "/containers/{id}/kill"),
        ("POST", "/containers/create"),
        ("POST", "/containers/json"),
        ("DELETE", "/containers/{id}"),
        ("GET", "/info"),
        ("GET", "/networks"),
        ("GET", "/volumes"),
        ("GET", "/images/json"),
        ("GET", "/secrets"),
        ("GET", "/swarm"),
        ("POST", "/build"),
        ("GET", "/containers/{id}/json/../export"),
        ("GET", "/containers/{id}%2Fexport"),
        ("GET", "//containers/json"),
    ],
)
def test_traefik_may_not(traefik_proxy: Proxy, victim: Untyped, method: str, path: str) -> None:
    """A Traefik in foreign hands reads no files and changes nothing (threats.md row 36)."""
    assert_refused(traefik_proxy.ask(method, path.format(id=victim.id)))
