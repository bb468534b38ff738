"""What is told to gates, and by which numbers."""

from __future__ import annotations

from controller.core.changes import ChangeCount
from controller.core.model import Phase, SessionId, UserId
from controller.feed.publisher import Publisher
from controller.gate.facts import Change, Extra, Facts, SessionFacts

ONE = SessionFacts(SessionId("a" * 26), UserId("alice"), Phase.READY)
TWO = SessionFacts(SessionId("b" * 26), UserId("bob"), Phase.STARTING)
EXTRA = Extra(b"", b"")


class Hub:
    """Facts that the test changes, and what was told of them."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.facts: Facts | None = None
        self.read = 0
        self.changes = ChangeCount()
        self.told: list[tuple[Change | None, int]] = []
        self.publisher = Publisher(
            self._read, self.changes, tell=lambda _, change, number: self._tell(change, number)
        )

    def _read(self) -> Facts | None:
        self.read += 1
        return self.facts

    def _tell(self, change: Change | None, number: int) -> None:
        self.told.append((change, number))

    def set(self, *sessions: SessionFacts) -> None:
        """Let the hub have these sessions, and count that."""
        self.facts = Facts({one.id: one for one in sessions}, {}, 0, EXTRA)
        self.changes.add()


def test_nothing_known_yet() -> None:
    """A controller that has not read its sessions tells nothing, lest gates take it for all."""
    hub = Hub()
    hub.changes.add()
    assert hub.publisher.publish() == 0
    assert hub.told == []


def test_first_facts() -> None:
    """The first facts are no change: each gate gets them as its snapshot."""
    hub = Hub()
    hub.set(ONE)
    assert hub.publisher.publish() == 1
    assert hub.told == [(None, 1)]


def test_changes_have_numbers() -> None:
    """Each change is told with the next number."""
    hub = Hub()
    for sessions in ((ONE,), (ONE, TWO), (TWO,)):
        hub.set(*sessions)
        hub.publisher.publish()
    assert hub.told[1:] == [
        (Change(2, sessions=(TWO,)), 2),
        (Change(3, gone=(ONE.id,)), 3),
    ]


def test_what_gates_need_not_know() -> None:
    """A change of something else is told to nobody, and takes no number."""
    hub = Hub()
    hub.set(ONE)
    hub.publisher.publish()
    hub.set(ONE)
    assert hub.publisher.publish() == 1
    assert len(hub.told) == 1


def test_read_once_for_each_change() -> None:
    """Answers that wait for gates cost nothing while nothing changes."""
    hub = Hub()
    hub.set(ONE)
    for _ in range(5):
        hub.publisher.publish()
    assert hub.read == 1
