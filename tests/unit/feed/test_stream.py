"""A gate follows a controller, over the real TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
import trustme

from controller.core.model import Person, Phase, SessionId, UserId
from controller.core.records import Login
from controller.feed import server as server_module
from controller.feed.certificates import Proofs, hand_out, make_proofs, server_context
from controller.feed.server import FeedServer
from controller.gate.addresses import Address, next_host
from controller.gate.answers import Answer
from controller.gate.facts import (
    Change,
    Extra,
    Facts,
    SessionFacts,
    Site,
    Snapshot,
    Used,
    change_between,
)
from controller.gate.follower import NOTHING_KEPT, Follower
from controller.gate.freshness import SILENCE_SECONDS, Freshness, boot_clock
from controller.gate.keeping import Keeping
from controller.gate.kept import KEPT_SECONDS, KeptSnapshot
from controller.gate.link import CONTROLLER_NAME, LINK_FILE, client_context
from controller.gate.refusals import Closed
from controller.gate.sealed import SealedFile, machine_boot
from controller.settings.schema import Settings
from tests.support.waits import become

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
PAGE = Answer(403, ())
SITE = Site(Settings(), Closed(PAGE, PAGE, PAGE, PAGE))
EXTRA = Extra(b"keys", b"entry")
HOLD = "hold"  # a token over which a controller stands still
ALICE = Person(UserId("alice"), "Alice")


def session(letter: str, phase: Phase = Phase.READY) -> SessionFacts:
    """Return a session of alice's."""
    return SessionFacts(SessionId(letter * 26), ALICE.uid, phase)


def facts(*sessions: SessionFacts) -> Facts:
    """Return facts with these sessions, and one log-in."""
    login = Login("sid", ALICE, created=NOW, expires=NOW + 3600)
    return Facts({one.id: one for one in sessions}, {"sid": login}, 0, EXTRA)


class Hub:
    """What hears gates, in place of the sessions and log-ins of a hub."""

    def __init__(self) -> None:
        """Nothing was heard."""
        self.joined_by: list[str] = []
        self.numbers: dict[str, int] = {}
        self.reports: list[Used] = []
        self.gone: dict[str, bool] = {}
        self.silent: dict[str, bool] = {}

    def joined(self, name: str, boot: str, admit: Callable[[], None]) -> None:
        """A gate has begun to follow."""
        self.joined_by.append(name)
        admit()
        self.numbers.setdefault(boot, 0)

    def confirmed(self, name: str, boot: str, number: int) -> None:
        """Everything up to this number counts there."""
        assert boot.startswith(name)
        self.numbers[boot] = number

    def used(self, used: Used) -> None:
        """A gate reports what was used."""
        self.reports.append(used)

    def left(self, name: str, boot: str, *, for_good: bool, silent: bool) -> None:
        """A gate follows no more."""
        assert boot.startswith(name)
        self.gone[boot] = for_good
        self.silent[boot] = silent


class Memory:
    """What a gate was told."""

    def __init__(self) -> None:
        """Nothing was."""
        self.kept: Path | None = None  # a file that must not be there when something is told
        self.found: list[bool] = []  # whether it was
        self.snapshots: list[Snapshot] = []
        self.sessions: dict[str, Phase] = {}
        self.to_report: Used | None = None

    def replace(self, snapshot: Snapshot) -> None:
        """Know this, and nothing else."""
        self.snapshots.append(snapshot)
        self.found.append(self.kept is not None and self.kept.exists())
        self.sessions = {one.id: one.phase for one in snapshot.sessions}

    def apply(self, change: Change) -> None:
        """Know this, too."""
        self.sessions |= {one.id: one.phase for one in change.sessions}
        for session_id in change.gone:
            del self.sessions[session_id]

    def snapshot(self) -> Snapshot | None:
        """Return what was told last."""
        return self.snapshots[-1] if self.snapshots else None

    def report(self) -> Used | None:
        """Return what was used since the last time; None: nothing."""
        told, self.to_report = self.to_report, None
        return told


