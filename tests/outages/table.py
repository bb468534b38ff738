"""What people see of each fault, and for how long: a table after each run.

Each test of an outage hands over a row, and the run writes the rows of its tests, and those that
earlier runs have left of others, to ``faults.jsonl`` and as Markdown to ``faults.md`` in the folder
that SLICERHUB_REPORTS names. A row is written also if its test fails, and says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from tests.support.threats import exists

PROPERTY = "fault"
"""Name of the property of a test that is its row, as JSON."""

HEAD = """\
# The fault table

Written by the tests in tests/outages, which break a running stack one fault at a time. Meanwhile
somebody who is logged in works in a session over an open WebSocket, their pages are asked for
several times a second, and somebody else logs in. What they were answered otherwise than always
stands in the second column, word for word.

"Seconds until right" are from the fault, or, where the test itself has to take it away again (a
pause, a cut, a full disk), from then, until everything is answered as always *and* a new session
has been started and is ready. They are of one run on one machine.

| fault | what people see meanwhile | seconds until right | sessions lost | open desktop noticed? |
|---|---|---|---|---|
"""


class Row(msgspec.Struct, frozen=True):
    """What came of one fault."""

    fault: str
    seen: str
    seconds: float
    lost: int  # sessions that ended, or that their people could not go on with
    noticed: str  # by whoever had a desktop open
    test: str = ""
    result: str = ""  # passed or failed


def folder() -> Path:
    """Return where the table is written."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SLICERHUB_REPORTS") or cache / "slicerhub/reports")


def table(rows: Iterable[Row]) -> str:
    """Return the table as Markdown."""
    return HEAD + "".join(_line(row) for row in rows)


def _line(row: Row) -> str:
    failed = " **The test failed.**" if row.result != "passed" else ""
    cells = (row.fault, row.seen + failed, f"{row.seconds:.1f}", str(row.lost), row.noticed)
    return f"| {' | '.join(' '.join(one.split()).replace('|', '/') for one in cells)} |\n"


class FaultTable:
    """Pytest's plugin: collects the rows of a run and writes at its end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rows: dict[str, list[Row]] = {}  # by test
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test's rows, and whether it failed, before or after them."""
        if report.failed:
            self._failed.add(report.nodeid)
        if report.when == "teardown":
            found = [text for name, text in report.user_properties if name == PROPERTY]
            if found:
                self._rows[report.nodeid] = [
                    msgspec.json.decode(str(text), type=Row) for text in found
                ]

    def pytest_sessionfinish(self) -> None:
        """Write what was seen."""
        if self._rows:
            now = [
                msgspec.structs.replace(
                    row, test=test, result="failed" if test in self._failed else "passed"
                )
                for test, rows in self._rows.items()
                for row in rows
            ]
            write(folder(), now)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the rows of this run, and say where the table is."""
        for rows in self._rows.values():
            for row in rows:
                terminalreporter.write_line(
                    f"{row.seconds:6.1f} s  lost {row.lost}  {row.fault}: {row.seen};"
                    f" desktop: {row.noticed}"
                )
        if self._rows:
            terminalreporter.write_line(f"fault table: {folder() / 'faults.md'}")


def write(place: Path, now: Iterable[Row]) -> None:
    """Put these rows into the table; what other tests have left stays, as long as they exist."""
    place.mkdir(parents=True, exist_ok=True)
    new = tuple(now)
    again = {row.test for row in new}
    path = place / "faults.jsonl"
    kept = [row for row in _read(path) if row.test not in again and exists(_name_of(row))]
    rows = sorted((*kept, *new), key=lambda row: row.test.partition("::")[0])
    text = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    path.write_bytes(text)
    (place / "faults.md").write_text(table(rows), encoding="utf-8")


def _name_of(row: Row) -> str:
    return row.test.partition("[")[0]


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]
