"""Lanes are run side by side, whatever fails is told, and everything is cleared away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import Lane, Step
from tests.support.run import Runner


def sh(
    name: str, script: str, *, tests: bool = False, asks: bool = False, always: bool = False
) -> Step:
    """Return a step that runs a line of shell."""
    return Step(name, ("sh", "-c", script), tests=tests, asks=asks, always=always)


def outcome(folder: Path, *lanes: Lane) -> tuple[bool, dict[str, bool]]:
    """Run lanes; return whether all went well, and which steps were run and went well."""
    runner = Runner(folder / "run", slots=2)
    well = runner.run(lanes)
    return well, {one.step: one.ok for one in runner.times()}


def test_a_start_that_fails_ends_its_lane_and_is_cleared_away(tmp_path: Path) -> None:
    """No test runs against what is not there, and what is half there goes."""
    lane = Lane("a", (sh("start", "exit 3"), sh("test", "true"), sh("down", "true", always=True)))
    assert outcome(tmp_path, lane) == (False, {"start": False, "down": True})


def test_tests_that_fail_keep_nobody_from_the_next(tmp_path: Path) -> None:
    """One run tells of every failure, and not of the first one only."""
    lane = Lane("a", (sh("one", "exit 1", tests=True), sh("two", "true", tests=True)))
    assert outcome(tmp_path, lane) == (False, {"one": False, "two": True})


@pytest.mark.parametrize(
    ("status", "well", "after"), [(5, True, False), (0, True, True), (2, False, False)]
)
def test_nothing_is_started_for_no_test(
    tmp_path: Path, status: int, *, well: bool, after: bool
) -> None:
    """A lane of which this run takes no test is over at once; a fault in looking is one."""
    lane = Lane("a", (sh("look", f"exit {status}", asks=True), sh("start", "true")))
    told, steps = outcome(tmp_path, lane)
    assert told is well
    assert ("start" in steps) is after


def test_a_lane_waits_for_what_it_needs(tmp_path: Path) -> None:
    """What is built in one lane is there in the next; if it is not, the next does not begin."""
    made = tmp_path / "made"
    first = Lane("first", (sh("build", f"sleep 0.2; touch {made}"),))
    second = Lane("second", (sh("use", f"test -e {made}"),), frozenset({"first", "not wanted"}))
    assert outcome(tmp_path, second, first) == (True, {"build": True, "use": True})
    broken = Lane("first", (sh("build", "false"),))
    assert outcome(tmp_path, second, broken) == (False, {"build": False})


def test_who_takes_two_slots_runs_beside_fewer(tmp_path: Path) -> None:
    """What computes on all cores leaves room for the less beside it; what is too large is run."""
    log = tmp_path / "log"
    wide = Lane("wide", (sh("wide", f"sleep 0.3; echo wide >> {log}"),), slots=2)
    other = Lane("other", (sh("other", f"echo other >> {log}"),))
    assert outcome(tmp_path, wide, other)[0] is True
    assert log.read_text().split() == ["wide", "other"]
    huge = Lane("huge", (sh("huge", "true"),), slots=9)
    assert outcome(tmp_path, other, huge) == (True, {"other": True, "huge": True})


def test_what_takes_the_whole_machine_comes_last(tmp_path: Path) -> None:
    """Load begins when all others have ended, also when one of them has failed."""
    others = [
        Lane(name, (sh(name, f"sleep 0.2; echo {name} >> {tmp_path}/log; false"),)) for name in "ab"
    ]
    heavy = Lane("load", (sh("load", f"test $(wc -l < {tmp_path}/log) = 2"),), alone=True)
    assert outcome(tmp_path, heavy, *others)[1]["load"] is True


def test_two_that_take_the_whole_machine_come_one_after_the_other(tmp_path: Path) -> None:
    """What is alone waits for what it names, though that is alone, too."""
    first = Lane("first", (sh("one", f"sleep 0.2; touch {tmp_path}/made"),), alone=True)
    then = Lane("then", (sh("two", f"test -e {tmp_path}/made"),), frozenset({"first"}), alone=True)
    assert outcome(tmp_path, then, first) == (True, {"one": True, "two": True})


def test_the_terminal_tells_all_of_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has to look for a file to learn what failed."""
    summary = "FAILED tests/a.py::test_b - it is wrong"
    said = "before", "==== FAILURES ====", "E  it is wrong", summary, "=== 1 failed ==="
    script = f"{'; '.join(f'echo {line!r}' for line in said)}; exit 1"
    runner = Runner(tmp_path / "run", slots=1)
    assert runner.run((Lane("a", (sh("unit", script, tests=True),)),)) is False
    shown = capsys.readouterr().out
    assert "E  it is wrong" in shown
    assert "before" not in shown
    step, test = runner.failures()
    assert "[a] unit: 1 failed" in step
    assert test.strip(" |") == summary
