"""Input that waits while a picture is drawn: what is merged, and what is kept as it came."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.errors import StreamError
from app.stream.inputs import MOST_WAITING, Inputs, Waiting
from app.stream.wire import MOVE, WHEEL, Event, Input
from hypothesis import given
from hypothesis import strategies as st


def applied(*sent: tuple[int, str, Event]) -> list[Waiting]:
    """What is applied after these pages sent these events for these views."""
    inputs = Inputs()
    for number, (page, view, event) in enumerate(sent, start=1):
        inputs.put(page, Input(number, view, event), float(number))
    return inputs.take()


def one(*events: Event) -> list[Waiting]:
    """What is applied of one page's events in one view."""
    return applied(*((1, "Red", event) for event in events))


def move(x: float, **more: Any) -> Event:  # noqa: ANN401 - of an Event
    """The pointer is here."""
    return Event(MOVE, x=x, y=-x, **more)


def wheel(spin: float, x: float = 0) -> Event:
    """The wheel was turned."""
    return Event(WHEEL, x=x, spin_y=spin)


def notches(waiting: list[Waiting]) -> list[float]:
    """What each input turns the wheel by."""
    return [each.times * (each.event.spin_y or 0) for each in waiting]


def test_only_the_newest_place_of_a_pointer_counts() -> None:
    """A hand faster than the drawing is shown where it is, not where it was."""
    (waiting,) = one(move(1), move(2), move(3))
    assert waiting == Waiting(1, "Red", move(3), 1, number=3, since=3.0)


@pytest.mark.parametrize(
    "other",
    [
        move(2, action="down"),
        move(2, shift_key=1),
        move(2, button_left=1),
        move(2, w=50),
        Event("LeftButtonPress", x=1, y=-1),
        Event("MouseEnter"),
    ],
)
def test_what_means_something_else_is_kept(other: Event) -> None:
    """A drag begins and ends where the hand began and ended it."""
    events = [move(1), other, move(3)]
    assert [each.event for each in one(*events)] == events


@pytest.mark.parametrize("kind", ["Pinch", "Pan", "Rotate"])
def test_of_a_gesture_the_newest_counts(kind: str) -> None:
    """Fingers are followed like a mouse, because each event tells the whole gesture so far."""
    early, late = (Event(kind, factor=by, translation=(by, by)) for by in (1.1, 1.2))
    start = Event(f"Start{kind}")
    assert [each.event for each in one(start, early, late)] == [start, late]


@pytest.mark.parametrize(
    "kind", ["LeftButtonPress", "LeftButtonRelease", "RightButtonPress", "StartPinch"]
)
def test_what_is_pressed_twice_is_applied_twice(kind: str) -> None:
    """A double click stays one."""
    assert len(one(Event(kind), Event(kind))) == 2


@pytest.mark.parametrize(
    ("spins", "sum_of_them"),
    [([1, 1, 1], 3), ([1, -1], 0), ([2, -3], -1), ([0.6, 0.6], 2), ([-1.4], -1), ([0], 0)],
)
def test_notches_of_a_wheel_add_up(spins: list[float], sum_of_them: int) -> None:
    """Scrolling on leads as many slices further as the wheel was turned, and back again."""
    (waiting,) = one(*map(wheel, spins))
    assert notches([waiting]) == [sum_of_them]
    assert waiting.number == len(spins)


@pytest.mark.parametrize(
    ("spins", "sum_of_them"),
    [
        ([0.25] * 3, 0),
        ([0.25] * 4, 1),
        ([0.125] * 20, 2),
        ([-0.25] * 8, -2),
        ([0.375] * 8, 3),
        ([0.25, 0.25, 0.25, -0.25, -0.25, -0.25, -0.25], -1),
        ([0.25, 0.25, 0.25, 1, 0.25], 1),
    ],
)
def test_parts_of_a_notch_add_up(spins: list[float], sum_of_them: int) -> None:
    """A touch pad scrolls a slice for a whole notch, and turns round at once."""
    assert sum(notches(one(*map(wheel, spins)))) == sum_of_them
    inputs, apart = Inputs(), list[Waiting]()
    for spin in spins:  # the rest is kept from one picture to the next
        inputs.put(1, Input(1, "Red", wheel(spin)), 0)
        apart += inputs.take()
    assert sum(notches(apart)) == sum_of_them


