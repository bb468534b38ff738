"""The table of all sessions, as administrators see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from controller.core.model import Observed, Phase, SessionId, Usage
from controller.rules import sentences
from controller.rules.felt import Speed, speed_of
from controller.rules.keeping import KeepReason
from controller.rules.queue import QueuePosition
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions

PAGE = 50
"""Rows of a table's page."""


class Sort(StrEnum):
    """Columns by which sessions are sorted."""

    STARTED = "started"
    OWNER = "owner"
    TITLE = "title"
    PHASE = "phase"
    CPU = "cpu"
    MEMORY = "memory"
    FELT = "felt"
    ACTIVITY = "activity"


class Entry(msgspec.Struct, frozen=True):
    """A session as administrators see it."""

    seen: Observed
    title: str
    phase: Phase
    usage: Usage | None
    cpus: float  # cores that it may take
    memory_bytes: int  # that it may take
    felt: Speed | None  # None: nothing was felt in the last minute
    active_at: datetime  # UTC
    ends_at: datetime | None  # UTC
    extra: float  # seconds by which its lifetime was extended
    why: KeepReason
    why_at: datetime | None  # UTC; the moment in ``why``
    place: QueuePosition | None


class Listing(msgspec.Struct, frozen=True):
    """One page of the sessions. ``found``: all that match; ``total``: all there are."""

    entries: tuple[Entry, ...]
    found: int
    total: int
    page: int  # from 1
    pages: int


class Table:
    """All sessions, sorted and page by page."""

    def __init__(self, sessions: Sessions, poller: Poller) -> None:
        """Rows are computed only when somebody asks for them."""
        self._sessions = sessions
        self._poller = poller

    def listing(self, *, query: str, sort: Sort, desc: bool, page: int) -> Listing:
        """Return one page of the matching sessions. Only the rows of that page are computed.

        ``query``: words that all must be found in owner, name, profile, phase or id.
        """
        everything = self._sessions.everything()
        words = query.casefold().split()
        found = [one for one in everything if self._matches(one, words)]
        found.sort(key=self._sort_key(sort), reverse=desc)
        pages = max(1, -(-len(found) // PAGE))
        page = min(max(1, page), pages)
        places = self._sessions.queue.places()
        shown = found[(page - 1) * PAGE : page * PAGE]
        return Listing(
            tuple(self._entry(one, places) for one in shown),
            found=len(found),
            total=len(everything),
            page=page,
            pages=pages,
        )

    def entry(self, session_id: str) -> Entry:
        """Return one session. Raises NoSuchSession."""
        return self._entry(self._sessions.any(session_id), self._sessions.queue.places())

    def counts(self) -> Counter[Phase]:
        """Return how many sessions are in each phase."""
        return Counter(self._sessions.phase(one) for one in self._sessions.everything())

    def _entry(self, seen: Observed, places: dict[SessionId, QueuePosition]) -> Entry:
        place = places.get(seen.session.id)
        profile = self._sessions.profile_of(seen)
        why, why_at = self._sessions.keep_reason(seen, place)
        poll = self._poller.last(seen.session.id)
        return Entry(
            seen=seen,
            title=sentences.session_title(profile.title, seen.session.name),
            phase=self._sessions.phase(seen),
            usage=poll.usage if poll else None,
            cpus=profile.cpus,
            memory_bytes=profile.memory_mib * 2**20,
            felt=speed_of(self._poller.felt(seen.session.id)),
            active_at=self._sessions.usage.last_activity(seen),
            ends_at=self._sessions.usage.expires(seen),
            extra=self._sessions.usage.extension(seen),
            why=why,
            why_at=why_at,
            place=place,
        )

    def _matches(self, seen: Observed, words: Sequence[str]) -> bool:
        if not words:
            return True
        one = seen.session
        title = self._sessions.profile_of(seen).title
        phase = self._sessions.phase(seen)
        text = f"{one.owner} {one.name} {one.profile} {title} {phase} {one.id}".casefold()
        return all(word in text for word in words)

    def _sort_key(self, sort: Sort) -> Callable[[Observed], tuple[object, ...]]:
        sessions = self._sessions

        def usage(seen: Observed) -> Usage:
            poll = self._poller.last(seen.session.id)
            return (poll.usage if poll else None) or Usage(-1.0, -1)

        def slowness(seen: Observed) -> float:
            speed = speed_of(self._poller.felt(seen.session.id))
            return speed.p95_ms if speed else -1.0

        keys: dict[Sort, Callable[[Observed], object]] = {
            Sort.STARTED: lambda seen: seen.session.created_at,
            Sort.OWNER: lambda seen: seen.session.owner,
            Sort.TITLE: lambda seen: (
                sessions.profile_of(seen).title.casefold(),
                seen.session.name.casefold(),
            ),
            Sort.PHASE: lambda seen: sessions.phase(seen).value,
            Sort.CPU: lambda seen: usage(seen).cpu_percent,
            Sort.MEMORY: lambda seen: usage(seen).memory_bytes,
            Sort.FELT: slowness,
            Sort.ACTIVITY: sessions.usage.last_activity,
        }
        chosen = keys[sort]
        return lambda seen: (chosen(seen), seen.session.owner, seen.session.id)
