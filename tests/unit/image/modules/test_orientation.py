"""Which letters stand at the edges of a slice."""

from __future__ import annotations

import pytest
from app.modules.orientation import Edges, edges_of, letters_of, says_how_it_lies
from hypothesis import given
from hypothesis import strategies as st

OPPOSITE = str.maketrans("RLAPSI", "LRPAIS")
PARTS = st.floats(-1, 1)


@pytest.mark.parametrize(
    ("right", "up", "expected"),
    [
        # As radiologists look at it: the patient's left is on the right side of the picture.
        pytest.param((-1, 0, 0), (0, 1, 0), Edges("R", "L", "A", "P"), id="axial"),
        pytest.param((-1, 0, 0), (0, 0, 1), Edges("R", "L", "S", "I"), id="coronal"),
        pytest.param((0, -1, 0), (0, 0, 1), Edges("A", "P", "S", "I"), id="sagittal"),
        pytest.param((1, 0, 0), (0, 1, 0), Edges("L", "R", "A", "P"), id="mirrored"),
        pytest.param((-2.5, 0.1, 0), (0, 7, -0.2), Edges("R", "L", "A", "P"), id="nearly"),
        pytest.param((-1, 0.5, 0), (0.5, 1, 0), Edges("RP", "LA", "AR", "PL"), id="turned"),
        pytest.param((0, 0, 0), (0, float("nan"), 0), Edges(), id="nowhere"),
    ],
)
def test_edges(right: tuple[float, ...], up: tuple[float, ...], expected: Edges) -> None:
    """Each edge names where in the patient it leads, and nothing where that is not known."""
    assert edges_of(right, up) == expected


@given(st.tuples(PARTS, PARTS, PARTS))
def test_opposite_edges(direction: tuple[float, float, float]) -> None:
    """What is on one side is the opposite of what is on the other, whichever way one looks."""
    there, back = letters_of(direction), letters_of([-part for part in direction])
    assert back == there.translate(OPPOSITE)
    assert len(there) <= 3
    assert bool(there) == any(direction)


@pytest.mark.parametrize(
    ("file", "expected"),
    [("head.nrrd", True), ("HEAD.HDR", False), ("", True), ("head.nii.gz", True)],
)
def test_files_that_do_not_say(file: str, expected: bool) -> None:
    """A format that leaves open how the patient lies gets no letters."""
    assert says_how_it_lies(file) is expected