class Controller:
    """A controller's side of the stream, which can be stopped and started again."""

    def __init__(self, folder: Path, port: int, host: str = "127.0.0.1") -> None:
        """``folder``: where gates find what proves them."""
        self.hub = Hub()
        self.folder = folder
        self.port = port
        self.host = host
        self.going_on = threading.Event()
        self.proofs: Proofs | None = None  # those of all controllers, where there are several
        self.facts: Facts | None = None
        self.number = 0
        self.server: FeedServer | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve gates meanwhile, by proofs made anew."""
        proofs = self.proofs or make_proofs(NOW - 365 * 86400)
        hand_out(proofs, self.folder)
        server = FeedServer(
            host=self.host,
            port=self.port,
            site=SITE,
            heard=self.hub,
            prove=self._prove,
        )
        with server.running(server_context(proofs)):
            self.server, self.facts, self.number = server, None, 0
            yield
            self.server = None

    def _prove(self, token: str, audience: str) -> bytes:
        if token == HOLD:
            self.going_on.wait()
        return f"{audience} of {token}".encode()

    def tell(self, after: Facts) -> int:
        """Tell gates of a change; return its number."""
        self.number += 1
        change = change_between(self.facts, after, self.number) if self.facts else None
        assert self.server
        self.server.tell(after, change, self.number)
        self.facts = after
        return self.number


class Gate:
    """A gate's side."""

    def __init__(
        self,
        controller: Controller,
        *others: Controller,
        name: str = "gate-1",
        kept: Path | None = None,
        later: float = 0.0,
    ) -> None:
        """Nothing is followed yet; of several controllers it begins with the first.

        ``kept``: where it keeps what it knows; ``later``: seconds by which its clock is ahead.
        """
        self.hosts = sorted(one.host for one in (controller, *others))

        async def find(_: Address) -> list[str]:
            if not self.hosts:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return self.hosts

        def clock() -> float:
            return boot_clock() + self.later

        self.later = later
        self.memory = Memory()
        self.freshness = Freshness(clock)
        self.file = SealedFile(kept or controller.folder, controller.folder, name, machine_boot())
        self.keeping = Keeping(
            self.file,
            self.freshness,
            snapshot=self.memory.snapshot,
            replace=self.memory.replace,
            clock=clock,
            machine=machine_boot(),
        )
        self.follower = Follower(
            Address("controllers", controller.port),
            self.memory,
            self.freshness,
            name=name,
            boot=f"{name}-boot",
            connect_by=lambda: client_context(controller.folder),
            clock=clock,
            find=find,
            keeping=self.keeping if kept else NOTHING_KEPT,
        )


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    """Give a controller that does not run yet."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return Controller(tmp_path, port)


@asynccontextmanager
async def following(*gates: Gate) -> AsyncGenerator[None]:
    """Let gates follow meanwhile."""
    async with anyio.create_task_group() as group:
        for gate in gates:
            group.start_soon(gate.follower.run)
        yield
        group.cancel_scope.cancel()


async def test_follows(controller: Controller) -> None:
    """A gate hears everything, then each change, and confirms it."""
    gate = Gate(controller)
    async with controller.running(), following(gate):
        controller.tell(facts(session("a")))
        await become(gate.freshness.may_judge)
        assert gate.memory.snapshots[0].logins[0].person == ALICE
        assert gate.memory.snapshots[0].site == SITE
        number = controller.tell(facts(session("a", Phase.STOPPING), session("b")))
        await become(lambda: controller.hub.numbers.get("gate-1-boot") == number)
        assert gate.memory.sessions == {"a" * 26: Phase.STOPPING, "b" * 26: Phase.READY}


async def test_waits_for_a_controller_that_starts(controller: Controller) -> None:
    """A gate that follows before the controller has read its sessions lets nobody pass yet."""
    gate = Gate(controller)
    async with following(gate), controller.running():
        await become(lambda: controller.hub.joined_by)
        assert not gate.freshness.may_judge()
        controller.tell(facts())
        await become(gate.freshness.may_judge)


async def test_goes_on_alone_and_follows_again(controller: Controller) -> None:
    """While its controller restarts a gate goes on with what it knows; then it hears everything."""
    gate = Gate(controller)
    async with following(gate):
        async with controller.running():
            controller.tell(facts(session("a")))
            await become(gate.freshness.may_judge)
        await become(lambda: gate.freshness.alone)
        assert gate.freshness.may_judge()
        assert gate.memory.sessions == {"a" * 26: Phase.READY}
        async with controller.running():
            await become(lambda: len(controller.hub.joined_by) == 2)
            assert gate.freshness.alone  # that one knows nothing yet
            controller.tell(facts(session("b")))
            await become(lambda: not gate.freshness.alone)
            assert gate.memory.sessions == {"b" * 26: Phase.READY}


class Lacking(msgspec.Struct, tag="Snapshot"):
    """A snapshot of a controller of another version, without what this gate needs."""

    number: int


def lacking(facts: Facts, *, number: int, site: Site) -> Lacking:
    """Return such a snapshot, whatever is told."""
    del facts, site
    return Lacking(number)


async def test_a_snapshot_that_it_cannot_read(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate of another version than its controller goes on alone, and follows once it can."""
    gate = Gate(controller)
    async with following(gate):
        async with controller.running():
            controller.tell(facts(session("a")))
            await become(gate.freshness.may_judge)
        await become(lambda: gate.freshness.alone)
        with monkeypatch.context() as other:
            other.setattr(server_module, "snapshot_of", lacking)
            async with controller.running():
                controller.tell(facts(session("b")))
                await become(lambda: len(controller.hub.joined_by) >= 4)
                assert gate.freshness.alone
                assert gate.memory.sessions == {"a" * 26: Phase.READY}
        async with controller.running():
            controller.tell(facts(session("b")))
            await become(lambda: not gate.freshness.alone)
            assert gate.memory.sessions == {"b" * 26: Phase.READY}


