"""A session starts once, or says why it does not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from controller.core.errors import (
    Draining,
    ImageRefused,
    NotReadyYet,
    QuotaReached,
    SessionExists,
)
from controller.core.model import Observed, Person, Phase
from controller.core.records import CONTROLLER, Drain
from controller.engines.memory import Fetch
from tests.support.fakes.parts import ALICE, BOB, Parts, configured
from tests.support.hub import eventually

pytestmark = pytest.mark.anyio

CARDS = """
[profiles.cards]
title = "Cards"
image = "cards"
gpus = 1
"""


@asynccontextmanager
async def at_work(parts: Parts) -> AsyncGenerator[None, None]:
    """Run the parts."""
    parts.gateway.serves_all = True
    async with anyio.create_task_group() as group:
        group.start_soon(parts.sessions.run)
        await eventually(lambda: parts.sessions.ready)
        yield
        group.cancel_scope.cancel()


async def launch(
    parts: Parts, name: str, profile: str = "slicer", person: Person = ALICE
) -> Observed:
    """Start a session."""
    chosen = parts.settings.profile(profile)
    assert chosen is not None
    return await parts.sessions.launching.launch(person, chosen, name, by=CONTROLLER)


async def test_nothing_starts_before_the_sessions_are_read() -> None:
    """A controller that knows of nothing yet starts nothing: it may be there already."""
    with pytest.raises(NotReadyYet):
        await launch(Parts(), "thesis")


async def test_one_of_a_name() -> None:
    """Of two at once of one name one starts, and the other is led to it."""
    parts = Parts()
    async with at_work(parts):
        seen = await launch(parts, "thesis")
        with pytest.raises(SessionExists) as caught:
            await launch(parts, "THESIS")
        assert str(seen.session.id) in str(caught.value.extra())


async def test_no_more_than_ones_own() -> None:
    """A person with as many sessions as one may have is told how to get another."""
    parts = Parts()
    async with at_work(parts):
        await launch(parts, "one")
        await launch(parts, "two")
        with pytest.raises(QuotaReached, match="You have 2 sessions"):
            await launch(parts, "three")


async def test_a_program_that_cannot_be_had() -> None:
    """The person is told, nothing is left of it, and the name is free again."""
    parts = Parts()
    parts.engine.missing["slicer"] = Fetch(refusal="manifest unknown")
    async with at_work(parts):
        with pytest.raises(ImageRefused):
            await launch(parts, "thesis")
        assert parts.sessions.all() == []
        parts.engine.missing.clear()
        await launch(parts, "thesis")


async def test_nothing_starts_while_the_hub_is_emptied() -> None:
    """Administrators' words are what people read who try."""
    parts = Parts()
    async with at_work(parts):
        drain = Drain(ALICE.uid, parts.now.timestamp(), "Back at noon.", None)
        await parts.sessions.rule_book.set_drain(drain)
        with pytest.raises(Draining, match="Back at noon"):
            await launch(parts, "thesis")
        await parts.sessions.rule_book.set_drain(None)
        await launch(parts, "thesis")


async def test_whoever_waits_begins_when_there_is_room() -> None:
    """The next in the queue starts by itself when the one before it ends."""
    parts = Parts()
    async with at_work(parts):
        first = await launch(parts, "one", "lined")
        second = await launch(parts, "two", "lined", BOB)
        assert parts.sessions.queue.place(second) is not None
        parts.sessions.launching.gone(first.session.id)
        await eventually(lambda: parts.registry.seen(second.session.id) is not None)
        assert parts.sessions.queue.place(second) is None


async def test_a_card_is_leased_once() -> None:
    """Two sessions never hold one graphics card."""
    parts = Parts(configured(CARDS, limits_gpus="0"))
    async with at_work(parts):
        seen = await launch(parts, "one", "cards")
        assert seen.session.gpus == ("0",)
        assert parts.sessions.queue.free_gpus() == 0
        with pytest.raises(QuotaReached, match="graphics cards"):
            await launch(parts, "two", "cards")


async def test_what_a_crash_took_is_given_again() -> None:
    """A session whose parts are missing gets them again, and only once at a time."""
    parts = Parts()
    async with at_work(parts):
        seen = await launch(parts, "thesis")
        await eventually(lambda: parts.sessions.phase(parts.sessions.all()[0]) is Phase.READY)
        parts.registry.put(Observed(session=seen.session, running=True, complete=False))
        await parts.sessions.launching.repair(seen.session)
        (found,) = parts.sessions.all()
        assert found.complete
