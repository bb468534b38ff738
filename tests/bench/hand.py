"""The hand of ``bench.feel``: a real browser that opens a subject's page and moves the mouse.

`feel.js` is injected before the page's own scripts and notes what is shown. It keeps what WebGL has
drawn until the next picture, and reads one small view in each frame: the browser does so much more
than a person's would, for each subject the same.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
from bench.felt import Feel, Noted, Picture, Reference, backwards, feel, step_times
from bench.steps import Box, Case, Input, Stroke, due, lead, stroke
from playwright.async_api import BrowserType, CDPSession, Page, ViewportSize

from tests.support.chromium import launch_options

WATCH = Path(__file__).with_name("feel.js")
_WINDOW = ViewportSize(width=1280, height=800)
_START_SECONDS = 120.0
_LOOK = 0.5  # seconds from one look for a view to the next
_POLL = 0.05  # seconds
_REST = 0.4  # seconds without a change: a step is shown, for it was the only one on its way
_NO_CHANGE = 2.0  # seconds after which a step is taken as one that changes nothing
_END = 2.0  # seconds without a change after the hand stopped: nothing moves later
_MOST_END = 30.0
_BROWN = 0.05  # of the brain's view at least
_GREYS = 40  # at least in a view that shows something


class Part(NamedTuple):
    """Where a page shows a view: one of the elements of a selector, and which part of it."""

    selector: str
    nth: int
    box: Box


class Subject(NamedTuple):
    """What is measured: a page whose server listens at ``host`` and ``port``.

    ``cookies``: of the address ``home``. ``views``: where each is; empty: they are looked for as
    trame shows them. ``cases``: what its views answer to; empty: to all. ``cores``: returns the
    seconds of processor time that it has used so far. ``is_far``: whether it is asked by a line.
    """

    name: str
    host: str
    port: int
    url: str
    home: str = ""
    cookies: Mapping[str, str] = {}
    views: Mapping[str, Part] = {}
    cases: frozenset[str] = frozenset()
    cores: Callable[[], float] | None = None
    is_far: bool = True


class Visit:
    """One subject's page, open in a browser of its own."""

    def __init__(self, page: Page, mouse: CDPSession, subject: Subject) -> None:
        self._page = page
        self._mouse: Any = mouse  # its methods are half typed
        self._subject = subject

    async def watch(self, name: str) -> Box:
        """Find a view, "brain" or "slice", and watch it from now on; return where it is.

        Raises ClickException if it is never drawn or never at rest.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _START_SECONDS
        names = list(self._subject.views)
        parts = [
            part._asdict() | {"box": part.box._asdict()} for part in self._subject.views.values()
        ]
        while loop.time() < end:
            for number, one in enumerate(await self._page.evaluate("feel.views", parts)):
                is_brown = one["brown"] > _BROWN
                is_it = names[number] == name if names else is_brown == (name == "brain")
                if is_it and one["greys"] > _GREYS:
                    await self._page.evaluate("feel.watch", number)
                    await self._rest(_REST, changes=1)
                    return Box(*one["box"])
            await asyncio.sleep(_LOOK)
        raise click.ClickException(f"{self._subject.name} shows no {name}.")

    async def act(self, inputs: Sequence[Input]) -> None:
        """Send inputs, each once the page has taken the one before."""
        for one in inputs:
            await self._mouse.send("Input.dispatchMouseEvent", one.words())

    async def learn(self, case: Case, view: Box, steps: int) -> list[Reference]:
        """Go the way there slowly, and back; return what each step looks like at rest."""
        there, back = (stroke(case, view, steps, forth=forth) for forth in (True, False))
        await self.lead(case, view, steps, forth=True)
        await self.act(there.before)
        found = [Reference(0, await self._settled(changes=1))]
        for step in range(case.every, steps + 1, case.every):
            await self._page.evaluate("feel.begin()")
            await self.act(there.steps[step - case.every : step])
            found.append(Reference(step, await self._settled(changes=2)))
        await self.act((*there.after, *back.before, *back.steps, *back.after))
        await self.lead(case, view, steps, forth=False)
        return found

    async def lead(self, case: Case, view: Box, steps: int, *, forth: bool) -> None:
        """Bring the view to where strokes begin, or back, and wait until it is there."""
        await self.act(lead(case, view, steps, forth=forth))
        await self._rest(_END, from_now=True)

    async def _settled(self, *, changes: int) -> bytes:
        await self._rest(_REST, changes=changes)
        noted: Any = await self._page.evaluate("feel.take()")
        return base64.b64decode(noted["pictures"][-1]["greys"])

    async def follow(self, made: Stroke, references: Sequence[Reference]) -> Feel:
        """Make a stroke at speed; return how the view followed. Raises ClickException."""
        await self.act(made.before)
        await self._rest(_END, from_now=True)
        await self._page.evaluate("feel.begin()")
        await self._rest(_POLL, changes=1)
        before = self._cores()
        await self._hurry((*made.steps, *made.after))
        await self._rest(_END, from_now=True)
        cores = self._cores() - before if self._subject.cores else None
        noted: Any = await self._page.evaluate("feel.take()")
        inputs = [
            Noted(one["kind"], one["at"] / 1000, one["x"], one["y"], one["delta"])
            for one in noted["inputs"]
        ]
        pictures = [
            Picture(one["at"] / 1000, base64.b64decode(one["greys"])) for one in noted["pictures"]
        ]
        try:
            times = step_times(inputs, [(one.x, one.y) for one in made.steps])
        except ValueError as error:
            raise click.ClickException(f"{self._subject.name}: {error}") from error
        known = references if made.forth else backwards(references)
        found = feel(pictures, known, times, inputs[-1].at, noted["bytes"])
        return found._replace(cores=cores)

    async def _hurry(self, inputs: Sequence[Input]) -> None:
        """Send each input when it is due: a hand does not wait until the page has taken it."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as sent:
            for number, one in enumerate(inputs):
                await asyncio.sleep(begun + due(number) - loop.time())
                sent.create_task(self.act([one]))

    def _cores(self) -> float:
        return self._subject.cores() if self._subject.cores else 0.0

    async def _rest(self, still: float, *, changes: int = 0, from_now: bool = False) -> None:
        """Wait until the last picture has been shown for so many seconds.

        ``changes``: so many pictures must have been noted, unless nothing changes for longer.
        ``from_now``: the seconds count from now on.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (waited := loop.time() - begun) < _MOST_END:
            seen: Any = await self._page.evaluate("feel.rest()")
            changed = seen["number"] >= changes or waited > _NO_CHANGE
            if changed and seen["still"] / 1000 >= still and (waited >= still or not from_now):
                return
            await asyncio.sleep(_POLL)
        raise click.ClickException(f"{self._subject.name} did not come to rest.")


@asynccontextmanager
async def visit(browsers: BrowserType, subject: Subject, address: str) -> AsyncGenerator[Visit]:
    """Open a subject's page in a new browser, which finds its server at this "host:port"."""
    rule = f"--host-resolver-rules=MAP * {address}"
    async with await browsers.launch(**launch_options(rule)) as browser:
        context = await browser.new_context(viewport=_WINDOW)
        await context.add_init_script(path=WATCH)
        for name, value in subject.cookies.items():
            await context.add_cookies([{"name": name, "value": value, "url": subject.home}])
        page = await context.new_page()
        await page.goto(subject.url, timeout=_START_SECONDS * 1000)
        yield Visit(page, await context.new_cdp_session(page), subject)
