"""Who is connected, whom a kick means, and whether the session computes."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from app.people.activity import (
    BUSY_ECHO_SECONDS,
    BUSY_SECONDS,
    Activity,
    Client,
    Selection,
    select,
    viewing_sentence,
)
from app.people.roles import Role, Visitor

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ALICE = Visitor(user="alice", role=Role.OWNER)
BOB = Visitor(user="bob", role=Role.VIEW)


def client(number: str, visitor: Visitor) -> Client:
    """A connection."""
    return Client(id=number, visitor=visitor, since=NOON)


def test_activity_follows_coming_and_going() -> None:
    """The list holds who is connected, each connection once, and forgets who left."""
    activity = Activity()
    activity.joined(client("1", ALICE))
    activity.joined(client("2", BOB))
    activity.left("1")
    activity.left("1")
    assert [each.id for each in activity.clients] == ["2"]
    assert activity.get("1") is None
    assert activity.last_input_at is None
    activity.touched(NOON)
    assert activity.last_input_at == NOON
    before = activity.inputs
    activity.touched(NOON)
    assert activity.inputs > before


def test_busy_while_something_runs_and_just_after_a_standstill() -> None:
    """A quick request is no computation; a long one is; so is a standstill that just ended."""
    activity = Activity()
    number = activity.begun(100.0)
    assert not activity.is_busy(100.0 + BUSY_SECONDS / 2)
    assert activity.is_busy(100.0 + BUSY_SECONDS)
    activity.ended(number)
    assert not activity.is_busy(200.0)
    activity.ticked(300.0, BUSY_SECONDS / 2)
    assert not activity.is_busy(300.0)
    activity.ticked(300.0, BUSY_SECONDS * 3)
    assert activity.is_busy(300.0 + BUSY_ECHO_SECONDS)
    assert not activity.is_busy(300.1 + BUSY_ECHO_SECONDS)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, []),
        ({"user": "bob"}, ["2", "3"]),
        ({"role": "view"}, ["2"]),
        ({"user": "bob", "role": "control"}, ["3"]),
        ({"user": "nobody"}, []),
        ({"all": True}, ["1", "2", "3"]),
    ],
)
def test_whom_a_kick_means(selection: dict[str, object], expected: list[str]) -> None:
    """Every field given narrows it down; nothing given means nobody."""
    clients = [
        client("1", ALICE),
        client("2", BOB),
        client("3", Visitor(user="bob", role=Role.CONTROL)),
    ]
    chosen = select(clients, msgspec.convert(selection, Selection))
    assert expected == [each.id for each in chosen]


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ([], "You are viewing."),
        ([BOB], "You are viewing."),
        ([BOB, ALICE], "You are viewing; alice has control."),
        (
            [ALICE, ALICE, Visitor("carol", Role.CONTROL)],
            "You are viewing; alice and carol have control.",
        ),
        (
            [Visitor(name, Role.CONTROL) for name in "cab"],
            "You are viewing; a, b and c have control.",
        ),
    ],
)
def test_who_views_reads_who_has_control(people: list[Visitor], sentence: str) -> None:
    """Each person once, however many windows they have; nobody who only views."""
    clients = [Client(str(at), visitor, NOON) for at, visitor in enumerate(people)]
    assert viewing_sentence(clients) == sentence
