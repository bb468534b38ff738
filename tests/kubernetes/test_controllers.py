"""Two controllers of one hub: what people get from either, and which of them keeps house."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest
from anyio.abc import Process
from msgspec.structs import replace

from controller.core.errors import ConfigError, StoreUnavailable
from controller.core.model import Phase, Role, SessionId, UserId
from controller.core.records import Memo, Share
from controller.engines.memory import MemoryOrchestrator
from controller.housekeeping.election import Election
from controller.housekeeping.lease import LeaseElection
from controller.parts import open_store
from controller.people.keys import SIGNS_AFTER, replace_all, rotate
from controller.people.keys_secret import KeySecret
from controller.settings.schema import PATH_MODE, PATH_MODE_SHARING, Kubernetes, Settings
from controller.store.kubernetes.store import KubernetesStore
from tests.kubernetes.conftest import DEADLINE, Api, Cluster, Core, until
from tests.kubernetes.faults import Fault, kubeconfig_of, proxy
from tests.support.hub import HTML, Clock, World, eventually, running
from tests.support.samples import session_id, settings

from kubernetes.aio import client  # isort: skip

pytestmark = pytest.mark.anyio

AGREED = 2.0  # seconds within which controllers agree
ALICE, BOB = UserId("alice"), UserId("bob")
WAY = {"Accept": HTML, "Sec-Fetch-Mode": "navigate"}

ELECTOR = """
import sys, time, anyio, msgspec
from controller.housekeeping.lease import LeaseElection
from controller.settings.schema import Settings

async def main():
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    election = LeaseElection(settings, identity="other", clock=time.monotonic, wall=time.time)
    async with anyio.create_task_group() as group:
        group.start_soon(election.run)
        while not election.leading:
            await anyio.sleep(0.05)
        print("leading", flush=True)

