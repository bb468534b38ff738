"""What was taken back at one controller counts at the gates that follow another one."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from controller.cluster.client import Api
from controller.core.model import Person, UserId
from controller.core.records import Login
from controller.feed.agreement import Agreement
from controller.feed.gates import Gates
from controller.feed.pods import GatePods
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.people.standing import Standing
from controller.sessions.registry import Registry
from controller.sessions.usage import Usage
from controller.settings.schema import AuditLog, Kubernetes, Settings
from controller.store.kubernetes.store import KubernetesStore
from tests.support.fakes.api_server import ApiServer, api_server
from tests.support.samples import settings
from tests.support.waits import become, settled

pytestmark = pytest.mark.anyio

START = ("gate-1", "boot-a")
DEADLINE = 20.0  # seconds
WHILE = 0.3  # seconds in which an answer that is too early would have come


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Controller:
    """As much of a controller as its gates have to do with; the log-ins are what they are told."""

    def __init__(self, configured: Settings, name: str) -> None:
        """``name``: among the others."""
        self.store = KubernetesStore(configured, identity=name, wall=time.time)
        registry = Registry(
            configured,
            Audit(AuditLog(), Metrics(), wall=time.time),
            clock=time.monotonic,
            wall=now,
        )
        usage = Usage(
            configured, registry, self.store, clock=time.monotonic, wall=now, leads=lambda: True
        )
        self.gates = Gates(
            self.store,
            usage,
            Standing(time.time),
            clock=time.monotonic,
            wall=time.time,
            learn=self.hear,
            presence=GatePods(Api(configured.kubernetes)),
        )
        self.agreement = Agreement(
            self.store, self.gates, lambda: self.number, wall=time.time, renew_seconds=3600
        )
        self.number = 1  # of what gates are told
        self.logins: set[str] = set()
        self.admitted: list[set[str]] = []  # who was logged in when a gate was told first

    async def hear(self) -> None:
        """Apply what other controllers have written."""
        marks = await self.agreement.read()
        logins = {one.sid for one in (await self.store.read_logins()).logins}
        if logins != self.logins:
            self.number += 1
            self.logins = logins
        self.agreement.take(marks)

    def join(self, start: tuple[str, str] = START) -> None:
        """Let a gate begin to follow."""
        self.gates.joined(*start, lambda: self.admitted.append(set(self.logins)))

    async def log_in(self, sid: str) -> None:
        """Let somebody log in here."""
        person = Person(UserId("alice"), "Alice")
        await self.store.add_login(Login(sid, person, time.time(), time.time() + 3600))
        await self.hear()

    async def log_out(self, sid: str, *, seconds: float = DEADLINE) -> bool:
        """Let them log out; tell whether that counts everywhere within so many seconds."""
        await self.store.remove_login(sid)
        await self.hear()
        return await self.agreement.everywhere(self.number, seconds)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Follow the store and answer the others meanwhile."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow)
            group.start_soon(self.gates.run)
            group.start_soon(self.agreement.run)
            await become(lambda: self.gates.behind(0) is not None, what="the roster")
            yield
            group.cancel_scope.cancel()
        await self.store.aclose()

    async def _follow(self) -> None:
        async with aclosing(self.store.changes()) as changes:
            async for _ in changes:
                await self.hear()


class Pair:
    """Two controllers of one hub."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        """Both reach this server."""
        self.server = server
        there = Kubernetes(namespace="n", hub_namespace="n", kubeconfig=str(kubeconfig))
        configured = replace(settings(), kubernetes=there)
        self.one, self.other = Controller(configured, "one"), Controller(configured, "other")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncGenerator[Pair, None]:
    """Give two controllers that know each other's log-ins."""
    async with api_server(tmp_path) as (server, path):
        made = Pair(server, path)
        async with made.one.running(), made.other.running():
            await made.one.log_in("sid")
            await become(lambda: made.other.logins == {"sid"}, what="news")
            yield made


async def test_without_gates(pair: Pair) -> None:
    """Where no gate is, what is taken back counts at once, and no other controller is asked."""
    assert await pair.one.log_out("sid")
    assert await pair.other.store.marks() == []


async def test_the_other_ones_gate_has_to_confirm(pair: Pair) -> None:
    """Who logs out at one controller is out once the other one's gate has confirmed it."""
    pair.other.join()
    await become(lambda: pair.other.admitted, what="the gate")
    pair.other.gates.confirmed(*START, pair.other.number)
    answers: list[bool] = []

    async def log_out() -> None:
        answers.append(await pair.one.log_out("sid"))

    async with anyio.create_task_group() as group:
        group.start_soon(log_out)
        await become(lambda: pair.other.logins == set(), what="news")
        await anyio.sleep(WHILE)
        assert answers == []
        pair.other.gates.confirmed(*START, pair.other.number)
    assert answers == [True]


async def test_a_gate_that_hangs_elsewhere(pair: Pair) -> None:
    """While the other one's gate stands still it is said so; once it was given up, all is done."""
    pair.other.join()
    await become(lambda: pair.other.admitted, what="the gate")
    pair.other.gates.confirmed(*START, pair.other.number)
    assert not await pair.one.log_out("sid", seconds=WHILE)
    pair.other.gates.left(*START, for_good=False, silent=True)
    with anyio.fail_after(DEADLINE):
        while await pair.one.store.gates():  # noqa: ASYNC110 - a store has no event for this
            await anyio.sleep(0.03)
    assert await pair.one.agreement.everywhere(pair.one.number, DEADLINE)


