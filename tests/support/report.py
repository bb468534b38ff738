"""Writes where the time of a run went, slowest first, and what grew since it was last agreed upon.

``tests/budgets.json`` holds what a whole run may take and what each slow test took when somebody
last looked at it; ``python -m tests.support.report --agree`` writes the last run's figures there.
Nothing fails by being slow: a machine may be busy. It is told, so that it is seen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from tests.support.durations import StepTime, TestTime

BUDGETS = Path(__file__).parents[1] / "budgets.json"
NOTED_SECONDS = 1.0  # a test that takes less is not listed in the budgets
LISTED_SECONDS = 0.3  # nor in the report
GROWN = 10  # so many tests that grew are named

EXPLAINED = """\
Seconds everywhere. Starting: fixtures before and after a test. Computing: CPU of the tests' own
processes; what engine, sessions and browsers compute counts as waiting."""


class Budgets(msgspec.Struct, frozen=True):
    """What was agreed upon, in seconds."""

    short_run: float
    short_run_on_a_bare_machine: float
    unit: float
    tests: Mapping[str, float] = {}


class Whole(msgspec.Struct, frozen=True):
    """The run as a whole."""

    took: float
    busy: float  # seconds of CPU that the machine had work for, all cores together
    take: str
    quarter: int
    limit: float | None = None  # that was agreed upon for such a run, in seconds


class Written(msgspec.Struct, frozen=True):
    """What came of all tests."""

    outcomes: Mapping[str, int]

    def closing_line(self) -> str:
        """Return how many tests passed, failed and were skipped."""
        return ", ".join(
            f"{self.outcomes.get(name, 0)} {name}" for name in ("passed", "failed", "skipped")
        )


def busy() -> float:
    """Return seconds of CPU that this machine has been busy for since it started."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq, *_ = (int(one) for one in fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def read(folder: Path) -> list[TestTime]:
    """Return what all processes of a run have noted."""
    return [
        msgspec.json.decode(line, type=TestTime)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
    ]


def budgets() -> Budgets:
    """Return what was agreed upon."""
    return msgspec.json.decode(BUDGETS.read_bytes(), type=Budgets)


