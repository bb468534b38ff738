"""The client of a Kubernetes cluster: requests, watches, and its refusals as errors of the hub.

Only the client's transport is used, without its models: validating each event of a watch in full
costs time for nothing. Callers decode the parts that they read.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import aiohttp
import anyio
import msgspec
import structlog
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from controller.core.errors import EngineUnavailable
from controller.settings.schema import Kubernetes

_T = TypeVar("_T")

JSON = "application/json"

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_log = structlog.get_logger("cluster")


class MissingError(EngineUnavailable):
    """The cluster knows no such object, or no such kind."""


class ConflictError(EngineUnavailable):
    """The cluster has an object of that name, or not the expected version of it."""


class GoneError(EngineUnavailable):
    """A version that the cluster no longer remembers (410)."""


class ForbiddenError(EngineUnavailable):
    """The hub's Role lacks a right."""


class BrokenError(EngineUnavailable):
    """The cluster, or a part of it, has an internal error (5xx)."""


class NotAdmittedError(EngineUnavailable):
    """The cluster, or a rule of the site, does not accept an object."""


class Answer(Protocol):
    """What the client has from the cluster, of which at first only the head has come."""

    status: int
    response: aiohttp.ClientResponse

    async def read(self) -> bytes:
        """Return the whole answer."""
        ...


