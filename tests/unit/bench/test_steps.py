"""What the bench's hand does: where it goes, and when."""

from __future__ import annotations

from itertools import pairwise

import pytest
from bench.steps import CASES, RATE, Box, Stroke, due, lead, stroke

VIEW = Box(40, 60, 600, 360)
DRAGS = sorted(name for name, case in CASES.items() if case.button != "none")


def ways(name: str, steps: int) -> tuple[Stroke, Stroke]:
    """Return the strokes there and back."""
    case = CASES[name]
    return stroke(case, VIEW, steps, forth=True), stroke(case, VIEW, steps, forth=False)


def test_sixty_inputs_are_due_each_second() -> None:
    """The first one at once."""
    assert due(0) == 0
    assert due(round(RATE)) == 1


@pytest.mark.parametrize("name", DRAGS)
def test_a_drag_goes_one_way_and_back_to_where_it_began(name: str) -> None:
    """No place comes twice, so that no two steps look alike."""
    there, back = ways(name, 100)
    first = there.before[-1]
    places = [(first.x, first.y), *((one.x, one.y) for one in there.steps)]
    assert len(set(places)) == 101
    assert [(one.x, one.y) for one in back.steps] == places[-2::-1]
    assert {one.kind for one in there.steps} == {"mouseMoved"}
    assert first.kind == "mousePressed"
    assert there.after[-1].kind == "mouseReleased"


@pytest.mark.parametrize("name", DRAGS)
def test_a_drag_of_two_seconds_stays_in_the_view(name: str) -> None:
    """Where it would leave, a page may stop listening."""
    there, _ = ways(name, 120)
    for one in (*there.before, *there.steps, *there.after):
        assert VIEW.x < one.x < VIEW.x + VIEW.width
        assert VIEW.y < one.y < VIEW.y + VIEW.height


def test_a_wheel_ends_where_it_began() -> None:
    """All slices around the middle are seen."""
    there, back = ways("scroll", 120)
    case = CASES["scroll"]
    before = lead(case, VIEW, 120, forth=True)
    after = lead(case, VIEW, 120, forth=False)
    position, seen = 0, set[int]()
    for one in (*before, *there.steps, *back.steps, *after):
        position += one.delta // 120
        seen.add(position)
    assert position == 0
    assert seen == set(range(-60, 61))
    held = [one.words()["buttons"] for one in there.steps]
    assert all(one != other for one, other in pairwise(held))  # no browser adds them up


def test_only_a_held_button_is_said_to_be_held() -> None:
    """Pages that ask for it instead of waiting for a release believe it."""
    there, _ = ways("pan", 4)
    move, press, *_ = there.before
    assert [one.words()["buttons"] for one in (move, press, there.steps[0], there.after[0])] == [
        *(0, 4, 4, 0)
    ]
    assert press.words() == {
        "type": "mousePressed",
        "x": press.x,
        "y": press.y,
        "button": "middle",
        "buttons": 4,
        "clickCount": 1,
        "deltaX": 0,
        "deltaY": 0,
    }
