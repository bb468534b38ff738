"""A hub whose controller dies and comes back over an engine and a store that stay.

The controller is the product's own, down to the calls of the engine's client; engine, directory
and gateway are stand-ins. What the hub must hold to is written down in ``Ledger`` and compared.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Coroutine
from enum import Enum, auto
from typing import Any, TypeVar, cast

import anyio.to_thread
import msgspec
import pytest

from controller import app as program
from controller.app import Application
from controller.core import labels
from controller.core.errors import HubError
from controller.core.model import (
    GroupVolume,
    Observed,
    Person,
    Phase,
    Profile,
    Role,
    SessionId,
    UserId,
    new_session_id,
)
from controller.core.records import Actor, Reason
from controller.engines.docker import client
from controller.engines.docker.engine import DockerOrchestrator
from controller.people.tokens import Keys
from controller.settings.schema import PATH_MODE_SHARING, Settings
from controller.store.sqlite.store import SqliteStore
from controller.web.render import Renderer
from tests.faults.engine import TRAEFIK, Engine
from tests.faults.points import GATEWAY_EFFECTS, STORE_EFFECTS, GuardedApi, GuardedPart, Points
from tests.faults.simulated import Loop, in_turn
from tests.support.fakes.directory import PEOPLE, FakeDirectory
from tests.support.fakes.gateway import FakeGateway
from tests.support.hub import RING
from tests.support.samples import settings

T = TypeVar("T")

_RENDERER = Renderer()

RECOVERY = 60  # seconds in which all must be right again
ROUND = 10  # seconds between two rounds of housekeeping, as by default
_LINK_SECONDS = 30 * 86_400  # longer than any story, whatever its clock is set to
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


class Fate(Enum):
    """What must be true of a session once all is right again."""

    ASKED = auto()  # there, or not: nobody was told
    THERE = auto()
    WAITS = auto()  # in line, or there
    ENDED = auto()  # there, as failed; or gone
    STOPPING = auto()  # gone; if the controller died since, maybe there
    GONE = auto()


class Ledger:
    """What people were told, and so what must be so."""

    def __init__(self) -> None:
        """Nothing was ever asked."""
        self.fates: dict[SessionId, Fate] = {}
        self.ended: set[SessionId] = set()  # by the engine
        self.killed_since: set[SessionId] = set()  # the controller died since it was to stop
        self.grants: dict[tuple[SessionId, UserId], set[Role | None]] = {}
        self.asked_in: Counter[tuple[SessionId, UserId]] = Counter()  # how often, by name or link
        self.codes: dict[str, tuple[SessionId, Role]] = {}
        self.tried: dict[str, set[UserId]] = {}  # who ever came by a code
        self.coming: list[tuple[SessionId, UserId, Role]] = []  # by a code, not let in yet
        self.asked_to_bar: set[tuple[str, UserId]] = set()  # codes that may not let in any more
        self.barred: set[tuple[str, UserId]] = set()  # codes that must not let in any more

    def may(self, session: SessionId, uid: UserId) -> set[Role | None]:
        """Return the roles that a guest may have."""
        return self.grants.get((session, uid), {None})


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
        self.volumes: set[str] = set()  # that were ever there
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

    def end_all(self) -> None:
        """Stop all sessions from outside, as an engine without live-restore does."""
        for one in self.engine.sessions():
            session = SessionId(one["Labels"][labels.SESSION])
            self.ledger.ended.add(session)
            if self.ledger.fates[session] in {Fate.THERE, Fate.ASKED, Fate.WAITS}:
                self.ledger.fates[session] = Fate.ENDED
        self.engine.restart()

    # -- what people do ----------------------------------------------------------------------

    def known(self) -> list[Observed]:
        """Return the sessions as people see them."""
        return self.app.sessions.everything()

    def roles(self, seen: Observed) -> dict[UserId, Role | None]:
        """Return who may do what in a session, as verify would answer."""
        return {
            person.uid: access.role if access else None
            for person in PEOPLE.values()
            for access in [self.app.sessions.access(seen.session.id, person.uid)]
        }

    async def launch(self, person: Person, profile: str, name: str) -> None:
        """Start a session, and note what was answered."""
        chosen = self.settings.profile(profile)
        assert chosen is not None
        for one in self.known():
            # What has failed makes way for the next of its name.
            if one.refused and (one.session.owner, one.session.name) == (person.uid, name):
                self.ledger.fates[one.session.id] = Fate.ENDED
        seen = await self._asked(
            self.app.sessions.launching.launch(person, chosen, name, by=Actor(person.uid))
        )
        if seen is None:
            return
        session = seen.session.id
        if self.app.sessions.queue.place(seen) is not None:
            self.ledger.fates[session] = Fate.WAITS
        elif seen.running and self.ledger.fates[session] is Fate.ASKED:
            self.ledger.fates[session] = Fate.THERE

    async def stop(self, seen: Observed) -> None:
        """Stop a session, and note what was answered."""
        session = seen.session.id
        before = self.ledger.fates[session]
        self.ledger.fates[session] = Fate.STOPPING
        self.ledger.killed_since.discard(session)

        async def stop() -> bool:
            await self.app.sessions.stop(session, Reason.STOPPED, by=Actor(seen.session.owner))
            return True

        if await self._asked(stop()) is None and not self.points.dead:
            self.ledger.fates[session] = before if before is Fate.ENDED else Fate.ASKED

    async def share(self, seen: Observed, guest: UserId, role: Role) -> None:
        """Invite somebody by name."""
        key = seen.session.id, guest
        self.ledger.asked_in[key] += 1
        self.ledger.grants[key] = self.ledger.may(*key) | {role}
        if await self._asked(
            self.app.sharing.invitations.invite(
                seen, guest, role, seconds=None, by=Actor(seen.session.owner)
            )
        ):
            # Who comes by a link meanwhile may be let in before or after this.
            late = {may for at, who, may in self.ledger.coming if (at, who) == key}
            self.ledger.grants[key] = {role, *late}

    async def revoke(self, seen: Observed, guest: UserId) -> None:
        """Take an invitation back; by links whoever was invited comes no more either."""
        key = seen.session.id, guest
        codes = [code for code, (session, _) in self.ledger.codes.items() if session == key[0]]
        before, asked_in = self.ledger.may(*key), self.ledger.asked_in[key]
        self.ledger.grants[key] = before | {None}
        self.ledger.asked_to_bar |= {(code, guest) for code in codes}
        done = await self._asked(
            self.app.sharing.revoking.withdraw(seen, guest, by=Actor(seen.session.owner))
        )
        # Who was asked in again meanwhile may come before or after this.
        if done is not None and self.ledger.asked_in[key] == asked_in:
            if None not in before:
                self.ledger.grants[key] = {None}
                self.ledger.barred |= {(code, guest) for code in codes}
            else:  # who was not invited may still come by a link, and may be on the way
                late = {may for at, who, may in self.ledger.coming if (at, who) == key}
                self.ledger.grants[key] = {None, *late}

    async def make_link(self, seen: Observed, role: Role) -> None:
        """Make a link that one person may use."""
        fresh = await self._asked(
            self.app.sharing.links.make(
                seen, role, seconds=_LINK_SECONDS, max_uses=1, by=Actor(seen.session.owner)
            )
        )
        if fresh is not None:
            self.ledger.codes[fresh.code] = seen.session.id, role

    async def join(self, code: str, person: Person) -> None:
        """Come by a link; who is cut off on the way comes again."""
        session, role = self.ledger.codes[code]
        key = session, person.uid
        self.ledger.tried.setdefault(code, set()).add(person.uid)
        self.ledger.asked_in[key] += 1
        theirs = self.app.sessions.owner(session) == person.uid
        if not theirs and (code, person.uid) not in self.ledger.barred:
            self.ledger.grants[key] = self.ledger.may(*key) | {role}
        coming = (*key, role)
        self.ledger.coming.append(coming)
        try:
            await self._asked(self.app.sharing.links.join(code, person, Actor(person.uid)))
        finally:
            self.ledger.coming.remove(coming)

    async def _asked(self, work: Awaitable[T]) -> T | None:
        """Return the answer; None: it was refused, failed, or is not to be known."""
        try:
            answer = await work
        except HubError:
            return None
        return None if self.points.dead else answer

    # -- what must be so -----------------------------------------------------------------------

    def check_always(self) -> None:
        """Check what holds at every moment, however wrong all else is."""
        self.volumes |= self.engine.volumes.keys()
        assert self.volumes == self.engine.volumes.keys(), "files are lost"
        twins = Counter(
            (one["Labels"][labels.OWNER], one["Labels"][labels.NAME].casefold())
            for one in self.engine.sessions()
            if one["State"] == "running"
        )
        assert all(number == 1 for number in twins.values()), f"two of one name: {twins}"
        for session, fate in self.ledger.fates.items():
            for person in PEOPLE.values():
                access = self.app.sessions.access(session, person.uid)
                role = access.role if access else None
                if fate is Fate.GONE:
                    assert access is None, f"{session} is gone, and {person.uid} may enter"
                if role not in {None, Role.OWNER}:
                    allowed = self.ledger.may(session, person.uid)
                    assert role in allowed, f"{person.uid} may {role} in {session}, not {allowed}"

    def recover(self) -> None:
        """Mend what was broken, and check that all is right within a minute."""
        self.finish()
        if self.points.dead:
            self.crash(1)
        self.points.mend()
        self.spend(RECOVERY)
        self.check_always()
        self._check_engine()
        self._check_fates()
        self._check_grants()
        self._check_links()

    def _check_engine(self) -> None:
        sessions = {one["Labels"][labels.SESSION]: one for one in self.engine.sessions()}
        networks = {
            one["Labels"][labels.SESSION]: name for name, one in self.engine.networks.items()
        }
        assert len(sessions) == len(self.engine.sessions()), "a session has two containers"
        others = [
            one["Name"]
            for one in self.engine.containers.values()
            if one["Id"] != TRAEFIK and labels.SESSION not in one["Labels"]
        ]
        assert others == [], f"left over: {others}"
        assert networks.keys() == sessions.keys(), "a network without its session, or none"
        reached = self.engine.containers[TRAEFIK]["Networks"]
        for session, one in sessions.items():
            assert not one["Name"].endswith(".stopping"), f"{session} is stopping for ever"
            ended = SessionId(session) in self.ledger.ended
            assert ended or one["State"] == "running", f"{session} is {one['State']}"
            assert networks[session] in reached, f"{session} has no route"
        assert reached - set(networks.values()) == {f"{self.settings.instance}_edge"}

    def _check_fates(self) -> None:
        there = {SessionId(one["Labels"][labels.SESSION]) for one in self.engine.sessions()}
        waiting = {one.session.id for one in self.runner.run(self.store.tickets())}
        seen = {one.session.id: one for one in self.app.sessions.everything()}
        refused = {one for one in seen if seen[one].refused}
        assert seen.keys() - refused == there | waiting, "the hub sees something else"
        assert not there & waiting, "somebody waits for what they have"
        for session in tuple(self.ledger.fates):
            self.ledger.fates[session] = self._fate(
                session, session in there, session in waiting, session in refused
            )
            if self.ledger.fates[session] is Fate.THERE:
                assert self.app.sessions.phase(seen[session]) is Phase.READY
        if len(self._of("queued", there)) < PLACES:
            assert not waiting, "there is room, and somebody waits"

    def _fate(self, session: SessionId, here: bool, waits: bool, refused: bool) -> Fate:
        """Check what has become of a session, and return what must be so from now on."""
        fate = self.ledger.fates[session]
        gone = fate is Fate.GONE or (
            fate is Fate.STOPPING and session not in self.ledger.killed_since
        )
        if gone:
            assert not here, f"{session} was stopped, and is there"
            assert not waits, f"{session} was stopped, and waits in the queue"
            return Fate.GONE
        assert here or fate is not Fate.THERE, f"{session} is lost"
        assert here or waits or refused or fate is not Fate.WAITS, f"{session}'s place is lost"
        if fate in {Fate.ENDED, Fate.THERE}:
            return fate
        if refused or session in self.ledger.ended:
            return Fate.ENDED
        return Fate.THERE if here else Fate.WAITS if waits else Fate.GONE

    def _of(self, profile: str, sessions: set[SessionId]) -> set[str]:
        return {
            one["Labels"][labels.SESSION]
            for one in self.engine.sessions()
            if one["Labels"][labels.PROFILE] == profile
        } & {str(one) for one in sessions}

    def _check_grants(self) -> None:
        for key, may in self.ledger.grants.items():
            if self.ledger.fates[key[0]] is not Fate.THERE:
                continue
            access = self.app.sessions.access(*key)
            role = access.role if access else None
            assert role in may, f"{key[1]} may {role} in {key[0]}, not {may}"
            self.ledger.grants[key] = {role}

    def _check_links(self) -> None:
        """Check that who came by a link and was cut off can come again."""
        for code, guests in self.ledger.tried.items():
            session = self.ledger.codes[code][0]
            if len(guests) > 1 or self.ledger.fates[session] is not Fate.THERE:
                continue
            (guest,) = guests
            if (code, guest) in self.ledger.asked_to_bar or self.app.sessions.owner(
                session
            ) == guest:
                continue
            if None not in self.ledger.may(session, guest):
                continue
            self.act(self.join(code, PEOPLE[guest]), wait=True)
            self.recheck(session, guest)

    def recheck(self, session: SessionId, guest: UserId) -> None:
        """Check that somebody is in."""
        access = self.app.sessions.access(session, guest)
        assert access is not None
        assert access.role is not None, f"{guest} cannot come by a link that nobody has used"
        self.ledger.grants[session, guest] = {access.role}