async def test_two_gates(controller: Controller) -> None:
    """Every gate hears of every change, and which one has confirmed it is told apart."""
    gates = [Gate(controller, name="gate-1"), Gate(controller, name="gate-2")]
    async with controller.running(), following(*gates):
        controller.tell(facts())
        number = controller.tell(facts(session("a")))
        await become(lambda: [*controller.hub.numbers.values()] == [number, number])
        assert set(controller.hub.numbers) == {"gate-1-boot", "gate-2-boot"}


@pytest.fixture
def two(controller: Controller) -> tuple[Controller, Controller]:
    """Give two controllers that do not run yet; a gate begins with the first."""
    other = Controller(controller.folder, controller.port, "127.0.0.2")
    controller.proofs = other.proofs = make_proofs(NOW - 365 * 86400)
    first = next_host((controller.host, other.host), "", "gate-1")
    return (controller, other) if first == controller.host else (other, controller)


async def test_another_one_goes_on(two: tuple[Controller, Controller]) -> None:
    """When its controller ends, a gate follows the other one, and nobody notices."""
    one, other = two
    gate = Gate(one, other)
    async with other.running():
        other.tell(facts(session("a"), session("b")))
        async with following(gate):
            async with one.running():
                one.tell(facts(session("a")))
                await become(gate.freshness.may_judge)
                assert one.hub.joined_by == ["gate-1"]
                assert other.hub.joined_by == []
            await become(lambda: other.hub.joined_by)
            await become(lambda: "b" * 26 in gate.memory.sessions)
            assert gate.freshness.may_judge()
            await become(lambda: not gate.freshness.alone)


async def test_another_one_instead_of_a_silent_one(two: tuple[Controller, Controller]) -> None:
    """When its controller answers no more, a gate follows the other one before it has to deny."""
    one, other = two
    gate = Gate(one, other)
    denied: list[float] = []

    async def watch() -> None:
        while True:
            if not gate.freshness.may_judge():
                denied.append(boot_clock())
            await anyio.sleep(0.01)

    async with one.running(), other.running(), following(gate):
        for each in two:
            each.tell(facts(session("a")))
        await become(gate.freshness.may_judge)
        assert one.hub.joined_by == ["gate-1"]
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            group.start_soon(gate.follower.prove, HOLD, "login")
            await become(lambda: other.hub.numbers.get("gate-1-boot"))
            await anyio.sleep(SILENCE_SECONDS)
            group.cancel_scope.cancel()
        one.going_on.set()
    assert denied == []


