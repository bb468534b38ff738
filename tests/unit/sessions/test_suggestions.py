"""Whom somebody could invite, without a way to list everybody."""

from __future__ import annotations

import pytest

from controller.core.errors import TooManyQuestions
from controller.sessions.suggestions import Suggestions
from tests.support.fakes.directory import PEOPLE, FakeDirectory

pytestmark = pytest.mark.anyio

ALICE, BOB = PEOPLE["alice"], PEOPLE["bob"]


class Asked:
    """Suggestions, and the time."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.now = 1000.0
        self.directory = FakeDirectory()
        self.suggestions = Suggestions(self.directory, clock=lambda: self.now)


@pytest.fixture
def asked() -> Asked:
    """Give them."""
    return Asked()


async def test_others_are_suggested(asked: Asked) -> None:
    """A typed name suggests the people it may mean, never the person who types."""
    assert await asked.suggestions.suggest(ALICE, "bob") == [BOB]
    assert await asked.suggestions.suggest(BOB, "bob") == []


async def test_a_directory_that_cannot_look_people_up(asked: Asked) -> None:
    """Where people cannot be looked up nobody is suggested."""
    asked.directory.can_find = False
    assert await asked.suggestions.suggest(ALICE, "bob") == []


async def test_thirty_a_minute(asked: Asked) -> None:
    """A person who asks for more than people type waits; nobody else does."""
    for _ in range(30):
        await asked.suggestions.suggest(ALICE, "bob")
        asked.now += 1
    with pytest.raises(TooManyQuestions):
        await asked.suggestions.suggest(ALICE, "bob")
    assert await asked.suggestions.suggest(BOB, "car") == [PEOPLE["carol"]]
    asked.now += 30
    await asked.suggestions.suggest(ALICE, "bob")
    with pytest.raises(TooManyQuestions):
        await asked.suggestions.suggest(ALICE, "bob")


async def test_who_asked_long_ago_is_forgotten(asked: Asked) -> None:
    """A hub that runs for months does not remember who has ever typed a name."""
    await asked.suggestions.suggest(ALICE, "bob")
    asked.now += 60
    await asked.suggestions.suggest(BOB, "ali")
    assert set(asked.suggestions._asked) == {BOB.uid}  # pyright: ignore[reportPrivateUsage] - what it holds
