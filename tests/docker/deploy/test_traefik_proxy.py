"""Traefik's engine proxy shows it the sessions that it routes to, and nothing else."""

from __future__ import annotations

import json
from contextlib import closing

import docker
import pytest

from tests.docker.deploy.conftest import INSTANCE, Proxy, Untyped, assert_refused, from_engine


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
