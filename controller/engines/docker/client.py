"""The Docker engine's client: its calls, its events and its errors as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import cast

import anyio
import anyio.from_thread
import anyio.to_thread
import docker
import docker.errors
import requests
import structlog
from anyio.streams.memory import MemoryObjectSendStream

from controller.core import labels
from controller.core.errors import EngineUnavailable
from controller.engines.docker import manifests
from controller.engines.docker.api import Api, EventStream, Filters
from controller.settings.schema import Settings

_log = structlog.get_logger("docker")

RETRY_SECONDS = 1.0

_MEASURE_SECONDS = 600  # the engine walks through all files to measure them

_EVENTS = ["create", "start", "die", "oom", "pause", "unpause", "rename", "destroy"]

VOLUME_LABELS = (labels.INSTANCE, labels.VOLUME)


class Events:
    """Rings when the engine says that one of our containers changed."""

    def __init__(self, settings: Settings, bell: MemoryObjectSendStream[None]) -> None:
        """``bell``: rung at every event that concerns the hub."""
        self._settings = settings
        self._bell = bell
        self._stream: EventStream | None = None

    async def run(self) -> None:
        """Follow the events until cancelled; an interruption is waited out."""
        while True:
            try:
                await anyio.to_thread.run_sync(self._read, abandon_on_cancel=True)
            except EngineUnavailable as error:
                _log.info("events_interrupted", error=error.in_full)
            self._ring()  # something may have been missed
            await anyio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """End the stream that is being read."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._stream.close()

    def _read(self) -> None:
        with mapped(), contextlib.closing(connect_engine(self._settings)) as client:
            # Events may be hours apart. The client takes None for that, and its stubs do not know.
            client.timeout = cast("int", None)
            filters: Filters = {
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


class MissingError(EngineUnavailable):
    """The engine knows no such object."""


class ConflictError(EngineUnavailable):
    """The engine has an object of that name, or is busy with it."""


class OverlapError(EngineUnavailable):
    """A subnet is taken."""


@contextlib.contextmanager
def mapped() -> Generator[None, None, None]:
    """Turn the client's errors into ours, here and nowhere else."""
    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        if "overlap" in text:
            raise OverlapError("{text}", text=text) from error
        if "already exists in network" in text or "same name as its current name" in text:
            raise ConflictError("{text}", text=text) from error
        if "has active endpoints" in text:
            raise ConflictError("{text}", text=text) from error  # somebody else takes it down, too
        if "is not connected to network" in text:
            raise MissingError("{text}", text=text) from error
        kind = {404: MissingError, 409: ConflictError}.get(error.status_code or 0)
        if kind is not None:
            raise kind("{text}", text=text) from error
        refused = EngineUnavailable(
            "The server that runs sessions refuses a request of the hub. Tell the administrator."
        )
        refused.add_note(f"The engine says: {text}")
        raise refused from error
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        away = EngineUnavailable(
            "The server that runs sessions does not answer. Running sessions go on; starting and "
            "stopping must wait."
        )
        away.add_note(f"What was tried: {error}")
        raise away from error


def connect_engine(settings: Settings) -> Api:
    """Return a client of the engine that the settings name. Raises what ``mapped`` maps."""
    return docker.APIClient(
        base_url=settings.docker.host, version="auto", timeout=settings.docker.timeout_seconds
    )


def measure_volumes(settings: Settings) -> object:
    """Ask the engine how large its volumes are: a long walk through the disk.

    Before version 1.42 of its API it measures images and containers, too, and ignores ``type``.
    """
    with mapped(), contextlib.closing(connect_engine(settings)) as api:
        api.timeout = _MEASURE_SECONDS
        answer = api.get(api.base_url + f"/v{api.api_version}/system/df", params={"type": "volume"})
        if not answer.ok:
            raise EngineUnavailable(
                "The engine does not measure volumes: {said}", said=answer.text[:200]
            )
        return answer.json()


def create_network(api: Api, *, body: manifests.Body) -> None:
    """Create a network of that description."""
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


def connect(api: Api, *, container: str, network: str) -> None:
    """Connect a container to a network."""
    api.connect_container_to_network(container, network)


def disconnect(api: Api, *, container: str, network: str) -> None:
    """Disconnect a container from a network, whether it runs or not."""
    api.disconnect_container_from_network(container, network, force=True)


def read_logs(api: Api, *, container: str, tail: int) -> bytes:
    """Return the last lines that a container has written."""
    return api.logs(container, tail=tail, stream=False)


def read_stats(api: Api, *, container: str) -> object:
    """Return what a container uses now, without waiting for a second look."""
    return api.stats(container, stream=False, one_shot=True)
