"""What the cluster measures is understood as it is meant."""

from __future__ import annotations

import msgspec
import pytest

from controller.core.model import Usage
from controller.engines.kubernetes import answers
from controller.engines.kubernetes.answers import ContainerMetrics


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("123456789n", 0.123456789), ("12Ki", 12288), ("2", 2), ("1M", 1e6)],
)
def test_quantity(text: str, value: float) -> None:
    """Quantities are read as the cluster means them."""
    assert answers.quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "1X", "-1", "1..2"])
def test_no_quantity(text: str) -> None:
    """What is no quantity is no number."""
    with pytest.raises(ValueError, match=r"."):
        answers.quantity(text)


def test_usage() -> None:
    """What a session takes is the sum over its containers; before the first measurement nothing."""
    found = msgspec.json.decode(
        b'[{"name": "session", "usage": {"cpu": "1500m", "memory": "64Mi"}}]',
        type=tuple[ContainerMetrics, ...],
    )
    assert answers.usage_of(found) == Usage(cpu_percent=150.0, memory_bytes=64 * 2**20)
    assert answers.usage_of(()) is None
