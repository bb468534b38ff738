"""A cluster in memory, as far as an engine asks it: it keeps objects and remembers its calls.

What the real cluster does in each of these cases is shown in tests/kubernetes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from controller.cluster.client import JSON, Api, ConflictError, MissingError, NotAdmittedError
from controller.core.errors import EngineUnavailable
from controller.settings.schema import Kubernetes

Facts = dict[str, Any]  # as the cluster's JSON


class Place(NamedTuple):
    """Where an object is."""

    namespace: str
    plural: str
    name: str = ""


class FakeCluster(Api):
    """Objects by their places; a deleted one is gone at once, unless it is to stay for a while."""

    def __init__(self) -> None:
        """Begin empty.

        ``refusals``: what is raised, by method and plural. ``listed``: what is listed of a kind, by
        its plural, instead of what is kept. ``logs``: what programs have written, by their Pods.
        ``stuck``: Pods whose deletion only begins, unless it is forced. ``asked``: every call.
        """
        super().__init__(Kubernetes())
        self.objects: dict[Place, Facts] = {}
        self.refusals: dict[tuple[str, str], EngineUnavailable] = {}
        self.listed: dict[str, list[Facts]] = {}
        self.logs: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.asked: list[tuple[str, Place]] = []
        self.closed = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        accept: str = JSON,
    ) -> bytes:
        """See Api."""
        del accept
        namespace, plural, *rest = path.partition("/namespaces/")[2].split("/")
        place = Place(namespace, plural, "/".join(rest))
        self.asked.append((method, place))
        if refusal := self.refusals.get((method, plural)):
            raise refusal
        asked = query or {}
        match method:
            case "POST":
                found = self._make(place, _facts(body), dry="dryRun" in asked)
            case "DELETE":
                found = self._delete(place, _facts(body))
            case _ if rest[1:] == ["log"]:
                return self._log(rest[0], int(asked["tailLines"]))
            case _ if rest:
                found = self._find(place)
            case _:
                found = {"items": self._list(place, asked.get("labelSelector", ""))}
        return json.dumps(found).encode()

    async def aclose(self) -> None:
        """See Api."""
        self.closed = True

    def names(self, plural: str) -> list[str]:
        """Return the names of all objects of a kind."""
        return sorted(place.name for place in self.objects if place.plural == plural)

    def calls(self, method: str, plural: str) -> int:
        """Return how often this was asked."""
        return sum((done, place.plural) == (method, plural) for done, place in self.asked)

    def _log(self, pod: str, tail: int) -> bytes:
        if pod not in self.logs:
            raise NotAdmittedError("the container is waiting to start")
        return "\n".join(self.logs[pod].splitlines()[-tail:]).encode()

    def _make(self, place: Place, body: Facts, *, dry: bool) -> Facts:
        where = place._replace(name=body["metadata"]["name"])
        if where in self.objects:
            raise ConflictError("already exists")
        made = body | {"metadata": body["metadata"] | {"uid": f"uid-{len(self.asked)}"}}
        if not dry:
            self.objects[where] = made
        return made

    def _find(self, place: Place) -> Facts:
        if place not in self.objects:
            raise MissingError("The cluster says: {name} not found.", name=place.name)
        return self.objects[place]

    def _delete(self, place: Place, options: Facts) -> Facts:
        found = self._find(place)
        uid = found["metadata"]["uid"]
        if options["preconditions"]["uid"] != uid:
            raise ConflictError("the uid in the precondition is another")
        if place.name in self.stuck and options.get("gracePeriodSeconds") != 0:
            found["metadata"]["deletionTimestamp"] = "2026-03-05T15:00:00Z"
            return found
        owned = [
            where
            for where, one in self.objects.items()
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences", ()))
        ]
        for where in (place, *owned):
            del self.objects[where]
        return found

    def _list(self, place: Place, selector: str) -> list[Facts]:
        if place.plural in self.listed:
            return self.listed[place.plural]
        wanted = [one.partition("=") for one in selector.split(",") if one]
        return [
            one
            for where, one in sorted(self.objects.items())
            if (where.namespace, where.plural) == (place.namespace, place.plural)
            and all(
                key in (marked := one["metadata"].get("labels", {}))
                and (not equals or marked[key] == value)
                for key, equals, value in wanted
            )
        ]


def _facts(body: object) -> Facts:
    """Return a body as the cluster has it, apart from the hub's own."""
    found: Facts = json.loads(json.dumps(body))
    return found
