"""Sessions on one Docker engine: a container, a network of its own, the owner's volume.

The container is the record: it is made after the network and removed last, so a network
without one is what a crash left of a launch. While a session is being stopped its container
carries ``.stopping`` behind its name: labels cannot be changed, and the mark has to survive the
controller. Calls of the engine's client block and go to a bounded number of threads.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import anyio.from_thread
import anyio.to_thread
import docker
import docker.auth
import docker.errors
import docker.utils
import msgspec
import requests
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
from controller.manifests import docker as manifests
from controller.orchestrators.containers import (
    STOPPING,
    Container,
    End,
    Fault,
    Inspected,
    Network,
    Stats,
    Stored,
    UnreadableError,
    observe,
    read,
    read_each,
)
from controller.orchestrators.offers import read_offer
from controller.orchestrators.progress import BEGINNING, Progress
from controller.settings.schema import Settings

_T = TypeVar("_T")

_Facts = Mapping[str, Any]  # an object of the engine's API, as decoded JSON

_Api = Any  # docker.APIClient, whose stubs know its answers only in part

_THREADS = 16

_TRANSFERS = 4  # at once, each with a thread for minutes

_TELL_SECONDS = 0.5  # between two words on a transfer

_SUBNET_TRIES = 8

_RELIST_SECONDS = 30.0  # an event stream may stall without a word

_DEBOUNCE_SECONDS = 0.02  # one start makes several events

_SETTLE_SECONDS = 0.3  # after which the engine's list agrees with its last event

_RETRY_SECONDS = 1.0

_MEASURE_SECONDS = 600  # the engine walks through all files to measure them

_EVENTS = ["create", "start", "die", "oom", "pause", "unpause", "rename", "destroy"]

_VOLUME_LABELS = (labels.INSTANCE, labels.VOLUME)

_log = structlog.get_logger("docker")


class DockerOrchestrator:
    """See Orchestrator."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked of the engine before the first call."""
        self._settings = settings
        self._client: _Api = None
        self._connecting = threading.Lock()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._subnets = anyio.Lock()
        self._samples: dict[SessionId, tuple[datetime, int]] = {}
        self._ended: dict[str, End] = {}  # of containers that ended: final
        self._faults: set[str] = set()  # what could not be read when everything was looked at last
        self._transfers: dict[str, _Transfer] = {}  # by image
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

    async def _make_volume(self, body: _Facts) -> _Facts:
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
        if any(theirs.get(label) != body["Labels"][label] for label in _VOLUME_LABELS):
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
                    await self._call(partial(_create_network, body=body))
                except _OverlapError:
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
        except _ConflictError:
            await self._exists(session)  # raises unless it is this very session

    async def _join_traefik(self, network: str) -> None:
        for one in await self._ours(f"{labels.COMPONENT}=traefik"):
            if network in one.networks:
                continue
            try:
                await self._call(partial(_connect, container=one.id, network=network))
            except _ConflictError:
                continue  # joined by another call meanwhile

    async def fetch(self, profile_id: str, tell: Callable[[str], None]) -> None:
        """See Orchestrator."""
        image = self._profile(profile_id).image
        if await self._image(image) is not None:
            return
        transfer = self._transfers.setdefault(image, _Transfer())
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

    async def _fetch(self, image: str, transfer: _Transfer) -> None:
        transfer.tell(BEGINNING)
        try:
            await anyio.to_thread.run_sync(
                partial(_fetch, self._settings, image, transfer),
                abandon_on_cancel=True,
                limiter=self._transfer_limiter,
            )
        except ImageRefused as error:
            transfer.refusal = error.cause
            raise
        except EngineUnavailable as error:
            await self.ping()  # raises if it is the engine that is away
            transfer.refusal = f"The image {image} cannot be fetched: {_words_of(error)}"
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
        attached: _Facts = found.get("Containers") or {}
        for container in attached:
            await self._gone_is_fine(partial(_disconnect, container=container, network=name))
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
        events = _Events(self._settings, send)
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
                        await anyio.sleep(_RETRY_SECONDS)
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
            text = await self._gone_is_fine(partial(_logs, container=one.id, tail=tail))
            for line in (text or b"").decode(errors="replace").splitlines():
                yield line

    async def usage(self, session_id: SessionId) -> Usage | None:
        """See Orchestrator."""
        for one in await self._ours(f"{labels.SESSION}={session_id}"):
            stats = await self._gone_is_fine(partial(_stats, container=one.id))
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
                partial(_measure_volumes, self._settings), abandon_on_cancel=True
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
            theirs: _Facts = found.get("Labels") or {}
            if theirs.get(labels.OWNER) != owner:
                raise EngineUnavailable(
                    f"The volume {name} is not labelled as this person's. It is left as it is."
                )
            await self._call(lambda api: api.remove_volume(name))
        except _MissingError:
            return
        except _ConflictError as error:
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
        own: _Facts = image["Config"].get("Labels") or {}
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

    async def _image(self, image: str) -> _Facts | None:
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

    async def _gone_is_fine(self, work: Callable[[_Api], _T]) -> _T | None:
        try:
            return await self._call(work)
        except (_MissingError, _ConflictError):
            # Missing, or being removed by the engine right now.
            return None

    async def _call(self, work: Callable[[_Api], _T], *, abandon_on_cancel: bool = False) -> _T:
        """Run one call of the engine in a thread, with its errors as ours."""

        def run() -> _T:
            with _mapped():
                return work(self._connected())

        return await anyio.to_thread.run_sync(
            run, limiter=self._limiter, abandon_on_cancel=abandon_on_cancel
        )

    def _connected(self) -> _Api:
        with self._connecting:  # the first calls come from several threads at once
            if self._client is None:
                self._client = _connect_engine(self._settings)
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


