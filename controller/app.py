"""Puts the parts together: the public application, the private one, and the program that runs."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
from litestar.types import ASGIApp

from controller import server
from controller.administration.acts import Acts
from controller.administration.history import History
from controller.administration.table import Table
from controller.administration.users import People
from controller.core.changes import ChangeCount
from controller.core.everywhere import Everywhere
from controller.engines import Orchestrator
from controller.feed.feed import Feed
from controller.feed.gates import Gates, Presence
from controller.feed.proofs import ProofStorage
from controller.feed.publisher import Sources
from controller.gate.facts import Extra, Site, settings_for_gates
from controller.gate.refusals import Closed
from controller.gate.verify import Verify
from controller.housekeeping.departures import DirectoryCheck
from controller.housekeeping.election import Alone, Election
from controller.housekeeping.rotation import Rotation
from controller.housekeeping.rounds import Housekeeping
from controller.housekeeping.store_sync import StoreSync
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.parts import (
    make_election,
    make_orchestrator,
    make_presence,
    make_proof_storage,
    open_store,
)
from controller.people.desk import Desk
from controller.people.directory import Directory
from controller.people.handoff import Handoffs
from controller.people.keys import KeyStorage
from controller.people.ldap.adapter import LdapDirectory
from controller.people.logins import Logins
from controller.people.tokens import Audience, Keys, TokenRefused
from controller.sessions.ahead import StartAhead
from controller.sessions.gateway import Gateway, OpenGateway, TraefikGateway
from controller.sessions.grant_records import GrantRecords
from controller.sessions.grants import Grants
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.store import MarkStore, Store, data_folder
from controller.web.answers import closed_pages
from controller.web.bodies import timely
from controller.web.companions import Companions
from controller.web.health import Health
from controller.web.private import Gauges, private_app
from controller.web.public import public_app, secured
from controller.web.render import Renderer
from controller.web.services import Services
from controller.web.streams import Streams


class Application:
    """All parts of one controller, wired."""

    def __init__(
        self,
        settings: Settings,
        *,
        orchestrator: Orchestrator,
        gateway: Gateway,
        directory: Directory,
        store: Store,
        keys: Keys,
        key_storage: KeyStorage | None = None,
        election: Election | None = None,
        marks: MarkStore | None = None,
        presence: Presence | None = None,
        proofs: ProofStorage | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``clock``: monotonic seconds; ``wall``: seconds since the epoch. ``run`` begins.

        Without an ``election`` this is the only controller, without a ``key_storage`` the keys stay
        as they are, without ``proofs`` there are no gates; ``marks`` are for several controllers,
        ``presence`` for gates on a cluster.
        """
        self.settings = settings
        self.election = election = election or Alone()
        self.metrics = metrics or Metrics()
        self.audit = Audit(settings.audit, self.metrics, wall=wall)
        self._orchestrator = orchestrator = self.metrics.measured("engine", orchestrator)
        directory = self.metrics.measured("directory", directory)
        self._store = store = self.metrics.measured("store", store)
        self.changes = ChangeCount()  # of what gates need to know
        self.everywhere = Everywhere()
        self.grants = Grants(count=settings.sharing, wall=wall, changes=self.changes)
        self.grant_records = GrantRecords(self.grants, store, wall=wall)
        self.sessions = Sessions(
            settings,
            orchestrator,
            gateway,
            store,
            grants=self.grants,
            audit=self.audit,
            metrics=self.metrics,
            clock=clock,
            wall=lambda: datetime.fromtimestamp(wall(), UTC),
            leads=lambda: election.leading,
            changes=self.changes,
        )
        self.poller = Poller(self.sessions, orchestrator, gateway, self.metrics)
        self.logins = Logins(
            settings,
            directory,
            store,
            keys,
            audit=self.audit,
            metrics=self.metrics,
            wall=wall,
            changes=self.changes,
            everywhere=self.everywhere,
        )
        self.sharing = Sharing(
            settings,
            self.sessions,
            self.grants,
            self.grant_records,
            self.poller,
            logins=self.logins,
            gateway=gateway,
            directory=directory,
            audit=self.audit,
            metrics=self.metrics,
            clock=clock,
            everywhere=self.everywhere,
        )
        self.store_sync = StoreSync(
            store,
            logins=self.logins,
            grant_records=self.grant_records,
            queue=self.sessions.queue,
            rule_book=self.sessions.rule_book,
            withdrawn=self.sharing.cutting.check_after,
        )
        self.rotation = (
            Rotation(
                keys,
                key_storage,
                logins=self.logins,
                audit=self.audit,
                seconds=settings.login.hours * 3600,
                wall=wall,
                leads=lambda: election.leading,
            )
            if key_storage is not None
            else None
        )
        self.handoffs = Handoffs(settings, self.logins.proofs, keys, wall=wall)
        self.companions = Companions(settings, orchestrator, changed=self.sessions.announce)
        acts = Acts(
            settings,
            self.sessions,
            grant_records=self.grant_records,
            store=store,
            audit=self.audit,
            wall=wall,
        )
        self.history = History(self.sessions, self.poller, wall=wall)
        desk = Desk(settings, store)
        renderer = Renderer()
        self.services = Services(
            settings=settings,
            sessions=self.sessions,
            sharing=self.sharing,
            poller=self.poller,
            streams=Streams(self.sessions, self.logins, wall=wall),
            logins=self.logins,
            handoffs=self.handoffs,
            desk=desk,
            start_ahead=StartAhead(self.sessions, desk),
            directory=directory,
            companions=self.companions,
            table=Table(self.sessions, self.poller),
            acts=acts,
            people=People(
                self.sessions, self.logins, orchestrator, self.audit, wall=wall, clock=clock
            ),
            history=self.history,
            renderer=renderer,
        )
        self.housekeeping = Housekeeping(
            settings,
            self.sessions,
            self.logins,
            poller=self.poller,
            sharing=self.sharing,
            directory_check=DirectoryCheck(
                settings,
                directory,
                self.logins,
                sessions=self.sessions,
                revoking=self.sharing.revoking,
                clock=clock,
            ),
            acts=acts,
            history=self.history,
            metrics=self.metrics,
            clock=clock,
            wall=wall,
            leads=lambda: election.leading,
        )
        closed = closed_pages(renderer, settings)
        self._marks = marks
        self._presence = presence
        self.feed = self._feed(proofs, keys, closed, clock, wall) if proofs is not None else None
        public = timely(public_app(self.services, closed))
        if self.feed is not None:
            self.everywhere.gates = self.feed
            public = self.feed.answers_after(public)
        self.public: ASGIApp = secured(public, https=settings.secure)
        verify = Verify(
            settings,
            self.sessions,
            self.logins.proofs,
            self.companions,
            entries=self.handoffs,
            closed=closed,
            metrics=self.metrics,
        )
        self.health = Health(
            self.sessions,
            {"store": store.ping, "engine": orchestrator.ping, "directory": directory.ping},
        )
        self.private: ASGIApp = private_app(verify, self.health, self.metrics, self.companions)
        self.metrics.watch(
            "slicerhub_gates",
            "Processes of gates that there may be: following this controller, another one, or none",
            ("state",),
            lambda: [((state,), number) for state, number in self._gates().items()],
        )
        Gauges(settings, self.sessions, self.sharing, self.poller, self.logins, orchestrator).watch(
            self.metrics
        )

    def _gates(self) -> dict[str, int]:
        nobody = {"following": 0, "elsewhere": 0, "away": 0}
        return self.feed.gates.numbers() if self.feed else nobody

    def _feed(
        self,
        proofs: ProofStorage,
        keys: Keys,
        closed: Closed,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> Feed:
        """Make what gates follow."""

        def extra() -> Extra | None:
            if not self.companions.ready:
                return None
            return Extra(
                keys=msgspec.msgpack.encode(keys.ring.public()),
                entries=msgspec.msgpack.encode(keys.ring.entries()),
                companions=tuple(self.companions.all()),
                traefik=msgspec.json.encode(self.companions.configuration()),
            )

        def prove(token: str, audience: str) -> bytes:
            try:
                claims = keys.ring.verify(token, Audience(audience), wall())
            except (TokenRefused, ValueError):
                return b""
            return msgspec.msgpack.encode(claims)

        async def learn() -> None:
            await self.store_sync.hear()
            feed.publish()

        feed = Feed(
            Site(settings_for_gates(self.settings), closed),
            Sources(self.sessions.registry, self.grants, self.logins.standing, extra=extra),
            Gates(
                self._store,
                self.sessions.usage,
                self.logins.standing,
                clock=clock,
                wall=wall,
                learn=learn if self._marks else None,
                presence=self._presence,
            ),
            self.changes,
            proofs=proofs,
            listen=self.settings.listen,
            port=self.settings.gates.port,
            prove=prove,
            wall=wall,
            others=self._marks,
        )
        if feed.agreement is not None:
            self.store_sync.answer_by(feed.agreement)
        return feed

    async def run(self) -> None:
        """Follow the engine and do the housekeeping until cancelled."""
        self.audit.start()
        await self.store_sync.load()
        try:
            async with anyio.create_task_group() as group:
                if self.feed is not None:
                    group.start_soon(self.feed.run)
                group.start_soon(self.companions.run)
                group.start_soon(self.store_sync.run)
                group.start_soon(self.election.run)
                group.start_soon(self.sharing.run)
                group.start_soon(self.housekeeping.run)
                if self.rotation is not None:
                    group.start_soon(self.rotation.run)
                await self.sessions.run()
        finally:
            with anyio.CancelScope(shield=True):
                await self.store_sync.write_down()
                await self._orchestrator.aclose()
            await self.audit.stop()

    def leave(self) -> None:
        """Report from now on that requests should go to other controllers."""
        self.health.leaving = True

    async def finish(self, seconds: float) -> None:
        """Begin nothing new, and wait up to so long for launches and stops that are under way."""
        await self.sessions.finish(seconds)

    async def aclose(self) -> None:
        """Close the store; ``run`` has closed all else."""
        await self._store.aclose()


async def build(settings: Settings) -> Application:
    """Make the real parts that the settings name.

    Raises ConfigError for an unusable key ring, StoreUnavailable where that is in the cluster and
    cannot be read.
    """
    # A new one at each start, so that two processes on one machine are not taken for one.
    identity = f"{platform.node()}-{secrets.token_hex(4)}"
    store, key_storage = open_store(settings, identity)
    try:
        keys = Keys(await key_storage.key_ring())
    except BaseException:
        await store.aclose()
        raise
    orchestrator = make_orchestrator(settings)
    metrics = Metrics()
    gateway: Gateway = (
        OpenGateway()
        if settings.orchestrator == "memory"
        else TraefikGateway(settings, keys, time.time, metrics)
    )
    return Application(
        settings,
        orchestrator=orchestrator,
        gateway=gateway,
        directory=LdapDirectory(settings.ldap),
        store=store,
        keys=keys,
        key_storage=key_storage,
        election=make_election(settings, identity),
        marks=store if isinstance(store, MarkStore) else None,
        presence=make_presence(settings),
        proofs=make_proof_storage(settings),
        metrics=metrics,
    )


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises ConfigError, besides what ``build`` does, if the data folder is another hub's or in use.
    """
    with ExitStack() as stack:
        if settings.store == "sqlite":
            stack.enter_context(data_folder.held(Path(settings.data_dir), settings.instance))
        await server.serve(await build(settings), settings)