anyio.run(main)
"""


def keys_of(
    store: KubernetesStore, *, instance: str = "kt", wall: Callable[[], float] = time.time
) -> KeySecret:
    """Return where the keys are that stand beside these records."""
    return KeySecret(store.api, instance, wall)


class Fixed:
    """An election whose outcome the test decides."""

    def __init__(self, *, leading: bool) -> None:
        """Lead or do not."""
        self.leading = leading

    async def run(self) -> None:
        """See Election."""


@pytest.fixture
def configured(cluster: Cluster, namespace: str) -> Settings:
    """Give the settings of a hub whose own objects are in an empty namespace."""
    return replace(
        settings(instance="kt", session_domain=PATH_MODE, path_mode_sharing=PATH_MODE_SHARING),
        kubernetes=Kubernetes(
            namespace=namespace,
            hub_namespace=namespace,
            kubeconfig=str(cluster.kubeconfig),
            timeout_seconds=60,
        ),
    )


class Pair:
    """Two controllers over one engine, one cluster and one clock; the first keeps house."""

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
            await world.app.housekeeping.look()
            await world.sweep()
    assert one.find(made) is not None
    pair.elections[1].leading = True
    for _ in range(3):
        pair.clock.advance(pair.settings.warning_seconds)
        await other.sweep()
    await one.until(made, None)
    await other.until(made, None)


async def test_one_key_ring(configured: Settings) -> None:
    """Controllers that start at once share one key ring, made by the first."""
    stores = [
        KubernetesStore(configured, identity=f"controller-{number}", wall=time.time)
        for number in range(4)
    ]
    rings: list[object] = []

    async def read(store: KubernetesStore) -> None:
        rings.append(await keys_of(store).key_ring())

    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(read, store)
    assert len(rings) == 4
    assert all(ring == rings[0] for ring in rings)
    for store in stores:
        await store.aclose()


async def test_rotated_in_the_cluster(configured: Settings) -> None:
    """Of rotations at once none is lost, and every controller reads the same key ring."""
    stores = [
        KubernetesStore(configured, identity=f"controller-{number}", wall=time.time)
        for number in range(3)
    ]
    with pytest.raises(ConfigError, match="no keys in the Secret kt-keys"):
        await keys_of(stores[0]).key_ring(make=False)
    with pytest.raises(ConfigError, match="no keys"):
        await rotate(keys_of(stores[0]), now=time.time(), seconds=60, expiries=())
    first = (await keys_of(stores[0]).key_ring()).keys[0]

    async def turn(store: KubernetesStore) -> None:
        await rotate(keys_of(store), now=time.time(), seconds=60, expiries=())

    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(turn, store)
    rings = [await keys_of(store).key_ring(make=False) for store in stores]
    assert len({one.kid for one in rings[0].keys}) == 4
    assert all(ring == rings[0] for ring in rings)
    assert (rings[0].keys[-1].kid, rings[0].keys[-1].secret) == (first.kid, first.secret)
    fresh = await replace_all(keys_of(stores[1]), now=time.time())
    assert await keys_of(stores[2]).key_ring(make=False) == fresh
    assert len(fresh.keys) == 1
    for store in stores:
        await store.aclose()


async def test_a_key_signs_when_both_know_it(configured: Settings) -> None:
    """After a rotation whoever logs in at one controller is logged in at the other."""
    async with Pair(configured).running() as pair:
        await pair.worlds[0].store.ping()
        places = [cast("KeySecret", one.key_storage) for one in pair.worlds]
        await rotate(places[0], now=pair.clock.wall(), seconds=3600, expiries=())
        for look in ((), pair.worlds[:1], pair.worlds[1:]):
            for world in look:
                assert world.app.rotation is not None
                await world.app.rotation.look()
            made = await pair.worlds[0].session("alice")
            for one, other in (pair.worlds, pair.worlds[::-1]):
                cookie = (await one.browser("alice")).cookie
                await agreed(other, made, cookie, 200)
            pair.clock.advance(SIGNS_AFTER / 2)


async def test_keys_of_the_manifests(configured: Settings, api: Api, namespace: str) -> None:
    """An empty Secret that the installation brought is filled and keeps what is written on it."""
    core: Core = client.CoreV1Api(api)
    meta = {"name": "kt-keys", "labels": {"site": "ours"}, "annotations": {"note": "keep"}}
    await core.create_namespaced_secret(namespace, {"metadata": meta})
    store = KubernetesStore(configured, identity="controller-0", wall=time.time)
    ring = await keys_of(store).key_ring()
    found = await core.read_namespaced_secret("kt-keys", namespace)
    assert found.metadata.labels == {"site": "ours"}
    assert found.metadata.annotations["note"] == "keep"
    assert await keys_of(store).key_ring() == ring
    weak = msgspec.json.encode({"keys": [{"kid": "a", "secret": "00"}]})
    content = {"stringData": {"keys.json": weak.decode()}}
    await core.patch_namespaced_secret("kt-keys", namespace, content)
    with pytest.raises(ConfigError, match="Secret kt-keys"):
        await keys_of(store).key_ring()
    await store.aclose()


async def test_foreign_objects(configured: Settings, api: Api, namespace: str) -> None:
    """An object of that name that is not the hub's is neither believed nor written over."""
    core: Core = client.CoreV1Api(api)
    name = f"kt-grants-{session_id(1)}"
    await core.create_namespaced_config_map(
        namespace, {"metadata": {"name": name}, "data": {"body": "{}"}}
    )
    store = KubernetesStore(configured, identity="controller-0", wall=time.time)
    with pytest.raises(StoreUnavailable) as caught:
        await store.add_share(Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0))
    assert "not the hub's" in str(caught.value.__notes__)
    found = await core.read_namespaced_config_map(name, namespace)
    assert found.data == {"body": "{}"}
    await store.aclose()


async def test_instances(configured: Settings) -> None:
    """Two hubs in one namespace know nothing of each other's people."""
    ours = KubernetesStore(configured, identity="controller-0", wall=time.time)
    theirs = KubernetesStore(replace(configured, instance="other"), identity="c", wall=time.time)
    share = Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0)
    await ours.add_share(share)
    assert await theirs.shares() == []
    await theirs.remove_person(BOB)
    assert await ours.shares() == [share]
    assert await keys_of(ours).key_ring() != await keys_of(theirs, instance="other").key_ring()
    for store in (ours, theirs):
        await store.aclose()


async def test_memos_of_others(configured: Settings) -> None:
    """A controller hears how idle sessions are by the others, as long as those run."""
    clock = Clock()
    one, other = (
        KubernetesStore(configured, identity=name, wall=clock.wall) for name in ("one", "other")
    )
    await one.put_memos({session_id(1): Memo(age=100.0, idle=50.0, served=True)})
    clock.step(10)
    await other.put_memos({session_id(1): Memo(age=90.0, idle=5.0, served=True)})
    assert await one.others_memos() == {session_id(1): Memo(age=90.0, idle=5.0, served=True)}
    assert await other.others_memos() == {session_id(1): Memo(age=100.0, idle=60.0, served=True)}
    assert await one.memos() == {session_id(1): Memo(age=90.0, idle=5.0, served=True)}
    clock.step(3700)
    assert await one.others_memos() == {}
    await one.put_memos({})
    assert await one.memos() == {}
    for store in (one, other):
        await store.aclose()


