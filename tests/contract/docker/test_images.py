"""Programs that are fetched: from a real registry, a private one, and one that is not there."""

from __future__ import annotations

import base64
import json
import socket
import time
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from controller.core.errors import ImageRefused
from controller.core.sentence import Phrase
from controller.engines.docker.images import registry_auth
from tests.contract.conftest import DEADLINE, with_remote
from tests.support.engine import Lab
from tests.support.registry import PASSWORD, USER, forget, publish, registry

pytestmark = pytest.mark.anyio


async def test_one_transfer(docker_lab: Lab, remote_image: str) -> None:
    """Four who need the same program are served by one transfer, whose progress all can follow."""
    forget(docker_lab.api, remote_image)
    orchestrator = docker_lab.orchestrator(with_remote(docker_lab, remote_image))
    since = int(time.time())
    told: list[Phrase] = []
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
    assert [str(one) for one in told[:4]] == ["Fetching the program"] * 4


async def test_a_fetch_is_broken_off(docker_lab: Lab, remote_image: str) -> None:
    """Where the one who began gives up, the next in the queue goes on."""
    forget(docker_lab.api, remote_image)
    orchestrator = docker_lab.orchestrator(with_remote(docker_lab, remote_image))
    first = anyio.CancelScope()

    async def give_up() -> None:
        with first:
            await orchestrator.fetch("remote", lambda _: first.cancel())

    told: list[Phrase] = []
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
