"""What several controllers tell each other of their gates, by marks in the store.

A gate follows one controller, so only that one knows what the gate has confirmed. Who has taken
something back leaves a mark after it; each other controller that reads the mark has read what was
written before, tells its gates, and answers in its own mark which of them have confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio
import structlog

from controller.core.changes import ChangeCount
from controller.core.errors import StoreUnavailable
from controller.core.records import Ack, Mark
from controller.feed.awaiting import Awaiting
from controller.feed.gates import Gates
from controller.rules.roster import RENEW_SECONDS, Start
from controller.store import MarkStore

_TELL_SECONDS = 5.0  # for gates that follow; one that is silent is given up before

_LOOK_SECONDS = 30.0  # between two looks at the roster, for the numbers that are watched

_AGAIN_SECONDS = 1.0  # between two tries to write to a store that cannot be used

_log = structlog.get_logger("feed")


class Agreement:
    """Asks other controllers about their gates, and answers them."""

    def __init__(
        self,
        store: MarkStore,
        gates: Gates,
        publish: Callable[[], int],
        *,
        wall: Callable[[], float],
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        """``publish`` tells gates what is new, and returns its number; ``wall``: see ``Gates``."""
        self._store = store
        self._gates = gates
        self._publish = publish
        self._wall = wall
        self._renew_seconds = renew_seconds
        self._writing = anyio.Lock()
        self._number = 0  # of the last question
        self._wanted = self._asked = 0  # questions; one mark may ask several
        self._asks: dict[str, int] = {}  # of others, which may be read by now
        self._acks: dict[str, Ack] = {}  # this controller's last answer to each
        self._told: dict[str, Ack] = {}  # each other's last answer
        self._questions = ChangeCount()
        self._next = Awaiting(self._questions)
        self._news = Awaiting(gates.news)

    # -- what others have written ----------------------------------------------------------

    async def read(self) -> list[Mark]:
        """Return the marks of the others, to be taken once all else was read after them.

        Raises StoreUnavailable.
        """
        return await self._store.marks()

    def take(self, marks: list[Mark]) -> None:
        """Answer marks: all that was written before them has been read."""
        self._asks = {one.by: one.number for one in marks}
        me = self._store.identity
        told = {one.by: one.acks[me] for one in marks if me in one.acks}
        if told != self._told:
            self._told = told
            self._gates.news.add()
        self._questions.add()

    # -- asking ----------------------------------------------------------------------------

    async def everywhere(self, number: int, seconds: float) -> bool:
        """Tell whether everything up to a number counts at all gates, within so many seconds.

        What is to count must have been written down before.
        """
        counts = False
        with anyio.move_on_after(seconds):
            try:
                counts = await self._until_everywhere(number)
            except StoreUnavailable as error:
                _log.warning("gates_not_asked_about", error=error.in_full)
        return counts

    async def _until_everywhere(self, number: int) -> bool:
        await self._gates.read_roster()
        if self._gates.behind(number) == ():
            return True
        asked = await self._ask()
        while True:
            seen = self._gates.news.number
            await self._gates.read_roster()
            if self._gates.behind(number, self._elsewhere(asked)) == ():
                return True
            await self._news.beyond(seen)

    def _elsewhere(self, number: int) -> frozenset[Start]:
        """Return the gates that have confirmed to others what a question was about."""
        answers = (one for one in self._told.values() if one.number >= number)
        return frozenset(start for one in answers for start in one.gates)

    async def _ask(self) -> int:
        """Ask the others, and return the question's number. Raises StoreUnavailable."""
        self._wanted += 1
        mine = self._wanted
        async with self._writing:
            if self._asked < mine:  # nobody has asked since
                asks = self._wanted
                self._number += 1
                await self._write()
                self._asked = asks
            return self._number

    # -- answering -------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer the others until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._renew)
            group.start_soon(self._read_roster)
            while True:
                seen = self._questions.number
                try:
                    await self._answer()
                except StoreUnavailable as error:
                    _log.warning("gates_not_answered_for", error=error.in_full)
                    await anyio.sleep(_AGAIN_SECONDS)
                else:
                    await self._next.beyond(seen)

    async def _answer(self) -> None:
        """Answer all questions that are open. Raises StoreUnavailable."""
        asks = self._asks
        answered = {by: ack for by, ack in self._acks.items() if by in asks}
        new = {
            by: number
            for by, number in asks.items()
            if number > (answered[by].number if by in answered else 0)
        }
        if not new:
            return
        number = self._publish()
        await self._gates.until_told(number, _TELL_SECONDS)
        told = self._gates.told(number)
        async with self._writing:
            self._acks = answered | {by: Ack(asked, told) for by, asked in new.items()}
            await self._write()

    async def _write(self) -> None:
        mark = Mark(self._store.identity, self._wall(), self._number, self._acks)
        await self._store.put_mark(mark)

    async def _renew(self) -> None:
        while True:
            await anyio.sleep(self._renew_seconds)
            self._gates.renew()

    async def _read_roster(self) -> None:
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            with suppress(StoreUnavailable):  # who needs to know looks for themselves
                await self._gates.read_roster()
