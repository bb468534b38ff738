"""Sessions on one Docker engine: a container, a network of its own, the owner's volume.

The container is the record: it is made after the network and removed last, so a network
without one is what a crash left of a launch. While a session is being stopped its container
carries ``.stopping`` behind its name: labels cannot be changed, and the mark has to survive the
controller. Calls of the engine's client block and go to a bounded number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar, cast

import anyio
import anyio.to_thread
import structlog

from controller.core import labels
from controller.core.errors import (
    EngineUnavailable,
    FilesInUse,
    ImageRefused,
    NoGpu,
    SessionExists,
    SessionStopping,
)
from controller.core.model import (
    Mount,
    Observed,
    Offer,
    Profile,
    Session,
    SessionId,
    Usage,
    UserId,
    Volume,
    group_volume_name,
    object_name,
    volume_name,
)
from controller.engines.docker import client, manifests
from controller.engines.docker.answers import (
    Container,
    End,
    Fault,
    Inspected,
    Network,
    Stats,
    Stored,
    UnreadableError,
    read,
    read_each,
)
from controller.engines.docker.client import (
    VOLUME_LABELS,
    Api,
    ConflictError,
    Events,
    Facts,
    MissingError,
    OverlapError,
    connect,
    create_network,
    disconnect,
    mapped,
    measure_volumes,
    offers_gpu,
    read_logs,
    read_stats,
)
from controller.engines.docker.images import Transfer, fetch, words_of
from controller.engines.docker.observed import STOPPING, observe
from controller.engines.docker.offers import read_offer
from controller.engines.docker.progress import BEGINNING
from controller.settings.schema import Settings

_T = TypeVar("_T")

_THREADS = 16

_TRANSFERS = 4  # at once, each with a thread for minutes

_SUBNET_TRIES = 8

_RELIST_SECONDS = 30.0  # an event stream may stall without a word

_DEBOUNCE_SECONDS = 0.02  # one start makes several events

_SETTLE_SECONDS = 0.3  # after which the engine's list agrees with its last event

_log = structlog.get_logger("docker")


class DockerOrchestrator:
    """See Orchestrator."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked of the engine before the first call."""
        self._settings = settings
        self._client: Api = None
        self._connecting = threading.Lock()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._subnets = anyio.Lock()
        self._samples: dict[SessionId, tuple[datetime, int]] = {}
        self._ended: dict[str, End] = {}  # of containers that ended: final
        self._faults: set[str] = set()  # what could not be read when everything was looked at last
        self._transfers: dict[str, Transfer] = {}  # by image
        self._transfer_limiter = anyio.CapacityLimiter(_TRANSFERS)
        self._tidy = False  # nothing of what opens volumes was left behind

    async def ensure(self, session: Session) -> None:
        """See Orchestrator."""
        profile = await self._checked_profile(session.profile)
        volume = await self._ensure_volume(session.owner)
        for mount in session.volumes:
            await self._ensure_group_volume(mount, profile)
        network = manifests.network_name(self._settings.instance, session.id)
        existed = await self._exists(session)
        try:
            await self._ensure_network(session, profile)
            await self._ensure_container(session, profile, volume)
            # Joined before the start: Traefik routes at the start's event.
            await self._join_traefik(network)
            await self._call(lambda api: api.start(self._container_name(session)))
        except BaseException:
            if not existed:
                with anyio.CancelScope(shield=True):
                    await self._undo(session)
            raise

    async def _exists(self, session: Session) -> bool:
        found = await self._inspect(self._container_name(session))
        if found is None:
            found = await self._inspect(self._container_name(session) + STOPPING)
            if found is not None:
                raise SessionStopping
            return False
        if found.config.session != session.id:
            raise SessionExists(found.config.session)
        return True

    async def _undo(self, session: Session) -> None:
        try:
            found = await self._inspect(self._container_name(session))
            if found is not None and found.config.session == session.id:
                await self._remove_container(found.id)
            await self._remove_network(session.id)
        except EngineUnavailable as error:
            # Housekeeping finds the rest by its labels.
            _log.warning("half_made_session_left", session=session.id, error=error.in_full)

    async def _ensure_volume(self, owner: UserId) -> str:
        name = volume_name(self._settings.instance, owner)
        body = manifests.volume(name, owner, self._settings)
        theirs = await self._make_volume(body)
        # Its name holds a short hash only, its label all.
        if theirs.get(labels.OWNER) != owner:
            raise EngineUnavailable(
                f"The volume {name} is not labelled as this person's. Nothing is mounted; the "
                "administrator must look at it."
            )
        return name

    async def _make_volume(self, body: Facts) -> Facts:
        """Return the labels of a volume that is there from now on; one that was there keeps its."""
        await self._call(
            lambda api: api.create_volume(body["Name"], body["Driver"], labels=body["Labels"])
        )
        # Asked for once more: an engine that was restarted (20.10) has been seen to answer the call
        # above without the labels of a volume that was there.
        found = await self._call(lambda api: api.inspect_volume(body["Name"]))
        return found.get("Labels") or {}

    async def _ensure_group_volume(self, mount: Mount, profile: Profile) -> None:
        name = group_volume_name(self._settings.instance, mount.name)
        body = manifests.group_volume(mount.name, self._settings)
        theirs = await self._make_volume(body)
        if any(theirs.get(label) != body["Labels"][label] for label in VOLUME_LABELS):
            raise EngineUnavailable(
                f"The volume {name} is not labelled as the group volume {mount.name}. Nothing is "
                "mounted; the administrator must look at it."
            )
        # Whether this has been done before cannot be asked for; doing it again is harmless.
        opener = manifests.volume_opener(mount.name, profile.image, self._settings)
        with anyio.CancelScope(shield=True):
            try:
                made = await self._call(lambda api: api.create_container_from_config(opener))
                await self._remove_container(str(made["Id"]))
            except EngineUnavailable:
                self._tidy = False  # it may be there, though no answer told of it
                raise

    async def _remove_openers(self) -> None:
        """Remove what a crash left; one of another controller has done its work once it is seen."""
        for one in await self._ours(f"{labels.COMPONENT}={manifests.OPENER}"):
            await self._remove_container(one.id)

    async def _ensure_network(self, session: Session, profile: Profile) -> None:
        docker_settings = self._settings.docker
        name = manifests.network_name(self._settings.instance, session.id)
        if await self._call(lambda api: api.networks(names=[f"^{name}$"])):
            return
        async with self._subnets:
            networks, _ = read_each(await self._call(lambda api: api.networks()), Network)
            used = [subnet for one in networks for subnet in one.subnets]
            free = manifests.free_subnets(
                docker_settings.network_pool, docker_settings.network_prefix, used
            )
            for _, subnet in zip(range(_SUBNET_TRIES), free, strict=False):
                body = manifests.network(session, profile, self._settings, subnet=subnet)
                try:
                    await self._call(partial(create_network, body=body))
                except OverlapError:
                    continue  # a foreign network took it meanwhile, or the host routes it
                return
        raise EngineUnavailable(
            f"No network is free in {docker_settings.network_pool}. The administrator must widen "
            "docker.network_pool."
        )

    async def _ensure_container(self, session: Session, profile: Profile, volume: str) -> None:
        config = manifests.container(session, profile, self._settings, volume=volume)
        name = self._container_name(session)
        try:
            await self._call(lambda api: api.create_container_from_config(config, name))
        except ConflictError:
            await self._exists(session)  # raises unless it is this very session

    async def _join_traefik(self, network: str) -> None:
        for one in await self._ours(f"{labels.COMPONENT}=traefik"):
            if network in one.networks:
                continue
            try:
                await self._call(partial(connect, container=one.id, network=network))
            except ConflictError:
                continue  # joined by another call meanwhile

    async def fetch(self, profile_id: str, tell: Callable[[str], None]) -> None:
        """See Orchestrator."""
        image = self._profile(profile_id).image
        if await self._image(image) is not None:
            return
        transfer = self._transfers.setdefault(image, Transfer())
        transfer.listeners.append(tell)
        try:
            if transfer.text:
                tell(transfer.text)
            async with transfer.lock:
                # Somebody else may have been at it while this one waited.
                if transfer.refusal:
                    raise ImageRefused(transfer.refusal)
                if await self._image(image) is None:
                    await self._fetch(image, transfer)
        finally:
            transfer.listeners.remove(tell)
            if not transfer.listeners:
                del self._transfers[image]

    async def _fetch(self, image: str, transfer: Transfer) -> None:
        transfer.tell(BEGINNING)
        try:
            await anyio.to_thread.run_sync(
                partial(fetch, self._settings, image, transfer),
                abandon_on_cancel=True,
                limiter=self._transfer_limiter,
            )
        except ImageRefused as error:
            transfer.refusal = error.cause
            raise
        except EngineUnavailable as error:
            await self.ping()  # raises if it is the engine that is away
            transfer.refusal = f"The image {image} cannot be fetched: {words_of(error)}"
            raise ImageRefused(transfer.refusal) from error

    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        """See Orchestrator."""
        # What cannot be read may well run: then nothing is taken from it, and this is no success.
        listed = await self._listed(f"{labels.SESSION}={session_id}")
        for one in [read(facts, Container) for facts in listed]:
            await self._end(one, int(grace.total_seconds()))
            await self._remove_network(session_id)
            await self._remove_container(one.id)
        await self._remove_network(session_id)
        self._samples.pop(session_id, None)

    async def _end(self, one: Container, seconds: int) -> None:
        if one.name and not one.name.endswith(STOPPING):
            await self._gone_is_fine(lambda api: api.rename(one.name, one.name + STOPPING))
        if one.state == "paused":
            await self._gone_is_fine(lambda api: api.unpause(one.id))
        await self._gone_is_fine(lambda api: api.stop(one.id, timeout=seconds))

    async def _remove_container(self, container: str) -> None:
        await self._gone_is_fine(lambda api: api.remove_container(container, v=True, force=True))
        self._ended.pop(container, None)

    async def _remove_network(self, session_id: SessionId) -> None:
        name = manifests.network_name(self._settings.instance, session_id)
        found = await self._gone_is_fine(lambda api: api.inspect_network(name))
        if found is None:
            return
        attached: Facts = found.get("Containers") or {}
        for container in attached:
            await self._gone_is_fine(partial(disconnect, container=container, network=name))
        await self._gone_is_fine(lambda api: api.remove_network(name))

    async def get(self, session_id: SessionId) -> Observed | None:
        """See Orchestrator."""
        return next((one for one in await self.list() if one.session.id == session_id), None)

    async def list(self) -> Sequence[Observed]:
        """See Orchestrator."""
        listed = await self._listed()
        containers, faults = read_each(listed, Container)
        listed = await self._call(
            lambda api: api.networks(filters={"label": [self._instance_label, labels.SESSION]})
        )
        networks, more = read_each(listed, Network)
        faults += more
        ended: dict[str, End] = {}
        for one in containers:
            if one.ended and one.session:
                try:
                    found = self._ended.get(one.id) or await self._end_of(one.id)
                except UnreadableError as error:
                    faults.append(Fault(f"{one.name or one.id[:12]}: {error}", one.session))
                    continue
                if found is not None:
                    ended[one.id] = found
        self._ended = ended
        unread = {fault.session for fault in faults}
        seen, more = observe(containers, networks, ended, self._settings.instance, unread)
        self._note([*faults, *more])
        return seen

    def _note(self, faults: Sequence[Fault]) -> None:
        words = {fault.words for fault in faults}
        for one in words - self._faults:
            _log.warning("object_unreadable", fault=one)
        self._faults = words

    @property
    def unread(self) -> int:
        """See Orchestrator."""
        return len(self._faults)

    async def _end_of(self, container: str) -> End | None:
        found = await self._inspect(container)
        return None if found is None else found.state

    async def watch(self) -> AsyncGenerator[Sequence[Observed], None]:
        """See Orchestrator."""
        send, receive = anyio.create_memory_object_stream[None](1)
        events = Events(self._settings, send)
        async with anyio.create_task_group() as group, send, receive:
            group.start_soon(events.run)
            patience = _RELIST_SECONDS
            self._tidy = False
            try:
                while True:
                    try:
                        if not self._tidy:
                            self._tidy = True
                            await self._remove_openers()
                        snapshot = await self.list()
                    except EngineUnavailable as error:
                        self._tidy = False
                        _log.warning("engine_unavailable", error=error.in_full)
                        await anyio.sleep(client.RETRY_SECONDS)
                        continue
                    yield snapshot
                    with anyio.move_on_after(patience) as quiet:
                        await receive.receive()
                        await anyio.sleep(_DEBOUNCE_SECONDS)
                    # The engine tells of an end before its own list knows it: look once more.
                    patience = _RELIST_SECONDS if quiet.cancelled_caught else _SETTLE_SECONDS
            except GeneratorExit:
                pass  # whoever watched has closed this; the group would make a fault of it
            finally:
                events.close()
                group.cancel_scope.cancel()

    async def logs(self, session_id: SessionId, *, tail: int) -> AsyncIterator[str]:
        """See Orchestrator."""
        for one in await self._ours(f"{labels.SESSION}={session_id}"):
            text = await self._gone_is_fine(partial(read_logs, container=one.id, tail=tail))
            for line in (text or b"").decode(errors="replace").splitlines():
                yield line

    async def usage(self, session_id: SessionId) -> Usage | None:
        """See Orchestrator."""
        for one in await self._ours(f"{labels.SESSION}={session_id}"):
            stats = await self._gone_is_fine(partial(read_stats, container=one.id))
            if stats is not None:
                return self._usage_of(session_id, stats)
        return None

    def _usage_of(self, session_id: SessionId, stats: object) -> Usage | None:
        try:
            found = read(stats, Stats)
            at = datetime.fromisoformat(found.read[:19]).replace(tzinfo=UTC)
        except (UnreadableError, ValueError):
            return None  # the container is not running
        total, memory = found.cpu_stats.cpu_usage.total_usage, found.memory_stats.usage
        before = self._samples.get(session_id)
        self._samples[session_id] = (at, total)
        if before is None or (seconds := (at - before[0]).total_seconds()) <= 0:
            return None
        return Usage(cpu_percent=(total - before[1]) / seconds / 1e7, memory_bytes=memory)

    async def volumes(self) -> Sequence[Volume]:
        """See Orchestrator. Where the engine does not measure, the sizes are missing."""
        try:
            found = await anyio.to_thread.run_sync(
                partial(measure_volumes, self._settings), abandon_on_cancel=True
            )
        except EngineUnavailable as error:
            _log.warning("volumes_not_measured", error=error.in_full)
            listed = await self._call(
                lambda api: api.volumes(filters={"label": [self._instance_label]})
            )
            found = cast("list[object]", listed.get("Volumes") or [])
        stored, faults = read_each(found, Stored)
        for fault in faults:
            _log.warning("volume_unreadable", fault=fault.words)
        return [
            Volume(UserId(owner), one.name, one.size)
            for one in stored
            if (owner := one.marks.get(labels.OWNER))
            and one.marks.get(labels.INSTANCE) == self._settings.instance
        ]

    async def make_volume(self, owner: UserId) -> None:
        """See Orchestrator."""
        await self._ensure_volume(owner)

    async def remove_volume(self, owner: UserId) -> None:
        """See Orchestrator. The engine itself refuses while a container has it."""
        name = volume_name(self._settings.instance, owner)
        try:
            found = await self._call(lambda api: api.inspect_volume(name))
            theirs: Facts = found.get("Labels") or {}
            if theirs.get(labels.OWNER) != owner:
                raise EngineUnavailable(
                    f"The volume {name} is not labelled as this person's. It is left as it is."
                )
            await self._call(lambda api: api.remove_volume(name))
        except MissingError:
            return
        except ConflictError as error:
            raise FilesInUse from error

    async def apps(self) -> Sequence[Offer]:
        """See Orchestrator."""
        found = await self._ours(labels.APP)
        return [read_offer(one.marks, one.service) for one in found if one.runs]

    async def check(self, profile_id: str) -> None:
        """See Orchestrator."""
        await self._checked_profile(profile_id)

    async def ping(self) -> None:
        """See Orchestrator."""
        # Whoever asks does not wait for an engine that hangs; the thread does.
        await self._call(lambda api: api.ping(), abandon_on_cancel=True)

    async def _checked_profile(self, profile_id: str) -> Profile:
        profile = self._profile(profile_id)
        image = await self._image(profile.image)
        if image is None:
            raise ImageRefused(
                f"The image {profile.image} of the profile {profile.id} is not on this server. "
                "It must be built there, or be reachable in its registry."
            )
        own: Facts = image["Config"].get("Labels") or {}
        # The engine gives an image's labels to its containers: what Traefik or this hub reads.
        claims = sorted(
            name for name in own if name.lower().startswith("traefik.") or name in labels.ALL
        )
        if claims:
            raise ImageRefused(
                f"The image {profile.image} of the profile {profile.id} carries labels of its own "
                f"for Traefik or the hub ({', '.join(claims)}), which could open it to others. It "
                "is not started."
            )
        if profile.gpus and not offers_gpu(await self._call(lambda api: api.info())):
            raise NoGpu(
                f"The profile {profile.id} wants a GPU, and the engine offers none. Install the "
                "NVIDIA container toolkit, or set gpus = 0."
            )
        return profile

    def _profile(self, profile_id: str) -> Profile:
        profile = self._settings.profile(profile_id)
        if profile is None:
            raise ImageRefused(f"There is no profile {profile_id} any more.")
        return profile

    async def _image(self, image: str) -> Facts | None:
        return await self._gone_is_fine(lambda api: api.inspect_image(image))

    def _container_name(self, session: Session) -> str:
        return object_name(self._settings.instance, session.owner, session.name)

    @property
    def _instance_label(self) -> str:
        return f"{labels.INSTANCE}={self._settings.instance}"

    async def _ours(self, *wanted: str) -> list[Container]:
        """Return containers of this instance, as far as they can be read."""
        found, _ = read_each(await self._listed(*wanted), Container)
        return found

    async def _listed(self, *wanted: str) -> list[object]:
        return await self._call(
            lambda api: api.containers(all=True, filters={"label": [self._instance_label, *wanted]})
        )

    async def _inspect(self, container: str) -> Inspected | None:
        found = await self._gone_is_fine(lambda api: api.inspect_container(container))
        return None if found is None else read(found, Inspected)

    async def _gone_is_fine(self, work: Callable[[Api], _T]) -> _T | None:
        try:
            return await self._call(work)
        except (MissingError, ConflictError):
            # Missing, or being removed by the engine right now.
            return None

    async def _call(self, work: Callable[[Api], _T], *, abandon_on_cancel: bool = False) -> _T:
        """Run one call of the engine in a thread, with its errors as ours."""

        def run() -> _T:
            with mapped():
                return work(self._connected())

        return await anyio.to_thread.run_sync(
            run, limiter=self._limiter, abandon_on_cancel=abandon_on_cancel
        )

    def _connected(self) -> Api:
        with self._connecting:  # the first calls come from several threads at once
            if self._client is None:
                self._client = client.connect_engine(self._settings)
            return self._client

    async def aclose(self) -> None:
        """See Orchestrator."""
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None
