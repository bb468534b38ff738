"""The network that each session has for itself, and Traefik's way into it."""

from __future__ import annotations

from functools import partial

import anyio

from controller.core import labels
from controller.core.errors import EngineUnavailable
from controller.core.model import Profile, Session, SessionId
from controller.engines.docker import manifests
from controller.engines.docker.answers import Members, Network, read, read_each
from controller.engines.docker.calls import Calls
from controller.engines.docker.client import (
    ConflictError,
    OverlapError,
    connect,
    create_network,
    disconnect,
)
from controller.settings.schema import Settings

_SUBNET_TRIES = 8


class Networks:
    """The networks of this instance's sessions."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._settings = settings
        self._calls = calls
        self._subnets = anyio.Lock()

    async def ensure(self, session: Session, profile: Profile) -> None:
        """See that a session has its network. Raises EngineUnavailable if no subnet is free."""
        docker_settings = self._settings.docker
        name = manifests.network_name(self._settings.instance, session.id)
        if await self._calls.call(lambda api: api.networks(names=[f"^{name}$"])):
            return
        async with self._subnets:
            networks, _ = read_each(await self._calls.call(lambda api: api.networks()), Network)
            used = [subnet for one in networks for subnet in one.subnets]
            free = manifests.free_subnets(
                docker_settings.network_pool, docker_settings.network_prefix, used
            )
            for _, subnet in zip(range(_SUBNET_TRIES), free, strict=False):
                body = manifests.network(session, profile, self._settings, subnet=subnet)
                try:
                    await self._calls.call(partial(create_network, body=body))
                except OverlapError:
                    continue  # a foreign network has taken it, or the host routes it
                return
        raise EngineUnavailable(
            "No network is free in {pool}. The administrator must widen docker.network_pool.",
            pool=docker_settings.network_pool,
        )

    async def join_traefik(self, network: str) -> None:
        """Connect Traefik to a network."""
        for one in await self._calls.ours(f"{labels.COMPONENT}=traefik"):
            if network in one.networks:
                continue
            try:
                await self._calls.call(partial(connect, container=one.id, network=network))
            except ConflictError:
                continue  # joined by another call meanwhile

    async def remove(self, session_id: SessionId) -> None:
        """Disconnect everything from a session's network and remove it."""
        name = manifests.network_name(self._settings.instance, session_id)
        found = await self._calls.gone_is_fine(lambda api: api.inspect_network(name))
        if found is None:
            return
        for container in read(found, Members).containers or ():
            await self._calls.gone_is_fine(partial(disconnect, container=container, network=name))
        await self._calls.gone_is_fine(lambda api: api.remove_network(name))
