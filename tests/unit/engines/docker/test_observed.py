"""What Docker says of containers, also when it says it in no form that anybody expects."""

from __future__ import annotations

from typing import Any

import pytest

from controller.core import labels
from controller.core.model import Observed, SessionId
from controller.engines.docker import manifests
from controller.engines.docker.answers import (
    Container,
    End,
    Inspected,
    Network,
    Stats,
    Stored,
    UnreadableError,
    read,
    read_each,
)
from controller.engines.docker.observed import STOPPING, observe
from tests.support.samples import session

HUB = "clinic"
ONE, OTHER = session(1), session(2, owner="bob")

Facts = dict[str, Any]  # as the engine's JSON


def container(made: int = 1, **facts: Any) -> Facts:  # noqa: ANN401
    """Return a session's container as the engine lists it, with fields that nobody looks at."""
    one = session(made, owner="alice" if made == 1 else "bob")
    usual = {
        "Id": f"{made:064x}",
        "Names": [f"/clinic-session-{made}"],
        "Image": "slicerhub/slicer",
        "State": "running",
        "Status": "Up 2 hours (healthy)",
        "Labels": labels.encode(one, HUB),
        "NetworkSettings": {"Networks": {manifests.network_name(HUB, one.id): {"MTU": 1500}}},
    }
    return usual | facts


def network(made: int = 1, **facts: Any) -> Facts:  # noqa: ANN401
    """Return the network of that session."""
    one = session(made, owner="alice" if made == 1 else "bob")
    usual = {
        "Id": "n",
        "Name": manifests.network_name(HUB, one.id),
        "Labels": labels.encode(one, HUB),
        "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.231.0.0/28"}]},
    }
    return usual | facts


TRAEFIK: Facts = {
    "Id": "f" * 64,
    "Names": ["/traefik"],
    "State": "running",
    "Labels": {labels.COMPONENT: "traefik", labels.INSTANCE: HUB},
    "NetworkSettings": {
        "Networks": {manifests.network_name(HUB, one.id): None for one in (ONE, OTHER)}
    },
}


def seen(
    containers: list[Any], networks: list[Any], ended: dict[str, End] | None = None
) -> tuple[dict[SessionId, Observed], list[str]]:
    """Return what is made of the engine's two lists, and what could not be read."""
    found, faults = read_each([TRAEFIK, *containers], Container)
    joined, more = read_each(networks, Network)
    unread = {fault.session for fault in (*faults, *more)}
    observed, last = observe(found, joined, ended or {}, HUB, unread)
    words = [fault.words for fault in (*faults, *more, *last)]
    return {one.session.id: one for one in observed}, words


def test_as_usual() -> None:
    """Sessions that run are seen to run, whole and healthy."""
    found, faults = seen([container(), container(2)], [network(), network(2)])
    assert faults == []
    for one in (ONE, OTHER):
        observed = found[one.id]
        assert (observed.session, observed.running, observed.healthy) == (one, True, True)
        assert observed.complete
        assert not observed.deleting


@pytest.mark.parametrize("names", [[], None])
def test_without_a_name(names: object) -> None:
    """What is left of a container whose removal was cut short is one that is being stopped."""
    dead = container(Names=names, State="dead", Status="Dead")
    found, faults = seen([dead, container(2)], [network(2)])
    assert faults == []
    assert found[ONE.id].deleting
    assert not found[ONE.id].running
    assert found[OTHER.id].running


def test_a_stop_that_was_cut_short() -> None:
    """A container that carries the mark of a stop is being stopped."""
    found, _ = seen([container(Names=[f"/clinic-session-1{STOPPING}"])], [network()])
    assert found[ONE.id].deleting


