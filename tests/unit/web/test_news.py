"""Pages hear what is new for them, at once and to the last state, at the cost of one look."""

from __future__ import annotations

from contextlib import ExitStack

import anyio
import pytest
from litestar.response import ServerSentEventMessage

from controller.core.model import Observed
from controller.sessions.invitations import Guest
from controller.web.news import News, Overview, Sight, Topic
from tests.support.fakes.parts import Parts
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio

PAGES = 20


def nobody(_: Observed) -> list[Guest]:
    """Say who is invited to a session."""
    return []


class Shown:
    """What some pages show: the test sets it, and reads how often it was looked at."""

    def __init__(self, facts: object = None) -> None:
        """``fault``: what a look raises."""
        self.facts = facts
        self.fault: Exception | None = None
        self.looks = 0

    def look(self, _: Overview) -> Sight:
        """See Look."""
        self.looks += 1
        if self.fault:
            raise self.fault
        return Sight(self.facts, ServerSentEventMessage(event="news", data=str(self.facts)))


@pytest.fixture
def parts() -> Parts:
    """Give the parts of a hub that has read nothing yet."""
    return Parts()


def topic(stack: ExitStack, news: News, name: str, shown: Shown) -> Topic:
    """Open a page."""
    return stack.enter_context(news.topic(name, shown.look, nobody))


async def test_one_change_is_looked_at_once(parts: Parts) -> None:
    """However many pages show the same, a change costs one look, and each of them hears of it."""
    news, shown = News(parts.sessions), Shown("before")
    with ExitStack() as stack:
        pages = [topic(stack, news, "alice", shown) for _ in range(PAGES)]
        events, looks = [one.changed for one in pages], shown.looks
        shown.facts = "after"
        parts.registry.announce()
        await eventually(lambda: not news.due)
        assert shown.looks == looks + 1
        assert all(one.is_set() for one in events)
        assert {one.sight.event.data for one in pages} == {"after"}


async def test_others_are_not_woken(parts: Parts) -> None:
    """Pages for which a change is no news sleep on."""
    news, hers, his = News(parts.sessions), Shown("before"), Shown("before")
    with ExitStack() as stack:
        alice, bob = topic(stack, news, "alice", hers), topic(stack, news, "bob", his)
        of_alice, of_bob = alice.changed, bob.changed
        hers.facts = "after"
        parts.registry.announce()
        await eventually(of_alice.is_set)
        assert not of_bob.is_set()


async def test_the_first_change_is_told_at_once(parts: Parts) -> None:
    """After a quiet time a change is looked at as soon as what made it is done."""
    news, shown = News(parts.sessions), Shown("before")
    with ExitStack() as stack:
        changed = topic(stack, news, "alice", shown).changed
        shown.facts = "after"
        parts.registry.announce()
        assert not changed.is_set()  # by what is under way
        with anyio.fail_after(0):  # nothing but what is due now gets its turn
            for _ in range(3):
                await anyio.lowlevel.cancel_shielded_checkpoint()
        assert changed.is_set()


async def test_a_burst_is_one_event(parts: Parts) -> None:
    """Changes that follow another soon are one look together, which sees the last of them."""
    news, shown = News(parts.sessions), Shown(0)
    with ExitStack() as stack:
        page = topic(stack, news, "alice", shown)
        parts.registry.announce()
        await eventually(lambda: not news.due)
        looks = shown.looks
        for number in range(1, 51):
            shown.facts = number
            parts.registry.announce()
        await eventually(lambda: not news.due)
        assert shown.looks == looks + 1
        assert page.sight.facts == 50


async def test_a_fault_ends_its_own_pages(parts: Parts) -> None:
    """What cannot be looked at ends the pages that show it, and no others."""
    news, hers, his = News(parts.sessions), Shown("before"), Shown("before")
    with ExitStack() as stack:
        alice, bob = topic(stack, news, "alice", hers), topic(stack, news, "bob", his)
        of_alice, of_bob = alice.changed, bob.changed
        hers.fault, his.facts = RuntimeError("cannot be looked at"), "after"
        parts.registry.announce()
        await eventually(lambda: of_alice.is_set() and of_bob.is_set())
        with pytest.raises(RuntimeError, match="cannot be looked at"):
            _ = alice.sight
        assert bob.sight.facts == "after"


async def test_what_nobody_shows_is_not_looked_at(parts: Parts) -> None:
    """Once the last page is closed, changes cost nothing."""
    news, shown = News(parts.sessions), Shown()
    with ExitStack() as stack:
        topic(stack, news, "alice", shown)
    looks = shown.looks
    parts.registry.announce()
    assert not news.due
    assert shown.looks == looks
