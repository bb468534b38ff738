"""What a session takes of the machine is known from its second measurement on."""

from __future__ import annotations

from typing import Any

import pytest

from controller.core import labels
from controller.core.model import Usage
from controller.engines.docker import client
from controller.engines.docker.calls import Calls
from controller.engines.docker.usage import Measurements
from controller.settings.schema import Settings
from tests.support.samples import session, settings

pytestmark = pytest.mark.anyio

HUB = settings()
ONE = session(1)
Facts = dict[str, Any]  # as the engine's JSON


class Engine:
    """An engine with one session, which says of it what the test lets it say."""

    def __init__(self) -> None:
        """Begin with a session of which nothing is known yet."""
        self.stats_now: Facts = {}

    def containers(self, *, all: bool, filters: dict[str, list[str]]) -> list[Facts]:  # noqa: A002
        """List the session, if it is asked for."""
        assert all
        wanted = f"{labels.SESSION}={ONE.id}"
        return [{"Id": "c"}] if wanted in filters["label"] else []

    def stats(self, container: str, *, stream: bool, one_shot: bool) -> Facts:
        """Say what the session takes, without waiting."""
        assert (container, stream, one_shot) == ("c", False, True)
        return self.stats_now


def stats(second: int, cpu_seconds: float) -> Facts:
    """Return what an engine says of a session that has computed for so long in all."""
    return {
        "read": f"2026-03-05T15:00:{second:02}.123456789Z",
        "cpu_stats": {"cpu_usage": {"total_usage": int(cpu_seconds * 1e9)}},
        "memory_stats": {"usage": 4096},
    }


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Give an engine, to which every client leads."""
    made = Engine()

    def connect(_: Settings) -> Engine:
        return made

    monkeypatch.setattr(client, "connect_engine", connect)
    return made


@pytest.fixture
def measurements(engine: Engine) -> Measurements:
    """Give what is measured on that engine."""
    del engine  # it is found by its name
    return Measurements(Calls(HUB))


async def test_since_the_last_time(engine: Engine, measurements: Measurements) -> None:
    """A session that computed for five of ten seconds takes half a core, and its memory."""
    engine.stats_now = stats(10, 100)
    assert await measurements.of(ONE.id) is None
    engine.stats_now = stats(20, 105)
    assert await measurements.of(ONE.id) == Usage(50.0, 4096)
    engine.stats_now = stats(30, 125)
    assert await measurements.of(ONE.id) == Usage(200.0, 4096)


async def test_twice_in_one_second(engine: Engine, measurements: Measurements) -> None:
    """A second question at once gets nothing rather than a wrong number."""
    engine.stats_now = stats(10, 100)
    assert await measurements.of(ONE.id) is None
    assert await measurements.of(ONE.id) is None


@pytest.mark.parametrize("odd", [{}, {"read": "0001-01-01T00:00:00Z"}, stats(1, 1) | {"read": "x"}])
async def test_a_session_that_does_not_run(
    engine: Engine, measurements: Measurements, odd: Facts
) -> None:
    """Of a session that does not run nothing is told."""
    engine.stats_now = odd
    for _ in range(2):
        assert await measurements.of(ONE.id) is None


async def test_no_such_session(measurements: Measurements) -> None:
    """Of a session that is not there nothing is told."""
    assert await measurements.of(session(2).id) is None


async def test_a_session_that_is_gone(engine: Engine, measurements: Measurements) -> None:
    """A forgotten session is measured anew."""
    engine.stats_now = stats(10, 100)
    await measurements.of(ONE.id)
    measurements.forget(ONE.id)
    engine.stats_now = stats(20, 105)
    assert await measurements.of(ONE.id) is None