FAULTS = sorted(set(Fault) - {Fault.NONE, Fault.BOOKMARKS})


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
async def test_watch_faults(
    configured: Settings, cluster: Cluster, tmp_path: Path, fault: Fault
) -> None:
    """Whatever happens to its watch, a controller soon knows what another wrote."""
    share = Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0)
    async with proxy(cluster.kubeconfig, tmp_path) as (between, path):
        there = replace(configured.kubernetes, kubeconfig=str(path))
        behind = replace(configured, kubernetes=there)
        follower = KubernetesStore(behind, identity="follower", wall=time.time)
        writer = KubernetesStore(configured, identity="writer", wall=time.time)
        seen: list[list[Share]] = []

        async def follow() -> None:
            async with aclosing(follower.changes()) as changes:
                async for _ in changes:
                    try:
                        seen.append(await follower.shares())
                    except StoreUnavailable:
                        continue  # it is told again

        async def newest() -> list[Share]:
            return seen[-1]

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await eventually(lambda: seen == [[]])
            between.spoil(fault)
            await writer.add_share(share)
            await until(newest, lambda found: found == [share])
            await writer.remove_share(share.session, BOB, bar=True)
            await until(newest, lambda found: found == [])
            group.cancel_scope.cancel()
        await follower.aclose()
        await writer.aclose()


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


Rules = list[dict[str, Any]]

RULES: Rules = [
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "verbs": ["get", "list", "watch", "create", "update", "delete"],
    },
    {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["kt-keys"],
        "verbs": ["get", "update"],
    },
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["kt-controller"],
        "verbs": ["get", "update"],
    },
]


Limited = Callable[[Rules], Awaitable[Settings]]


@pytest.fixture
async def account(configured: Settings, api: Api, namespace: str, tmp_path: Path) -> Limited:
    """Give a way to get the settings of a controller that has exactly these rights."""
    core: Core = client.CoreV1Api(api)
    rights: Core = client.RbacAuthorizationV1Api(api)
    reached: Any = cast("Any", api).configuration

    async def limited(rules: Rules) -> Settings:
        name = f"limited-{uuid.uuid4().hex[:10]}"
        meta: dict[str, Any] = {"metadata": {"name": name}}
        await core.create_namespaced_service_account(namespace, meta)
        await rights.create_namespaced_role(namespace, meta | {"rules": rules})
        group = "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        role = {"apiGroup": group, "kind": "Role", "name": name}
        await rights.create_namespaced_role_binding(
            namespace, meta | {"subjects": [subject], "roleRef": role}
        )
        asked: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "spec": {}}
        made = await core.create_namespaced_service_account_token(name, namespace, asked)
        path = tmp_path / name
        path.write_text(
            kubeconfig_of(
                str(reached.host), authority=str(reached.ssl_ca_cert), token=made.status.token
            )
        )
        there = replace(configured.kubernetes, kubeconfig=str(path))
        return replace(configured, kubernetes=there)

    return limited


async def live(configured: Settings) -> None:
    """Do with the store and the Lease all that a controller does."""
    store = KubernetesStore(configured, identity="controller-0", wall=time.time)
    await keys_of(store).key_ring()
    await store.ping()
    await store.add_share(Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0))
    with anyio.fail_after(DEADLINE):
        async with aclosing(store.changes()) as followed:
            await anext(followed)
            await store.remove_share(session_id(1), BOB, bar=True)
            await store.add_share(Share(session_id(2), BOB, Role.VIEW, "Bob", created=1.0))
            await store.add_share(Share(session_id(2), ALICE, Role.VIEW, "Alice", created=1.0))
            await anext(followed)
    assert len(await store.shares()) == 2
    await store.aclose()
    election = election_of(configured, "controller-0", time.monotonic)
    async with anyio.create_task_group() as group:
        group.start_soon(election.run)
        await leads(election)
        group.cancel_scope.cancel()


