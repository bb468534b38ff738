"""What a run under load has seen, and its report.

Everybody in the run writes into one ``Book``: how long each step took, what was turned away while
something was broken, and what was wrong. A request counts as turned away only if it overlaps a
``Trouble``, which lasts from the deed until all of the hub was seen to work again.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from bench.measure import machine

_SHOWN = 20  # of what was wrong; all of it stands in the JSON file


class Trouble(msgspec.Struct, frozen=True):
    """A part of the hub that was broken. Moments are monotonic seconds."""

    part: str
    what: str  # was done to it
    begun: float
    ended: float = math.inf

    def __str__(self) -> str:
        """Name it."""
        return f"{self.part} {self.what}"


class Book:
    """The account of one run; many threads write into it."""

    def __init__(self) -> None:
        """Begin now."""
        self.begun = time.monotonic()
        self.took: dict[str, list[float]] = defaultdict(list)  # seconds of what was granted
        self.away: Counter[tuple[str, str]] = Counter()  # by step and by what it was told
        self.away_in: Counter[float] = Counter()  # by the beginning of the trouble
        self.failures: Counter[tuple[str, str]] = Counter()
        self.crossed: list[str] = []  # somebody got what was not theirs
        self.lost: list[str] = []  # sessions that nobody had stopped
        self.troubles: list[Trouble] = []
        self._lock = threading.Lock()

    def done(self, step: str, seconds: float) -> None:
        """Note that a step was granted."""
        with self._lock:
            self.took[step].append(seconds)

    def turned_away(self, step: str, told: str, trouble: Trouble) -> None:
        """Note that a step has to be tried again, for something is broken."""
        with self._lock:
            self.away[step, told] += 1
            self.away_in[trouble.begun] += 1

    def failed(self, step: str, told: str) -> None:
        """Note what should not have been answered, whatever is broken."""
        with self._lock:
            self.failures[step, told] += 1

    def crossing(self, what: str) -> None:
        """Note that somebody got an answer that is another's."""
        with self._lock:
            self.crossed.append(what)

    def loss(self, what: str) -> None:
        """Note that a session is gone that was ready and that nobody has stopped."""
        with self._lock:
            self.lost.append(what)

    def break_in(self, trouble: Trouble) -> None:
        """Note that something is about to be broken."""
        with self._lock:
            self.troubles.append(trouble)

    def mended(self) -> None:
        """Note that all works again."""
        with self._lock:
            last = self.troubles[-1]
            self.troubles[-1] = msgspec.structs.replace(last, ended=time.monotonic())

    def trouble(self, since: float, *, part: str = "") -> Trouble | None:
        """Return what has been broken at any time from ``since`` until now, the last of it."""
        with self._lock:
            for one in reversed(self.troubles):
                if one.ended >= since and part in {"", one.part}:
                    return one
        return None

    def number(self, step: str) -> int:
        """Return how often a step was granted."""
        return len(self.took[step])


class StepLine(msgspec.Struct, frozen=True):
    """A step: how often it was granted, and seconds from the first try to the answer."""

    step: str
    granted: int
    p50: float
    p99: float
    longest: float
    turned_away: int
    failed: int


class TroubleLine(msgspec.Struct, frozen=True):
    """What was broken, when (seconds from the beginning), and until when."""

    at: float
    what: str
    right_after: float | None  # seconds; null: it was not seen to be
    turned_away: int


class HeldLine(msgspec.Struct, frozen=True):
    """What the first process of a part holds, before and after: RSS in MiB and descriptors."""

    part: str
    mib_before: float
    mib_after: float
    files_before: int
    files_after: int


class Wrong(msgspec.Struct, frozen=True):
    """What was wrong, and how often."""

    what: str
    times: int


class Report(msgspec.Struct, frozen=True):
    """The report of a run."""

    name: str
    title: str
    machine: str
    facts: dict[str, int | float | str]
    steps: list[StepLine] = []
    troubles: list[TroubleLine] = []
    turned_away: list[Wrong] = []  # by what was told
    held: list[HeldLine] = []
    wrong: list[Wrong] = []


