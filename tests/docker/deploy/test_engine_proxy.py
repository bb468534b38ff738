"""The controller's engine proxy lets through what the hub does, and no other call."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import docker
import msgspec
import pytest

from controller.core.model import Mount, Session, SessionId, UserId
from controller.core.sentence import Phrase
from controller.engines.docker import manifests
from controller.engines.docker.engine import DockerOrchestrator
from controller.settings.loading import SLICER
from controller.settings.schema import Docker, Settings
from tests.docker.deploy.conftest import DENIED, Proxy, Untyped, assert_refused, encode, from_engine
from tests.support.registry import PASSWORD, USER, forget, publish, registry


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
        orchestrator, told = DockerOrchestrator(settings), list[Phrase]()
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
