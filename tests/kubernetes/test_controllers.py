"""Two controllers of one hub: what people get from either, and what each knows of the other."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest
from msgspec.structs import replace

from controller.core.model import Phase, SessionId
from controller.engines.memory import MemoryOrchestrator
from controller.people.keys import SIGNS_AFTER, rotate
from controller.people.keys_secret import KeySecret
from controller.settings.schema import Settings
from controller.store.kubernetes.store import KubernetesStore
from tests.kubernetes.conftest import Cluster, until
from tests.kubernetes.controllers import keys_of
from tests.kubernetes.faults import Fault, proxy
from tests.support.hub import HTML, Clock, World, eventually, running

pytestmark = pytest.mark.anyio

AGREED = 2.0  # seconds within which controllers agree
WAY = {"Accept": HTML, "Sec-Fetch-Mode": "navigate"}


class Fixed:
    """An election whose outcome the test decides."""

    def __init__(self, *, leading: bool) -> None:
        """Lead or do not."""
        self.leading = leading

    async def run(self) -> None:
        """See Election."""


class Pair:
    """Two controllers over one engine, one cluster and one clock; the first leads."""

    def __init__(self, configured: Settings) -> None:
        """Make what they share."""
        self.settings = configured
        self.clock = Clock()
        self.orchestrator = MemoryOrchestrator(configured)
        self.elections = (Fixed(leading=True), Fixed(leading=False))
        self.worlds: list[World] = []

    @asynccontextmanager
    async def running(self, *, second: Settings | None = None) -> AsyncGenerator[Pair, None]:
        """Run both; ``second``: the settings of the second one."""
        async with AsyncExitStack() as stack:
            for number, election in enumerate(self.elections):
                store = KubernetesStore(
                    second if second and number else self.settings,
                    identity=f"controller-{number}",
                    wall=self.clock.wall,
                )
                stack.push_async_callback(store.aclose)
                made = World(
                    self.settings,
                    clock=self.clock,
                    orchestrator=self.orchestrator,
                    store=store,
                    ring=await keys_of(store, wall=self.clock.wall).key_ring(),
                    key_storage=keys_of(store, wall=self.clock.wall),
                    election=election,
                )
                made.gateway.serves_all = True
                self.worlds.append(await stack.enter_async_context(running(made)))
            yield self


@pytest.fixture
async def pair(configured: Settings) -> AsyncGenerator[Pair, None]:
    """Give two controllers that run."""
    async with Pair(configured).running() as made:
        yield made


async def agreed(asked: World, made: SessionId, cookie: str, status: int) -> None:
    """Wait until a controller answers so for this browser."""
    found = 0
    began = time.monotonic()
    try:
        with anyio.fail_after(AGREED):
            while found != status:
                found = (await asked.verify(made, WAY | {"Cookie": cookie})).status_code
                await anyio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"still {found} after {AGREED} s")
    print(f"agreed on {status} after {time.monotonic() - began:.3f} s")  # noqa: T201 - a number for people


async def test_logged_in_at_both(pair: Pair) -> None:
    """Who logs in at one controller is logged in at both at once; once logged out, at neither."""
    one, other = pair.worlds
    made = await one.session("alice")
    await eventually(lambda: other.phase(made) is Phase.READY)
    alice = await other.browser("alice")
    cookie = alice.cookie
    for world in (other, one):
        assert (await world.verify(made, WAY | {"Cookie": cookie})).status_code == 200
    await alice.act("/logout")
    assert (await other.verify(made, WAY | {"Cookie": cookie})).status_code == 302
    await agreed(one, made, cookie, 302)


async def test_shared_and_taken_back(pair: Pair) -> None:
    """Who is invited at one controller is let in by both, who is uninvited by none."""
    one, other = pair.worlds
    made = await one.session("alice")
    bob = await other.browser("bob")
    await agreed(other, made, bob.cookie, 403)
    script = await one.script("alice")
    share = f"/api/v1/sessions/{made}/shares/bob"
    answer = await script.put(share, json={"role": "view"})
    assert answer.status_code < 300, answer.text
    await agreed(other, made, bob.cookie, 200)
    await agreed(one, made, bob.cookie, 200)
    elsewhere = await other.script("alice")
    answer = await elsewhere.delete(share)
    assert answer.status_code < 300, answer.text
    assert (await other.verify(made, WAY | {"Cookie": bob.cookie})).status_code == 403
    await agreed(one, made, bob.cookie, 403)


async def test_failures_count_together(pair: Pair) -> None:
    """Guesses at a password count wherever they are made: after the limit both refuse."""
    one, other = pair.worlds
    limit = pair.settings.login.attempts_per_user

    async def guess(number: int) -> None:
        browser = await pair.worlds[number % 2].browser()
        assert (await browser.log_in("alice", "wrong")).status_code == 401

    async with anyio.create_task_group() as group:
        for number in range(limit):
            group.start_soon(guess, number)
    for world in (one, other):
        answer = await (await world.browser()).log_in("alice", "alice")
        assert answer.status_code == 429
    assert (await (await other.browser(address="10.0.0.2")).log_in("alice", "alice")).is_redirect


async def test_one_who_uses_the_other_controller(pair: Pair) -> None:
    """A session that is used by way of one controller is not stopped by the other as idle."""
    one, other = pair.worlds
    made = await one.session("alice")
    alice = await other.browser("alice")
    await eventually(lambda: other.find(made) is not None)
    await agreed(other, made, alice.cookie, 200)

    async def heard() -> bool:
        memo = (await one.store.others_memos()).get(made)
        return memo is not None and memo.idle < 1

    for _ in range(4):
        pair.clock.advance(pair.settings.idle_seconds * 0.6)
        await agreed(other, made, alice.cookie, 200)
        await other.sweep()
        await until(heard, bool)
        await one.sweep()
        assert one.phase(made) is Phase.READY


async def test_who_keeps_house(pair: Pair) -> None:
    """Only the controller that leads stops what is idle; when the other leads, that one does."""
    one, other = pair.worlds
    made = await one.session("alice")
    await eventually(lambda: other.find(made) is not None)
    pair.elections[0].leading = False
    for _ in range(3):
        pair.clock.advance(pair.settings.idle_seconds)
        for world in (one, other):
            await world.app.housekeeping.poll()
            await world.sweep()
    assert one.find(made) is not None
    pair.elections[1].leading = True
    for _ in range(3):
        pair.clock.advance(pair.settings.warning_seconds)
        await other.sweep()
    await one.until(made, None)
    await other.until(made, None)


async def test_a_key_signs_when_both_know_it(configured: Settings) -> None:
    """After a rotation whoever logs in at one controller is logged in at the other."""
    async with Pair(configured).running() as pair:
        await pair.worlds[0].store.ping()
        places = [cast("KeySecret", one.key_storage) for one in pair.worlds]
        await rotate(places[0], now=pair.clock.wall(), seconds=3600, expiries=())
        for look in ((), pair.worlds[:1], pair.worlds[1:]):
            for world in look:
                assert world.app.rotation is not None
                await world.app.rotation.refresh()
            made = await pair.worlds[0].session("alice")
            for one, other in (pair.worlds, pair.worlds[::-1]):
                cookie = (await one.browser("alice")).cookie
                await agreed(other, made, cookie, 200)
            pair.clock.advance(SIGNS_AFTER / 2)


async def test_logged_in_where_nothing_is_heard(
    configured: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    """A fresh log-in is good at a controller whose watch stalls, and bad there once it is over.

    That is heard of with the next list.
    """
    pair = Pair(configured)
    async with AsyncExitStack() as stack:
        between, path = await stack.enter_async_context(proxy(cluster.kubeconfig, tmp_path))
        behind = replace(
            configured, kubernetes=replace(configured.kubernetes, kubeconfig=str(path))
        )
        await stack.enter_async_context(pair.running(second=behind))
        one, other = pair.worlds
        made = await one.session("alice")
        await eventually(lambda: other.phase(made) is Phase.READY)
        between.spoil(Fault.STALL)
        alice, gone = await one.browser("alice"), await one.browser("alice")
        cookies = (alice.cookie, gone.cookie)
        await gone.act("/logout")
        assert (await other.verify(made, WAY | {"Cookie": cookies[0]})).status_code == 200

        async def answers() -> list[int]:
            asked = [await other.verify(made, WAY | {"Cookie": cookie}) for cookie in cookies]
            return [answer.status_code for answer in asked]

        await until(answers, lambda found: found == [200, 302])


async def test_cluster_does_not_answer(
    configured: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    """While the cluster is away, requests are judged by what is known, and nothing is promised."""
    pair = Pair(configured)
    async with AsyncExitStack() as stack:
        between = AsyncExitStack()
        _, path = await between.enter_async_context(proxy(cluster.kubeconfig, tmp_path))
        behind = replace(
            configured,
            kubernetes=replace(configured.kubernetes, kubeconfig=str(path), timeout_seconds=2),
        )
        await stack.enter_async_context(pair.running(second=behind))
        one, other = pair.worlds
        made = await one.session("alice")
        alice = await one.browser("alice")
        await agreed(other, made, alice.cookie, 200)
        await between.aclose()
        for _ in range(20):
            answer = await other.verify(made, WAY | {"Cookie": alice.cookie})
            assert answer.status_code == 200
            await anyio.sleep(0.05)
        bob = await other.browser()
        assert (await bob.log_in("bob", "bob")).status_code == 503
        assert (await one.verify(made, WAY | {"Cookie": alice.cookie})).status_code == 200
