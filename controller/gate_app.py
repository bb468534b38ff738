"""Puts a gate together: its parent process, and in each worker what follows and what answers."""

from __future__ import annotations

import hashlib
import secrets
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import msgspec
import structlog
import uvloop
from typing_extensions import override

from controller.core.errors import ConfigError, NotReadyYet
from controller.core.kept import Kept
from controller.core.records import Reading
from controller.gate.addresses import Address
from controller.gate.answers import NO_STORE, Answer, Headers, answer, problem_answer
from controller.gate.contract import AskFirst
from controller.gate.facts import Change, Extra, Site, Snapshot, Used
from controller.gate.follower import NOTHING_KEPT, Follower, Keeper
from controller.gate.freshness import Freshness, boot_clock
from controller.gate.keeping import Keeping
from controller.gate.link import client_context
from controller.gate.mirror import Mirror
from controller.gate.parent import Heartbeat, Parent, bind
from controller.gate.protocol import Listener
from controller.gate.sealed import SealedFile, machine_boot
from controller.gate.verify import Verify
from controller.monitoring.gate_metrics import GateMetrics
from controller.monitoring.verdicts import CONTENT_TYPE
from controller.people.handoff import Handoffs
from controller.people.proofs import Proofs
from controller.people.standing import Standing
from controller.people.tokens import Audience, Claims, KeyRing, PublicRing, TokenUnproven
from controller.people.verified import GateKeys, HeldKeys
from controller.settings.schema import Settings

_BOOT_BYTES = 8

_LEAVE_SECONDS = 3.0  # until idle connections of Traefik's are closed

_UNKNOWING_SECONDS = 1.0  # for which Traefik waits for a new worker to follow

_LOGINS_SECONDS = 5.0  # between two reports of log-ins: their use is written down by minutes

_NO_KEYS = KeyRing(())

_NOT_READY = problem_answer(NotReadyYet())

_JSON = NO_STORE | {"Content-Type": "application/json"}

_log = structlog.get_logger("gate")

Prove = Callable[[str, str], Awaitable[bytes]]
"""Returns the claims of a token that only a controller can read; b"": it proves nothing. Raises
TimeoutError if none can be asked; ``verify`` bounds how long an answer is waited for."""


class GateOptions(msgspec.Struct, frozen=True):
    """How a gate runs. ``name``: for good; ``folder``: where the controller has put its proof.

    ``kept``: where it keeps what it knows while no controller is there; None: nowhere.
    """

    name: str
    controller: Address
    folder: Path
    kept: Path | None
    listen: str
    port: int
    processes: int


class Disproven:
    """A bounded memory of tokens that prove nothing, as a controller has said.

    Who sends such a token again is not asked about again for a while. Not for ever: a controller
    whose clock or key ring differs may have been wrong.
    """

    def __init__(
        self, clock: Callable[[], float], *, size: int = 4096, seconds: float = 60.0
    ) -> None:
        """``clock``: monotonic seconds; ``size`` tokens are remembered, for ``seconds``."""
        self._clock = clock
        self._seconds = seconds
        self._since: Kept[bytes, float] = Kept(size)

    def add(self, token: str, audience: Audience) -> None:
        """Remember a token; the one that was remembered first makes room."""
        self._since.keep(_named(token, audience), self._clock())

    def has(self, token: str, audience: Audience) -> bool:
        """Tell whether a controller has said so of this token not long ago."""
        since = self._since.get(_named(token, audience))
        return since is not None and self._clock() - since < self._seconds


def _named(token: str, audience: Audience) -> bytes:
    # Tokens have up to 4096 characters, and anybody can send others.
    return hashlib.sha256(f"{audience.value} {token}".encode()).digest()


