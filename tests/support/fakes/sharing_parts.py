"""The parts of sharing, without a hub around them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager

import anyio

from controller.core.model import Observed, Person, Role, UserId
from controller.core.records import Actor, Login, Reading
from controller.people.logins import Logins
from controller.people.tokens import Audience, Keys
from controller.sessions.cutting import CutTimes
from controller.sessions.gateway import Client, Inside
from controller.sessions.polling import Poller
from controller.sessions.sharing import Sharing
from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING, Settings
from tests.support.fakes.directory import PEOPLE, FakeDirectory
from tests.support.fakes.parts import Parts, configured
from tests.support.hub import RING, eventually
from tests.support.samples import CREATED, session

ALICE, BOB, CAROL = PEOPLE["alice"], PEOPLE["bob"], PEOPLE["carol"]

OWNER = Actor(ALICE.uid)

TIMES = CutTimes(within=0.05, again=0.01, check_after=(0.01,))


def shared(more: str = "") -> Settings:
    """Return the settings of a hub on which sessions are shown to others."""
    return configured(more, session_domain=PATH_MODE, path_mode_sharing=PATH_MODE_SHARING)


class SharingParts(Parts):
    """Sessions that are shown to others; the records can be away."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Begin with one session, Alice's, that is ready."""
        super().__init__(settings or shared())
        self.records = self.grant_records
        self.directory = FakeDirectory()
        self.logins = Logins(
            self.settings,
            self.directory,
            self.store,
            Keys(RING),
            audit=self.audit,
            metrics=self.metrics,
            wall=self.epoch,
        )
        self.poller = Poller(self.sessions, self.engine, self.gateway, self.metrics)
        self.sharing = Sharing(
            self.settings,
            self.sessions,
            self.grants,
            self.records,
            self.poller,
            logins=self.logins,
            gateway=self.gateway,
            directory=self.directory,
            audit=self.audit,
            metrics=self.metrics,
            clock=lambda: self.seconds,
            times=TIMES,
        )
        self.show(self.running(1))
        self.seen = self.ready(1)

    def running(self, number: int, owner: Person = ALICE, profile: str = "slicer") -> Observed:
        """Return a session as the engine shows it."""
        made = session(number, owner=owner.uid, profile=profile, created_at=self.now)
        return Observed(session=made, running=True)

    def ready(self, number: int) -> Observed:
        """Return a session that the engine shows, served from now on."""
        seen = next(one for one in self.sessions.all() if one.session.id == session(number).id)
        known = self.registry.get(seen.session.id)
        assert known is not None
        known.served = True
        return self.registry.put(seen).seen

    async def invite(self, person: Person = BOB, role: Role = Role.VIEW) -> None:
        """Let somebody into Alice's session, as her invitation does."""
        await self.records.invite(self.seen.session.id, person, role, seconds=None)

    async def log_in(self, person: Person, *, script: bool = False) -> Login:
        """Log somebody in."""
        audience = Audience.API if script else Audience.LOGIN
        fresh = await self.logins.entering.enter(
            person.uid, person.uid, address="10.0.0.1", audience=audience
        )
        return fresh.login

    async def hear_late(self) -> None:
        """Be one of several controllers from now on."""
        before = await self.store.read_logins()

        async def read() -> Reading:
            return Reading(before.logins, revision=1)

        self.store.read_logins = read  # pyright: ignore[reportAttributeAccessIssue] - one file has no others
        await self.logins.following.load()

    def connect(self, *people: tuple[Person, Role]) -> None:
        """Let Alice's session say that these people are connected."""
        self.gateway.insides[self.seen.session.id] = inside(*people)

    @property
    def kicked(self) -> list[UserId]:
        """Return whom Alice's session was asked to cut."""
        return [uid for one, uid in self.gateway.kicked if one == self.seen.session.id]

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None, None]:
        """Run what goes on beside the acts."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.sharing.run)
            tasks = self.sharing._tasks  # pyright: ignore[reportPrivateUsage] - what it runs
            await eventually(lambda: tasks.running)
            yield
            group.cancel_scope.cancel()


def inside(*people: tuple[Person, Role]) -> Inside:
    """Return what a session with these people in it says."""
    return Inside(clients=tuple(Client(one.uid, role, CREATED) for one, role in people))


def acts(logs: Iterable[Mapping[str, object]], *names: str) -> list[tuple[object, ...]]:
    """Return each act that was put on record, with these details of it."""
    found = [one for one in logs if one.get("log") == "audit"]
    return [(one["event"], *(one.get(name) for name in names)) for one in found]