async def test_a_controller_that_does_not_answer(pair: Pair) -> None:
    """What a controller that hears nothing has told its gates is not known, and that is said."""
    pair.other.join()
    await become(lambda: pair.other.admitted, what="the gate")
    pair.other.gates.confirmed(*START, 100)
    pair.server.held = True
    assert not await pair.one.log_out("sid", seconds=WHILE)
    pair.server.held = False
    assert await pair.one.agreement.everywhere(pair.one.number, DEADLINE)


async def test_a_gate_that_was_lost_with_its_controller(pair: Pair) -> None:
    """It is waited for until the cluster has forgotten its Pod."""
    pair.other.join()
    await become(lambda: pair.other.admitted, what="the gate")
    pair.server.pods.add("gate")
    pair.server.held = True
    for there in (True, False):
        assert not await pair.one.log_out("sid", seconds=WHILE)
        if not there:
            pair.server.pods.clear()
        await pair.one.gates.strike_off()
    pair.server.held = False
    assert await pair.one.agreement.everywhere(pair.one.number, DEADLINE)
    with anyio.fail_after(DEADLINE):
        while await pair.one.store.gates():  # noqa: ASYNC110 - a store has no event for this
            await anyio.sleep(0.03)


async def test_a_cluster_that_does_not_answer(pair: Pair) -> None:
    """While nobody knows whether a gate is there, it is waited for, and one that follows always."""
    pair.one.join()
    pair.other.join(("gate-2", "boot-b"))
    await become(lambda: pair.one.admitted and pair.other.admitted, what="the gates")
    pair.server.down = True
    await pair.one.gates.strike_off()
    pair.server.down = False
    assert len(await pair.one.store.gates()) == 2
    await pair.one.gates.read_roster()
    await pair.one.gates.strike_off()  # no Pod is there
    assert [one.name for one in pair.one.gates.behind(100) or ()] == ["gate-1"]


async def test_how_many_there_are(pair: Pair) -> None:
    """A gate that has come to another controller is not away, and one that has left all is."""
    pair.one.join()
    await become(lambda: pair.one.admitted, what="the gate")
    await pair.other.gates.read_roster()
    assert pair.one.gates.numbers() == {"following": 1, "elsewhere": 0, "away": 0}
    assert pair.other.gates.numbers() == {"following": 0, "elsewhere": 1, "away": 0}
    pair.one.gates.left(*START, for_good=False, silent=False)
    assert pair.one.gates.numbers() == {"following": 0, "elsewhere": 0, "away": 1}
    pair.other.join()
    await become(lambda: pair.other.admitted, what="the gate")
    await pair.one.gates.read_roster()
    assert pair.one.gates.numbers() == {"following": 0, "elsewhere": 1, "away": 0}
    assert pair.other.gates.numbers() == {"following": 1, "elsewhere": 0, "away": 0}


async def test_a_gate_that_comes_over(pair: Pair) -> None:
    """A gate whose controller has gone follows the next one, which asks nobody about it."""
    pair.other.join()
    await become(lambda: pair.other.admitted, what="the gate")
    pair.other.gates.left(*START, for_good=False, silent=False)
    pair.one.join()
    await become(lambda: pair.one.admitted, what="the gate")
    assert not await pair.one.log_out("sid", seconds=WHILE)
    pair.one.gates.confirmed(*START, pair.one.number)
    assert await pair.one.agreement.everywhere(pair.one.number, DEADLINE)
    (found,) = await pair.one.store.gates()
    assert (found.name, found.boot) == START


@pytest.mark.row(61)
async def test_told_late_but_never_what_was(pair: Pair) -> None:
    """A controller whose news are late tells a gate that comes nothing before it has them."""
    pair.server.held = True
    assert await pair.one.log_out("sid")
    pair.other.join()
    await settled()
    assert pair.other.logins == {"sid"}
    assert pair.other.admitted == []
    pair.server.held = False
    await become(lambda: pair.other.admitted, what="the gate")
    assert pair.other.admitted == [set()]


async def test_both_at_once(pair: Pair) -> None:
    """Two controllers may ask each other at the same time, and many things at once."""
    for start, one in ((START, pair.one), (("gate-2", "boot-b"), pair.other)):
        one.join(start)
        await become(lambda one=one: one.admitted, what="the gate")
    answers: list[bool] = []

    async def confirm() -> None:
        while True:
            pair.one.gates.confirmed(*START, pair.one.number)
            pair.other.gates.confirmed("gate-2", "boot-b", pair.other.number)
            await anyio.sleep(0.01)

    async def ask(one: Controller) -> None:
        answers.append(await one.agreement.everywhere(one.number, DEADLINE))

    async with anyio.create_task_group() as group:
        group.start_soon(confirm)
        async with anyio.create_task_group() as asking:
            for _ in range(5):
                asking.start_soon(ask, pair.one)
                asking.start_soon(ask, pair.other)
        group.cancel_scope.cancel()
    assert answers == [True] * 10
