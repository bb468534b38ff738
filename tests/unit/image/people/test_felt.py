"""How quick a session feels, as its pages report it."""

from __future__ import annotations

import math

import msgspec
import pytest
from app.people.felt import (
    BOUNDS_MS,
    PART_MAX_MS,
    PICTURES_MAX,
    WINDOW_SECONDS,
    Felt,
    Parts,
    Sample,
    Summary,
)

BUCKETS = len(BOUNDS_MS) + 1
PARTS = {"network": 1.0, "waiting": 2, "render": 30.5, "encode": 4.0, "paint": 5.0}


def counts(**of: int) -> list[int]:
    """Counts that are 0 but for those named: ``at3=7`` is seven in the fourth."""
    return [of.get(f"at{bucket}", 0) for bucket in range(BUCKETS)]


def sample(render: float, **of: int) -> Sample:
    """A report of a page in which all time went into rendering."""
    return Sample(counts(**of), Parts(0, 0, render, 0, 0))


def test_a_minute_of_all_pages_is_one_summary() -> None:
    """Reports of several pages are added, and each part is told as a mean over all pictures."""
    felt = Felt()
    felt.note(Sample(counts(at2=2), Parts(10, 2, 30, 4, 6)), 100.0)
    felt.note(Sample(counts(at2=1, at13=1), Parts(30, 2, 50, 4, 2)), 100.4)
    felt.note(Sample(counts(at0=4), Parts(0, 0, 0, 0, 0)), 130.0)
    assert felt.summary(131.0) == Summary(
        counts(at0=4, at2=3, at13=1), Parts(5.0, 0.5, 10.0, 1.0, 1.0)
    )


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    """The number follows what is felt now, and there is none once nobody moves anything."""
    felt = Felt()
    assert felt.summary(5.0) is None
    felt.note(sample(100, at7=1), 10.0)
    felt.note(sample(10, at1=1), 40.0)
    before = felt.summary(9.9 + WINDOW_SECONDS)
    assert before is not None
    assert before.counts == counts(at1=1, at7=1)
    after = felt.summary(10.0 + WINDOW_SECONDS)
    assert after == Summary(counts(at1=1), Parts(0, 0, 10, 0, 0))
    assert felt.summary(40.0 + WINDOW_SECONDS) is None


def test_a_report_without_pictures_says_nothing() -> None:
    """A page that only lies open does not make the session look felt."""
    felt = Felt()
    felt.note(sample(50), 10.0)
    assert felt.summary(10.0) is None


def test_many_reports_stay_in_bounds() -> None:
    """A page that floods the session with reports cannot make the hub refuse its answer."""
    felt = Felt()
    for number in range(1000):
        felt.note(sample(PART_MAX_MS, at0=PICTURES_MAX, at3=1), number / 10)
    summary = felt.summary(99.9)
    assert summary is not None
    assert summary.counts == counts(at0=PICTURES_MAX, at3=600)
    assert summary.parts.render <= PART_MAX_MS


@pytest.mark.parametrize(
    "report",
    [
        {"counts": counts(at0=1), "parts": PARTS | {"network": -0.1}},
        {"counts": counts(at0=1), "parts": PARTS | {"network": math.nan}},
        {"counts": counts(at0=1), "parts": PARTS | {"network": math.inf}},
        {"counts": counts(at0=1), "parts": PARTS | {"network": "1"}},
        {"counts": counts(at0=1), "parts": PARTS | {"network": PART_MAX_MS + 1}},
        {"counts": counts(at0=1), "parts": PARTS | {"wait": 1.0}},
        {"counts": counts(at0=1), "parts": {"network": 1.0}},
        {"counts": counts(at0=-1), "parts": PARTS},
        {"counts": counts(at0=PICTURES_MAX + 1), "parts": PARTS},
        {"counts": [*counts(at0=1), 0], "parts": PARTS},
        {"counts": counts(at0=1)[1:], "parts": PARTS},
        {"counts": [1.5] * BUCKETS, "parts": PARTS},
        {"counts": [True] * BUCKETS, "parts": PARTS},
        {"counts": counts(at0=1), "parts": PARTS, "user": "bob"},
        [],
    ],
)
def test_a_report_of_another_form_is_refused(report: object) -> None:
    """What a hostile page sends instead of a report changes nothing."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(report, Sample)


def test_a_report_is_read() -> None:
    """What a page measures arrives as it was sent."""
    read = msgspec.convert({"counts": counts(at4=3), "parts": PARTS}, Sample)
    assert read == Sample(counts(at4=3), Parts(1.0, 2.0, 30.5, 4.0, 5.0))