class AskingProofs(Proofs):
    """Proofs in a gate: what only a controller can read it is asked for."""

    def __init__(
        self,
        settings: Settings,
        standing: Standing,
        keys: HeldKeys,
        *,
        prove: Prove,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """``wall``: seconds since the epoch; ``clock``: monotonic seconds."""
        super().__init__(settings, standing, keys, wall=wall)
        self._prove = prove
        self._disproven = Disproven(clock)

    @override
    def read(self, token: str, audience: Audience) -> Claims | None:
        try:
            return super().read(token, audience)
        except TokenUnproven:
            if self._disproven.has(token, audience):
                return None
            raise AskFirst(partial(self._ask, token, audience)) from None

    async def _ask(self, token: str, audience: Audience) -> None:
        """Ask, and remember the answer."""
        if told := await self._prove(token, audience.value):
            self.remember(token, msgspec.msgpack.decode(told, type=Claims))
        else:
            self._disproven.add(token, audience)


class GateMemory:
    """Everything that one process of a gate knows, and verify upon it."""

    def __init__(self, metrics: GateMetrics) -> None:
        """Nothing is known yet. ``prove`` is to be set before anything is."""
        self._metrics = metrics
        self._keys = GateKeys(PublicRing(()), _NO_KEYS)
        self.prove: Prove = _nobody
        self._standing = Standing(time.time)
        self._mirror = Mirror(wall=time.time, clock=time.monotonic)
        self._site: Site | None = None
        self._reported = 0.0  # when log-ins were last; wall
        self.verify: Verify | None = None

    @property
    def traefik(self) -> bytes:
        """Return Traefik's configuration of the companions; b"": it is not known."""
        return self._mirror.traefik

    # -- what is heard ---------------------------------------------------------------------

    def replace(self, snapshot: Snapshot) -> None:
        """Know this, and nothing else."""
        self._take(snapshot.extra)
        read = Reading(snapshot.logins, snapshot.revision)
        self._standing.follow(read, proven=lambda _: True)
        self._mirror.replace(snapshot)
        if snapshot.site != self._site:  # else the codes that were used stay known
            self._site = snapshot.site
            self.verify = self._verify(snapshot.site)

    def apply(self, change: Change) -> None:
        """Know this, too."""
        if change.extra is not None:
            self._take(change.extra)
        for login in change.logins:
            self._standing.put(login)
        ended = (self._standing.get(sid) for sid in change.ended)
        self._standing.end([one for one in ended if one is not None], asked=False)
        if change.revision is not None:
            self._standing.revision = change.revision
        self._mirror.apply(change)

    def _take(self, extra: Extra) -> None:
        self._keys.ring = msgspec.msgpack.decode(extra.keys, type=PublicRing)
        entries = extra.entries
        self._keys.entries = msgspec.msgpack.decode(entries, type=KeyRing) if entries else _NO_KEYS

    def snapshot(self) -> Snapshot | None:
        """Return all that is known; None: nothing. No controller's change follows upon it."""
        if self._site is None:
            return None
        return Snapshot(
            number=0,
            site=self._site,
            sessions=self._mirror.sessions,
            logins=tuple(self._standing.all()),
            revision=self._standing.revision,
            extra=Extra(
                keys=msgspec.msgpack.encode(self._keys.ring),
                entries=msgspec.msgpack.encode(self._keys.entries),
                companions=self._mirror.companions,
                traefik=self._mirror.traefik,
            ),
        )

    def _verify(self, site: Site) -> Verify:
        proofs = AskingProofs(
            site.settings,
            self._standing,
            self._keys,
            prove=self.prove,
            wall=time.time,
            clock=time.monotonic,
        )
        return Verify(
            site.settings,
            self._mirror,
            proofs,
            self._mirror,
            entries=Handoffs(site.settings, proofs, self._keys, wall=time.time),
            closed=site.closed,
            metrics=self._metrics,
        )

    # -- what is told ----------------------------------------------------------------------

    def report(self) -> Used | None:
        """Return what was used since the last time; None: nothing."""
        now = time.time()
        logins: dict[str, float] = {}
        if not 0 <= now - self._reported < _LOGINS_SECONDS:
            logins = {sid: now - at for sid, at in self._standing.used() if at > self._reported}
            self._reported = now
        return self._mirror.report(logins)


async def _nobody(token: str, audience: str) -> bytes:
    del token, audience
    raise TimeoutError


class Door:
    """What a worker serves: verify as long as what it knows is fresh, and a word on itself."""

    def __init__(self, memory: GateMemory, freshness: Freshness, metrics: GateMetrics) -> None:
        self._memory = memory
        self._freshness = freshness
        self._metrics = metrics

    def answer(self, path: str, headers: Headers) -> Answer:
        """Return the answer to Traefik's question. Raises AskFirst."""
        verify = self._memory.verify
        if verify is None:
            return _NOT_READY
        if not self._freshness.may_judge():
            if self._freshness.may_come:
                raise AskFirst(self._freshness.wait)
            return _NOT_READY
        return verify.answer(path, headers)

    async def answer_after(self, asked: AskFirst, path: str, headers: Headers) -> Answer:
        """Return the answer once what must be asked first has been answered."""
        if not self._freshness.may_judge():
            # Perhaps since a token was to be asked about: first the stream has to be heard again.
            await self._freshness.wait()
            try:
                return self.answer(path, headers)
            except AskFirst as again:
                asked = again
        verify = self._memory.verify
        return _NOT_READY if verify is None else await verify.answer_after(asked, path, headers)

    def others(self) -> dict[str, Callable[[], Answer]]:
        """Return what else is answered, by its path."""
        return {
            "/healthz": lambda: answer(200, _JSON, b'{"alive":true}'),
            "/readyz": self._ready,
            "/metrics": lambda: answer(
                200, NO_STORE | {"Content-Type": CONTENT_TYPE}, self._metrics.text()
            ),
            "/traefik": self._traefik,
        }

    def _ready(self) -> Answer:
        ready = self._memory.verify is not None and self._freshness.may_judge()
        told = {"ready": ready, "alone": self._freshness.alone}
        return answer(200 if ready else 503, _JSON, msgspec.json.encode(told))

    def _traefik(self) -> Answer:
        if not self._memory.traefik:
            # Traefik keeps its earlier configuration, instead of one without companions.
            return _NOT_READY
        return answer(200, _JSON, self._memory.traefik)


async def work(options: GateOptions, index: int, sock: socket.socket, beat: Heartbeat) -> None:
    """Be a worker until SIGTERM or SIGINT."""
    freshness = Freshness()
    metrics = GateMetrics(fresh=freshness.may_judge, alone=lambda: freshness.alone)
    memory = GateMemory(metrics)
    door = Door(memory, freshness, metrics)
    name = f"{options.name}-{index}".lower()
    follower = Follower(
        options.controller,
        memory,
        freshness,
        name=name,
        boot=secrets.token_hex(_BOOT_BYTES),
        connect_by=lambda: client_context(options.folder),
        clock=boot_clock,
        keeping=keeping_of(options, name, memory, freshness),
    )
    memory.prove = follower.prove
    listener = Listener(door, door.others())
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as group:
            group.start_soon(beat.run)
            group.start_soon(follower.run)
            group.start_soon(open_door, listener, sock, follower.known)
            async for received in signals:
                _log.info("stopping", signal=received.name)
                break
            await listener.stop(_LEAVE_SECONDS)
            await follower.say_goodbye()
            group.cancel_scope.cancel()


def keeping_of(options: GateOptions, name: str, memory: GateMemory, freshness: Freshness) -> Keeper:
    """Return what this process keeps for its next start; ``name``: that of the process."""
    if options.kept is None:
        return NOTHING_KEPT
    machine = machine_boot()
    return Keeping(
        SealedFile(options.kept, options.folder, name, machine),
        freshness,
        snapshot=memory.snapshot,
        replace=memory.replace,
        clock=boot_clock,
        machine=machine,
    )


async def open_door(listener: Listener, sock: socket.socket, known: anyio.Event) -> None:
    """Listen once something is known: until then Traefik is refused, and asks another gate.

    A worker that replaces another one cannot refuse: the socket listens on. It soon says itself
    that it knows nothing.
    """
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    with anyio.move_on_after(_UNKNOWING_SECONDS if listens else None):
        await known.wait()
    await listener.start(sock)
    _log.info("serving")


async def rehearse() -> None:
    """Use what is loaded or made ready at its first use only: parts of anyio, and OpenSSL.

    A worker that did so itself would have a copy of its own, and answer later.
    """
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)


def run_gate(options: GateOptions) -> None:
    """Run a gate until SIGTERM or SIGINT. Raises ConfigError if its port is taken."""
    try:
        sock = bind(options.listen, options.port)
    except OSError as error:
        raise ConfigError(
            [f"--port (SLICERHUB_GATE_PORT): cannot listen at {options.port} ({error})."]
        ) from error

    def run(index: int, shared: socket.socket, beat: Heartbeat) -> None:
        uvloop.run(work(options, index, shared, beat))

    uvloop.run(rehearse())  # its loop has ended, and left no thread, before the first worker begins
    Parent(run, sock, workers=options.processes).serve()
