"""How the pictures follow the hand, beside what others show (``python -m bench.feel``).

A real browser opens each subject by a line of a wished distance and moves the mouse 60 times a
second; a wheel makes 60 notches a second. At first the way is gone slowly, so that it is known what
each step looks like at rest; then at speed, there and back, and each picture that the screen shows
is matched with its step. Latency is from the browser's time of an input to the frame that first
shows its step or a later one. Pictures are counted if they differ from the one before.

``known`` is a page that answers each input after a known time: what is measured of it says how far
the rest can be trusted. No line is between it and the browser. The watched view alone is looked at.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
from bench.felt import Feel, Reference
from bench.hand import Subject, visit
from bench.measure import machine, table
from bench.relay import Line, relayed
from bench.steps import CASES, RATE, stroke
from bench.subjects import DELAY, SUBJECTS, image
from playwright.async_api import BrowserType, async_playwright

MBIT = 10.0
"""Width of each line that has a length, in 10^6 bits per second."""


class Plan(NamedTuple):
    """What a run measures. ``rtts``: ms; at 0 there is no line. ``steps``: of each stroke."""

    cases: Sequence[str]
    rtts: Sequence[int]
    rounds: int
    steps: int


class Result(NamedTuple):
    """One stroke of a subject."""

    subject: str
    case: str
    rtt: int
    figures: Feel


@contextmanager
def way_to(subject: Subject, rtt: int) -> Generator[str]:
    """Give the "host:port" that leads to a subject. ``rtt``: ms; 0: nothing lies between."""
    if not rtt:
        yield f"{subject.host}:{subject.port}"
        return
    with relayed(subject.host, subject.port, Line(rtt / 1000, MBIT)) as port:
        yield f"127.0.0.1:{port}"


class Bench:
    """Measures subjects in turn."""

    def __init__(self, browsers: BrowserType, plan: Plan) -> None:
        self._browsers = browsers
        self._plan = plan
        self._learned: dict[tuple[str, str], list[Reference]] = {}
        self.results: list[Result] = []

    async def learn(self, subject: Subject) -> None:
        """See what each step looks like."""
        with way_to(subject, 0) as address:
            async with visit(self._browsers, subject, address) as there:
                for name in self._cases_of(subject):
                    view = await there.watch(CASES[name].view)
                    self._learned[subject.name, name] = await there.learn(
                        CASES[name], view, self._plan.steps
                    )

    async def go(self, subject: Subject, rtt: int) -> None:
        """Make each stroke once at speed."""
        with way_to(subject, rtt) as address:
            async with visit(self._browsers, subject, address) as there:
                for name in self._cases_of(subject):
                    case, steps = CASES[name], self._plan.steps
                    view = await there.watch(case.view)
                    await there.lead(case, view, steps, forth=True)
                    for forth in (True, False):
                        made = stroke(case, view, steps, forth=forth)
                        found = await there.follow(made, self._learned[subject.name, name])
                        self.results.append(Result(subject.name, name, rtt, found))
                    await there.lead(case, view, steps, forth=False)

    def _cases_of(self, subject: Subject) -> list[str]:
        return [name for name in self._plan.cases if not subject.cases or name in subject.cases]


async def measure(subjects: Sequence[Subject], plan: Plan) -> list[Result]:
    """Measure all, in turn."""
    async with async_playwright() as playwright:
        bench = Bench(playwright.chromium, plan)
        for subject in subjects:
            await bench.learn(subject)
        for turn in range(plan.rounds):
            for rtt in plan.rtts:
                for subject in subjects:
                    if subject.is_far or rtt == plan.rtts[0]:
                        await bench.go(subject, rtt if subject.is_far else 0)
            click.echo(f"round {turn + 1} of {plan.rounds} is over; {machine()}")
        return bench.results


def cell(values: Sequence[float | None], scale: float, digits: int) -> str:
    """Return the median with its spread; a dash where something is not known."""
    known = [value * scale for value in values if value is not None]
    if not known:
        return "-"
    middle, least, most = (
        f"{value:.{digits}f}" if math.isfinite(value) else "never"
        for value in (median(known), min(known), max(known))
    )
    return f"{middle} ({least}-{most})"


def row(what: str, found: Sequence[Feel]) -> list[str]:
    """Return a line of the table from the figures of all strokes."""
    return [
        what,
        cell([one.rate for one in found], 1, 1),
        cell([one.p50 for one in found], 1000, 0),
        cell([one.p95 for one in found], 1000, 0),
        cell([one.last for one in found], 1, 2),
        cell([one.unmatched for one in found], 100, 0),
        cell([one.received for one in found], 1e-3, 0),
        cell([one.cores for one in found], 1, 2),
    ]


def show(results: Sequence[Result], before: str) -> None:
    """Print the table."""
    found: dict[tuple[str, int, str], list[Feel]] = {}
    for one in results:
        found.setdefault((one.case, one.rtt, one.subject), []).append(one.figures)
    table(
        f"How pictures follow the hand: medians of all strokes (least-most); "
        f"`known` takes {DELAY} ms (before: {before}; after: {machine()})",
        ["", "pictures/s", "p50 ms", "p95 ms", "last s", "unmatched %", "kB", "core s"],
        [
            row(f"{case}, RTT {rtt} ms, {subject}", figures)
            for (case, rtt, subject), figures in sorted(found.items())
        ],
    )


def save(results: Sequence[Result], file: Path) -> None:
    """Write each stroke's figures, in seconds; null where a step was never shown."""
    rows = [
        one._asdict()
        | {
            "figures": {
                name: value if value is None or math.isfinite(value) else None
                for name, value in one.figures._asdict().items()
            }
        }
        for one in results
    ]
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


@click.command()
@click.option(
    "--subject",
    "names",
    multiple=True,
    type=click.Choice(list(SUBJECTS)),
    default=list(SUBJECTS),
    show_default=True,
)
@click.option(
    "--case",
    "cases",
    multiple=True,
    type=click.Choice(list(CASES)),
    default=["turn", "scroll"],
    show_default=True,
)
@click.option(
    "--rtt", "rtts", multiple=True, default=[0, 20, 50, 100], show_default=True, help="ms."
)
@click.option("--image", "build", help="An image of sessions to run besides, without the hub.")
@click.option("--rounds", default=3, show_default=True, help="How often each is measured.")
@click.option("--seconds", default=2, show_default=True, help="How long each stroke takes.")
@click.option(
    "--json", "file", type=click.Path(path_type=Path), help="Keeps each stroke's figures."
)
def main(
    *,
    names: Sequence[str],
    cases: Sequence[str],
    rtts: Sequence[int],
    build: str | None,
    rounds: int,
    seconds: int,
    file: Path | None,
) -> None:
    """Measure on the running stack, in turn."""
    before = machine()
    with ExitStack() as stack:
        subjects = [stack.enter_context(SUBJECTS[name]()) for name in names]
        if build:
            subjects.append(stack.enter_context(image(build)))
        plan = Plan(cases, rtts, rounds, seconds * round(RATE))
        results = asyncio.run(measure(subjects, plan))
    show(results, before)
    if file:
        save(results, file)


if __name__ == "__main__":
    main()
