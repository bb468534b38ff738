"""What the hub believes of the Docker client is what the installed one is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

import docker
import pytest
import requests
from docker.types.daemon import CancellableStream

from controller.engines import docker as wing
from controller.engines.docker.api import Api, EventStream

CALLS = sorted(
    name for name, found in vars(Api).items() if inspect.isfunction(found) and name[0] != "_"
)
SOURCES = Path(wing.__file__).parent
P = inspect.Parameter


def arguments(call: inspect.Signature, *, optional: bool) -> tuple[list[P], dict[str, object]]:
    """Return what is given by its place, and by its name; the optional ones if they are wanted."""
    given = [
        one
        for one in call.parameters.values()
        if one.name != "self" and (optional or one.default is P.empty)
    ]
    return (
        [one for one in given if one.kind is P.POSITIONAL_ONLY],
        {one.name: one for one in given if one.kind is P.KEYWORD_ONLY},
    )


def known(call: inspect.Signature) -> Mapping[str, P]:
    """Return what a call of the client knows by name; what it passes on, requests knows."""
    if any(one.kind is P.VAR_KEYWORD for one in call.parameters.values()):
        return {**inspect.signature(requests.Session.request).parameters, **call.parameters}
    return call.parameters


@pytest.mark.parametrize("name", CALLS)
def test_the_client_takes_the_call(name: str) -> None:
    """Whatever the hub asks of the engine, its client has the call and takes what is given."""
    ours = inspect.signature(getattr(Api, name))
    real = inspect.signature(getattr(docker.APIClient, name))
    for optional in (False, True):
        placed, named = arguments(ours, optional=optional)
        bound = real.bind(None, *placed, **named)
        assert named.keys() <= known(real).keys()
        # What is given by its place arrives where it is meant.
        assert {one.name: one for one in placed}.items() <= bound.arguments.items()
    assert {one.kind for one in ours.parameters.values() if one.name != "self"} <= {
        P.POSITIONAL_ONLY,
        P.KEYWORD_ONLY,
    }


def test_the_client_has_the_rest() -> None:
    """Where the engine is, which version it speaks and how long it may take is known as well."""
    client = docker.APIClient(base_url="tcp://127.0.0.1:1", version="1.41", timeout=7)
    try:
        assert (client.base_url, client.api_version, client.timeout) == (
            "http://127.0.0.1:1",
            "1.41",
            7,
        )
        values = {name for name in vars(Api) if name[0] != "_"} - set(CALLS)
        assert values | set(Api.__annotations__) == {"base_url", "api_version", "timeout"}
    finally:
        client.close()


@pytest.mark.parametrize("name", ["__iter__", "close"])
def test_the_stream_of_events(name: str) -> None:
    """What the engine tells as it happens can be read, and be ended from outside."""
    ours = inspect.signature(getattr(EventStream, name))
    real = inspect.signature(getattr(CancellableStream, name))
    assert ours.parameters.keys() == real.parameters.keys()


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_made(name: str) -> None:
    """No call stands there that the hub does not make."""
    text = "\n".join(
        one.read_text() for one in sorted(SOURCES.glob("*.py")) if one.name != "api.py"
    )
    assert f".{name}(" in text or f"contextlib.{name}ing(" in text
