"""The numbers by which administrators see how quick sessions feel."""

from __future__ import annotations

import msgspec
import pytest
from app.people import felt as image
from hypothesis import given
from hypothesis import strategies as st

from controller.rules import felt
from controller.rules.felt import BOUNDS_MS, Felt, Parts, merged, quantile_ms, speed_of

BUCKETS = len(BOUNDS_MS) + 1
NOTHING = (0,) * BUCKETS
SOME = st.lists(st.integers(0, 1000), min_size=BUCKETS, max_size=BUCKETS)
PARTS = Parts(network=12.0, waiting=0.0, render=20.0, encode=3.0, paint=2.0)


def counts(**of: int) -> tuple[int, ...]:
    """Counts that are 0 but for those named by their bounds: ``ms50=7`` is seven above 33."""
    return tuple(of.get(f"ms{bound}", 0) for bound in (*BOUNDS_MS, "_more"))


def test_the_image_and_the_hub_count_alike() -> None:
    """A session's counts mean at the hub what they mean in the session."""
    assert image.BOUNDS_MS == BOUNDS_MS
    assert image.PICTURES_MAX <= felt.PICTURES_MAX
    assert image.PART_MAX_MS <= felt.PART_MAX_MS
    assert image.Parts.__struct_fields__ == Parts.__struct_fields__
    summary = image.Summary(list(counts(ms16=1)), image.Parts(12.0, 0.0, 20.0, 3.0, 2.0))
    read = msgspec.json.decode(msgspec.json.encode(summary), type=Felt)
    assert read == Felt(counts(ms16=1), PARTS)


@pytest.mark.parametrize(
    ("found", "share", "expected"),
    [
        (counts(ms8=10), 0.5, 4.0),
        (counts(ms50=10), 0.5, 33 + 17 * 0.5),
        (counts(ms50=10), 0.95, 33 + 17 * 0.95),
        (counts(ms8=1, ms100=1), 0.5, 8.0),
        (counts(ms8=1, ms100=1), 0.95, 66 + 34 * 0.9),
        (counts(ms8=9, ms2000=1), 0.95, 1500.0),
        (counts(ms_more=1), 0.5, 2000.0),
        (counts(ms2000=1, ms_more=99), 0.95, 2000.0),
        (NOTHING, 0.5, None),
    ],
)
def test_a_share_of_the_pictures(
    found: tuple[int, ...], share: float, expected: float | None
) -> None:
    """Between two bounds the times are taken as evenly spread; above all, the last bound counts."""
    assert quantile_ms(found, share) == (None if expected is None else pytest.approx(expected))


@given(SOME, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_larger_share_takes_no_less_time(found: list[int], one: float, other: float) -> None:
    """Whatever was counted, the numbers are in order and within the bounds."""
    low, high = (quantile_ms(found, share) for share in sorted((one, other)))
    if not any(found):
        assert (low, high) == (None, None)
        return
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= BOUNDS_MS[-1]


@given(st.lists(SOME, max_size=4))
def test_counts_of_several_sessions_are_those_of_one(several: list[list[int]]) -> None:
    """No picture is lost or counted twice, and no session is none."""
    assert sum(merged(several)) == sum(map(sum, several))
    assert merged([]) == NOTHING


def test_how_quick_a_session_feels() -> None:
    """Two numbers, where the time goes, and nothing where nobody felt anything."""
    speed = speed_of(Felt(counts(ms50=10), PARTS))
    assert speed is not None
    assert (speed.p50_ms, speed.p95_ms) == (41.5, pytest.approx(49.15))
    assert (speed.parts_ms, speed.largest) == (PARTS, "render")
    assert speed_of(Felt(NOTHING, PARTS)) is None
    assert speed_of(None) is None


SPENT: dict[str, object] = msgspec.structs.asdict(PARTS)
FORM: dict[str, object] = {"counts": NOTHING, "parts_ms": SPENT}


@pytest.mark.parametrize(
    "answer",
    [
        FORM | {"counts": [0] * (BUCKETS - 1)},
        FORM | {"counts": [0] * (BUCKETS + 1)},
        FORM | {"counts": [-1] * BUCKETS},
        FORM | {"counts": [felt.PICTURES_MAX + 1] * BUCKETS},
        FORM | {"counts": [0.5] * BUCKETS},
        FORM | {"parts_ms": {"network": 1.0}},
        FORM | {"parts_ms": SPENT | {"render": -1.0}},
        FORM | {"parts_ms": SPENT | {"render": 1e300}},
        FORM | {"parts_ms": SPENT | {"render": "1"}},
        FORM | {"parts_ms": None},
        {},
        "quick",
    ],
)
def test_a_session_that_says_it_in_another_form_is_not_believed(answer: object) -> None:
    """A program in a session can make the hub show no number that is out of bounds."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(answer), type=Felt)