async def test_not_one_that_tells_nothing(two: tuple[Controller, Controller]) -> None:
    """A controller that cannot tell what others have written is left for another one."""
    one, other = two
    gate = Gate(one, other)
    async with one.running(), other.running(), following(gate):
        other.tell(facts(session("a")))
        await become(lambda: one.hub.joined_by)
        await become(gate.freshness.may_judge)
        assert gate.memory.sessions == {"a" * 26: Phase.READY}


async def test_reports(controller: Controller) -> None:
    """What people do at a gate reaches the controller."""
    gate = Gate(controller)
    used = Used(sessions={SessionId("a" * 26): 1.5}, logins={"sid": 2.0})
    async with controller.running(), following(gate):
        controller.tell(facts(session("a")))
        gate.memory.to_report = used
        await become(lambda: controller.hub.reports)
    assert controller.hub.reports == [used]


async def test_asks_about_tokens(controller: Controller) -> None:
    """What only a controller can read a gate asks, and gives up where there is none."""
    gate = Gate(controller)
    async with following(gate):
        async with controller.running():
            controller.tell(facts())
            await become(gate.freshness.may_judge)
            assert await gate.follower.prove("old", "login") == b"login of old"
        await become(lambda: gate.freshness.alone)
        with pytest.raises(TimeoutError):
            await gate.follower.prove("old", "login")


async def test_goodbye(controller: Controller) -> None:
    """A gate that is stopped tells it, and is waited for no more."""
    gate = Gate(controller)
    async with controller.running(), following(gate):
        controller.tell(facts())
        await become(gate.freshness.may_judge)
        await gate.follower.say_goodbye()
        await become(lambda: controller.hub.gone.get("gate-1-boot"))


async def test_given_up_only_once_it_denies(controller: Controller) -> None:
    """A gate that stands still is given up, and lets nobody pass by then, nor afterwards."""
    gate = Gate(controller)
    async with controller.running(), following(gate):
        controller.tell(facts())
        await become(gate.freshness.may_judge)
        async with gate.follower.sending:  # it asks nothing any more
            await become(lambda: controller.hub.silent.get("gate-1-boot"))
            assert not gate.freshness.may_judge()
            assert not gate.freshness.alone
        await become(gate.freshness.may_judge)


async def test_not_struck_off_while_it_goes_on_alone(controller: Controller) -> None:
    """A gate that stands still before it was told anything is waited for: it does not deny."""
    gate = Gate(controller)
    async with following(gate):
        async with controller.running():
            controller.tell(facts())
            await become(gate.freshness.may_judge)
        await become(lambda: gate.freshness.alone)
        controller.hub.silent.clear()
        async with controller.running():  # it knows nothing yet
            await become(lambda: len(controller.hub.joined_by) == 2)
            async with gate.follower.sending:
                await become(lambda: "gate-1-boot" in controller.hub.silent)
            assert gate.freshness.may_judge()
            assert not controller.hub.silent["gate-1-boot"]


