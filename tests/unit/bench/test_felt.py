"""From pictures and inputs to figures, for views that do what is known."""

from __future__ import annotations

import math
import random

import pytest
from bench.felt import (
    Noted,
    Picture,
    Reference,
    Seen,
    backwards,
    feel,
    latencies,
    place,
    share,
    step_times,
)

STEPS = 40
TIMES = [10 + step / 60 for step in range(1, STEPS + 1)]
END = TIMES[-1] + 0.1


def look(step: float, noise: int = 0) -> bytes:
    """Return what a view shows after so many steps: a soft spot that moves over dark ground."""
    chance = random.Random(step)  # noqa: S311 - no secret
    return bytes(
        min(255, int(200 * math.exp(-(((at - 10 - step) / 6) ** 2)) + chance.randint(0, noise)))
        for at in range(64)
    )


REFERENCES = [Reference(step, look(step)) for step in range(0, STEPS + 1, 4)]


def shown(*, late: float, every: int = 1, noise: int = 0) -> list[Picture]:
    """Return the pictures of a view that shows one of so many steps, each so many seconds late."""
    steps = range(every, STEPS + 1, every)
    return [
        Picture(9.9, look(0)),
        *(Picture(TIMES[step - 1] + late, look(step, noise)) for step in steps),
    ]


def test_pictures_between_references_are_placed_where_they_are() -> None:
    """References are four steps from each other, pictures one."""
    seen = place(shown(late=0.05), REFERENCES, TIMES)
    for step, one in enumerate(seen):
        assert one.step == pytest.approx(step, abs=0.7)


def test_coarse_pictures_are_placed_too() -> None:
    """While the hand moves, pictures are coarse."""
    seen = place(shown(late=0.05, every=5, noise=12), REFERENCES, TIMES)
    assert [one.step for one in seen] == pytest.approx(list(range(0, STEPS + 1, 5)), abs=1.5)


def test_a_picture_never_shows_an_input_before_it_came() -> None:
    """Whatever it looks like."""
    early = [Picture(TIMES[9] + 0.001, look(20))]
    (seen,) = place(early, REFERENCES, TIMES)
    assert seen.step is None or seen.step <= 10


def test_what_looks_like_no_step_is_placed_nowhere_and_harms_no_other() -> None:
    """A flash of white comes between."""
    pictures = shown(late=0.05, every=4)
    pictures.insert(5, Picture(pictures[4].at + 0.01, bytes([255]) * 64))
    seen = place(pictures, REFERENCES, TIMES)
    assert seen[5].step is None
    assert [one.step for one in seen if one.step is not None] == pytest.approx(
        list(range(0, STEPS + 1, 4)), abs=0.1
    )


def test_pictures_come_in_the_order_of_the_steps() -> None:
    """One looks a little more like the end, which was reached already, and comes after it."""
    late = TIMES[-1] + 1
    pictures = [*shown(late=0.05, every=4), Picture(late, look(39)), Picture(late + 1, look(40))]
    steps = [one.step for one in place(pictures, REFERENCES, TIMES) if one.step is not None]
    assert steps == sorted(steps)


def test_latency_of_each_step_is_that_of_the_first_picture_of_it_or_a_later_one() -> None:
    """Steps that were left out are shown by what comes after them."""
    seen = [Seen(1.0, 0.0), Seen(1.1, 1.0), Seen(1.15, None), Seen(1.4, 3.2)]
    assert latencies(seen, [1.0, 1.2, 1.3, 1.35]) == [
        pytest.approx(0.1),
        pytest.approx(0.2),
        pytest.approx(0.1),
        math.inf,
    ]


def test_figures_of_a_view_of_which_all_is_known() -> None:
    """Each fourth step is shown, 0.2 s late."""
    found = feel(shown(late=0.2, every=4), REFERENCES, TIMES, END, received=1000)
    assert found.p50 == pytest.approx(0.2 + 2 / 60, abs=0.02)
    assert found.p95 == pytest.approx(0.2 + 3 / 60, abs=0.02)
    assert found.last == pytest.approx(0.1)
    assert found.rate == pytest.approx(7 / (TIMES[-1] - TIMES[0]))
    assert found.unmatched == 0
    assert found.received == 1000


def test_a_view_that_stands_still_never_shows_a_step() -> None:
    """It is not quick, but infinitely slow."""
    found = feel([Picture(9.9, look(0))], REFERENCES, TIMES, END, received=0)
    assert found.rate == 0
    assert found.p50 == math.inf
    assert found.last == 0


def test_the_way_back_has_the_same_references() -> None:
    """In the other order."""
    back = backwards(REFERENCES)
    assert [one.step for one in back] == [one.step for one in REFERENCES]
    assert back[0].greys == REFERENCES[-1].greys


def test_a_share_is_a_value_that_was_measured() -> None:
    """Nothing is made up between two."""
    values = [float(value) for value in range(100, 0, -1)]
    assert [share(values, part) for part in (0.5, 0.95, 1.0)] == [50.0, 95.0, 100.0]
    assert share([3.0], 0.5) == 3.0


def test_moves_are_steps_by_where_they_are() -> None:
    """The press and what the page did not get add nothing; a later place stands for it."""
    places = [(100.0 + 3 * step, 50.0) for step in range(1, 5)]
    inputs = [
        Noted("pointerdown", 0.9, 103, 50, 0),
        Noted("pointermove", 1.0, 103, 50, 0),
        Noted("pointermove", 1.2, 109, 50, 0),
        Noted("pointermove", 1.3, 112, 50, 0),
        Noted("pointerup", 1.4, 112, 50, 0),
    ]
    assert step_times(inputs, places) == [1.0, 1.2, 1.2, 1.3]


def test_notches_are_counted_also_where_the_browser_adds_them_up() -> None:
    """Two in one event are two steps."""
    inputs = [
        Noted("wheel", 1.0, 5, 5, -120),
        Noted("wheel", 1.1, 5, 5, -240),
        Noted("wheel", 1.2, 5, 5, -120),
    ]
    assert step_times(inputs, [(5.0, 5.0)] * 4) == [1.0, 1.1, 1.1, 1.2]


def test_inputs_that_did_not_arrive_are_a_fault_of_the_measure() -> None:
    """Such a stroke says nothing of the page."""
    with pytest.raises(ValueError, match="got 1 of 2"):
        step_times([Noted("wheel", 1.0, 5, 5, -120)], [(5.0, 5.0)] * 2)
    with pytest.raises(ValueError, match="got 0 of 2"):
        step_times([], [(1.0, 1.0), (2.0, 2.0)])
