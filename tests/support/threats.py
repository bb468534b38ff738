"""Which test shows which row of the threat table, and what came of it: a file after each run.

A test shows the row in its name (``test_row_07_...``, ``test_row_p_...``) and those that its
marker ``row`` names. Those in tests/security attack the running stack, in one of the two modes of
routing at a time; those elsewhere hold in either. Each run writes what it saw (``<mode>.jsonl``)
and then the table of all runs (``table.md``) to the folder that SLICERHUB_THREATS names. A run of
the whole of tests/security in which a row was not shown fails.
"""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import pytest

from tests.support import choice

ROWS = {
    "1": "no log-in",
    "2": "a forged log-in",
    "3": "an expired log-in, one of another kind",
    "4": "a log-in used again after its log-out",
    "5": "somebody who has left",
    "6": "somebody else's session",
    "7": "trying ids",
    "8": "an invitation that was taken back",
    "9": "a guest who acts as the owner; a link used twice or late",
    "10": "forwarded headers of one's own",
    "11": "verify asked directly",
    "12": "headers removed by the way of Connection",
    "13": "paths that two programs read differently",
    "14": "odd methods and targets",
    "15": "a foreign Host",
    "16": "a log-in page that leads elsewhere",
    "17": "a foreign page that acts for somebody",
    "18": "a log-in that was planted before",
    "19": "a foreign page's WebSocket",
    "20": "guessing passwords",
    "21": "finding out who has an account",
    "22": "LDAP injection",
    "23": "an empty password",
    "24": "twins of a name",
    "25": "far too much of something",
    "26": "a directory that is down, slow or another one",
    "27": "a session that reads the log-in",
    "28": "a session that sets the log-in",
    "29": "a page in a session against the hub",
    "30": "script in a name",
    "31": "rules in a name",
    "32": "an image with labels of its own",
    "33": "names of volumes",
    "34": "what helps to escape a container",
    "35": "a session against the hub's parts and other sessions",
    "36": "a front door that was taken over, against the engine",
    "37": "a controller that was taken over, on a cluster",
    "38": "a session that uses up the machine",
    "39": "too many sessions",
    "40": "a double click",
    "41": "a controller that is killed at any step",
    "42": "an engine that hangs or starts anew",
    "43": "a cluster whose news stop or have a gap",
    "44": "a clock that jumps",
    "45": "a weak, lost or changed key",
    "46": "a moment without a guard",
    "47": "a store that is lost, locked or read-only",
    "48": "dashboards and numbers",
    "49": "secrets in logs, lines that were not written",
    "50": "a session whose answers are nonsense or lies",
    "51": "a session that answers for ever",
    "52": "a session that leaves something for the others",
    "53": "sessions of one person that save at once",
    "54": "somebody who is connected without a right",
    "55": "floods of one address",
    "56": "a stranger who follows the controller, a gate that pretends to be one",
    "57": "a gate that was taken over, against log-ins",
    "58": "a gate that was cut off, or stood still",
    "59": "a code that was used at the other gate",
    "60": "what a gate keeps on a disk, found by somebody else or much later",
    "61": "a gate that comes to a controller whose news are late",
    "P": "settings of the front door",
}

ELSEWHERE = {
    "37": (
        "tests/kubernetes/test_deployment.py",
        "test_the_controller_may_do_what_it_does_and_nothing_else",
    ),
    "43": ("tests/kubernetes/test_orchestrator.py", "test_watch_faults"),
    "52": ("tests/http/test_hostile_answers.py", "test_nothing_of_one_session_reaches_another"),
    "53": (
        "tests/unit/image/files/test_autosaves.py",
        "test_sessions_that_save_at_once_get_their_own_numbers",
    ),
    "54": ("tests/http/test_connected.py", "test_a_guest_who_is_there_all_the_same"),
    "55": ("tests/e2e/test_rates.py", "test_half_sent_bodies_keep_nobody_out"),
    "56": ("tests/unit/feed/test_stream.py", "test_strangers_hear_nothing"),
    "57": ("tests/unit/people/test_verified.py", "test_what_a_gate_signs"),
    "58": ("tests/e2e/test_gates.py", "test_a_gate_that_stood_still"),
    "59": ("tests/e2e/test_gates.py", "test_a_code_that_was_used_at_the_other_gate"),
    "60": ("tests/unit/gate/test_kept.py", "test_nobody_else_opens_it"),
    "61": ("tests/unit/feed/test_agreement.py", "test_told_late_but_never_what_was"),
}
"""Rows that need a cluster, the usual limits or no stack at all: the tests that show them."""

EITHER = "either mode"
_NAMED = re.compile(r"test_row_(\d\d|p)_")
_ROOT = Path(__file__).parents[2]
_SECURITY = _ROOT / "tests/security"


class Shown(msgspec.Struct, frozen=True):
    """What came of one test for one row."""

    row: str
    mode: str
    test: str
    result: str  # passed, failed or skipped