@pytest.mark.row(56)
async def test_strangers_hear_nothing(controller: Controller) -> None:
    """Who has no certificate of this start of the controller is told nothing at all."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    other = trustme.CA()
    with other.issue_cert("gate").private_key_and_cert_chain_pem.tempfile() as path:
        known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        known.check_hostname = False
        known.verify_mode = ssl.CERT_NONE
        known.load_cert_chain(path)
    async with controller.running():
        controller.tell(facts(session("a")))
        for context in (stranger, known):
            with pytest.raises(
                (ssl.SSLError, OSError, anyio.BrokenResourceError, anyio.EndOfStream)
            ):
                async with await anyio.connect_tcp(
                    "127.0.0.1", controller.port, ssl_context=context
                ) as stream:
                    await stream.receive()
    assert controller.hub.joined_by == []


@pytest.mark.row(56)
async def test_a_gate_is_no_controller(controller: Controller) -> None:
    """A gate that was taken over cannot tell the other gates anything."""
    hand_out(make_proofs(NOW - 365 * 86400), controller.folder)
    false = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    false.load_cert_chain(controller.folder / LINK_FILE)
    with socket.create_server(("127.0.0.1", controller.port)) as listener:

        def pretend() -> None:
            connection, _ = listener.accept()
            with pytest.raises(ssl.SSLError), false.wrap_socket(connection, server_side=True):
                pytest.fail("the gate has believed it")

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, pretend)
            with pytest.raises(ssl.SSLCertVerificationError):
                await anyio.connect_tcp(
                    "127.0.0.1",
                    controller.port,
                    ssl_context=client_context(controller.folder),
                    tls_hostname=CONTROLLER_NAME,
                )


async def test_nonsense_ends_its_own_connection(controller: Controller) -> None:
    """Whatever somebody with a gate's certificate sends, other gates are served on."""
    gate = Gate(controller)
    async with controller.running(), following(gate):
        controller.tell(facts())
        await become(gate.freshness.may_judge)
        for nonsense in (b"\xff" * 64, b"\0\0\0\2{}", msgspec.msgpack.encode({"type": "Hello"})):
            async with await anyio.connect_tcp(
                "127.0.0.1",
                controller.port,
                ssl_context=client_context(controller.folder),
                tls_hostname=CONTROLLER_NAME,
                tls_standard_compatible=False,
            ) as stream:
                await stream.send(nonsense)
                with anyio.fail_after(10), pytest.raises((anyio.EndOfStream, OSError)):
                    await stream.receive()
        number = controller.tell(facts(session("a")))
        await become(lambda: controller.hub.numbers["gate-1-boot"] == number)


# -- what a gate keeps for its next start --------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Give a folder of one gate's own."""
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def files_of(folder: Path) -> list[Path]:
    """Return what is in a folder."""
    return [*folder.iterdir()]


async def left_alone(controller: Controller, kept: Path) -> KeptSnapshot:
    """Let a gate follow until its controller goes, and end; return what it has kept."""
    gate = Gate(controller, kept=kept)
    gate.memory.kept = kept / "gate-1.sealed"
    async with following(gate):
        async with controller.running():
            controller.tell(facts(session("a")))
            await become(gate.freshness.may_judge)
            controller.tell(facts(session("a"), session("b")))
            await anyio.sleep(0.1)
            assert files_of(kept) == []
        await become(lambda: files_of(kept) == [gate.memory.kept])
        assert gate.freshness.alone
        await gate.follower.say_goodbye()  # there is nobody to hear it
    found = gate.file.read()
    assert found is not None
    return found


async def test_goes_on_by_what_was_kept(controller: Controller, kept: Path) -> None:
    """A gate that is started again while no controller is there goes on, for ten minutes."""
    found = await left_alone(controller, kept)
    gate = Gate(controller, kept=kept)
    async with following(gate):
        await become(gate.follower.known.is_set)
        assert gate.freshness.may_judge()
        assert gate.freshness.alone
        assert gate.memory.snapshots == [found.snapshot]
        gate.later = found.contact + KEPT_SECONDS - boot_clock() - 1
        assert gate.freshness.may_judge()
        gate.later += 2
        assert not gate.freshness.may_judge()


async def test_forgets_what_was_kept_before_it_confirms(controller: Controller, kept: Path) -> None:
    """Nothing is kept any more when a controller tells something: it may take it back."""
    await left_alone(controller, kept)
    gate = Gate(controller, kept=kept)
    async with following(gate):
        await become(gate.follower.known.is_set)
        gate.memory.kept = kept / "gate-1.sealed"
        assert gate.memory.kept.exists()
        async with controller.running():
            controller.tell(facts(session("b")))
            await become(lambda: not gate.freshness.alone)
            assert gate.memory.found == [False, False]  # the first one was the kept one
            assert gate.memory.sessions == {"b" * 26: Phase.READY}
            gate.later = KEPT_SECONDS + 1
            await become(gate.freshness.may_judge)
            await gate.follower.say_goodbye()
            await become(lambda: controller.hub.gone.get("gate-1-boot"))
        await anyio.sleep(0.3)
        assert files_of(kept) == []  # it has said that it answers no more
    again = Gate(controller, kept=kept)
    async with following(again):
        await anyio.sleep(0.5)
        assert not again.follower.known.is_set()


