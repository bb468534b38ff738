"""What open pages show: looked at once after each change, for all pages that show the same.

A page is woken only if what it shows is new. Many changes within a short time are one look: the
first change of a quiet time is told at once, the last state always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from functools import cached_property

import anyio
import msgspec
from litestar.response import ServerSentEventMessage

from controller.core.model import Observed, SessionId, UserId
from controller.core.records import Share
from controller.rules.queue import QueuePosition
from controller.sessions.invitations import Guest
from controller.sessions.sessions import Sessions

PAUSE_SECONDS = 0.1
"""Between two looks. People do not notice it, and what belongs together (a launch is made, accepted
and shown by the engine) mostly comes within it."""

_STALE_SECONDS = 1.0  # an overview may lack what nobody announced, as that an invitation is over


class Overview:
    """All sessions at one moment, indexed by those whom they concern. Each index is made once."""

    def __init__(self, sessions: Sessions, guests: Callable[[Observed], list[Guest]]) -> None:
        """``guests``: who is invited to a session."""
        self._sessions = sessions
        self._guests = guests

    @cached_property
    def own(self) -> dict[UserId, list[Observed]]:
        """Sessions by owner, also those in the queue."""
        found: dict[UserId, list[Observed]] = {}
        for seen in self._sessions.everything():
            found.setdefault(seen.session.owner, []).append(seen)
        return found

    @cached_property
    def guests(self) -> dict[SessionId, list[Guest]]:
        """Who is invited, by session; without sessions to which nobody is."""
        everything = (one for theirs in self.own.values() for one in theirs)
        return {one.session.id: found for one in everything if (found := self._guests(one))}

    @cached_property
    def shared(self) -> dict[UserId, list[tuple[Observed, Share]]]:
        """Sessions of others by guest, each with the invitation."""
        found: dict[UserId, list[tuple[Observed, Share]]] = {}
        for owner, theirs in self.own.items():
            for seen in theirs:
                for guest in self.guests.get(seen.session.id, ()):
                    if guest.share.uid != owner:
                        found.setdefault(guest.share.uid, []).append((seen, guest.share))
        return found

    @cached_property
    def places(self) -> dict[SessionId, QueuePosition]:
        """Where sessions stand in the queue; without those that do not wait."""
        return self._sessions.queue.places()


class Sight(msgspec.Struct, frozen=True):
    """What a page shows now.

    ``facts``: it is new if they differ from those before; ``event`` tells the page; ``last``:
    nothing comes after it.
    """

    facts: object
    event: ServerSentEventMessage
    last: bool = False


Look = Callable[[Overview], Sight]


class Topic:
    """What some open pages show, all of them the same."""

    def __init__(self, look: Callable[[], Sight]) -> None:
        """Look for the first time. Raises what ``look`` raises."""
        self._look = look
        self._sight = look()
        self._error: Exception | None = None
        self.changed = anyio.Event()  # of the next news
        self.pages = 0  # that show it

    @property
    def sight(self) -> Sight:
        """What was seen last. Raises what the look raised."""
        if self._error is not None:
            raise self._error
        return self._sight

    def look(self) -> None:
        """Look again, and wake the pages if there is news."""
        before = self._sight.facts
        try:
            self._sight = self._look()
            self._error = None
        except Exception as error:  # noqa: BLE001 - it ends each of its pages, and no others
            self._error = error
        if self._error is not None or self._sight.facts != before:
            self.changed.set()
            self.changed = anyio.Event()


class News:
    """What all open pages of this controller show."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._topics: dict[Hashable, Topic] = {}
        self._overview: tuple[float, Overview] | None = None
        self._looked = 0.0  # when, by the loop's clock
        self._due: asyncio.TimerHandle | None = None
        sessions.registry.announced.when_changed(self._hear)

    @property
    def due(self) -> bool:
        """Whether there was a change that nobody has looked at yet."""
        return self._due is not None

    @contextmanager
    def topic(
        self, name: Hashable, look: Look, guests: Callable[[Observed], list[Guest]]
    ) -> Generator[Topic]:
        """Give the topic of a page while that is open. Topics of one ``name`` are the same.

        ``guests``: who is invited to a session.
        """
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(lambda: look(self._current(guests)))
        else:
            topic.look()  # time alone may have changed it since
        topic.pages += 1
        try:
            yield topic
        finally:
            topic.pages -= 1
            if not topic.pages:
                del self._topics[name]

    def _current(self, guests: Callable[[Observed], list[Guest]]) -> Overview:
        """Return the overview since the last change."""
        now = asyncio.get_running_loop().time()
        if self._overview is None or now - self._overview[0] >= _STALE_SECONDS:
            self._overview = (now, Overview(self._sessions, guests))
        return self._overview[1]

    def _hear(self) -> None:
        self._overview = None
        if self._due is None and self._topics:
            loop = asyncio.get_running_loop()
            wait = max(0.0, self._looked + PAUSE_SECONDS - loop.time())
            self._due = loop.call_later(wait, self._look)

    def _look(self) -> None:
        self._due, self._looked = None, asyncio.get_running_loop().time()
        for topic in tuple(self._topics.values()):
            topic.look()
