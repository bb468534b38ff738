"""Whether what a gate knows is fresh enough to judge by.

- The stream is open: a controller must have answered a question of the last three seconds. If it
  did not, the gate may be cut off, while rights are taken back: it denies.
- The stream was closed while all was fresh: the controller is gone, and nobody takes anything back.
  What was known counts, for at most twelve hours.
- It was closed, and then a controller is named that does not answer for twenty seconds: others may
  reach it. The gate denies until it has heard anew.
- A start of the gate has found no controller, but what an earlier start knew when it went on alone:
  that counts as it did there, but for ten minutes only. See ``keeping``.
- The stream was closed when nothing had been heard for too long: that is a gate that was cut off,
  or stood still, and learns of it late. It denies until it has heard anew.

Age counts from when the question was *sent*: an answer that waited in a buffer while the gate stood
still makes nothing fresh. The clock is the one that runs on while the machine sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from controller.rules.roster import ALONE_SECONDS

SILENCE_SECONDS = 3.0
"""Without an answer, after which a gate may be cut off."""

PATIENCE_SECONDS = 1.0
"""For which a request waits until something is heard again."""


def boot_clock() -> float:
    """Return seconds since the machine began, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Freshness:
    """How old what a gate knows is."""

    def __init__(
        self, clock: Callable[[], float] = boot_clock, *, patience: float = PATIENCE_SECONDS
    ) -> None:
        """Nothing has been heard yet. ``clock``: seconds that never stand still."""
        self._clock = clock
        self._patience = patience
        self._asked: float | None = None  # when the last question was sent that was answered
        self._gone: float | None = None  # since when there is no controller
        self._until: float | None = None  # for which what an earlier start knew counts
        self._waited = False  # in vain, since something was heard
        self._heard: anyio.Event | None = None  # for those who wait

    def hear(self, asked: float) -> None:
        """Note that a controller has answered what was asked then, and that all it told counts."""
        if self._asked is None or asked > self._asked or self._gone is not None:
            self._asked = asked
        self._gone = self._until = None
        self._wake()

    def resume(self, contact: float, until: float) -> None:
        """Note that no controller is there, and that what was known at a contact counts so long."""
        if self._asked is None and self._gone is None:
            self._gone, self._until = contact, until
            self._wake()

    def _wake(self) -> None:
        if self.may_judge():
            self._waited = False
            if self._heard is not None:
                self._heard.set()

    def close(self) -> bool:
        """Note that the stream was closed by its other end; True: from now on the gate is alone."""
        now = self._clock()
        if self._gone is None and self._asked is not None:
            if 0 <= now - self._asked <= SILENCE_SECONDS:
                self._gone = now
                return True
            self._asked = None
        return False

    def doubt(self) -> None:
        """Note that there may be a controller after all, which this gate does not reach."""
        if self._gone is not None:
            self._gone = self._asked = self._until = None

    def may_judge(self) -> bool:
        """Tell whether a verdict may be given now."""
        if self._gone is not None:
            now = self._clock()
            if self._until is not None and now > self._until:
                return False
            return 0 <= now - self._gone <= ALONE_SECONDS
        if self._asked is None:
            return False
        return 0 <= self._clock() - self._asked <= SILENCE_SECONDS

    @property
    def may_come(self) -> bool:
        """Whether it is worth waiting until a verdict may be given."""
        return not self._waited

    async def wait(self) -> None:
        """Wait until a verdict may be given, or it is too late; ``may_judge`` says which."""
        if self._waited or self.may_judge():
            return
        if self._heard is None or self._heard.is_set():
            self._heard = anyio.Event()
        with anyio.move_on_after(self._patience):
            await self._heard.wait()
        if not self.may_judge():
            self._waited = True

    @property
    def contact(self) -> float | None:
        """When a controller was last there for sure; None: that is not known."""
        return self._asked

    @property
    def alone(self) -> bool:
        """Whether there is no controller, as far as is known."""
        return self._gone is not None
