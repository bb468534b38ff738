"""Calls of one Docker engine: they block, and go to a bounded number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from controller.core import labels
from controller.engines.docker import client
from controller.engines.docker.answers import Container, Inspected, read, read_each
from controller.engines.docker.api import Api
from controller.engines.docker.client import ConflictError, MissingError, mapped
from controller.settings.schema import Settings

_T = TypeVar("_T")

_THREADS = 16


class Calls:
    """The engine, as the hub asks it."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked of the engine before the first call."""
        self._settings = settings
        self._client: Api | None = None
        self._connecting = threading.Lock()
        self._limiter = anyio.CapacityLimiter(_THREADS)

    async def call(self, work: Callable[[Api], _T], *, abandon_on_cancel: bool = False) -> _T:
        """Run one call of the engine in a thread, with its errors as ours."""

        def run() -> _T:
            with mapped():
                return work(self._connected())

        return await anyio.to_thread.run_sync(
            run, limiter=self._limiter, abandon_on_cancel=abandon_on_cancel
        )

    async def gone_is_fine(self, work: Callable[[Api], _T]) -> _T | None:
        """Run one call; None if what it is about is gone, or just going."""
        try:
            return await self.call(work)
        except (MissingError, ConflictError):
            # Missing, or being removed by the engine right now.
            return None

    async def listed(self, *wanted: str) -> object:
        """Return what the engine says of containers of this instance that have these labels."""
        return await self.call(
            lambda api: api.containers(all=True, filters={"label": [self.instance_label, *wanted]})
        )

    async def ours(self, *wanted: str) -> list[Container]:
        """Return containers of this instance, as far as they can be read."""
        found, _ = read_each(await self.listed(*wanted), Container)
        return found

    async def inspect(self, container: str) -> Inspected | None:
        """Return a container by its name or id; None: it is not there."""
        found = await self.gone_is_fine(lambda api: api.inspect_container(container))
        return None if found is None else read(found, Inspected)

    async def ping(self) -> None:
        """Raise EngineUnavailable unless the engine answers."""
        # The caller does not wait for an engine that hangs; the thread does.
        await self.call(lambda api: api.ping(), abandon_on_cancel=True)

    async def remove_container(self, container: str) -> None:
        """Remove a container, whether it runs or not."""
        await self.gone_is_fine(lambda api: api.remove_container(container, v=True, force=True))

    @property
    def instance_label(self) -> str:
        """Return the label by which this instance's objects are found."""
        return f"{labels.INSTANCE}={self._settings.instance}"

    def _connected(self) -> Api:
        with self._connecting:  # the first calls come from several threads at once
            if self._client is None:
                self._client = client.connect_engine(self._settings)
            return self._client

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None
