"""Calls of one cluster, as the hub makes them: one namespace, and what carries its labels."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TypeVar

from controller.cluster.client import (
    JSON,
    Api,
    ConflictError,
    MissingError,
    decoded,
    read_each,
)
from controller.cluster.watching import Source, follow
from controller.core.errors import EngineUnavailable
from controller.core.model import SessionId
from controller.engines.kubernetes import manifests
from controller.engines.kubernetes.answers import METADATA, Metadata, Pod, Thing
from controller.engines.kubernetes.events import AnyFollower
from controller.settings.schema import Settings

_T = TypeVar("_T")

_KINDS = {  # kind -> where its objects are
    "Pod": ("/api/v1", "pods"),
    "Service": ("/api/v1", "services"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Event": ("/api/v1", "events"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Middleware": ("/apis/traefik.io/v1alpha1", "middlewares"),
    "IngressRoute": ("/apis/traefik.io/v1alpha1", "ingressroutes"),
    "PodMetrics": ("/apis/metrics.k8s.io/v1beta1", "pods"),
}


class Calls:
    """The cluster, as the hub asks it."""

    def __init__(self, settings: Settings, api: Api) -> None:
        """Nothing is asked of the cluster before the first call."""
        self._instance = settings.instance
        self._namespace = settings.kubernetes.namespace
        self._api = api

    async def listed(
        self, kind: str, what: type[_T], session_id: SessionId | None, *, accept: str = JSON
    ) -> tuple[list[_T], list[str]]:
        """Return a session's objects of a kind, or all sessions', and what could not be read."""
        query = self._selected(kind, session_id)
        found = await self._api.request("GET", self._path(kind), query=query, accept=accept)
        things, faults = read_each(found, what)
        return things, [f"{kind} {fault}" for fault in faults]

    async def ours(
        self, kind: str, what: type[_T], *, namespace: str = ""
    ) -> tuple[list[_T], list[str]]:
        """Return what names this instance, of a session or not, and what could not be read."""
        query = {"labelSelector": f"{manifests.INSTANCE}={self._instance}"}
        path = self._path(kind, namespace=namespace)
        return read_each(await self._api.request("GET", path, query=query), what)

    async def pods(self, session_id: SessionId) -> list[Pod]:
        """Return a session's Pods. Raises EngineUnavailable if one cannot be read."""
        found, faults = await self.listed("Pod", Pod, session_id)
        if faults:
            raise EngineUnavailable("The cluster's answer cannot be read: {fault}", fault=faults[0])
        return found

    async def read_pod(self, name: str) -> Pod | None:
        """Return a Pod; None: it is not there."""
        try:
            return decoded(await self._api.request("GET", self._path("Pod", name)), Pod)
        except MissingError:
            return None

    async def get(self, kind: str, name: str) -> Metadata | None:
        """Return what tells an object apart; None: it is not there."""
        try:
            found = await self._api.request("GET", self._path(kind, name), accept=METADATA)
        except MissingError:
            return None
        return decoded(found, Thing).metadata

    async def post(self, body: manifests.Body) -> Metadata:
        """Make an object. Raises ConflictError, NotAdmittedError."""
        made = await self._api.request("POST", self._path(str(body["kind"])), body=body)
        return decoded(made, Thing).metadata

    async def try_pod(self, body: manifests.Body) -> None:
        """Ask whether the cluster would take a Pod. Raises NotAdmittedError if it would not."""
        await self._api.request("POST", self._path("Pod"), query={"dryRun": "All"}, body=body)

    async def delete_pod(self, pod: Metadata, *, seconds: int) -> None:
        """Begin to delete a Pod; ``seconds``: what its program has to end."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": seconds,
            "propagationPolicy": "Background",
            "preconditions": {"uid": pod.uid},  # the name may be another session's by now
        }
        with contextlib.suppress(MissingError, ConflictError):
            await self._api.request("DELETE", self._path("Pod", pod.name), body=body)

    async def delete_claim(self, name: str, *, uid: str) -> None:
        """Begin to delete a claim, unless another one has its name by now."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        path = self._path("PersistentVolumeClaim", name)
        with contextlib.suppress(MissingError, ConflictError):
            await self._api.request("DELETE", path, body=body)

    async def log_of(self, pod: Metadata, *, tail: int) -> bytes:
        """Return the last lines that a session's program has written."""
        path = f"{self._path('Pod', pod.name)}/log"
        query = {"container": manifests.CONTAINER, "tailLines": str(tail)}
        return await self._api.request("GET", path, query=query)

    async def follow(self, follower: AnyFollower) -> None:
        """Keep all sessions' objects of a kind as the cluster has them, for ever."""
        source = Source(
            follower.kind,
            partial(self._path, follower.kind),
            self._selected(follower.kind, None),
            follower.accept,
            follower.accept_list,
        )
        await follow(self._api, source, follower)

    async def ping(self) -> None:
        """Raise EngineUnavailable unless the cluster answers and knows Traefik's kinds."""
        await self._api.request("GET", self._path("Pod"), query={"limit": "1"})
        try:
            await self._api.request("GET", self._path("IngressRoute"), query={"limit": "1"})
        except MissingError as error:
            raise EngineUnavailable(
                "The cluster does not know Traefik's kinds (traefik.io/v1alpha1). Install "
                "Traefik's CustomResourceDefinitions."
            ) from error

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._api.aclose()

    def _path(self, kind: str, name: str = "", *, namespace: str = "") -> str:
        group, plural = _KINDS[kind]
        path = f"{group}/namespaces/{namespace or self._namespace}/{plural}"
        return f"{path}/{name}" if name else path

    def _selected(self, kind: str, session_id: SessionId | None) -> dict[str, str]:
        """Select what is this instance's; events carry no labels and are told by their Pods."""
        if kind == "Event":
            return {"fieldSelector": "involvedObject.kind=Pod"}
        selector = f"{manifests.INSTANCE}={self._instance},{manifests.SESSION}"
        return {"labelSelector": f"{selector}={session_id}" if session_id else selector}