async def test_goodbye_before_anything_is_told(controller: Controller, kept: Path) -> None:
    """A gate that says goodbye while it is alone has nothing kept: nobody waits for it any more."""
    await left_alone(controller, kept)
    gate = Gate(controller, kept=kept)
    async with following(gate):
        await become(gate.follower.known.is_set)
        async with controller.running():  # it knows nothing yet
            await become(lambda: len(controller.hub.joined_by) == 2)
            assert files_of(kept) != []
            await gate.follower.say_goodbye()
            await become(lambda: controller.hub.gone.get("gate-1-boot"))
            assert files_of(kept) == []


async def test_not_too_late(controller: Controller, kept: Path) -> None:
    """After ten minutes a start goes on by nothing, and nothing is left."""
    await left_alone(controller, kept)
    gate = Gate(controller, kept=kept, later=KEPT_SECONDS + 1)
    async with following(gate):
        await become(lambda: not files_of(kept))
        await anyio.sleep(0.5)
        assert not gate.follower.known.is_set()


async def test_no_host_is_no_controller(controller: Controller, kept: Path) -> None:
    """Where no controller is named a gate goes on by what was kept."""
    await left_alone(controller, kept)
    gate = Gate(controller, kept=kept)
    gate.hosts.clear()
    async with following(gate):
        await become(gate.follower.known.is_set)


async def test_silence_proves_nothing(controller: Controller, kept: Path) -> None:
    """A controller that does not answer may be there: its gate does not go on by what was kept."""
    await left_alone(controller, kept)
    gate = Gate(controller, kept=kept)
    with socket.socket() as mute:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mute.bind((controller.host, controller.port))
        mute.listen()  # nobody accepts
        async with following(gate):
            await anyio.sleep(2.5)
            assert not gate.follower.known.is_set()
            mute.close()
            await become(gate.follower.known.is_set)


async def test_each_controller_is_tried(two: tuple[Controller, Controller], kept: Path) -> None:
    """One controller that is gone does not prove that there is none."""
    one, other = two
    await left_alone(one, kept)
    gate = Gate(one, other, kept=kept)
    async with other.running(), following(gate):
        await become(lambda: other.hub.joined_by)
        assert not gate.follower.known.is_set()
        await anyio.sleep(0.5)
        assert not gate.follower.known.is_set()  # that one knows nothing yet
        other.tell(facts(session("b")))
        await become(gate.freshness.may_judge)
        assert gate.memory.sessions == {"b" * 26: Phase.READY}
        assert files_of(kept) == []


async def test_does_not_confirm_what_may_be_found_later(
    controller: Controller, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that cannot remove what it has kept follows nobody until that is too old."""
    await left_alone(controller, kept)
    gate = Gate(controller, kept=kept)

    def fail() -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(gate.file, "remove", fail)
    controller.hub.numbers.clear()
    async with following(gate):
        await become(gate.follower.known.is_set)
        async with controller.running():
            controller.tell(facts(session("b")))
            await become(lambda: len(controller.hub.joined_by) >= 4)
            assert not any(controller.hub.numbers.values())
            assert gate.freshness.alone
            gate.later = KEPT_SECONDS + 1
            await become(lambda: any(controller.hub.numbers.values()))


async def test_a_folder_that_cannot_be_written(controller: Controller, tmp_path: Path) -> None:
    """A gate that cannot keep anything works as always."""
    gate = Gate(controller, kept=tmp_path / "missing")
    async with following(gate):
        for _ in range(2):
            async with controller.running():
                controller.tell(facts(session("a")))
                await become(lambda: gate.freshness.may_judge() and not gate.freshness.alone)
            await become(lambda: gate.freshness.alone)
        assert gate.freshness.may_judge()
