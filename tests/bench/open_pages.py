"""One change with 500 pages open, beside 5 (``python -m bench.open_pages``).

Two hubs of 500 sessions over the memory engine, both in this process, asked in turn. Each page is
of another person and follows the events of their sessions; a change is a warning of one session.
What is printed is processor time of the hub from the change until every page has heard what
concerns it, and how many times that of 5 pages the 500 take: four at most are wanted.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any

import anyio
import click
import structlog
from bench.measure import machine, table

from controller.core.model import Person, Phase, SessionId, UserId
from controller.core.records import Reason
from controller.engines.memory import MemoryOrchestrator
from controller.rules.lifecycle import Warned
from controller.web.news import PAUSE_SECONDS
from tests.support.fakes.directory import PEOPLE
from tests.support.hub import ORIGIN, World, eventually, running
from tests.support.samples import session, session_id, settings

SESSIONS = 500
FEW, MANY = 5, 500
MOST = 4.0  # times that of FEW


class Pages:
    """A hub with so many pages open."""

    def __init__(self, world: World) -> None:
        """``events``: what all of them have heard so far."""
        self.world = world
        self.events = 0

    async def follow(self, user: str, opened: anyio.Event) -> None:
        """Keep somebody's page open until cancelled; ``opened`` is set at its first event."""
        script = await self.world.script(user)
        token = script.headers["authorization"].encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/v1/events",
            "raw_path": b"/api/v1/events",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"authorization", token)],
            "client": ("10.0.0.1", 1),
            "server": ("localhost", 8080),
        }

        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if whole := next(asked, None):
                return whole
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own
            if b"event: sessions" in message.get("body", b""):
                self.events += 1
                opened.set()

        public: Any = self.world.app.public
        await public(scope, receive, send)

    async def change(self, made: SessionId) -> float:
        """Change a session; return the milliseconds of processor time until its page has heard."""
        await anyio.sleep(2 * PAUSE_SECONDS)
        usage, now, heard = self.world.app.sessions.usage, self.world.clock.monotonic(), self.events
        standing = usage.warned(self.world.app.sessions.any(made))  # a round may take it back
        begun = time.process_time()
        usage.set_warned(made, None if standing else Warned(Reason.IDLE, now, now + 60))
        while self.events == heard:
            await anyio.lowlevel.checkpoint()
        return (time.process_time() - begun) * 1000


@asynccontextmanager
async def hub(number: int) -> AsyncGenerator[Pages, None]:
    """Run a hub with 500 sessions, and so many pages open."""
    configured = settings(public_url=ORIGIN)
    engine = MemoryOrchestrator(configured)
    made = World(configured, orchestrator=engine)
    made.gateway.serves_all = True
    now = datetime.fromtimestamp(made.clock.wall(), UTC)
    for one in range(1, SESSIONS + 1):
        user = f"user{one}"
        await engine.ensure(session(one, owner=user, name=f"s{one}", created_at=now))
        made.directory.people[user] = Person(UserId(user), user, PEOPLE["alice"].groups)
    pages = Pages(made)
    async with running(made), anyio.create_task_group() as group:
        for one in range(1, number + 1):
            opened = anyio.Event()
            group.start_soon(pages.follow, f"user{one}", opened)
            await opened.wait()
        await eventually(
            lambda: all(made.phase(session_id(one)) is Phase.READY for one in (1, number))
        )
        yield pages
        group.cancel_scope.cancel()


async def compare(rounds: int) -> None:
    """Print the table."""
    async with AsyncExitStack() as stack:
        few = await stack.enter_async_context(hub(FEW))
        many = await stack.enter_async_context(hub(MANY))
        pairs: list[tuple[float, float]] = []
        for number in range(rounds):
            made = session_id(number % FEW + 1)
            pairs.append((await few.change(made), await many.change(made)))
    ratio = median(b / a for a, b in pairs)
    small, large = (median(column) for column in zip(*pairs, strict=True))
    click.echo(machine())
    table(
        f"Processor time of one change, {SESSIONS} sessions",
        ("", f"ms with {FEW} pages", f"ms with {MANY} pages", "times"),
        [("a warning", f"{small:.1f}", f"{large:.1f}", f"{ratio:.2f}")],
    )
    click.echo(f"It is {ratio:.2f}; wanted: {MOST:.0f} at most.")


@click.command()
@click.option("--rounds", default=20, show_default=True, help="Changes of each hub.")
def main(rounds: int) -> None:
    """Compare a change of two hubs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    anyio.run(compare, rounds)


if __name__ == "__main__":
    main()
