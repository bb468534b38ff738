"""A file is opened by its name as what it is."""

from __future__ import annotations

import pytest
from app.core.kinds import Kind, kind_of, preset_for


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.nii.gz", Kind.VOLUME),
        ("A.NRRD", Kind.VOLUME),
        ("a.seg.nrrd", Kind.SEGMENTATION),
        ("a.mrb", Kind.SCENE),
        ("a.stl", Kind.MODEL),
        ("notes.txt", Kind.OTHER),
        ("nrrd", Kind.OTHER),
    ],
)
def test_kinds(name: str, kind: Kind) -> None:
    """A file is opened as what its ending says."""
    assert kind == kind_of(name)


def test_ct_and_mr_are_shown_differently() -> None:
    """Negative values down to air mean CT."""
    assert preset_for(-1024.0) != preset_for(0.0)