def folder() -> Path:
    """Return where the table is written."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SLICERHUB_THREATS") or cache / "slicerhub/threats")


def rows_of(name: str, markers: Iterable[pytest.Mark]) -> frozenset[str]:
    """Return the rows that a test of this name, with these markers, shows."""
    found = {str(one).upper() for mark in markers for one in mark.args}
    if named := _NAMED.match(name):
        found.add(named[1].upper().lstrip("0"))
    unknown = found - ROWS.keys()
    if unknown:
        raise pytest.UsageError(f"{name}: the threat table has no row {sorted(unknown)}.")
    return frozenset(found)


def is_marked(path: Path, name: str, row: str) -> bool:
    """Tell whether the test that shows a row elsewhere is there, and marked so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return any(ast.unparse(one) == f"pytest.mark.row({row})" for one in node.decorator_list)
    return False


def table(shown: Iterable[Shown]) -> str:
    """Return the table as Markdown: a line for each row and test, a column for each mode."""
    found = tuple(shown)
    modes = ("path", "subdomain", EITHER)
    lines = [
        f"| row | attack | test | {' | '.join(modes)} |",
        f"|---|---|---|{'---|' * len(modes)}",
    ]
    for row, attack in ROWS.items():
        tests = sorted({one.test for one in found if one.row == row})
        for test in tests or ["none has run"]:
            cells = [
                _worst(one.result for one in found if (one.row, one.test, one.mode) == key)
                for key in ((row, test, mode) for mode in modes)
            ]
            lines.append(f"| {row} | {attack} | {test} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _worst(results: Iterable[str]) -> str:
    """Return the one result of a test with several parameters."""
    found = set(results)
    return next((one for one in ("failed", "skipped", "passed") if one in found), "-")


class ThreatTable:
    """Pytest's plugin: listens to the run and writes at its end."""

    def __init__(self, mode: str) -> None:
        """``mode``: how the stack under attack routes."""
        self._mode = mode
        self._rows: dict[str, frozenset[str]] = {}
        self._attacks: set[str] = set()
        self._results: dict[str, str] = {}
        self._whole = True
        self._missing: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Find out which tests show which rows."""
        for item in items:
            if rows := rows_of(item.name, item.iter_markers("row")):
                self._rows[item.nodeid] = rows
                if _SECURITY in item.path.parents:
                    self._attacks.add(item.nodeid)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note that this is not the whole: what a short run takes must show each row, too."""
        if not choice.left_out(items[0].config, items):
            self._whole = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what came of a test; whatever is wrong before or after it counts, too."""
        if report.nodeid in self._rows and (report.when == "call" or report.outcome != "passed"):
            found = (self._results.get(report.nodeid, "passed"), report.outcome)
            self._results[report.nodeid] = _worst(found)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was seen; a row that nothing has shown fails a whole run."""
        seen = [
            Shown(
                row=row,
                mode=self._mode if nodeid in self._attacks else EITHER,
                test=nodeid.partition("[")[0],
                result=result,
            )
            for nodeid, result in self._results.items()
            for row in self._rows[nodeid]
        ]
        if seen:
            write(folder(), seen)
        args = [Path(one).resolve() for one in session.config.args]
        whole = self._whole and any(one == _SECURITY or one in _SECURITY.parents for one in args)
        whole = whole and session.config.getoption("--take") != "quarter"
        if whole and self._attacks and not session.config.option.collectonly:
            self._missing = self._not_shown(seen)
            if self._missing:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _not_shown(self, seen: Iterable[Shown]) -> list[str]:
        shown = {one.row for one in seen if one.mode == self._mode and one.result != "skipped"}
        shown |= {
            row for row, (path, name) in ELSEWHERE.items() if is_marked(_ROOT / path, name, row)
        }
        return [row for row in ROWS if row not in shown]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the table is, and what is missing in it."""
        if self._results:
            terminalreporter.write_line(f"threat table: {folder() / 'table.md'}")
        for row in self._missing:
            terminalreporter.write_line(f"FAILED row {row} ({ROWS[row]}): no test shows it")


def write(place: Path, seen: Iterable[Shown]) -> None:
    """Add what was seen to what other runs have seen, and write the table of all of it.

    A test that ran again counts by its last run. Other parts may write at the same moment.
    """
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(place, tuple(seen))


def _write(place: Path, now: tuple[Shown, ...]) -> None:
    again: Mapping[str, set[str]] = {
        mode: {one.test for one in now if one.mode == mode} for mode in {one.mode for one in now}
    }
    for mode, tests in again.items():
        path = place / f"{mode.replace(' ', '-')}.jsonl"
        kept = [one for one in _read(path) if one.test not in tests and exists(one.test)]
        lines = [*kept, *(one for one in now if one.mode == mode)]
        text = "".join(f"{json.dumps(msgspec.to_builtins(one))}\n" for one in lines)
        path.write_text(text, encoding="utf-8")
    found = [one for path in sorted(place.glob("*.jsonl")) for one in _read(path)]
    (place / "table.md").write_text(table(found), encoding="utf-8")


def exists(test: str) -> bool:
    """Tell whether a test is still there: one that was renamed shows nothing any more."""
    path, _, name = test.partition("::")
    file = _ROOT / path
    return file.exists() and f"def {name.rpartition('::')[2]}(" in file.read_text(encoding="utf-8")


def _read(path: Path) -> list[Shown]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [msgspec.json.decode(line, type=Shown) for line in lines]
