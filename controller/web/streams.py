"""Open event streams: each ends with its log-in, and a log-in may have only a few."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection

import anyio
import structlog

from controller.core.records import Login
from controller.people.logins import Logins
from controller.sessions.sessions import Sessions

STREAMS_MOST = 10
"""Streams of one log-in. One more ends the oldest, so that the newest page always works."""

_SHORTEST = 0.1  # seconds of a wait: the clock that ends a log-in may be set back

_log = structlog.get_logger("streams")


class _Stream:
    """One open stream."""

    def __init__(self) -> None:
        self.over = False
        self.waiting = anyio.CancelScope()

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
        logins.when_ended(self._end)

    async def changes(self, login: Login, *, at_least_every: float) -> AsyncIterator[bool]:
        """Yield like ``Sessions.changes``, until the log-in ends or newer streams replace it."""
        stream = self._begin(login)
        happened = True
        try:
            while not stream.over and (left := login.expires - self._wall()) > 0:
                changed = self._sessions.registry.changed
                yield happened
                if stream.over:
                    return
                with anyio.move_on_after(min(at_least_every, max(left, _SHORTEST))) as waiting:
                    stream.waiting = waiting
                    await changed.wait()
                happened = changed.is_set()
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
