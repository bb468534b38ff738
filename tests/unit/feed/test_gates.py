"""Which gates there may be, and when something counts at all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from controller.core.model import Observed, Person, Role, SessionId, UserId
from controller.core.records import Gate, Login
from controller.feed.barrier import behind_gates
from controller.feed.gates import Gates
from controller.gate.facts import Entered, Used
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.people.standing import Standing
from controller.rules.roster import DEAD_AFTER
from controller.sessions.registry import Known, Registry
from controller.sessions.usage import Usage
from controller.settings.schema import AuditLog
from controller.store.sqlite.store import SqliteStore
from tests.support.samples import session, settings
from tests.support.waits import become, settled

pytestmark = pytest.mark.anyio

ALICE = UserId("alice")


class Hub:
    """The parts of a hub that gates have to do with."""

    def __init__(self, store: SqliteStore | None = None) -> None:
        """``store``: of an earlier controller."""
        self.seconds = 1000.0
        self.store = store or SqliteStore(":memory:")
        configured = settings()
        self.registry = Registry(
            configured,
            Audit(AuditLog(), Metrics(), wall=lambda: self.seconds),
            clock=lambda: self.seconds,
            wall=lambda: datetime.fromtimestamp(self.seconds, UTC),
        )
        self.usage = Usage(
            configured,
            self.registry,
            self.store,
            clock=lambda: self.seconds,
            wall=lambda: datetime.fromtimestamp(self.seconds, UTC),
            leads=lambda: True,
        )
        self.standing = Standing(lambda: self.seconds)
        self.gates = Gates(
            self.store,
            self.usage,
            self.standing,
            clock=lambda: self.seconds,
            wall=lambda: self.seconds,
        )
        self.admitted: list[str] = []

    def join(self, name: str, boot: str) -> None:
        """Let a gate begin to follow."""
        self.gates.joined(name, boot, lambda: self.admitted.append(boot))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Keep the roster meanwhile."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.gates.run)
            await become(lambda: self.gates.behind(0) is not None, what="the roster")
            yield
            group.cancel_scope.cancel()


def names(found: tuple[Gate, ...] | None) -> set[str]:
    """Return the names of gates that are known."""
    assert found is not None
    return {one.name for one in found}


async def test_on_the_roster_before_it_is_told() -> None:
    """A gate is told nothing before the store knows that there is one."""
    hub = Hub()
    hub.join("gate-1", "a")
    assert hub.admitted == []
    async with hub.running():
        await become(lambda: hub.admitted)
    assert [one.name for one in await hub.store.gates()] == ["gate-1"]


async def test_everywhere() -> None:
    """Something counts everywhere once each gate has confirmed it."""
    hub = Hub()
    async with hub.running():
        assert await hub.gates.everywhere(1, 0)
        hub.join("gate-1", "a")
        hub.join("gate-2", "b")
        await become(lambda: len(hub.admitted) == 2)
        hub.gates.confirmed("gate-1", "a", 5)
        assert names(hub.gates.behind(5)) == {"gate-2"}
        assert not await hub.gates.everywhere(5, 0)
        hub.gates.confirmed("gate-2", "b", 5)
        assert await hub.gates.everywhere(5, 0)
        assert not await hub.gates.everywhere(6, 0)


async def test_everywhere_is_waited_for() -> None:
    """Who asks hears of it as soon as the last gate has confirmed."""
    hub = Hub()
    async with hub.running():
        hub.join("gate-1", "a")
        await become(lambda: hub.admitted)
        found: list[bool] = []

        async def ask() -> None:
            found.append(await hub.gates.everywhere(1, 30))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await settled()
            assert found == []
            hub.gates.confirmed("gate-1", "a", 1)
        assert found == [True]


async def test_a_gate_that_vanished() -> None:
    """A gate that follows no more may let people pass, until it is known to be dead."""
    hub = Hub()
    async with hub.running():
        hub.join("gate-1", "a")
        await become(lambda: hub.admitted)
        hub.gates.confirmed("gate-1", "a", 1)
        hub.gates.left("gate-1", "a", for_good=False, silent=False)
        assert names(hub.gates.behind(1)) == set()
        assert names(hub.gates.behind(2)) == {"gate-1"}
        hub.seconds += DEAD_AFTER
        assert names(hub.gates.behind(2)) == set()


async def test_a_gate_that_was_started_anew() -> None:
    """The one before is no more: what counts is what the new start of it has confirmed."""
    hub = Hub()
    async with hub.running():
        hub.join("gate-1", "a")
        await become(lambda: hub.admitted == ["a"])
        hub.gates.left("gate-1", "a", for_good=False, silent=False)
        hub.seconds += 1
        hub.join("gate-1", "b")
        await become(lambda: hub.admitted == ["a", "b"])
        assert [one.boot for one in hub.gates.behind(1) or ()] == ["b"]
        hub.gates.confirmed("gate-1", "b", 1)
        assert await hub.gates.everywhere(1, 0)
    assert [one.boot for one in await hub.store.gates()] == ["b"]


async def test_a_gate_that_was_given_up() -> None:
    """A gate that was silent until it denies is not waited for, until it follows again."""
    hub = Hub()
    async with hub.running():
        hub.join("gate-1", "a")
        await become(lambda: hub.admitted)
        hub.gates.left("gate-1", "a", for_good=False, silent=True)
        assert await hub.gates.everywhere(1, 0)
        hub.join("gate-1", "a")
        await become(lambda: len(hub.admitted) == 2)
        assert [one.boot for one in await hub.store.gates()] == ["a"]
        assert not await hub.gates.everywhere(1, 0)


async def test_goodbye() -> None:
    """A gate that has said goodbye is not waited for, nor by the next controller."""
    hub = Hub()
    async with hub.running():
        hub.join("gate-1", "a")
        await become(lambda: hub.admitted)
        hub.gates.left("gate-1", "a", for_good=True, silent=False)
        assert await hub.gates.everywhere(1, 0)
        with anyio.fail_after(30):
            while await hub.store.gates():  # noqa: ASYNC110 - a store has no event for this
                await anyio.sleep(0.03)


async def test_a_controller_that_starts_anew() -> None:
    """A controller that has just started knows which gates may still let people pass."""
    first = Hub()
    async with first.running():
        first.join("gate-1", "a")
        await become(lambda: first.admitted)
    second = Hub(first.store)
    assert second.gates.behind(1) is None
    assert not await second.gates.everywhere(1, 0)
    async with second.running():
        assert names(second.gates.behind(1)) == {"gate-1"}
        second.join("gate-1", "a")
        await become(lambda: second.admitted)
        second.gates.confirmed("gate-1", "a", 1)
        assert await second.gates.everywhere(1, 0)


async def test_how_many_there_are() -> None:
    """Who watches the hub sees how many gates follow, and that one has gone without a word."""
    hub = Hub()
    async with hub.running():
        for name, boot in (("gate-1", "a"), ("gate-2", "b")):
            hub.join(name, boot)
        await become(lambda: len(hub.admitted) == 2)
        assert hub.gates.numbers() == {"following": 2, "elsewhere": 0, "away": 0}
        hub.gates.left("gate-1", "a", for_good=False, silent=False)
        assert hub.gates.numbers() == {"following": 1, "elsewhere": 0, "away": 1}
        hub.gates.left("gate-2", "b", for_good=True, silent=False)
        assert hub.gates.numbers() == {"following": 0, "elsewhere": 0, "away": 1}


async def test_what_gates_report() -> None:
    """What people do at a gate counts as if they had done it here; the unknown counts nowhere."""
    hub = Hub()
    seen = Observed(session(owner="alice"), running=True)
    session_id = seen.session.id
    hub.registry.add(session_id, Known(seen, hub.registry.first_activity(seen.session)))
    login = Login("sid", Person(ALICE, "Alice"), created=0.0, expires=9e9)
    hub.standing.put(login)
    hub.seconds += 100
    other = SessionId("b" * 26)
    hub.gates.used(
        Used(
            sessions={session_id: 2.0, other: 1.0},
            logins={"sid": 3.0, "unknown": 1.0},
            entered=tuple(
                Entered(one, "sid", ALICE, Role.OWNER, "10.0.0.1") for one in (session_id, other)
            ),
        )
    )
    activity = hub.usage.of(seen)
    assert activity is not None
    assert activity.last_active == hub.seconds - 2
    assert hub.standing.used() == [("sid", hub.seconds - 3)]
    assert hub.usage.is_inside(session_id, "sid")
    assert not hub.usage.is_inside(other, "sid")


async def test_answers_wait_for_gates() -> None:
    """No answer is sent before gates know what is in it; a gate that hangs holds none up."""
    hub = Hub()
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        del scope, receive
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:  # noqa: ANN401 - the same
        sent.append(message["type"])

    waiting: Any = behind_gates(app, lambda: 3, hub.gates)
    scope: dict[str, str] = {}
    async with hub.running():
        hub.join("gate-1", "a")
        await become(lambda: hub.admitted)
        async with anyio.create_task_group() as group:
            group.start_soon(waiting, scope, None, send)
            await settled()
            assert sent == []
            hub.gates.confirmed("gate-1", "a", 3)
        assert len(sent) == 2
        hub.gates.confirmed("gate-1", "a", 2)
        with anyio.fail_after(10):
            await waiting(scope, None, send)
        assert len(sent) == 4
