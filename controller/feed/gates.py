"""The gates that there may be, and what counts at each of them.

The roster is in the store: a controller that has just started must know which gates may still let
people pass by what they knew. A gate is told nothing before it is on it.

Several controllers share the roster, and a gate follows one of them. It is put there each time that
it comes to one, which then learns what was written before: so what another controller took back
before it looked at the roster is known to whoever tells a gate that came later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import anyio
import structlog
from msgspec.structs import replace

from controller.core.changes import ChangeCount
from controller.core.errors import EngineUnavailable, StoreUnavailable
from controller.core.records import Actor, Gate
from controller.feed.awaiting import Awaiting
from controller.gate.facts import Used
from controller.people.standing import Standing
from controller.rules.roster import (
    DEAD_AFTER,
    RENEW_SECONDS,
    Heard,
    Start,
    start_of,
    unconfirmed,
    with_roster,
)
from controller.sessions.usage import Usage
from controller.store import GateStore

_AGAIN_SECONDS = 1.0  # between two tries to write to a store that cannot be used

_log = structlog.get_logger("feed")


class Presence(Protocol):
    """What knows of a gate that it is no more, though nobody has heard it end."""

    async def is_gone(self, name: str) -> bool:
        """Tell whether there is no gate of this name for sure. Raises EngineUnavailable."""
        ...


class Gates:
    """All gates of this hub."""

    def __init__(
        self,
        store: GateStore,
        usage: Usage,
        standing: Standing,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        learn: Callable[[], Awaitable[None]] | None = None,
        presence: Presence | None = None,
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: seconds since the epoch. ``run`` begins.

        ``learn``, where there are several controllers, has gates told of all that they have written
        by then; it may raise StoreUnavailable.
        """
        self._store = store
        self._usage = usage
        self._standing = standing
        self._clock = clock
        self._wall = wall
        self._learn = learn
        self._presence = presence
        self._dead_after = DEAD_AFTER + (RENEW_SECONDS if learn else 0.0)
        self._roster: tuple[Gate, ...] = ()
        self._known = False  # what stands in the store
        self._heard: dict[Start, Heard] = {}
        self.news = ChangeCount()
        self._next = Awaiting(self.news)
        self._joining: dict[Start, Callable[[], None]] = {}
        self._leaving: set[Gate] = set()
        self._renewing: set[Start] = set()

    # -- what they say ---------------------------------------------------------------------

    def joined(self, name: str, boot: str, admit: Callable[[], None]) -> None:
        """A gate has begun to follow. ``admit`` is called once it is on the roster."""
        self._heard[name, boot] = Heard(at=self._clock(), connected=True, here=True)
        self._joining[name, boot] = admit
        self.news.add()

    def confirmed(self, name: str, boot: str, number: int) -> None:
        """Everything up to this number counts there."""
        self._heard[name, boot] = Heard(
            at=self._clock(), confirmed=number, connected=True, here=True
        )
        self.news.add()

    def left(self, name: str, boot: str, *, for_good: bool, silent: bool) -> None:
        """A gate follows no more; ``for_good``: it has said that it answers no more.

        ``silent``: it was given up here, after it had asked nothing for so long that it denies.
        """
        start = (name, boot)
        self._joining.pop(start, None)
        if for_good or silent:
            self._strike(start)
            return
        if (known := self._heard.get(start)) is not None:
            # What it has confirmed it may have forgotten, if it has been started again since.
            self._heard[start] = replace(known, at=self._clock(), connected=False)
        self.news.add()

    def used(self, used: Used) -> None:
        """A gate reports what was used."""
        for session_id, ago in used.sessions.items():
            self._usage.touch(session_id, ago=ago)
        for sid, ago in used.logins.items():
            self._standing.note_use(sid, ago=ago)
        for one in used.entered:
            if not self._usage.is_inside(one.session, one.sid):
                self._usage.enter(one.session, one.sid, one.role, Actor(one.uid, one.address))

    # -- what is asked ---------------------------------------------------------------------

    def to_be_told(self, number: int) -> bool:
        """Tell whether a gate that follows has not confirmed everything up to a number yet."""
        return any(one.connected and one.confirmed < number for one in self._heard.values())

    def behind(self, number: int, elsewhere: Collection[Start] = ()) -> tuple[Gate, ...] | None:
        """Return the gates at which not everything up to a number may count yet.

        ``elsewhere``: those at which it does, as other controllers say. None: it is not known which
        gates there are.
        """
        if not self._known:
            return None
        return unconfirmed(
            self._roster,
            self._heard,
            number,
            self._clock(),
            elsewhere=elsewhere,
            dead_after=self._dead_after,
        )

    def told(self, number: int) -> frozenset[Start]:
        """Return the gates that follow and have confirmed everything up to a number."""
        return frozenset(
            start for start, one in self._heard.items() if one.connected and one.confirmed >= number
        )

    def numbers(self) -> dict[str, int]:
        """Return how many gates there may be.

        Those that follow this controller, those that have come to another one, and those that are
        away. Where there is no other controller, those that an earlier one knew are away, too.
        """
        known = [self._heard.get(start_of(one), Heard(at=0.0)) for one in self._roster]
        following = sum(one.connected for one in known)
        elsewhere = sum(not one.here for one in known) if self._learn else 0
        away = len(known) - following - elsewhere
        return {"following": following, "elsewhere": elsewhere, "away": away}

    async def until_told(self, number: int, seconds: float) -> None:
        """Wait until all gates that follow have confirmed everything up to a number, or so long."""
        with anyio.move_on_after(seconds):
            while self.to_be_told(number):
                await self._next.beyond(self.news.number)

    async def everywhere(self, number: int, seconds: float) -> bool:
        """Wait until everything up to a number counts at all gates; False: not in that time."""
        with anyio.move_on_after(seconds):
            while self.behind(number) != ():
                await self._next.beyond(self.news.number)
        return self.behind(number) == ()

    # -- the roster ------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the roster until cancelled."""
        while True:
            seen = self.news.number
            try:
                await self._keep_roster()
            except StoreUnavailable as error:
                _log.warning("roster_not_written", error=error.in_full)
                await anyio.sleep(_AGAIN_SECONDS)
            else:
                await self._next.beyond(seen)

    async def read_roster(self) -> None:
        """Learn which gates came to other controllers. Raises StoreUnavailable."""
        found = tuple(one for one in await self._store.gates() if one not in self._leaving)
        before = self._roster if self._known else ()
        self._heard = with_roster(found, self._heard, self._clock(), before=before)
        self._roster, self._known = found, True

    async def strike_off(self) -> None:
        """Forget the gates that do not follow this controller, and are no more."""
        if self._presence is None:
            return
        for gate in self._roster:
            start = start_of(gate)
            if self._follows(start):
                continue
            try:
                gone = await self._presence.is_gone(gate.name)
            except EngineUnavailable as error:
                _log.warning("gates_not_looked_for", error=error.in_full)
                return
            if gone and not self._follows(start):
                _log.info("gate_gone", gate=gate.name)
                self._strike(start)

    def _follows(self, start: Start) -> bool:
        return start in self._heard and self._heard[start].connected

    def _strike(self, start: Start) -> None:
        """Forget a gate here at once, and in the store as soon as that can be."""
        self._heard.pop(start, None)
        self._leaving |= {one for one in self._roster if start_of(one) == start}
        self._roster = tuple(one for one in self._roster if start_of(one) != start)
        self.news.add()

    def renew(self) -> None:
        """Have the gates that follow put on the roster once more; several controllers share it."""
        self._renewing = {start for start, one in self._heard.items() if one.connected}
        self.news.add()

    async def _keep_roster(self) -> None:
        """Write down who has come and gone. Raises StoreUnavailable."""
        if not self._known:
            await self.read_roster()
        for gate in tuple(self._leaving):
            await self._store.remove_gate(gate)
            self._leaving.discard(gate)
        for start, admit in tuple(self._joining.items()):
            if self._learn is not None or start not in map(start_of, self._roster):
                await self._put(Gate(*start, since=self._wall()))
            if self._learn is not None:
                await self._learn()
            if self._joining.pop(start, None) is not None:
                admit()
        for start in tuple(self._renewing):
            if self._follows(start):
                await self._put(Gate(*start, since=self._wall()))
            self._renewing.discard(start)

    async def _put(self, gate: Gate) -> None:
        await self._store.put_gate(gate)
        others = (one for one in self._roster if one.name != gate.name)
        self._roster = (*others, gate)
        starts = {start_of(one) for one in self._roster}
        self._heard = {
            start: one for start, one in self._heard.items() if one.connected or start in starts
        }
