"""What is kept is bounded, and one new thing pushes out one old one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.core.kept import Kept


@given(st.integers(1, 5), st.lists(st.integers(0, 9)))
def test_the_last_ones_are_kept(most: int, keys: list[int]) -> None:
    """Of all that was put, as many as there is room for are there: those that were put last."""
    kept: Kept[int, str] = Kept(most)
    for key in keys:
        kept.keep(key, str(key))
    last = list(dict.fromkeys(reversed(keys)))[:most]
    assert list(kept.items()) == [(key, str(key)) for key in reversed(last)]
