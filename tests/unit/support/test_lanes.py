"""A run of the tests leaves nothing out, and lets nothing share what it must not."""

from __future__ import annotations

import ipaddress
import itertools
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support import choice, report
from tests.support.durations import StepTime, TestTime
from tests.support.lanes import PARTS, ROOT, STACK_NAMES, STACKS, Run, lanes, stack_of

RUN = Run(
    parts=PARTS,
    take="short",
    turn=5,
    python="python",
    cores=2,
    instance="slicerhub-test",
    port=18080,
    pool="10.232.0.0/16",
    cache="/nowhere",
    stories=10,
    soak=1,
    authority="/nowhere/authority.pem",
)
WHOLE = report.Whole(took=600.0, busy=700.0, take="short", quarter=1, limit=1200.0)


def test_every_test_belongs_to_a_part() -> None:
    """Nobody can write a test that no run of all takes."""
    tests = ROOT / "tests"
    found = {file.relative_to(tests).parts[0] for file in tests.rglob("test_*.py")}
    assert found == set(PARTS)


def test_the_command_names_the_same_parts() -> None:
    """What ``deploy/test`` takes for a part is one, and it says what each is and needs."""
    script = (ROOT / "deploy/test").read_text(encoding="utf-8")
    found = re.search(r"^PARTS=\((.*)\)$", script, re.MULTILINE)
    assert found
    assert set(found[1].split()) == set(PARTS)
    for part in PARTS:
        assert re.search(rf"^#   {part} +\S", script, re.MULTILINE), part
        assert re.search(rf"^    \[{part}\]=", script, re.MULTILINE), part


def test_a_part_that_is_not_there_is_refused() -> None:
    """A misspelt part is told, with those that there are."""
    done = subprocess.run(
        [ROOT / "deploy/test", "units"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no part 'units'" in done.stderr
    assert "unit http" in done.stderr


def test_stacks_share_nothing() -> None:
    """Stacks that run at the same time have names, ports and networks of their own."""
    stacks = [stack_of(RUN, name) for name in STACK_NAMES]
    assert len({one.instance for one in stacks}) == len(stacks)
    assert len({one.port for one in stacks}) == len(stacks)
    assert len({one.log for one in stacks}) == len(stacks)
    for one, other in itertools.combinations(stacks, 2):
        assert not ipaddress.ip_network(one.pool).overlaps(ipaddress.ip_network(other.pool))
    for one in stacks:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,15}", one.instance), one.instance
        assert all((ROOT / file).exists() for file in (*one.files, one.config))


def test_each_part_is_run_once_and_everything_is_cleared_away() -> None:
    """Whatever is chosen, each lane that starts something ends with what takes it away."""
    found = lanes(RUN)
    names = [step.name for lane in found for step in lane.steps if step.tests]
    assert len(names) == len(set(names))
    assert set(PARTS) <= set(names)
    for lane in found:
        if any("up" in step.words for step in lane.steps):
            assert lane.steps[-1].always, lane.name
        assert lane.after <= {one.name for one in found}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_alone_starts_what_it_needs_and_no_other_stack(part: str) -> None:
    """Naming one part does not wait for what it does not need."""
    found = lanes(_only(part))
    started = {
        step.environment["SLICERHUB_INSTANCE"]
        for lane in found
        for step in lane.steps
        if "SLICERHUB_INSTANCE" in step.environment
    }
    names = {"browser": ("e2e",), "soak": ("load",), "security": ("security", "security-path")}
    stacks = names.get(part, (part,)) if part in STACKS else ()
    expected = {stack_of(RUN, name).instance for name in stacks}
    assert started == expected
    assert part in {step.name for lane in found for step in lane.steps}


def _only(part: str) -> Run:
    return replace(RUN, parts=(part,), take="all")


@given(name=st.text(min_size=1), thorough=st.booleans())
def test_four_short_runs_in_a_row_take_everything(name: str, *, thorough: bool) -> None:
    """No test is forgotten: in four turns each is taken, and what decides is taken each time."""
    taken = [
        choice.is_taken(name, thorough=thorough, take="short", turn=turn) for turn in range(7, 11)
    ]
    assert sum(taken) == (1 if thorough else 4)
    assert choice.is_taken(name, thorough=thorough, take="all", turn=0)


def test_the_cases_of_a_test_stay_together() -> None:
    """A fixture that takes long is not made in each quarter for a case or two."""
    assert len({choice.quarter_of(f"tests/a.py::test_b[{case}]") for case in range(50)}) == 1


def took(test: str, seconds: float, outcome: str = "passed") -> TestTime:
    """Return a line of a run."""
    return TestTime("unit", test, outcome, setup=0.5, call=seconds - 0.5, teardown=0, computing=0.2)


def test_the_report_names_what_is_slow_and_what_grew() -> None:
    """Somebody who made the run longer reads which test it was, first of all."""
    quarter = replace(took("c", 5), extra=True)
    tests = [took("a", 3), took("b", 9), quarter, took("fast", 0.6)]
    agreed = report.Budgets(1200, 2400, 30, {"a": 3.0, "b": 8.5, "c": 1.0})
    step = StepTime("pure", "unit", began=0, took=20, computing=10, ok=True)
    text = report.text(tests, [step], WHOLE, agreed)
    assert report.grown(tests, agreed) == [("c", 1.0, 5.0)]
    assert "| b | unit | 9.0 | 0.5 | 0.2 | 8.8 | passed |" in text
    assert text.index("| b | unit |") < text.index("| a | unit |")
    assert "took 600 s of the 1200 s agreed upon" in text
    assert "58% of it" in text
    assert "took 18 s one after the other, of which 5 s were for the quarter" in text


@pytest.mark.parametrize(
    ("take", "parts", "bare", "limit"),
    [
        ("short", PARTS, False, 1200),
        ("short", PARTS, True, 2400),
        ("all", ("unit",), False, 30),
        ("all", ("unit",), True, None),
        ("all", ("unit", "http"), False, None),
        ("all", PARTS, True, None),
    ],
)
def test_each_kind_of_run_has_its_own_limit(
    take: str, parts: tuple[str, ...], limit: float | None, *, bare: bool
) -> None:
    """A run is held against what was agreed upon for such a run, and for such a machine."""
    agreed = report.Budgets(1200, 2400, 30)
    assert report.limit_of(agreed, take, parts, bare=bare) == limit


def test_agreeing_keeps_what_was_not_run() -> None:
    """Figures of parts that did not run stay; a test that got fast or went away goes."""
    before = report.Budgets(
        1, 2, 3, {"tests/x.py::slow": 8.0, "tests/x.py::gone": 2.0, "tests/y.py::other": 4.0}
    )
    now = report.agree(before, [took("tests/x.py::slow", 5), took("tests/x.py::fast", 0.6)])
    assert now.tests == {"tests/x.py::slow": 5.0, "tests/y.py::other": 4.0}


def test_the_last_line_says_how_many_passed() -> None:
    """A person who reads only the last line knows the result."""
    written = report.Written({"passed": 12, "failed": 1})
    assert written.closing_line() == "12 passed, 1 failed, 0 skipped"
