"""How full the hub was in the last day, as plots and as a table of hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from controller.administration.history import Sample
from controller.core.model import moment
from controller.rules import sentences
from controller.web import sparkline

_DAY = 86_400

_HOURS = 24


class Tile(msgspec.Struct, frozen=True):
    """One plot of the last day."""

    title: str
    now: str  # the last value, in words
    most: str  # the greatest value, in words
    plot: sparkline.Plot
    most_at: datetime | None = None  # UTC


class _Measure(msgspec.Struct, frozen=True):
    """Something of which there is a plot."""

    title: str
    of: Callable[[Sample], float]
    words: Callable[[float], str]
    whole: bool = False


_MEASURES = (
    _Measure("Sessions", lambda one: one.sessions, lambda value: f"{value:.0f}", whole=True),
    _Measure("CPU", lambda one: one.cores, lambda value: f"{value:.1f} cores"),
    _Measure("Memory", lambda one: one.memory_bytes, sentences.bytes_text),
    _Measure(
        "Longest wait",
        lambda one: one.wait,
        lambda value: sentences.duration_text(timedelta(seconds=value)),
    ),
)


def _values(history: Sequence[Sample], measure: _Measure) -> list[sparkline.Value]:
    return [sparkline.Value(one.at, measure.of(one)) for one in history]


def tiles(history: Sequence[Sample], now: datetime) -> tuple[Tile, ...]:
    """Return a plot of each measure."""
    drawings: list[Tile] = []
    for measure in _MEASURES:
        drawn = sparkline.plot(
            _values(history, measure), now=now.timestamp(), span=_DAY, whole=measure.whole
        )
        last, most = drawn.now, drawn.most
        drawings.append(
            Tile(
                title=measure.title,
                now=measure.words(last.value) if last else "",
                most=measure.words(most.value) if most else "",
                plot=drawn,
                most_at=moment(most.at) if most else None,
            )
        )
    return tuple(drawings)


def hours(history: Sequence[Sample], now: datetime) -> tuple[tuple[datetime, tuple[str, ...]], ...]:
    """Return the greatest values of each hour, the newest first, as far as any are known."""
    columns = [
        sparkline.hourly(_values(history, one), now=now.timestamp(), hours=_HOURS)
        for one in _MEASURES
    ]
    return tuple(
        (
            moment(cells[0][0]),
            tuple(
                measure.words(value)
                for measure, (_, value) in zip(_MEASURES, cells, strict=True)
                if value is not None
            ),
        )
        for cells in zip(*columns, strict=True)
        if cells[0][1] is not None
    )
