"""Open event streams: each ends with its log-in, and a log-in may have only a few."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Hashable

import anyio
import structlog
from litestar.response import ServerSentEventMessage

from controller.core.model import Observed
from controller.core.records import Login
from controller.people.logins import Logins
from controller.sessions.invitations import Guest
from controller.sessions.sessions import Sessions
from controller.web.news import Look, News, Sight

STREAMS_MOST = 10
"""Streams of one log-in. One more ends the oldest, so that the newest page always works."""

HEARTBEAT_SECONDS = 6.0
"""After so long without news a stream sends a heartbeat. A page that misses two opens it anew
(static/events.js), and proxies on the way keep it open."""

HEARTBEAT = ServerSentEventMessage(event="heartbeat", data="{}")
"""Not a comment: scripts of a page do not see those."""

_SHORTEST = 0.1  # seconds of a wait: the clock that ends a log-in may be set back

_log = structlog.get_logger("streams")


class _Stream:
    """One open stream."""

    def __init__(self) -> None:
        self.over = False
        self.waiting = anyio.CancelScope()

    async def wait(self, changed: anyio.Event, seconds: float) -> bool:
        """Wait for a change or the end of the stream, and tell whether there was a change."""
        with anyio.move_on_after(max(seconds, _SHORTEST)) as self.waiting:
            await changed.wait()
        return changed.is_set()

    def end(self) -> None:
        self.over = True
        self.waiting.cancel()


class Streams:
    """All event streams of this controller."""

    def __init__(self, sessions: Sessions, logins: Logins, *, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch."""
        self._sessions = sessions
        self._logins = logins
        self._wall = wall
        self._open: dict[str, list[_Stream]] = {}  # by log-in, the oldest first
        self.news = News(sessions)
        logins.when_ended(self._end)

    async def follow(
        self,
        login: Login,
        name: Hashable,
        look: Look,
        guests: Callable[[Observed], list[Guest]],
        *,
        at_least_every: float,
    ) -> AsyncIterator[Sight | None]:
        """Yield what a page shows, now and when that is new, and None after this time without news.

        It ends with what is the last, with the log-in, or when newer streams replace it. See
        ``News.topic``.
        """
        stream = self._begin(login)
        told: Sight | None = None
        try:
            with self.news.topic(name, look, guests) as topic:
                while not stream.over and (left := login.expires - self._wall()) > 0:
                    changed, sight = topic.changed, topic.sight
                    yield None if told is not None and told.facts == sight.facts else sight
                    told = sight
                    if stream.over or sight.last:
                        return
                    if not await stream.wait(changed, min(at_least_every, left)):
                        topic.look()  # time alone may have changed it, or what nobody announced
        finally:
            self._forget(login, stream)

    async def changes(self, login: Login, *, at_least_every: float) -> AsyncIterator[bool]:
        """Yield like ``Registry.changes``, until the log-in ends or newer streams replace it."""
        stream = self._begin(login)
        happened = True
        try:
            while not stream.over and (left := login.expires - self._wall()) > 0:
                changed = self._sessions.registry.changed
                yield happened
                if stream.over:
                    return
                happened = await stream.wait(changed, min(at_least_every, left))
        finally:
            self._forget(login, stream)

    def _begin(self, login: Login) -> _Stream:
        stream = _Stream()
        theirs = self._open.setdefault(login.sid, [])
        theirs.append(stream)
        if len(theirs) > STREAMS_MOST:
            _log.info("stream_ended", user=login.person.uid, why="too many of one log-in")
            theirs.pop(0).end()
        if not self._logins.standing.stands(login):  # ended while its request was on its way
            stream.over = True
        return stream

    def _forget(self, login: Login, stream: _Stream) -> None:
        theirs = [one for one in self._open.get(login.sid, ()) if one is not stream]
        if theirs:
            self._open[login.sid] = theirs
        else:
            self._open.pop(login.sid, None)

    def _end(self, logins: Collection[Login], _asked: bool) -> None:
        for login in logins:
            for stream in self._open.get(login.sid, ()):
                stream.end()
