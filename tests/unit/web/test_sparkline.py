"""Plots of the last day are true to what was measured."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.web import sparkline
from controller.web.sparkline import HEIGHT, WIDTH, Value

DAY = 86_400.0
NOW = 1_800_000_000.0

VALUES = st.lists(
    st.builds(
        Value,
        at=st.floats(NOW - 2 * DAY, NOW + DAY, allow_nan=False),
        value=st.floats(0, 1e13, allow_nan=False, allow_subnormal=False),
    ),
    max_size=50,
).map(lambda values: sorted(values, key=lambda one: one.at))


def points_of(path: str) -> list[tuple[float, float]]:
    """Return the points of a path."""
    found = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)
    return [(float(x), float(y)) for x, y in found]


def minutes(*numbers: float, step: float = 60) -> list[Value]:
    """Return these values, the last one now, the others a minute apart before it."""
    return [
        Value(NOW - step * (len(numbers) - 1 - number), value)
        for number, value in enumerate(numbers)
    ]


@given(VALUES)
def test_a_line_stays_in_its_picture(values: list[Value]) -> None:
    """Whatever was measured, nothing is drawn outside, and not more than can be seen."""
    drawn = sparkline.plot(values, now=NOW, span=DAY)
    points = points_of(drawn.line)
    assert len(points) <= 2 * (sparkline.POINTS + 1)
    assert all(0 <= x <= WIDTH + 1 and -0.1 <= y <= HEIGHT for x, y in points)
    inside = [one for one in values if NOW - DAY <= one.at <= NOW]
    assert bool(points) is bool(inside)
    if inside:
        assert drawn.most is not None
        assert drawn.most.value == max(one.value for one in inside) <= drawn.top
        assert drawn.now == inside[-1]


def test_nothing_measured() -> None:
    """An empty picture is empty, and nothing is made up."""
    assert sparkline.plot([], now=NOW, span=DAY) == sparkline.Plot("", "", 1.0)


def test_low_is_below_and_late_is_right() -> None:
    """Time goes to the right; the greater a value, the higher it stands."""
    drawn = sparkline.plot(minutes(0, 5, 10, step=600), now=NOW, span=DAY)
    line = points_of(drawn.line)
    assert drawn.top == 10
    assert [y for _, y in line] == [HEIGHT, HEIGHT / 2, 0]
    assert line[-1][0] == WIDTH
    assert line == sorted(line)


def test_a_peak_is_not_lost() -> None:
    """One busy minute of a day is still to be seen."""
    values = [Value(NOW - 60 * number, 1.0) for number in range(1440, 0, -1)]
    values[700] = Value(values[700].at, 9.0)
    drawn = sparkline.plot(values, now=NOW, span=DAY)
    assert min(y for _, y in points_of(drawn.line)) == pytest.approx(HEIGHT * 0.1, abs=0.1)


def test_a_gap_is_not_drawn_over() -> None:
    """While nothing was measured there is no line."""
    values = [Value(NOW - 40_000, 3.0), Value(NOW - 39_900, 3.0), *minutes(4, 4, 4)]
    drawn = sparkline.plot(values, now=NOW, span=DAY)
    assert drawn.line.count("M") == 2
    assert drawn.area.count("Z") == 2


@pytest.mark.parametrize(
    ("most", "whole", "top"),
    [
        (0, False, 1),
        (0.3, False, 0.5),
        (0.3, True, 1),
        (1, True, 1),
        (11, True, 20),
        (999, True, 1000),
    ],
)
def test_scale(most: float, whole: bool, top: float) -> None:
    """A scale ends at a round number that is not below the greatest value."""
    assert sparkline.nice_top(most, whole=whole) == pytest.approx(top)


@given(st.floats(1e-9, 1e15))
def test_scale_holds_everything(most: float) -> None:
    """No value stands above its scale, and none is pressed flat."""
    assert most <= sparkline.nice_top(most) <= 10 * most * (1 + 1e-9)


def test_hours() -> None:
    """The table says the greatest value of each hour, the newest first, and nothing for none."""
    values = [Value(NOW - 7300, 2.0), Value(NOW - 100, 5.0), Value(NOW - 50, 4.0)]
    assert sparkline.hourly(values, now=NOW, hours=3) == [
        (NOW - 3600, 5.0),
        (NOW - 7200, None),
        (NOW - 10_800, 2.0),
    ]
