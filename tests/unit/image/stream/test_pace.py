"""How coarse pictures are drawn, on a machine whose times follow from the number of rays."""

from __future__ import annotations

import pytest
from app.stream.pace import (
    DISTANCES,
    FIRST,
    MOVING_SECONDS,
    STILL_SECONDS,
    finer_distance,
    next_distance,
    predicted,
)
from hypothesis import given
from hypothesis import strategies as st

ALLOWED = MOVING_SECONDS * 1.2  # a machine's own jitter
FIXED = st.floats(0, 0.1)
RAYS = st.floats(0, 30)
ANY = st.sampled_from(DISTANCES)


def test_the_measured_machine_draws_each_second_ray() -> None:
    """The sample brain on two cores turns as fine as 20 pictures a second allow."""
    assert steady(FIRST, 0.005, 0.045) in {1.5, 2.0}
    assert FIRST in DISTANCES


@given(start=ANY, fixed=FIXED, rays=RAYS)
def test_it_becomes_as_fast_as_it_must(start: float, fixed: float, rays: float) -> None:
    """From any start the pictures soon keep up with the hand, where the machine can do that."""
    ends = steady(start, fixed, rays)
    if fixed + rays / DISTANCES[-1] ** 2 <= ALLOWED:
        assert fixed + rays / ends**2 <= ALLOWED
    else:
        assert ends == DISTANCES[-1]


def steady(start: float, fixed: float, rays: float) -> float:
    """The distance that does not change any more, if drawing takes ``fixed + rays / distance²``."""
    distance = start
    for _ in DISTANCES:
        distance = next_distance(distance, fixed + rays / distance**2)
        assert distance in DISTANCES
    assert next_distance(distance, fixed + rays / distance**2) == distance
    return distance


@given(start=ANY)
def test_a_quick_machine_draws_every_ray(start: float) -> None:
    """Where nothing has to be coarse, nothing is."""
    assert steady(start, 0.001, 0.02) == 1.0


@given(start=ANY, seconds=st.floats(0, 1e4))
def test_any_time_leads_to_a_known_distance(start: float, seconds: float) -> None:
    """However odd a measured time is, the next picture is drawn."""
    after = next_distance(start, seconds)
    assert after in DISTANCES
    assert after >= start or DISTANCES.index(after) == DISTANCES.index(start) - 1


@given(start=ANY, fixed=FIXED, rays=RAYS)
def test_at_rest_the_last_picture_has_every_ray(start: float, fixed: float, rays: float) -> None:
    """Who holds still gets the full picture, and a first better one soon."""
    distance, pictures = start, 0
    while distance > 1:
        finer = finer_distance(distance, fixed + rays / distance**2)
        assert finer in DISTANCES
        assert finer < distance
        distance, pictures = finer, pictures + 1
    assert pictures <= 4
    assert finer_distance(1.0, fixed + rays) == 1.0


@pytest.mark.parametrize(("distance", "seconds", "finer"), [(4, 0.01, 1), (4, 0.1, 2), (16, 9, 8)])
def test_what_is_soon_done_is_done_in_one_go(distance: float, seconds: float, finer: float) -> None:
    """No picture in between is drawn where the full one takes a moment."""
    assert (predicted(distance, seconds, 1.0) <= STILL_SECONDS) == (finer == 1)
    assert finer_distance(distance, seconds) == finer
