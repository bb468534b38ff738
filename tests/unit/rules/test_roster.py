"""Which gates may still let pass what was taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.core.records import Gate
from controller.rules.roster import DEAD_AFTER, Heard, Start, unconfirmed, with_roster

GATE = Gate("gate-1", "boot-b", since=1_000_000.0)
OTHER = Gate("gate-2", "boot-a", since=1_000_000.0)
OWN, BEFORE, AFTER = ("gate-1", "boot-b"), ("gate-1", "boot-a"), ("gate-1", "boot-c")
NOW = 100_000.0  # seconds
GONE = NOW - DEAD_AFTER
NUMBER = 7

CASES: dict[str, tuple[dict[Start, Heard], bool]] = {
    "never heard of": ({}, True),
    "confirmed": ({OWN: Heard(NOW, 7, connected=True)}, False),
    "confirmed a later change": ({OWN: Heard(NOW, 8, connected=True)}, False),
    "confirmed, then lost": ({OWN: Heard(GONE + 1, 7)}, False),
    "one change behind": ({OWN: Heard(NOW, 6, connected=True)}, True),
    "stopped, its connection open": ({OWN: Heard(NOW - 5, 6, connected=True)}, True),
    "open and silent for a day": ({OWN: Heard(NOW - 86_400, 6, connected=True)}, True),
    "lost just now": ({OWN: Heard(NOW, 6)}, True),
    "lost, may still answer": ({OWN: Heard(GONE + 0.5, 6)}, True),
    "lost, answers no more": ({OWN: Heard(GONE, 6)}, False),
    "of an earlier controller": ({OWN: Heard(NOW - 60)}, True),
    "of a controller long ago": ({OWN: Heard(GONE)}, False),
    "started again, and told nothing": ({OWN: Heard(NOW - 60, 6), AFTER: Heard(NOW - 30)}, True),
    "started again": ({OWN: Heard(NOW - 60, 6), AFTER: Heard(NOW - 30, 6)}, False),
    "started again and gone": ({OWN: Heard(NOW - 60, 6), AFTER: Heard(NOW - 30, 7)}, False),
    "started again, still connected": (
        {OWN: Heard(NOW, 6, connected=True), AFTER: Heard(NOW, connected=True)},
        True,
    ),
    "an earlier start was heard": ({OWN: Heard(NOW - 30, 6), BEFORE: Heard(NOW - 60, 7)}, True),
    "another start, not known which was first": (
        {OWN: Heard(NOW - 30, 6), AFTER: Heard(NOW - 30, 7)},
        True,
    ),
    "another start, its own never heard of": ({AFTER: Heard(NOW, 7, connected=True)}, True),
    "another gate has confirmed": (
        {OWN: Heard(NOW - 60, 6), ("gate-2", "boot-c"): Heard(NOW, 7, connected=True)},
        True,
    ),
}


@pytest.mark.parametrize(("heard", "waits"), CASES.values(), ids=CASES)
def test_one_gate(heard: dict[Start, Heard], waits: bool) -> None:
    """Nothing is "everywhere" before a gate has confirmed it or is known to be dead."""
    assert unconfirmed((GATE,), heard, NUMBER, NOW) == ((GATE,) if waits else ())


def test_several_gates() -> None:
    """Each gate counts by itself, and those that are waited for are named."""
    third = Gate("gate-3", "boot-a", since=1_000_000.0)
    heard = {OWN: Heard(NOW, 7, connected=True), ("gate-3", "boot-a"): Heard(NOW, 6)}
    assert unconfirmed((GATE, OTHER, third), heard, NUMBER, NOW) == (OTHER, third)
    assert unconfirmed((), heard, NUMBER, NOW) == ()


def test_a_gate_says_goodbye() -> None:
    """A gate that is no longer on the roster is not waited for, whatever was heard of it."""
    heard = {OWN: Heard(NOW, 6, connected=True), ("gate-2", "boot-a"): Heard(NOW, 7)}
    assert unconfirmed((OTHER,), heard, NUMBER, NOW) == ()


def test_followers_of_another_controller() -> None:
    """A gate that has confirmed to another controller is not waited for."""
    assert unconfirmed((GATE, OTHER), {}, NUMBER, NOW, elsewhere={OWN}) == (OTHER,)


def test_seen_to_be_put_there_again() -> None:
    """The silence of a gate that another controller puts on the roster again begins anew."""
    before = with_roster((GATE, OTHER), {}, NOW)
    again = replace(GATE, since=GATE.since + 3600)
    heard = with_roster((again, OTHER), before, NOW + 3600, before=(GATE, OTHER))
    assert heard == {OWN: Heard(NOW + 3600), ("gate-2", "boot-a"): Heard(NOW)}


def test_one_that_follows_here_is_no_one_elses() -> None:
    """Of a gate that follows this controller the roster tells nothing new."""
    heard = {OWN: Heard(NOW, 7, connected=True)}
    assert with_roster((GATE,), heard, NOW + 60) == heard


def test_after_a_restart_of_the_controller() -> None:
    """A gate that never comes again is waited for as long as it may answer, not for ever."""
    heard = with_roster((GATE, OTHER), {}, NOW)
    assert unconfirmed((GATE, OTHER), heard, NUMBER, NOW + DEAD_AFTER - 1) == (GATE, OTHER)
    assert unconfirmed((GATE, OTHER), heard, NUMBER, NOW + DEAD_AFTER) == ()
    came = heard | {AFTER: Heard(NOW + 5, connected=True)}
    assert unconfirmed((GATE, OTHER), came, NUMBER, NOW + 5) == (GATE, OTHER)
    told = heard | {AFTER: Heard(NOW + 5, NUMBER, connected=True)}
    assert unconfirmed((GATE, OTHER), told, NUMBER, NOW + 5) == (OTHER,)


def test_reading_the_roster_again() -> None:
    """What was heard of gates that may exist stays as it was; earlier starts are forgotten."""
    heard = {OWN: Heard(NOW - 60, 7), AFTER: Heard(NOW - 30, connected=True)}
    earlier = {BEFORE: Heard(NOW - 90, 6)}
    known = with_roster((GATE, OTHER), heard | earlier, NOW, before=(GATE,))
    assert known == heard | {("gate-2", "boot-a"): Heard(NOW)}


NAMES, BOOTS = st.sampled_from(["gate-1", "gate-2"]), st.sampled_from(["boot-a", "boot-b"])
ROSTERS = st.dictionaries(NAMES, BOOTS).map(
    lambda found: tuple(Gate(name, boot, 0.0) for name, boot in sorted(found.items()))
)
HEARD = st.dictionaries(
    st.tuples(NAMES, BOOTS),
    st.builds(Heard, st.integers(0, 20).map(float), st.integers(0, 5), st.booleans()),
)


@given(ROSTERS, HEARD, st.integers(1, 5), st.integers(20, 50), st.integers(0, 30))
def test_what_waiting_changes(
    roster: tuple[Gate, ...], heard: dict[Start, Heard], number: int, now: int, later: int
) -> None:
    """Later there is never more to wait for, and never less for a later change."""
    waits = set(unconfirmed(roster, heard, number, now, dead_after=10.0))
    assert waits >= set(unconfirmed(roster, heard, number, now + later, dead_after=10.0))
    assert waits <= set(unconfirmed(roster, heard, number + 1, now, dead_after=10.0))
    assert waits <= set(roster)


@given(ROSTERS, HEARD, st.integers(1, 5), st.integers(20, 50))
def test_who_can_be_passed_over(
    roster: tuple[Gate, ...], heard: dict[Start, Heard], number: int, now: int
) -> None:
    """A gate that is connected and has not confirmed is always waited for; so is an unknown one."""
    waits = unconfirmed(roster, heard, number, now, dead_after=10.0)
    for gate in roster:
        known = heard.get((gate.name, gate.boot))
        if known is None or (known.connected and known.confirmed < number):
            assert gate in waits
        elif known.confirmed >= number:
            assert gate not in waits