async def test_least_rights(account: Limited, api: Api, namespace: str) -> None:
    """The few rights that the manual names suffice, with an empty Secret for the keys."""
    core: Core = client.CoreV1Api(api)
    await core.create_namespaced_secret(namespace, {"metadata": {"name": "kt-keys"}})
    configured = await account(RULES)
    await live(configured)


async def test_no_rights(account: Limited) -> None:
    """A controller without its rights says which one is missing."""
    store = KubernetesStore(await account([]), identity="controller-0", wall=time.time)
    for call in (store.ping(), store.shares(), keys_of(store).key_ring()):
        with pytest.raises(StoreUnavailable) as caught:
            await call
        assert "The hub may not" in str(caught.value.__notes__)
    await store.aclose()


async def test_what_the_settings_name(configured: Settings) -> None:
    """A controller that is told to keep its records in the cluster does so, keys included."""
    store, key_storage = open_store(replace(configured, store="kubernetes"), "controller-0")
    own = KubernetesStore(configured, identity="another", wall=time.time)
    assert await keys_of(own).key_ring() == await key_storage.key_ring(make=False)
    await store.add_share(Share(session_id(1), BOB, Role.VIEW, "Bob", created=1.0))
    assert len(await own.shares()) == 1
    for one in (store, own):
        await one.aclose()


def election_of(configured: Settings, name: str, clock: Callable[[], float]) -> LeaseElection:
    """Return a controller's part in the election."""
    return LeaseElection(configured, identity=name, clock=clock, wall=time.time)


async def leads(*elections: Election) -> Election:
    """Wait until one of them leads, and return it; never do two."""
    with anyio.fail_after(DEADLINE):
        while True:
            leading = [one for one in elections if one.leading]
            assert len(leading) <= 1
            if leading:
                return leading[0]
            await anyio.sleep(0.02)


async def test_one_leads(configured: Settings) -> None:
    """Of controllers that start at once one leads; when it ends another does, at once."""
    elections = [election_of(configured, f"controller-{n}", time.monotonic) for n in range(3)]
    scopes = {one: anyio.CancelScope() for one in elections}

    async def take_part(one: LeaseElection) -> None:
        with scopes[one]:
            await one.run()

    async with anyio.create_task_group() as group:
        for one in elections:
            group.start_soon(take_part, one)
        first = await leads(*elections)
        for one in elections:
            if one is first:
                scopes[one].cancel()
        rest = [one for one in elections if one is not first]
        await leads(*rest)
        group.cancel_scope.cancel()
    assert not any(one.leading for one in elections)


async def test_one_that_was_held_up(configured: Settings) -> None:
    """A controller that could not renew in time does not keep house any more."""
    clock = Clock()
    election = election_of(configured, "controller-0", clock.monotonic)
    async with anyio.create_task_group() as group:
        group.start_soon(election.run)
        await leads(election)
        clock.advance(9.9)
        assert election.leading
        clock.advance(0.1)
        assert not election.leading
        group.cancel_scope.cancel()


@asynccontextmanager
async def elsewhere(configured: Settings) -> AsyncGenerator[Process, None]:
    """Give another process that leads."""
    sent = msgspec.json.encode(configured).decode()
    async with await anyio.open_process([sys.executable, "-c", ELECTOR, sent], stderr=None) as made:
        assert made.stdout is not None
        with anyio.fail_after(DEADLINE):
            assert b"leading" in await made.stdout.receive()
        try:
            yield made
        finally:
            if made.returncode is None:
                made.kill()


async def test_killed(configured: Settings, api: Api, namespace: str) -> None:
    """When the process that leads is killed, another controller leads within the lease."""
    coordination: Core = client.CoordinationV1Api(api)

    async def renewed() -> object:
        found = await coordination.read_namespaced_lease("kt-controller", namespace)
        assert found.spec.holder_identity == "other"
        return found.spec.renew_time

    election = election_of(configured, "controller-0", time.monotonic)
    async with elsewhere(configured) as process, anyio.create_task_group() as group:
        group.start_soon(election.run)
        for _ in range(2):
            before = await renewed()
            with anyio.fail_after(DEADLINE):
                while await renewed() == before:
                    assert not election.leading
                    await anyio.sleep(0.1)
        process.kill()
        await process.wait()
        killed = time.monotonic()
        await leads(election)
        print(f"leads {time.monotonic() - killed:.1f} s after the other was killed")  # noqa: T201 - a number for people
        group.cancel_scope.cancel()
