"""The one loop that draws: input in, the newest state drawn, pictures out.

All views of a session are drawn on one thread, one after the other. Drawing each change of each
view in the order in which they came would show the past, so the loop asks before each picture what
is newest, and for which view it is worth most.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING, Protocol

from app.core import log
from app.stream import pace
from app.stream.inputs import Inputs
from app.stream.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.pixels import Pixels
    from app.stream.wire import Event, Input, Size

# At most so many pictures of one view a second: more is work that nobody sees.
MOST_A_SECOND = 30
# A view is at rest when nothing has changed for so long: longer than between two notches of a
# wheel that is turned on, shorter than anybody waits.
REST_SECONDS = 0.12
# What has arrived is read before the next picture, which takes the event loop some turns.
_READ_SECONDS = 0.001
# So long the other views wait for the one that the hand is in.
_FOCUS_SECONDS = 0.1
# A picture at rest that takes long is drawn to its end after so many interruptions.
_MOST_INTERRUPTIONS = 20


class Surface(Protocol):
    """What a view is drawn on."""

    @property
    def is_heavy(self) -> bool:
        """Whether drawing takes less time if it is coarser."""
        ...

    def draw(
        self, distance: float, *, final: bool, interrupted: Callable[[], bool] | None
    ) -> Pixels | None:
        """Draws the view as it is now.

        ``distance``: pixels between two rays, of a heavy view. ``final``: as good as it gets.
        ``interrupted()`` is asked meanwhile; None if it said yes.
        """
        ...

    def handle(self, event: Event, times: int) -> None:
        """Applies an input, so many times."""
        ...

    def resize(self, width: float, height: float, ratio: float) -> None:
        """Takes the size in CSS pixels, and the screen's pixels for each."""
        ...


class Audience(Protocol):
    """Who gets the pictures."""

    def wants(self, view: str) -> bool:
        """Whether a page would be sent a picture of this view at once."""
        ...

    def offer(self, picture: Picture) -> None:
        """A new picture."""
        ...

    def has_spoken(self) -> bool:
        """Whether something has arrived from a page that was not read yet."""
        ...


class _View:
    """What is known of one view."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.changed: float | None = None  # since when it is not what was drawn
        self.settled = 0.0  # when it changed last, or was interrupted
        self.began = -math.inf  # when the last picture was begun
        self.distance = pace.FIRST  # of the next moving picture
        self.drawn: tuple[float, float] | None = None  # distance and seconds of the last picture
        self.picture: Picture | None = None
        self.interruptions = 0
        self.is_broken = False  # it cannot be drawn as it is

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to be drawn."""
        return self.is_broken or (self.picture is not None and self.picture.final)


class Drawing:
    """Knows the views by name. Only the event loop's thread uses it."""

    def __init__(self) -> None:
        """Nothing is drawn before `run`."""
        self._views: dict[str, _View] = {}
        self._inputs = Inputs()
        self._applied: dict[int, tuple[int, float]] = {}
        self._focus = ""
        self._more = asyncio.Event()

    def add(self, name: str, surface: Surface) -> Callable[[], None]:
        """A view exists from now on. Returns what is to be called whenever it has changed."""
        self._views[name] = _View(surface)
        self._change(name)
        return lambda: self._change(name)

    def put(self, page: int, entry: Input) -> None:
        """Input of a page. Raises StreamError if it is more than a person can cause."""
        self._inputs.put(page, entry, time.monotonic())
        self._more.set()

    def resize(self, size: Size) -> None:
        """A page shows a view in this size."""
        if (view := self._views.get(size.view)) is not None:
            view.surface.resize(size.width, size.height, size.ratio)
            self._change(size.view)

    def forget(self, page: int) -> None:
        """The page has gone; what it sent is still applied."""
        self._apply()
        self._inputs.forget(page)
        self._applied.pop(page, None)

    def newest(self, name: str) -> Picture | None:
        """The last picture of a view; None if there is none."""
        view = self._views.get(name)
        return view.picture if view else None

    def wake(self) -> None:
        """A page can take pictures again."""
        self._more.set()

    async def run(self, audience: Audience) -> None:
        """Draws until it is cancelled."""
        while True:
            await self._wait(audience)
            await asyncio.sleep(_READ_SECONDS)
            self._apply()
            if (name := self._next(audience, time.monotonic())) is not None:
                self._draw(audience, name)

    def _change(self, name: str) -> None:
        view = self._views[name]
        view.settled = time.monotonic()
        view.is_broken = False
        if view.changed is None:
            view.changed = view.settled
        self._more.set()

    async def _wait(self, audience: Audience) -> None:
        """Until there is input, or a picture is due that somebody wants."""
        while not self._inputs:
            self._more.clear()
            due = min(
                (_due(view) for name, view in self._views.items() if audience.wants(name)),
                default=math.inf,
            )
            left = due - time.monotonic()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left == math.inf else left):
                    await self._more.wait()

    def _next(self, audience: Audience, now: float) -> str | None:
        """The view to draw: changed ones before those at rest, the one that the hand is in first.

        It is not first for ever: one that has waited for longer goes before it.
        """

        def order(name: str) -> tuple[bool, float]:
            view = self._views[name]
            patience = 0.0 if name == self._focus else _FOCUS_SECONDS
            return view.changed is None, _due(view) + patience

        ready = (
            name for name, view in self._views.items() if _due(view) <= now and audience.wants(name)
        )
        return min(ready, key=order, default=None)

    def _apply(self) -> None:
        for waiting in self._inputs.take():
            self._applied[waiting.page] = (waiting.number, waiting.since)
            if (view := self._views.get(waiting.view)) is None:
                continue
            self._focus = waiting.view
            try:
                view.surface.handle(waiting.event, waiting.times)
            except Exception as error:  # noqa: BLE001 - the fault of a tool ends no session
                log.failure("input.failed", error)

    def _draw(self, audience: Audience, name: str) -> None:
        view = self._views[name]
        is_still = view.changed is None
        distance = _distance_of(view, is_still=is_still)
        final = is_still and distance == 1.0
        may_interrupt = final and view.interruptions < _MOST_INTERRUPTIONS
        view.changed = None
        view.began = time.monotonic()
        try:
            pixels = view.surface.draw(
                distance,
                final=final,
                interrupted=audience.has_spoken if may_interrupt else None,
            )
        except Exception as error:  # noqa: BLE001 - the other views are drawn all the same
            log.failure("draw.failed", error)
            view.is_broken = True
            return
        done = time.monotonic()
        if pixels is None:
            view.interruptions += 1
            view.settled = done
            return
        view.interruptions = 0
        view.drawn = (distance, done - view.began)
        if view.surface.is_heavy and not is_still:
            view.distance = pace.next_distance(*view.drawn)
        last, view.picture = (
            view.picture,
            Picture(
                name,
                pixels,
                final=final,
                inputs=dict(self._applied),
                began=view.began,
                drawn=done,
            ),
        )
        # What looks as before is not sent again; only that it is final now is news.
        if final or last is None or not last.looks_like(view.picture):
            audience.offer(view.picture)


def _due(view: _View) -> float:
    """When the next picture of a view is to be drawn; infinity if it is as it should be."""
    if view.changed is not None:
        return max(view.changed, view.began + 1 / MOST_A_SECOND)
    return math.inf if view.is_final else view.settled + REST_SECONDS


def _distance_of(view: _View, *, is_still: bool) -> float:
    if not view.surface.is_heavy:
        return 1.0
    if not is_still:
        return view.distance
    return pace.finer_distance(*view.drawn) if view.drawn else 1.0