class _Transfer:
    """An image on its way to the engine, and those who wait for it."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()  # whoever holds it fetches
        self.listeners: list[Callable[[str], None]] = []
        self.text = ""
        self.refusal = ""  # why it cannot be had

    def tell(self, text: str) -> None:
        if text != self.text:
            self.text = text
            for listener in self.listeners:
                listener(text)


class _Events:
    """Rings when the engine says that one of our containers changed."""

    def __init__(self, settings: Settings, bell: Any) -> None:  # noqa: ANN401
        self._settings = settings
        self._bell = bell
        self._stream: Any = None

    async def run(self) -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(self._read, abandon_on_cancel=True)
            except EngineUnavailable as error:
                _log.info("events_interrupted", error=error.in_full)
            self._ring()  # something may have been missed
            await anyio.sleep(_RETRY_SECONDS)

    def close(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._stream.close()

    def _read(self) -> None:
        with _mapped(), contextlib.closing(_connect_engine(self._settings)) as client:
            client.timeout = None  # events may be hours apart
            filters = {
                "type": "container",
                "event": _EVENTS,  # and not the health checks of the hub's own parts
                "label": f"{labels.INSTANCE}={self._settings.instance}",
            }
            self._stream = client.events(filters=filters)
            for _ in self._stream:
                anyio.from_thread.run_sync(self._ring)

    def _ring(self) -> None:
        # A full stream means that the bell has rung already; a closed one, that nobody listens.
        with contextlib.suppress(
            anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError
        ):
            self._bell.send_nowait(None)


class _AuthFile(msgspec.Struct):
    auths: dict[str, dict[str, str]] = {}


def registry_auth(text: str, image: str) -> str | None:
    """Return the ``X-Registry-Auth`` header for the image's registry, if the file knows it.

    ``text``: a file like Docker's config.json. Raises ValueError if it is not; its message holds
    nothing of the file.
    """
    registry, _ = docker.auth.resolve_repository_name(image)
    auth: Any = docker.auth
    try:
        auths = msgspec.json.decode(text, type=_AuthFile).auths
        config = auth.AuthConfig({"auths": auth.parse_auth(auths)})
    except ValueError as error:
        raise ValueError("it is not like Docker's config.json") from error
    found: _Facts | None = config.resolve_authconfig(registry)
    return auth.encode_header(found).decode() if found else None


def offers_gpu(info: _Facts) -> bool:
    """Tell whether the engine can give graphics cards, by what it says of itself.

    The NVIDIA container toolkit adds a runtime of its name; engines since 28 list devices.
    """
    runtimes: _Facts = info.get("Runtimes") or {}
    devices: Sequence[_Facts] = info.get("DiscoveredDevices") or []
    return "nvidia" in runtimes or any("gpu" in str(device.get("ID", "")) for device in devices)


class _MissingError(EngineUnavailable):
    """The engine knows no such object."""


class _ConflictError(EngineUnavailable):
    """The engine has an object of that name, or is busy with it."""


class _OverlapError(EngineUnavailable):
    """A subnet is taken."""


@contextlib.contextmanager
def _mapped() -> Generator[None, None, None]:
    """Turn the client's errors into ours, here and nowhere else."""
    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        if "overlap" in text:
            raise _OverlapError(text) from error
        if "already exists in network" in text or "same name as its current name" in text:
            raise _ConflictError(text) from error
        if "has active endpoints" in text:
            raise _ConflictError(text) from error  # somebody else takes it down, too
        if "is not connected to network" in text:
            raise _MissingError(text) from error
        kind = {404: _MissingError, 409: _ConflictError}.get(error.status_code or 0)
        if kind is not None:
            raise kind(text) from error
        refused = EngineUnavailable(
            "The engine refuses what the hub asks of it. Tell your administrator."
        )
        refused.add_note(f"The engine says: {text}")
        raise refused from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        away = EngineUnavailable(
            "The engine does not answer. Running sessions go on; starting and stopping must wait."
        )
        away.add_note(f"What was tried: {error}")
        raise away from error


