"""Which sessions wait, for what, and which is next."""

from __future__ import annotations

import pytest

from controller.core.errors import StoreUnavailable
from controller.core.model import Observed, Session
from controller.core.records import CONTROLLER
from controller.rules.quotas import Resource
from tests.support.fakes.parts import Parts
from tests.support.samples import session

pytestmark = pytest.mark.anyio


def lined(number: int, owner: str) -> Session:
    """Return a session of the profile that has one place and a queue."""
    return session(number, owner=owner, name=str(number), profile="lined")


@pytest.fixture
def parts() -> Parts:
    """Give the parts of a hub whose one place is taken and has a queue."""
    made = Parts()
    made.show(Observed(session=lined(1, "alice"), running=True))
    return made


async def test_first_come_first_served(parts: Parts) -> None:
    """The session that came first is next, once there is room; everybody sees their position."""
    queue = parts.sessions.queue
    for number, owner in ((2, "bob"), (3, "carol")):
        parts.spend(1)
        seen = await queue.line_up(lined(number, owner), CONTROLLER)
        assert seen.session.id in queue
    assert [place.position for place in queue.places().values()] == [1, 2]
    assert queue.waiting_for("lined") == 2
    assert queue.waits() == [1.0, 0.0]
    assert queue.take_next() is None
    parts.show()
    first = queue.take_next()
    assert first is not None
    assert first.owner == "bob"


async def test_a_place_in_line_counts_for_its_owner(parts: Parts) -> None:
    """Nobody gets more than their number of sessions by waiting for some of them."""
    queue = parts.sessions.queue
    await queue.line_up(lined(2, "alice"), CONTROLLER)
    shortfall = queue.shortfall_of(session(3, name="other"))
    assert shortfall is not None
    assert shortfall.resource is Resource.OWN


async def test_who_waits_comes_before_who_comes_now(parts: Parts) -> None:
    """A free place goes to the first in the queue, not to somebody who asks at that moment."""
    queue = parts.sessions.queue
    await queue.line_up(lined(2, "bob"), CONTROLLER)
    parts.show()
    shortfall = queue.shortfall_of(lined(3, "carol"))
    assert shortfall is not None
    assert shortfall.resource is Resource.TOTAL


async def test_a_ticket_that_cannot_be_written_down(parts: Parts) -> None:
    """A session that could not be noted does not wait: its owner is told, and can try again."""
    queue = parts.sessions.queue

    async def refuse(_: object) -> None:
        raise StoreUnavailable("The records cannot be written.")

    parts.store.add_ticket = refuse  # pyright: ignore[reportAttributeAccessIssue] - a disk that is full
    with pytest.raises(StoreUnavailable):
        await queue.line_up(lined(2, "bob"), CONTROLLER)
    assert not queue
    assert queue.places() == {}


async def test_a_ticket_that_cannot_be_taken_back_is_tried_again(parts: Parts) -> None:
    """The ticket of a session that has begun is removed, at the latest by a later round."""
    queue = parts.sessions.queue
    await queue.line_up(lined(2, "bob"), CONTROLLER)
    parts.show()
    begun = queue.take_next()
    assert begun is not None
    remove = parts.store.remove_ticket

    async def refuse(_: object) -> None:
        raise StoreUnavailable("The records cannot be written.")

    parts.store.remove_ticket = refuse  # pyright: ignore[reportAttributeAccessIssue] - for a moment
    await queue.leave(begun.id)
    assert len(await parts.store.tickets()) == 1
    parts.store.remove_ticket = remove
    await queue.leave_all()
    assert await parts.store.tickets() == []


async def test_another_controllers_line(parts: Parts) -> None:
    """What is read again is the queue of all; what has begun here is not in it."""
    queue = parts.sessions.queue
    await queue.line_up(lined(2, "bob"), CONTROLLER)
    await queue.load()
    assert len(queue) == 1
    parts.show(Observed(session=lined(2, "bob"), running=True))
    await queue.load()
    assert len(queue) == 0
