"""Names of people for somebody who types one, so that they can be invited."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from controller.core.errors import TooManyQuestions
from controller.core.model import Person, UserId
from controller.people.directory import Directory

_SUGGESTIONS = 5  # names at once

_QUESTIONS = 30  # of one person in a minute: more than anybody types

_MINUTE = 60.0


class Suggestions:
    """Asks the directory, so often that nobody can list it."""

    def __init__(self, directory: Directory, *, clock: Callable[[], float]) -> None:
        """``clock``: monotonic seconds."""
        self._directory = directory
        self._clock = clock
        self._asked: dict[UserId, deque[float]] = {}  # in the last minute

    async def suggest(self, person: Person, text: str) -> list[Person]:
        """Return people whose names begin like this, without who asks.

        Raises TooManyQuestions for more than a person types, DirectoryUnavailable.
        """
        self._count(person.uid)
        if not self._directory.can_find:
            return []
        found = await self._directory.suggest(text, _SUGGESTIONS + 1)
        return [one for one in found if one.uid != person.uid][:_SUGGESTIONS]

    def _count(self, uid: UserId) -> None:
        now = self._clock()
        self._asked = {
            one: asked for one, asked in self._asked.items() if now - asked[-1] < _MINUTE
        }
        asked = self._asked.get(uid, deque[float]())
        while asked and now - asked[0] >= _MINUTE:
            asked.popleft()
        if len(asked) >= _QUESTIONS:
            raise TooManyQuestions
        asked.append(now)
        self._asked[uid] = asked
