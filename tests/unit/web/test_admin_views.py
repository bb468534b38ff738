"""What administrators see at a glance: how full the hub was, and what a session takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from controller.administration.history import History, Sample
from controller.administration.table import Entry, Sort, Table
from controller.core.model import Observed, Phase, Usage
from controller.rules.felt import Parts as FeltParts
from controller.rules.felt import Speed
from controller.rules.keeping import Keeping, KeepReason
from controller.sessions.polling import Poller
from controller.web.pages.admin.plots import hours, tiles
from controller.web.pages.admin.rows import row_of
from controller.web.pages.admin.sessions import Overview
from controller.web.render import Viewer
from tests.support.fakes.parts import Parts
from tests.support.samples import CREATED, session

NOW = datetime(2026, 3, 5, 14, 5, tzinfo=UTC)
GIB = 1024**3


def sample(minutes: float, *, sessions: int = 1, cores: float = 0.5) -> Sample:
    """Return how full the hub was so many minutes ago."""
    at = NOW - timedelta(minutes=minutes)
    return Sample(at.timestamp(), sessions, cores, 2 * GIB, 90.0)


def test_each_plot_says_its_last_and_its_greatest_value() -> None:
    """Nobody has to read them off the drawing."""
    drawn = tiles([sample(120, sessions=9, cores=3.25), sample(1, sessions=2)], NOW)
    assert [(one.title, one.now, one.most) for one in drawn[:2]] == [
        ("Sessions", "2", "9"),
        ("CPU", "0.5 cores", "3.2 cores"),
    ]
    assert [one.title for one in drawn[2:]] == ["Memory", "Longest wait"]
    assert drawn[0].most_at == NOW - timedelta(hours=2)


def test_hours_of_which_nothing_is_known_are_left_out() -> None:
    """The table begins with the newest hour and has no empty rows."""
    found = hours([sample(130, sessions=9), sample(1, sessions=2), sample(2, sessions=3)], NOW)
    assert [cells[0] for _, cells in found] == ["3", "9"]
    assert [at for at, _ in found] == sorted((at for at, _ in found), reverse=True)


def test_nothing_is_known_yet() -> None:
    """After a start the plots are empty, and so is the table."""
    assert hours([], NOW) == ()
    assert {(one.now, one.most, one.most_at) for one in tiles([], NOW)} == {("", "", None)}


ENTRY = Entry(
    seen=Observed(session=session()),
    title="Slicer · thesis",
    phase=Phase.READY,
    usage=Usage(cpu_percent=150.0, memory_bytes=GIB),
    cpus=2.0,
    memory_bytes=4 * GIB,
    felt=None,
    active_at=CREATED,
    ends_at=None,
    extra=3600.0,
    why=KeepReason(Keeping.STARTING),
    why_at=None,
    place=None,
)


@pytest.mark.parametrize("known", [True, False])
def test_what_a_session_takes(known: bool) -> None:
    """CPU and memory are told of what may be taken, and not guessed where they are not known."""
    row = row_of(ENTRY if known else replace(ENTRY, usage=None))
    assert row.extra == timedelta(hours=1)
    if not known:
        assert (row.cpu, row.memory) == (None, None)
        return
    assert row.cpu is not None
    assert row.memory is not None
    assert (row.cpu.text, row.cpu.percent) == ("1.5 of 2", 75.0)
    assert row.memory.percent == 25.0


@pytest.mark.parametrize(
    ("speed", "text", "words"),
    [
        ((41.6, 95.2), "42 / 95 ms", "half within 42 ms, 95 % within 95 ms; most of it: render"),
        ((0.4, 2000.0), "0 / 2000+ ms", "95 % within 2000+ ms; most of it: render"),
    ],
)
def test_how_quick_a_session_feels(speed: tuple[float, float], text: str, words: str) -> None:
    """Two numbers, and who points at them reads what they are and where the time goes."""
    cell = row_of(replace(ENTRY, felt=Speed(*speed, FeltParts(12.0, 0.0, 20.0, 3.0, 2.0)))).felt
    assert cell is not None
    assert cell.text == text
    assert cell.words.endswith(words)
    assert row_of(ENTRY).felt is None


def test_the_page_of_all_sessions() -> None:
    """It sums up the phases, and a press on the sorted column turns the order round."""
    parts = Parts()
    poller = Poller(parts.sessions, parts.engine, parts.gateway, parts.metrics)
    page = Overview(
        parts.settings,
        parts.sessions,
        Table(parts.sessions, poller),
        History(parts.sessions, poller, wall=parts.epoch),
    )
    viewer = Viewer("carol", "Carol Clark", "x", admin=True)
    assert page.view(viewer, NOW, query="", sort=Sort.OWNER, desc=False, number=1).summary == (
        "No sessions"
    )
    for number, owner in ((1, "alice"), (2, "bob")):
        seen = Observed(session=session(number, owner=owner, created_at=parts.now), running=True)
        parts.registry.put(seen)
    view = page.view(viewer, NOW, query="", sort=Sort.OWNER, desc=False, number=1)
    assert [row.owner for row in view.rows] == ["alice", "bob"]
    assert view.summary == "2 sessions: 2 starting"
    owner = view.columns[0]
    assert (owner.order, owner.href) == ("ascending", "/admin?sort=owner&desc=1")
    assert view.here == "/admin?sort=owner"
