"""What the hub believes of the cluster's client is what the installed one is."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.rest import RESTResponse

from controller.cluster.client import Answer, Transport

P = inspect.Parameter
CALLS = sorted(
    name for name, found in vars(Transport).items() if inspect.isfunction(found) and name[0] != "_"
)


@pytest.mark.parametrize("name", CALLS)
def test_the_client_takes_the_call(name: str) -> None:
    """Whatever the hub asks of the cluster, its client has the call and takes what is given."""
    ours = inspect.signature(getattr(Transport, name)).parameters
    call = getattr(ApiClient, name)
    real = inspect.signature(call)
    placed = {one.name: one for one in ours.values() if one.kind is P.POSITIONAL_ONLY}
    named = {one.name: one for one in ours.values() if one.kind is P.KEYWORD_ONLY}
    placed.pop("self", None)
    assert {"self", *placed, *named} == set(ours)
    bound = real.bind(None, *placed.values(), **named).arguments
    # What is given by its place arrives where it is meant, and by its name in no collection.
    assert (placed | named).items() <= bound.items()
    assert inspect.iscoroutinefunction(call)


def test_calls() -> None:
    """Each of the calls is looked at."""
    assert CALLS == ["call_api", "close", "param_serialize"]


def test_the_rest() -> None:
    """The hub tells its name, and reads of an answer what the client gives it."""
    assert isinstance(inspect.getattr_static(ApiClient, "user_agent"), property)
    assert Transport.__annotations__.keys() == {"user_agent"}
    assert inspect.iscoroutinefunction(RESTResponse.read)
    raw = SimpleNamespace(status=200, reason="OK")
    made = cast("Any", RESTResponse)(raw)
    assert (made.status, made.response) == (200, raw)
    assert Answer.__annotations__.keys() == {"status", "response"}
