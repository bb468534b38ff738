"""What a gate knows of sessions, and what it notes."""

from __future__ import annotations

import pytest

from controller.core.model import Person, Phase, Role, SessionId, UserId
from controller.core.records import Actor
from controller.gate.answers import Answer
from controller.gate.facts import Change, Extra, Guest, SessionFacts, Site, Snapshot
from controller.gate.mirror import NOTES_MOST, Mirror
from controller.gate.refusals import Closed
from controller.rules.access import Access
from controller.rules.companions import Companion
from controller.settings.schema import Settings

ALICE, BOB, CAROL = (UserId(one) for one in ("alice", "bob", "carol"))
ONE, TWO = SessionId("a" * 26), SessionId("b" * 26)
PAGE = Answer(403, ())
SITE = Site(Settings(), Closed(PAGE, PAGE, PAGE, PAGE))
WIKI = Companion("wiki", "Wiki", frozenset({"readers"}))


class Times:
    """Both clocks."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.wall = 5000.0
        self.clock = 10.0


@pytest.fixture
def times() -> Times:
    """Give clocks that the test moves on."""
    return Times()


@pytest.fixture
def mirror(times: Times) -> Mirror:
    """Give a gate that knows a session of alice's, which bob may view until 6000."""
    found = Mirror(wall=lambda: times.wall, clock=lambda: times.clock)
    found.replace(snapshot(SessionFacts(ONE, ALICE, Phase.READY, {BOB: Guest(Role.VIEW, 6000.0)})))
    return found


def snapshot(*sessions: SessionFacts, extra: Extra | None = None) -> Snapshot:
    """Return everything that a controller tells."""
    told = extra or Extra(b"", b"", (WIKI,), b"{}")
    return Snapshot(1, SITE, sessions, (), 0, told)


@pytest.mark.parametrize(("uid", "role"), [(ALICE, Role.OWNER), (BOB, Role.VIEW), (CAROL, None)])
def test_roles(mirror: Mirror, uid: UserId, role: Role | None) -> None:
    """The owner and who is invited have a role, and nobody else."""
    assert mirror.access(ONE, uid) == Access(role, Phase.READY)


def test_unknown_session(mirror: Mirror) -> None:
    """Of a session that was not told there is nothing."""
    assert mirror.access(TWO, ALICE) is None


def test_invitation_runs_out(mirror: Mirror, times: Times) -> None:
    """An invitation ends at its time, though nobody tells."""
    times.wall = 6000.0
    assert mirror.access(ONE, BOB) == Access(None, Phase.READY)


def test_changes(mirror: Mirror) -> None:
    """What is told later counts, and what is gone is unknown."""
    mirror.apply(Change(2, sessions=(SessionFacts(TWO, BOB, Phase.STARTING),), gone=(ONE,)))
    assert mirror.access(ONE, ALICE) is None
    assert mirror.access(TWO, BOB) == Access(Role.OWNER, Phase.STARTING)


def test_a_snapshot_replaces_all(mirror: Mirror) -> None:
    """A controller that starts anew tells everything: nothing of before stays."""
    mirror.replace(snapshot(SessionFacts(TWO, BOB, Phase.READY), extra=Extra(b"", b"")))
    assert mirror.access(ONE, ALICE) is None
    assert not mirror.admits("wiki", Person(ALICE, "Alice", frozenset({"readers"})))


def test_companions(mirror: Mirror) -> None:
    """A companion is open to its groups, and one that is unknown to nobody."""
    reader = Person(ALICE, "Alice", frozenset({"Readers"}))
    assert mirror.admits("wiki", reader)
    assert not mirror.admits("wiki", Person(BOB, "Bob"))
    assert not mirror.admits("other", reader)


def test_report(mirror: Mirror, times: Times) -> None:
    """What was used is told once, with how long ago it was."""
    mirror.touch(ONE)
    times.clock += 2
    assert not mirror.is_inside(ONE, "sid")
    mirror.enter(ONE, "sid", Role.OWNER, Actor(ALICE, "10.0.0.1"))
    assert mirror.is_inside(ONE, "sid")
    told = mirror.report({"sid": 1.0})
    assert told is not None
    assert told.sessions == {ONE: 2.0}
    assert told.logins == {"sid": 1.0}
    assert [(one.session, one.uid, one.address) for one in told.entered] == [
        (ONE, ALICE, "10.0.0.1")
    ]
    assert mirror.report({}) is None
    assert not mirror.is_inside(ONE, "sid")


def test_notes_are_bounded(mirror: Mirror) -> None:
    """However much is used while no controller is there, memory stays bounded."""
    for number in range(NOTES_MOST + 10):
        mirror.touch(SessionId(str(number)))
        mirror.enter(ONE, str(number), Role.OWNER, Actor(ALICE))
    told = mirror.report({})
    assert told is not None
    assert len(told.sessions) == NOTES_MOST
    assert len(told.entered) == NOTES_MOST