def test_parts_of_a_notch_belong_to_their_page_and_view() -> None:
    """What one person turns is not added to what another one does, nor to another view."""
    inputs = Inputs()
    for page, view in [(1, "Red"), (2, "Red"), (1, "Green"), (2, "Green")]:
        inputs.put(page, Input(1, view, wheel(0.4375)), 0)
        inputs.put(page, Input(1, view, wheel(0.4375)), 0)
    inputs.forget(2)
    assert not any(notches(inputs.take()))
    for page in (1, 2):
        inputs.put(page, Input(2, "Red", wheel(0.25)), 0)
    assert notches(inputs.take()) == [1, 0]


@pytest.mark.parametrize("spin", [1e6, -1e6])
def test_no_wheel_turns_for_ever(spin: float) -> None:
    """A forged wheel does not keep the session scrolling for minutes."""
    assert sum(each.times for each in one(wheel(spin))) <= 1000
    assert sum(each.times for each in one(*[wheel(spin)] * 100)) <= 1000


@pytest.mark.parametrize("event", [Event("LeftButtonRelease"), Event("LeftButtonPress")])
def test_a_flood_is_refused(event: Event) -> None:
    """More presses than a person can cause cost their page the connection, and nobody else."""
    inputs = Inputs()
    for number in range(MOST_WAITING):
        inputs.put(1, Input(number, "Red", event), 0)
    with pytest.raises(StreamError):
        inputs.put(1, Input(MOST_WAITING, "Red", event), 0)
    inputs.put(2, Input(1, "Red", event), 0)
    assert len(inputs.take()) == MOST_WAITING + 1
    assert not inputs
    inputs.put(1, Input(0, "Red", event), 0)  # all was applied: it may go on
    assert inputs


def test_moves_are_no_flood() -> None:
    """A mouse of a thousand events a second is no reason to refuse anything."""
    assert len(one(*(move(at) for at in range(MOST_WAITING * 4)))) == 1


EVENTS = st.one_of(
    st.integers(-9, 9).map(move),
    st.integers(-9, 9).map(lambda x: move(x, action="down")),
    st.sampled_from([-3, -1, 1, 2]).map(wheel),
    st.sampled_from([-0.25, 0.125, 0.25]).map(wheel),
    st.sampled_from(["LeftButtonPress", "LeftButtonRelease", "RightButtonPress"]).map(Event),
)
SENT = st.lists(st.tuples(st.integers(1, 2), st.sampled_from(["Red", "Green"]), EVENTS))


Place = tuple[str, ...]  # a wheel's view, or a pointer's view and action


def effect(waiting: list[Waiting]) -> dict[int, list[tuple[Place, dict[Place, object]]]]:
    """Of each page: its presses in order, and after each where pointer and wheels ended up."""
    pages: dict[int, list[tuple[Place, dict[Place, object]]]] = {}
    turned: dict[int, dict[Place, float]] = {}
    for each in waiting:
        event, steps = each.event, pages.setdefault(each.page, [((), {})])
        if event.type not in {MOVE, WHEEL}:
            steps.append(((each.view, event.type), {}))
            turned[each.page] = {}
        elif event.type == MOVE:
            steps[-1][1][each.view, str(event.action)] = (event.x, event.y)
        else:
            wheels = turned.setdefault(each.page, {})
            wheels[each.view,] = wheels.get((each.view,), 0) + each.times * (event.spin_y or 0)
            steps[-1][1][each.view,] = wheels[each.view,]
    for _, places in (step for steps in pages.values() for step in steps):
        for place in [place for place, value in places.items() if value == 0]:
            del places[place]
    return pages


@given(sent=SENT)
def test_merged_input_has_the_effect_of_all(sent: list[tuple[int, str, Event]]) -> None:
    """However fast somebody is, every press is there, and pointer and slices end up the same."""
    merged, single, apart = Inputs(), Inputs(), list[Waiting]()
    for number, (page, view, event) in enumerate(sent):
        entry = Input(number, view, event)
        merged.put(page, entry, 0)
        single.put(page, entry, 0)
        apart += single.take()
    assert effect(merged.take()) == effect(apart)


@given(sent=SENT)
def test_pages_do_not_mix(sent: list[tuple[int, str, Event]]) -> None:
    """What one person does is merged as if nobody else were there."""
    together = applied(*sent)
    for page in (1, 2):
        alone = applied(*(each for each in sent if each[0] == page))
        assert [(each.view, each.event, each.times) for each in together if each.page == page] == [
            (each.view, each.event, each.times) for each in alone
        ]