def table(head: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Return a table in Markdown; numbers have one decimal."""

    def cell(value: str | float) -> str:
        text = value if isinstance(value, str) else f"{value:.1f}"
        return text.replace("|", "\\|")

    lines = [head, ["---"] * len(head), *([cell(one) for one in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def grown(tests: Iterable[TestTime], agreed: Budgets) -> list[tuple[str, float, float]]:
    """Return the tests that grew most: name, seconds then, seconds now. New ones had nothing."""
    changes = [
        (one.test, then, one.total)
        for one in tests
        if one.total - (then := agreed.tests.get(one.test, 0.0)) > NOTED_SECONDS
    ]
    return sorted(changes, key=lambda one: one[1] - one[2])[:GROWN]


def text(
    tests: Sequence[TestTime], steps: Sequence[StepTime], whole: Whole, agreed: Budgets
) -> str:
    """Return the report in Markdown."""
    paragraphs = (
        "# Where the time went",
        _in_one_sentence(whole) + _of_the_quarter(tests, whole),
        EXPLAINED,
        "## Steps, slowest first",
        _steps(steps),
        "## Parts, slowest first",
        _parts(tests),
        f"## The {GROWN} tests that grew most since tests/budgets.json was written",
        table(("test", "then", "now"), grown(tests, agreed)),
        f"## Tests of {LISTED_SECONDS} s and more, slowest first",
        _tests(tests),
    )
    return "\n\n".join(paragraphs) + "\n"


def limit_of(agreed: Budgets, take: str, parts: Sequence[str], *, bare: bool) -> float | None:
    """Return the seconds agreed upon for a run; None: nothing was, or not of a bare machine.

    ``bare``: the machine had nothing of what the tests need.
    """
    if take == "short":
        return agreed.short_run_on_a_bare_machine if bare else agreed.short_run
    return agreed.unit if tuple(parts) == ("unit",) and not bare else None


def _in_one_sentence(whole: Whole) -> str:
    short = whole.take == "short"
    taken = f", with quarter {whole.quarter + 1} of the rest," if short else ""
    limit = f" of the {whole.limit:.0f} s agreed upon" if whole.limit else ""
    cores = os.cpu_count() or 1
    share = whole.busy / whole.took / cores
    return (
        f"The run of what is called {whole.take}{taken} took {whole.took:.0f} s{limit};\n"
        f"the machine's {cores} cores were busy for {whole.busy:.0f} s, {share:.0%} of it."
    )


def _of_the_quarter(tests: Iterable[TestTime], whole: Whole) -> str:
    if whole.take != "short":
        return ""
    each = [(one.total, one.extra) for one in tests]
    together = sum(total for total, _ in each)
    extra = sum(total for total, is_extra in each if is_extra)
    return (
        f"\nThe tests took {together:.0f} s one after the other, "
        f"of which {extra:.0f} s were for the quarter."
    )


def _steps(steps: Iterable[StepTime]) -> str:
    head = ("lane", "step", "began", "took", "computing", "came to")
    rows = [
        (one.lane, one.step, one.began, one.took, one.computing, "good" if one.ok else "FAILED")
        for one in sorted(steps, key=lambda one: -one.took)
    ]
    return table(head, rows)


def _parts(tests: Iterable[TestTime]) -> str:
    parts: dict[str, list[TestTime]] = defaultdict(list)
    for one in tests:
        parts[one.part].append(one)
    rows = [
        (part, str(len(found)), *(sum(column) for column in zip(*map(_spent, found), strict=True)))
        for part, found in parts.items()
    ]
    head = ("part", "tests", "took", "starting", "computing", "waiting")
    return table(head, sorted(rows, key=lambda row: -float(row[2])))


def _tests(tests: Iterable[TestTime]) -> str:
    rows = [
        (one.test, one.part, *_spent(one), one.outcome)
        for one in sorted(tests, key=lambda one: -one.total)
        if one.total >= LISTED_SECONDS
    ]
    head = ("test", "part", "took", "starting", "computing", "waiting", "came to")
    return table(head, rows)


def _spent(one: TestTime) -> tuple[float, float, float, float]:
    """Return what a test took, and how much of it was starting, computing and waiting."""
    waiting = max(0.0, one.total - one.computing)
    return one.total, one.setup + one.teardown, one.computing, waiting


def write(path: Path, folder: Path, steps: Sequence[StepTime], whole: Whole) -> Written:
    """Write the report, and keep beside the tests' lines what the steps took."""
    tests = read(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(tests, steps, whole, budgets()), encoding="utf-8")
    return Written(Counter(one.outcome for one in tests))


def agree(before: Budgets, tests: Sequence[TestTime]) -> Budgets:
    """Return budgets with what each slow test of a run took; others stay as they are.

    A test that is no more, or is fast by now, is dropped only when its file was run.
    """
    run = {one.test.partition("::")[0] for one in tests}
    kept = {test: took for test, took in before.tests.items() if test.partition("::")[0] not in run}
    now = {one.test: round(one.total, 1) for one in tests if one.total >= NOTED_SECONDS}
    return msgspec.structs.replace(before, tests=dict(sorted((kept | now).items())))


def main() -> int:
    """Write the last run's figures into the file of budgets."""
    parser = argparse.ArgumentParser(prog="tests.support.report", description=__doc__)
    parser.add_argument("--agree", action="store_true", required=True)
    parser.add_argument("folder", type=Path, help="…/reports/run/durations of the last run")
    given = parser.parse_args()
    encoded = msgspec.json.format(
        msgspec.json.encode(agree(budgets(), read(given.folder))), indent=2
    )
    BUDGETS.write_bytes(encoded + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
