"""The administrators' page with 500 sessions, beside 20 (``python -m bench.admin``).

Two hubs over the memory engine, both in this process, asked in turn for the same pages. What is
printed is processor time, which depends least on what else the machine does, and how many times
that of 20 sessions the page of 500 takes: four at most are wanted.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

import anyio
import click
import structlog
from bench.measure import machine, table

from controller.core.model import Usage
from controller.engines.memory import MemoryOrchestrator
from tests.support.hub import ORIGIN, Browser, World, eventually, running
from tests.support.samples import session, session_id, settings

FEW, MANY = 20, 500
MOST = 4.0  # times that of FEW
PAGES = {
    "as it opens": "/admin",
    "sorted by CPU": "/admin?sort=cpu&desc=1",
    "searched": "/admin?q=user1",
    "the people": "/admin/users",
}


@asynccontextmanager
async def hub(number: int) -> AsyncGenerator[Browser, None]:
    """Run a hub with so many sessions, all looked into, and give an administrator's browser."""
    configured = settings(public_url=ORIGIN)
    engine = MemoryOrchestrator(configured)
    for one in range(1, number + 1):
        await engine.ensure(session(one, owner=f"user{one % 97}", name=f"s{one}"))
        engine.usages[session_id(one)] = Usage(one % 400, one * 2**20)
    made = World(configured, orchestrator=engine)
    made.gateway.serves_all = True
    async with running(made):
        await eventually(
            lambda: all(made.phase(one.session.id) == "ready" for one in made.app.sessions.all())
        )
        await made.app.housekeeping.poll()
        await made.app.housekeeping.sample()
        yield await made.browser("carol")


async def cost(browser: Browser, path: str, times: int) -> float:
    """Return the milliseconds of processor time of one page."""
    begun = time.process_time()
    for _ in range(times):
        answer = await browser.get(path)
        if not answer.is_success:
            raise click.ClickException(f"{path} answers {answer.status_code}.")
    return (time.process_time() - begun) * 1000 / times


async def compare(rounds: int, times: int) -> None:
    """Print the table."""
    rows: list[tuple[str, str, str, str]] = []
    worst = 0.0
    async with AsyncExitStack() as stack:
        few = await stack.enter_async_context(hub(FEW))
        many = await stack.enter_async_context(hub(MANY))
        for title, path in PAGES.items():
            await cost(few, path, times)
            await cost(many, path, times)
            pairs = [
                (await cost(few, path, times), await cost(many, path, times)) for _ in range(rounds)
            ]
            ratio = median(b / a for a, b in pairs)
            worst = max(worst, ratio)
            small, large = (median(column) for column in zip(*pairs, strict=True))
            rows.append((title, f"{small:.1f}", f"{large:.1f}", f"{ratio:.2f}"))
    click.echo(machine())
    columns = ("page", f"ms with {FEW}", f"ms with {MANY}", "times")
    table("Processor time of the administrators' pages", columns, rows)
    click.echo(f"The most is {worst:.2f}; wanted: {MOST:.0f} at most.")


@click.command()
@click.option("--rounds", default=7, help="Rounds of each page.")
@click.option("--times", default=10, help="Pages in a round.")
def main(rounds: int, times: int) -> None:
    """Compare the pages of two hubs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    anyio.run(compare, rounds, times)


if __name__ == "__main__":
    main()