@pytest.mark.parametrize(
    "odd",
    [
        {"Names": "clinic-session-1"},
        {"Names": [7]},
        {"State": {"Status": "running"}},
        {"Status": None},
        {"NetworkSettings": []},
        {"NetworkSettings": {"Networks": ["a"]}},
        {"Labels": labels.encode(ONE, HUB) | {labels.CREATED: 5}},
        {"Labels": labels.encode(ONE, HUB) | {labels.CREATED: "yesterday"}},
        {"Labels": labels.encode(ONE, HUB) | {labels.SCHEMA: "?"}},
    ],
)
def test_unreadable(odd: Facts) -> None:
    """A container in no known form is named and left alone, its network too; others are as usual.

    It is no leftover of a crash: those are removed, and it may well run.
    """
    found, faults = seen([container(**odd), container(2)], [network(), network(2)])
    assert found.keys() == {OTHER.id}
    assert found[OTHER.id].running
    assert found[OTHER.id].complete
    assert len(faults) == 1
    assert "000001" in faults[0] or "clinic-session-1" in faults[0]


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, {"Labels": None}, {"Labels": []}])
def test_nothing_like_a_container(odd: object) -> None:
    """Whatever stands in the engine's lists, what else stands there is read."""
    found, faults = seen([odd, container(2)], [odd, network(2)])
    assert found.keys() == {OTHER.id}
    assert len(faults) == 2


def test_leftovers() -> None:
    """A network without a container is what a crash left of a launch."""
    found, _ = seen([], [network()])
    assert found[ONE.id].orphan


@pytest.mark.parametrize("marks", [None, {}])
def test_networks_without_labels(marks: Facts | None) -> None:
    """Networks of others carry no labels, and their ranges are taken all the same."""
    facts: list[Facts] = [
        network(Labels=marks),
        network(2, IPAM=None),
        {"Name": "host", "IPAM": {}},
    ]
    found, faults = read_each(facts, Network)
    assert faults == []
    assert [one.subnets for one in found] == [["10.231.0.0/28"], [], []]


def test_how_it_ended() -> None:
    """The exit code, the engine's own word and the moment are told of what has ended."""
    state = {
        "ExitCode": 137,
        "OOMKilled": True,
        "Error": "",
        "FinishedAt": "2026-03-05T15:00:00.123456789Z",
    }
    inspected = read({"Id": "x", "Config": {"Labels": None}, "State": state}, Inspected)
    gone = container(State="exited", Status="Exited (137)")
    found, _ = seen([gone], [network()], {str(gone["Id"]): inspected.state})
    observed = found[ONE.id]
    assert (observed.exit_code, observed.message) == (137, "out of memory")
    assert observed.ended_at is not None
    assert observed.ended_at.isoformat() == "2026-03-05T15:00:00+00:00"
    with pytest.raises(UnreadableError):
        read({"Id": "x", "State": {"ExitCode": "none"}}, Inspected)


def test_of_a_newer_hub() -> None:
    """A container of a newer hub is shown as such, and is no fault."""
    marks = {labels.SCHEMA: "9", labels.SESSION: ONE.id}
    found, faults = seen([container(Labels=marks)], [])
    assert faults == []
    assert (found[ONE.id].newer, found[ONE.id].running) == (True, True)


def test_services() -> None:
    """A companion is known by its Compose service, else by its name, else by what there is."""
    marks = {"com.docker.compose.project": "lab", "com.docker.compose.service": "wiki"}
    assert read(container(Labels=marks), Container).service == "lab/wiki"
    assert read(container(Labels={}), Container).service == "clinic-session-1"
    assert read(container(Labels=None, Names=None), Container).service == "0" * 12


def test_sizes_and_use() -> None:
    """What the engine did not measure is not known; it is no fault of the others'."""
    listed = [
        {"Name": "a", "Labels": None, "UsageData": {"Size": 5, "RefCount": 1}},
        {"Name": "b", "UsageData": {"Size": -1}},
        {"Name": "c", "UsageData": None},
        {"Name": None},
    ]
    found, faults = read_each(listed, Stored)
    assert [(one.name, one.size) for one in found] == [("a", 5), ("b", None), ("c", None)]
    assert len(faults) == 1
    with pytest.raises(UnreadableError):  # as it is for one that does not run
        read({"read": "0001-01-01T00:00:00Z", "cpu_stats": {}, "memory_stats": {}}, Stats)
