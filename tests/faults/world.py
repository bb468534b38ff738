"""A hub whose controller dies and comes back over an engine and a store that stay.

The controller is the product's own, down to the calls of the engine's client; engine, directory
and gateway are stand-ins. What the hub must hold to is written down in ``Ledger``; ``Checks``
compares.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any, cast

import anyio.to_thread
import msgspec
import pytest

from controller import app as program
from controller.app import Application
from controller.core import labels
from controller.core.model import GroupVolume, Profile, SessionId, new_session_id
from controller.engines.docker import client
from controller.engines.docker.engine import DockerOrchestrator
from controller.people.tokens import Keys
from controller.settings.schema import PATH_MODE_SHARING, Settings
from controller.store.sqlite.store import SqliteStore
from controller.web.render import Renderer
from tests.faults.ledger import Fate, Ledger
from tests.faults.points import GATEWAY_EFFECTS, STORE_EFFECTS, GuardedApi, GuardedPart, Points
from tests.faults.simulated import Loop, in_turn
from tests.support.fakes.directory import FakeDirectory
from tests.support.fakes.engine import Engine
from tests.support.fakes.gateway import FakeGateway
from tests.support.hub import RING
from tests.support.samples import settings

_RENDERER = Renderer()

RECOVERY = 60  # seconds in which all must be right again
ROUND = 10  # seconds between two rounds of housekeeping, as by default
PLACES = 2  # of the profile with a line


def configured() -> Settings:
    """Return settings with plain profiles, one with a group's volume and one with a line."""
    plain = Profile(id="plain", title="Plain", image="plain", idle_seconds=0, lifetime_seconds=0)
    grouped = msgspec.structs.replace(plain, id="grouped", volumes=("atlas",), endpoints=True)
    queued = msgspec.structs.replace(plain, id="queued", max_sessions=PLACES, queue=True)
    return msgspec.structs.replace(
        settings(
            housekeeping_seconds="86400",
            limits_sessions_per_user="20",
            path_mode_sharing=PATH_MODE_SHARING,
        ),
        profiles=(plain, grouped, queued),
        volumes=(GroupVolume("atlas", read=frozenset({"slicer-users"})),),
    )


def _nothing(*_: object) -> None:
    return None


class World:
    """The engine, the store, and one controller's life after the other."""

    def __init__(self) -> None:
        """Begin with a controller that runs."""
        self.settings = configured()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(anyio.to_thread, "run_sync", in_turn)
        self._patch.setattr(client, "RETRY_SECONDS", 3.0)  # between two looks, for want of events
        # Pages take a second to make and hold nothing: each life would make them anew.
        self._patch.setattr(program, "Renderer", lambda: _RENDERER)
        self._patch.setattr(program, "public_app", _nothing)
        self._patch.setattr(program, "private_app", _nothing)
        self.runner = asyncio.Runner(loop_factory=Loop)
        self.loop = cast("Loop", self.runner.get_loop())
        self.engine = Engine(self.settings.instance)
        self.store = SqliteStore(":memory:")
        self.gateway = FakeGateway()
        self.gateway.serves_all = True
        self.epoch = 1_800_000_000.0
        self.ledger = Ledger()
        self.ids = itertools.count(1)
        self.acts: list[asyncio.Task[None]] = []
        self.points = Points()
        self.lives = 0
        self._boot()

    # -- lives -----------------------------------------------------------------------------

    def _boot(self) -> None:
        self.points = Points()
        self.lives += 1
        orchestrator = DockerOrchestrator(self.settings)
        api = GuardedApi(self.engine.api(), self.points)

        def connect(_: Settings) -> GuardedApi:
            return api

        self._patch.setattr(client, "connect_engine", connect)
        guarded: Any = GuardedPart
        self.app = Application(
            self.settings,
            orchestrator=orchestrator,
            gateway=guarded(self.gateway, "gateway", GATEWAY_EFFECTS, self.points),
            directory=FakeDirectory(),
            store=guarded(self.store, "store", STORE_EFFECTS, self.points),
            keys=Keys(RING),
            clock=self.loop.time,
            wall=lambda: self.epoch + self.loop.time(),
        )
        self.app.sessions.launching._new_id = self._mint  # pyright: ignore[reportPrivateUsage] - to know them all
        self.task = self.loop.create_task(self.app.run())

    def _mint(self) -> SessionId:
        number = next(self.ids)
        made = new_session_id(lambda length: number.to_bytes(length, "big"))
        self.ledger.fates[made] = Fate.ASKED
        return made

    def crash(self, down: float) -> None:
        """Kill the controller, and start another one after so many seconds."""
        self.points.dead = True
        self.runner.run(self._bury())
        for session, fate in self.ledger.fates.items():
            if fate is Fate.STOPPING:
                self.ledger.killed_since.add(session)
        self.runner.run(asyncio.sleep(down))
        self._boot()

    async def _bury(self) -> None:
        doomed = [self.task, *self.acts]
        for one in doomed:
            one.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        self.acts.clear()

    def close(self) -> None:
        """End everything."""
        self.points.dead = True
        self.runner.run(self._bury())
        self.runner.close()
        self.store.close()
        self._patch.undo()

    # -- time ------------------------------------------------------------------------------

    def act(self, work: Coroutine[Any, Any, None], *, wait: bool) -> None:
        """Do something by the hub; ``wait`` until it is done or the controller is dead."""
        task = self.loop.create_task(work)
        self.acts.append(task)
        if wait:
            self.runner.run(self._until(task))
        self._sift()

    async def _until(self, task: asyncio.Task[None]) -> None:
        while not task.done() and not self.points.dead:  # noqa: ASYNC110 - of two kinds
            await asyncio.sleep(0.05)

    def _sift(self) -> None:
        for one in self.acts:
            if one.done() and not one.cancelled():
                one.result()  # a fault of the test's, or of the hub's, is not for later
        self.acts = [one for one in self.acts if not one.done()]
        if self.task.done():
            self.task.result()

    def spend(self, seconds: float) -> None:
        """Let time pass, with the rounds of housekeeping in it."""
        self.runner.run(self._spend(seconds))
        self._sift()

    async def _spend(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        while self.loop.time() < end and not self.points.dead:
            await self.app.housekeeping.sweep()
            await asyncio.sleep(min(ROUND, max(0.0, end - self.loop.time())))

    def finish(self) -> None:
        """Let what people wait for come to its end."""
        deadline = self.loop.time() + RECOVERY
        while self.acts and not self.points.dead:
            assert self.loop.time() < deadline, "somebody waits for ever"
            self.spend(1)

    def recover(self) -> None:
        """Mend what was broken, and let the time pass in which all must come right."""
        self.finish()
        if self.points.dead:
            self.crash(1)
        self.points.mend()
        self.spend(RECOVERY)

    def end_all(self) -> None:
        """Stop all sessions from outside, as an engine without live-restore does."""
        for one in self.engine.sessions():
            session = SessionId(one["Labels"][labels.SESSION])
            self.ledger.ended.add(session)
            if self.ledger.fates[session] in {Fate.THERE, Fate.ASKED, Fate.WAITS}:
                self.ledger.fates[session] = Fate.ENDED
        self.engine.restart()