def percentile(seconds: Sequence[float], part: float) -> float:
    """Return the nearest rank: the least value that ``part`` of all do not exceed."""
    return sorted(seconds)[max(0, math.ceil(part * len(seconds)) - 1)]


def report_of(
    book: Book,
    name: str,
    title: str,
    facts: Mapping[str, int | float | str],
    *,
    held: Sequence[HeldLine] = (),
) -> Report:
    """Put together what a book holds."""
    away: Counter[str] = Counter()
    for (step, _), times in book.away.items():
        away[step] += times
    failed: Counter[str] = Counter()
    for (step, _), times in book.failures.items():
        failed[step] += times
    steps = sorted(book.took.keys() | away.keys() | failed.keys())
    told: Counter[str] = Counter()
    for (_, what), times in book.away.items():
        told[what] += times
    wrong = [Wrong(f"{step}: {what}", times) for (step, what), times in book.failures.items()]
    wrong += [Wrong(f"cross-user answer: {what}", 1) for what in book.crossed]
    wrong += [Wrong(f"lost session: {what}", 1) for what in book.lost]
    return Report(
        name=name,
        title=title,
        machine=machine(),
        facts=dict(facts),
        steps=[_step_line(one, book.took[one], away[one], failed[one]) for one in steps],
        troubles=[
            TroubleLine(
                at=round(one.begun - book.begun, 1),
                what=str(one),
                right_after=None if one.ended == math.inf else round(one.ended - one.begun, 1),
                turned_away=book.away_in[one.begun],
            )
            for one in book.troubles
        ],
        turned_away=[Wrong(what, times) for what, times in told.most_common()],
        held=list(held),
        wrong=wrong,
    )


def _step_line(step: str, seconds: Sequence[float], away: int, failed: int) -> StepLine:
    found = seconds or [0.0]
    numbers = (percentile(found, 0.5), percentile(found, 0.99), max(found))
    p50, p99, longest = (round(one, 3) for one in numbers)
    return StepLine(step, len(seconds), p50, p99, longest, away, failed)


def markdown(report: Report) -> str:
    """Return a report for people."""
    lines = [f"# {report.title}", "", f"{report.machine}.", ""]
    lines += _table(("", ""), [(name, _text(value)) for name, value in report.facts.items()])
    if report.steps:
        lines += _table(
            ("step", "granted", "p50 s", "p99 s", "longest s", "turned away", "failed"),
            [tuple(map(_text, msgspec.structs.astuple(one))) for one in report.steps],
        )
    if report.troubles:
        lines += _table(
            ("at s", "broken", "all right after s", "turned away"),
            [tuple(map(_text, msgspec.structs.astuple(one))) for one in report.troubles],
        )
    if report.turned_away:
        lines += _table(
            ("turned away with", "times"),
            [(one.what, str(one.times)) for one in report.turned_away],
        )
    if report.held:
        lines += _table(
            ("", "RSS MiB before", "after", "descriptors before", "after"),
            [tuple(map(_text, msgspec.structs.astuple(one))) for one in report.held],
        )
    for one in report.wrong[:_SHOWN]:
        lines.append(f"- wrong, {one.times} times: {one.what}")
    if len(report.wrong) > _SHOWN:
        lines.append(f"- and {len(report.wrong) - _SHOWN} more")
    return "\n".join(lines).rstrip() + "\n"


def _text(value: float | str | None) -> str:
    return "never" if value is None else str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruled = "|---" + "|---:" * (len(columns) - 1) + "|"
    return [
        f"| {' | '.join(columns)} |",
        ruled,
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
        "",
    ]


def folder() -> Path:
    """Return where reports are written."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SLICERHUB_REPORTS") or cache / "slicerhub/reports")


def write(report: Report) -> str:
    """Write a report as JSON and as Markdown; return the latter, and where it is."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    text = markdown(report)
    whole = json.dumps(msgspec.to_builtins(report), indent=2, ensure_ascii=False) + "\n"
    (place / f"{report.name}.json").write_text(whole, encoding="utf-8")
    (place / f"{report.name}.md").write_text(text, encoding="utf-8")
    return f"{text}\nwritten to {place}/{report.name}.md and .json\n"