def _words_of(error: EngineUnavailable) -> str:
    if isinstance(error.__cause__, requests.RequestException):
        return f"the transfer broke off ({error.__cause__})."
    return error.in_full


def _connect_engine(settings: Settings) -> _Api:
    return docker.APIClient(
        base_url=settings.docker.host, version="auto", timeout=settings.docker.timeout_seconds
    )


def _fetch(settings: Settings, image: str, transfer: _Transfer) -> None:
    """Bring an image to the engine. For a thread that the event loop has started."""
    progress = Progress()
    told = 0.0
    headers = _auth_headers(settings.docker.registry_auth_file, image)
    with _mapped(), contextlib.closing(_connect_engine(settings)) as api:
        silence = settings.docker.registry_silence_seconds
        for message in _messages(api, image=image, headers=headers, silence=silence):
            anyio.from_thread.check_cancelled()
            progress.hear(message)
            now = time.monotonic()
            if now - told >= _TELL_SECONDS:
                told = now
                anyio.from_thread.run_sync(transfer.tell, progress.text)


def _measure_volumes(settings: Settings) -> list[object]:
    """Ask the engine how large its volumes are: a long walk through the disk.

    Before version 1.42 of its API it measures images and containers, too, and ignores ``type``.
    """
    with _mapped(), contextlib.closing(_connect_engine(settings)) as api:
        api.timeout = _MEASURE_SECONDS
        answer = api.get(api.base_url + f"/v{api.api_version}/system/df", params={"type": "volume"})
        if not answer.ok:
            raise EngineUnavailable(f"The engine does not measure volumes: {answer.text[:200]}")
        return answer.json().get("Volumes") or []


def _auth_headers(path: str, image: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        header = registry_auth(Path(path).read_text(encoding="utf-8"), image)
    except (OSError, ValueError) as error:
        raise ImageRefused(
            f"docker.registry_auth_file: {path} cannot be read ({error}). Correct it."
        ) from error
    return {"X-Registry-Auth": header} if header else {}


def _messages(
    api: _Api, *, image: str, headers: Mapping[str, str], silence: int
) -> Generator[_Facts, None, None]:
    """Yield what the engine tells while it fetches; raises ImageRefused with its last word.

    Not by the client's own method, which would wait for ever for a registry that falls silent.
    """
    repository, tag = docker.utils.parse_repository_tag(image)
    with api.post(
        f"{api.base_url}/v{api.api_version}/images/create",
        params={"fromImage": repository, "tag": tag or "latest"},
        headers=headers,
        stream=True,
        timeout=silence,
    ) as response:
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            docker.errors.create_api_error_from_http_exception(error)  # raises its own
        for line in filter(None, response.iter_lines()):
            message: _Facts = msgspec.json.decode(line)
            if "error" in message:
                raise ImageRefused(f"The image {image} cannot be fetched: {message['error']}")
            yield message


def _create_network(api: _Api, *, body: dict[str, Any]) -> None:
    api.create_network(
        body["Name"],
        driver=body["Driver"],
        options=body["Options"],
        ipam=body["IPAM"],
        check_duplicate=body["CheckDuplicate"],
        internal=body["Internal"],
        labels=body["Labels"],
        enable_ipv6=body["EnableIPv6"],
        attachable=body["Attachable"],
    )


def _connect(api: _Api, *, container: str, network: str) -> None:
    api.connect_container_to_network(container, network)


def _disconnect(api: _Api, *, container: str, network: str) -> None:
    api.disconnect_container_from_network(container, network, force=True)


def _logs(api: _Api, *, container: str, tail: int) -> bytes:
    return api.logs(container, tail=tail, stream=False)


def _stats(api: _Api, *, container: str) -> _Facts:
    return api.stats(container, stream=False, one_shot=True)
