"""What the Docker engine says is understood as far as the hub needs it, or told as unreadable."""

from __future__ import annotations

from typing import Any

import pytest

from controller.engines.docker.answers import (
    Image,
    Info,
    Labelled,
    Made,
    Members,
    PullMessage,
    Stored,
    StoredList,
    UnreadableError,
    read,
    read_each,
    read_json,
)


@pytest.mark.parametrize(
    ("info", "offered"),
    [
        ({}, False),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": None}, False),
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, True),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}]}, True),
    ],
)
def test_offers_gpu(info: dict[str, object], *, offered: bool) -> None:
    """Whether the engine has cards to give is read from what it says of itself."""
    assert offered is read(info, Info).offers_gpu


@pytest.mark.parametrize(("said", "own"), [({"a": "b"}, {"a": "b"}), ({}, {}), (None, {})])
def test_labels_of_an_image(said: dict[str, str] | None, own: dict[str, str]) -> None:
    """An image may have labels, or none, whichever way the engine says so."""
    assert read({"Id": "x", "Config": {"Labels": said}}, Image).config.marks == own


@pytest.mark.parametrize("said", [{}, {"Config": None}, {"Config": {"Labels": [1]}}, None, 7])
def test_an_image_that_cannot_be_read(said: object) -> None:
    """An image of which it is not known whether it carries labels counts as unreadable."""
    with pytest.raises(UnreadableError):
        read(said, Image)


@pytest.mark.parametrize("said", [{"Volumes": None}, {}, {"Volumes": []}])
def test_no_volumes(said: dict[str, Any]) -> None:
    """An engine without volumes says so in several ways."""
    assert not read(said, StoredList).volumes


def test_volumes() -> None:
    """One volume that cannot be read hides no other."""
    said = {"Volumes": [{"Name": 7}, {"Name": "a", "UsageData": {"Size": 5}}]}
    found, faults = read_each(read(said, StoredList).volumes or [], Stored)
    assert [(one.name, one.size) for one in found] == [("a", 5)]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("said", "who"), [({}, []), ({"Containers": None}, []), ({"Containers": {"a": {}}}, ["a"])]
)
def test_who_is_in_a_network(said: dict[str, Any], who: list[str]) -> None:
    """The containers in a network are known by their ids."""
    assert list(read(said, Members).containers or ()) == who


def test_a_container_that_was_made() -> None:
    """A container that was made is known by its id, whatever else is said."""
    assert read({"Id": "a", "Warnings": ["x"]}, Made).id == "a"


@pytest.mark.parametrize("said", [None, {}, 7, "text"])
def test_no_list(said: object) -> None:
    """What is no list is not taken for an empty one, by which everything would be gone."""
    with pytest.raises(UnreadableError):
        read_each(said, Labelled)


def test_a_word_on_a_transfer() -> None:
    """What the engine tells of a transfer is read line by line, also its last word."""
    line = b'{"status":"Downloading","progressDetail":{"current":3,"total":9},"id":"a","x":[1]}'
    message = read_json(line, PullMessage)
    assert (message.status, message.id, message.error) == ("Downloading", "a", "")
    assert message.detail is not None
    assert (message.detail.current, message.detail.total) == (3, 9)
    assert read_json(b'{"errorDetail":{},"error":"no such manifest"}', PullMessage).error
    for rubbish in (b"", b"{", b"[]", b'{"status":7}'):
        with pytest.raises(UnreadableError):
            read_json(rubbish, PullMessage)
