"""Sessions on one Docker engine: a container, a network of its own, the owner's volume.

The container is the record: it is made after the network and removed last, so a network
without one is what a crash left of a launch. While a session is being stopped its container
carries ``.stopping`` behind its name: labels cannot be changed, and the mark has to survive the
controller. Calls of the engine's client block and go to a bounded number of threads.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial

import anyio
import structlog
from typing_extensions import override

from controller.core import labels
from controller.core.errors import (
    EngineUnavailable,
    SessionExists,
    SessionStopping,
)
from controller.core.model import (
    Observed,
    Offer,
    Profile,
    Session,
    SessionId,
    Usage,
    UserId,
    Volume,
    object_name,
)
from controller.core.sentence import Phrase
from controller.engines import Orchestrator
from controller.engines.docker import client, manifests
from controller.engines.docker.answers import (
    Container,
    End,
    Fault,
    Network,
    UnreadableError,
    read,
    read_each,
)
from controller.engines.docker.calls import Calls
from controller.engines.docker.client import (
    ConflictError,
    Events,
    read_logs,
)
from controller.engines.docker.images import Images
from controller.engines.docker.networks import Networks
from controller.engines.docker.observed import STOPPING, observe
from controller.engines.docker.offers import read_offer
from controller.engines.docker.usage import Measurements
from controller.engines.docker.volumes import Volumes
from controller.monitoring.faults import until_closed
from controller.settings.schema import Settings

_RELIST_SECONDS = 30.0  # an event stream may stall without a word

_DEBOUNCE_SECONDS = 0.02  # one start makes several events

_SETTLE_SECONDS = 0.3  # after which the engine's list agrees with its last event

_log = structlog.get_logger("docker")


class DockerOrchestrator(Orchestrator):
    """Sessions as containers of one Docker engine."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked of the engine before the first call."""
        self._settings = settings
        self._calls = Calls(settings)
        self._volumes = Volumes(settings, self._calls)
        self._networks = Networks(settings, self._calls)
        self._images = Images(settings, self._calls)
        self._measurements = Measurements(self._calls)
        self._ended: dict[str, End] = {}  # of containers that ended: final
        self._faults: set[str] = set()  # what could not be read when everything was looked at last

    @override
    async def ensure(self, session: Session) -> None:
        profile = await self._images.checked_profile(session.profile)
        volume = await self._volumes.ensure(session.owner)
        for mount in session.volumes:
            await self._volumes.ensure_of_group(mount, profile)
        network = manifests.network_name(self._settings.instance, session.id)
        existed = await self._exists(session)
        try:
            await self._networks.ensure(session, profile)
            await self._ensure_container(session, profile, volume)
            # Joined before the start: Traefik routes at the start's event.
            await self._networks.join_traefik(network)
            await self._calls.call(lambda api: api.start(self._container_name(session)))
        except BaseException:
            if not existed:
                with anyio.CancelScope(shield=True):
                    await self._undo(session)
            raise

    async def _exists(self, session: Session) -> bool:
        found = await self._calls.inspect(self._container_name(session))
        if found is None:
            found = await self._calls.inspect(self._container_name(session) + STOPPING)
            if found is not None:
                raise SessionStopping
            return False
        if found.config.session != session.id:
            raise SessionExists(found.config.session)
        return True

    async def _undo(self, session: Session) -> None:
        try:
            found = await self._calls.inspect(self._container_name(session))
            if found is not None and found.config.session == session.id:
                await self._calls.remove_container(found.id)
            await self._networks.remove(session.id)
        except EngineUnavailable as error:
            # Housekeeping finds the rest by its labels.
            _log.warning("half_made_session_left", session=session.id, error=error.in_full)

    async def _ensure_container(self, session: Session, profile: Profile, volume: str) -> None:
        config = manifests.container(session, profile, self._settings, volume=volume)
        name = self._container_name(session)
        try:
            await self._calls.call(lambda api: api.create_container_from_config(config, name))
        except ConflictError:
            await self._exists(session)  # raises unless it is this very session

    @override
    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        # What cannot be read may well run: then nothing is taken from it, and this is no success.
        listed = await self._calls.listed(f"{labels.SESSION}={session_id}")
        for one in read(listed, list[Container]):
            await self._end(one, int(grace.total_seconds()))
            await self._networks.remove(session_id)
            await self._calls.remove_container(one.id)
        await self._networks.remove(session_id)
        self._measurements.forget(session_id)

    async def _end(self, one: Container, seconds: int) -> None:
        if one.name and not one.name.endswith(STOPPING):
            await self._calls.gone_is_fine(lambda api: api.rename(one.name, one.name + STOPPING))
        if one.state == "paused":
            await self._calls.gone_is_fine(lambda api: api.unpause(one.id))
        await self._calls.gone_is_fine(lambda api: api.stop(one.id, timeout=seconds))

    @override
    async def get(self, session_id: SessionId) -> Observed | None:
        return next((one for one in await self.list() if one.session.id == session_id), None)

    @override
    async def list(self) -> Sequence[Observed]:
        listed = await self._calls.listed()
        containers, faults = read_each(listed, Container)
        listed = await self._calls.call(
            lambda api: api.networks(
                filters={"label": [self._calls.instance_label, labels.SESSION]}
            )
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
    @override
    def unread(self) -> int:
        return len(self._faults)

    async def _end_of(self, container: str) -> End | None:
        found = await self._calls.inspect(container)
        return None if found is None else found.state

    @override
    async def watch(self) -> AsyncGenerator[Sequence[Observed], None]:
        send, receive = anyio.create_memory_object_stream[None](1)
        events = Events(self._settings, send)
        async with anyio.create_task_group() as group, send, receive:
            group.start_soon(events.run)
            patience = _RELIST_SECONDS
            self._volumes.tidy = False
            with until_closed(group), closing(events):
                while True:
                    try:
                        if not self._volumes.tidy:
                            self._volumes.tidy = True
                            await self._volumes.remove_openers()
                        snapshot = await self.list()
                    except EngineUnavailable as error:
                        self._volumes.tidy = False
                        _log.warning("engine_unavailable", error=error.in_full)
                        await anyio.sleep(client.RETRY_SECONDS)
                        continue
                    yield snapshot
                    with anyio.move_on_after(patience) as quiet:
                        await receive.receive()
                        await anyio.sleep(_DEBOUNCE_SECONDS)
                    # The engine reports an end before its own list shows it: list once more.
                    patience = _RELIST_SECONDS if quiet.cancelled_caught else _SETTLE_SECONDS

    @override
    async def logs(self, session_id: SessionId, *, tail: int) -> AsyncIterator[str]:
        for one in await self._calls.ours(f"{labels.SESSION}={session_id}"):
            text = await self._calls.gone_is_fine(partial(read_logs, container=one.id, tail=tail))
            for line in (text or b"").decode(errors="replace").splitlines():
                yield line

    @override
    async def usage(self, session_id: SessionId) -> Usage | None:
        return await self._measurements.of(session_id)

    @override
    async def apps(self) -> Sequence[Offer]:
        found = await self._calls.ours(labels.APP)
        return [read_offer(one.marks, one.service) for one in found if one.runs]

    def _container_name(self, session: Session) -> str:
        return object_name(self._settings.instance, session.owner, session.name)

    @override
    async def fetch(self, profile_id: str, tell: Callable[[Phrase], None]) -> None:
        await self._images.fetch(profile_id, tell)

    @override
    async def check(self, profile_id: str) -> None:
        await self._images.checked_profile(profile_id)

    @override
    async def volumes(self) -> Sequence[Volume]:
        """Where the engine does not measure, the sizes are missing."""
        return await self._volumes.all()

    @override
    async def make_volume(self, owner: UserId) -> None:
        await self._volumes.ensure(owner)

    @override
    async def remove_volume(self, owner: UserId) -> None:
        """The engine itself refuses while a container has it."""
        await self._volumes.remove(owner)

    @override
    async def ping(self) -> None:
        await self._calls.ping()

    @override
    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._calls.close()