class Transport(Protocol):
    """The calls of the client that the hub makes. A test holds them to the client's signatures."""

    user_agent: str

    async def param_serialize(
        self,
        method: str,
        resource_path: str,
        /,
        *,
        query_params: list[tuple[str, str]],
        header_params: dict[str, str],
        body: object,
        auth_settings: list[str],
    ) -> tuple[str, str, dict[str, str], object, object]:
        """Return method, address, headers and body as they are sent, and parts of a form."""
        ...

    async def call_api(
        self,
        method: str,
        url: str,
        /,
        *,
        header_params: dict[str, str],
        body: object,
        _request_timeout: aiohttp.ClientTimeout,
    ) -> Answer:
        """Send it."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class Api:
    """One connection to the cluster, made at the first request."""

    def __init__(self, settings: Kubernetes) -> None:
        """No request is made yet."""
        self._settings = settings
        self._client: Transport | None = None
        self._connecting = anyio.Lock()

    def own_namespace(self) -> str:
        """Return the namespace of the hub's own objects. Raises EngineUnavailable if not known."""
        if self._settings.hub_namespace:
            return self._settings.hub_namespace
        try:
            return _NAMESPACE.read_text().strip()
        except OSError as error:
            raise EngineUnavailable(
                "The controller does not run in the cluster. Set kubernetes.hub_namespace."
            ) from error

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        accept: str = JSON,
    ) -> bytes:
        """Return the whole answer. Raises EngineUnavailable or one of its kinds above."""
        total = aiohttp.ClientTimeout(total=self._settings.timeout_seconds)
        with _mapped():
            response = await self._call(
                method, path, query=query or {}, body=body, accept=accept, patience=total
            )
            data = await response.read()
        _raise_for(response.status, data)
        return data

    async def lines(
        self, path: str, query: Mapping[str, str], *, accept: str = JSON
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an answer that does not end by itself."""
        # The reader gives up on a silent stream; only connecting is limited here.
        endless = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.timeout_seconds)
        with _mapped():
            response = await self._call(
                "GET", path, query=query, body=None, accept=accept, patience=endless
            )
            raw = response.response
            try:
                if raw.status >= 400:  # noqa: PLR2004 - the first status that is an error
                    _raise_for(raw.status, await raw.read())
                while line := await raw.content.readline():
                    yield line
            finally:
                raw.close()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: object,
        accept: str,
        patience: aiohttp.ClientTimeout,
    ) -> Answer:
        client = await self._connected()
        method, url, headers, sent, _ = await client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": accept},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await client.call_api(
            method, url, header_params=headers, body=sent, _request_timeout=patience
        )

    async def _connected(self) -> Transport:
        async with self._connecting:
            if self._client is None:
                configuration = Configuration()
                config: Any = kube_config  # its functions say nothing of what they take
                if self._settings.kubeconfig:
                    await config.load_kube_config(
                        config_file=self._settings.kubeconfig,
                        context=self._settings.context or None,
                        client_configuration=configuration,
                        persist_config=False,
                    )
                else:
                    config.load_incluster_config(configuration)
                # The client is typed in part only, and its answers not at all.
                self._client = cast("Transport", cast("Any", ApiClient)(configuration))
                self._client.user_agent = "slicerhub"
            return self._client

    async def aclose(self) -> None:
        """Close the connection; a later request makes a new one."""
        async with self._connecting:
            if self._client is not None:
                await self._client.close()
                self._client = None


class Thing(msgspec.Struct, frozen=True, rename="camel"):
    """The metadata that identify an object and its version."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class Named(msgspec.Struct, frozen=True):
    """An object of which only the metadata matter."""

    metadata: Thing


class NamedList(msgspec.Struct, frozen=True):
    """A list whose items are decoded one by one."""

    items: tuple[msgspec.Raw, ...] | None = None  # some servers say null for none


class Status(msgspec.Struct, frozen=True):
    """A refusal of the cluster."""

    message: str = ""
    code: int = 0


def decoded(data: bytes, what: type[_T]) -> _T:
    """Decode an answer. Raises EngineUnavailable if it is not of this kind."""
    try:
        return msgspec.json.decode(data, type=what)
    except msgspec.DecodeError as error:
        raise EngineUnavailable(
            "The cluster's answer cannot be read: {error}.", error=str(error)
        ) from error


def items_of(listed: bytes) -> list[bytes]:
    """Return the items of a list, undecoded. Raises EngineUnavailable if it is not a list."""
    return [bytes(one) for one in decoded(listed, NamedList).items or ()]


def name_of(said: bytes) -> str:
    """Return the name of an object, whatever else it contains; "" if there is none."""
    try:
        return decoded(said, Named).metadata.name
    except EngineUnavailable:
        return ""


def read_each(listed: bytes, what: type[_T]) -> tuple[list[_T], list[str]]:
    """Return the items that could be read, and for each of the others its name and the reason.

    Raises EngineUnavailable if it is not a list.
    """
    found: list[_T] = []
    faults: list[str] = []
    for one in items_of(listed):
        try:
            found.append(decoded(one, what))
        except EngineUnavailable as error:
            faults.append(f"{name_of(one)}: {error}")
    return found, faults


_RIGHT = re.compile(r'User "([^"]*)" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"')


def _raise_for(status: int, data: bytes) -> None:
    if status < 400:  # noqa: PLR2004 - the first status that is an error
        return
    try:
        message = msgspec.json.decode(data, type=Status).message
    except msgspec.DecodeError:
        message = data[:200].decode(errors="replace").strip()
    raise error_of(status, message)


def error_of(status: int, message: str) -> EngineUnavailable:
    """Return the error for an answer that is no success. ``message``: the cluster's own words."""
    match status:
        case 401:
            return EngineUnavailable(
                "The cluster does not know the hub. Check kubernetes.kubeconfig, or that the "
                "controller has its service account."
            )
        case 403 if right := _RIGHT.search(message):
            user, verb, resource, group = right.groups()
            where = f"{resource}.{group}" if group else resource
            return ForbiddenError(
                "The hub may not {verb} {where}. Give its Role to {user}.",
                verb=verb,
                where=where,
                user=user,
            )
        case 400 | 403 | 413 | 422:
            return NotAdmittedError("{message}", message=message)
        case 404:
            return MissingError("The cluster says: {message}.", message=message)
        case 409:
            return ConflictError("{message}", message=message)
        case 410:
            return GoneError("{message}", message=message)
        case _:
            return BrokenError(
                "The cluster has an internal error ({status}): {message}.",
                status=status,
                message=message,
            )


@contextlib.contextmanager
def _mapped() -> Generator[None, None, None]:
    """Turn the client's errors into the hub's, here and nowhere else."""
    try:
        yield
    except kube_config.ConfigException as error:
        raise EngineUnavailable(
            "The cluster's address is not known ({error}). Set kubernetes.kubeconfig, or run the "
            "controller in the cluster.",
            error=str(error),
        ) from error
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        away = EngineUnavailable(
            "The server that runs sessions does not answer. Running sessions go on; starting and "
            "stopping must wait."
        )
        away.add_note(f"What was tried: {str(error) or type(error).__name__}")
        raise away from error
