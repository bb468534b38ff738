"""Why a session is still running, in the words that administrators read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.rules.keeping import Keeping, KeepReason
from controller.rules.queue import QueuePosition
from controller.rules.quotas import Resource
from controller.rules.sentences import keep_around, keep_text

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
AGO = NOW - timedelta(minutes=2)
LATER = NOW + timedelta(hours=2)
PLACE = QueuePosition(1, Resource.TOTAL)

SAID = [
    (
        KeepReason(Keeping.QUEUED, place=PLACE),
        None,
        "next in the queue, waits for a free place",
    ),
    (KeepReason(Keeping.STARTING), None, "starting"),
    (KeepReason(Keeping.STOPPING), None, "stopping"),
    (KeepReason(Keeping.FAILED, 1), LATER, "failed, shown until 16:00 UTC"),
    (KeepReason(Keeping.AHEAD, 1), LATER, "started ahead, unused, waits until 16:00 UTC"),
    (
        KeepReason(Keeping.UNUSED, 1),
        LATER,
        "unused, warned, stops at 16:00 UTC unless it is used",
    ),
    (KeepReason(Keeping.TIME_UP, 1), LATER, "its time is up, stops at 16:00 UTC"),
    (KeepReason(Keeping.KEPT_UNTIL, 1, by="alice"), LATER, "kept by alice until 16:00 UTC"),
    (
        KeepReason(Keeping.KEPT, 1, by="{at}", never_idle=True),
        AGO,
        "kept by {at} 2 min ago, never stopped when unused",
    ),
    (KeepReason(Keeping.COMPUTING), None, "computing"),
    (
        KeepReason(Keeping.COMPUTING, never_idle=True),
        None,
        "computing, never stopped when unused",
    ),
    (KeepReason(Keeping.COMPUTED, 1), AGO, "computed 2 min ago"),
    (KeepReason(Keeping.INPUT, 1), AGO, "input 2 min ago"),
    (KeepReason(Keeping.REQUEST, 1), AGO, "request 2 min ago"),
    (KeepReason(Keeping.SEEN, 1), AGO, "no use seen since 13:58 UTC"),
]


@pytest.mark.parametrize(("why", "at", "text"), SAID)
def test_why_it_lives(why: KeepReason, at: datetime | None, text: str) -> None:
    """Programs read in one line why a session has not been stopped, with the moment."""
    assert keep_text(why, at, NOW) == text


@pytest.mark.parametrize(("why", "at", "text"), SAID)
def test_the_moment_is_left_to_the_page(why: KeepReason, at: datetime | None, text: str) -> None:
    """The page says the same, and shows the moment in its reader's own time."""
    before, after = keep_around(why)
    assert text.startswith(before)
    assert text.endswith(after)
    assert (f"{before}{after}" == text) is (at is None)


def test_every_reason_has_words() -> None:
    """Whatever keeps a session, administrators are told."""
    assert {why.kind for why, _, _ in SAID} == set(Keeping)
