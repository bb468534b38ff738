"""As much of a Docker engine as the hub uses, in memory: it behaves, and remembers.

What the real engine does in each of these cases is shown in tests/contract/docker; the same
sessions, killed at the same points on the real one, are in tests/faults/test_kills.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import docker.errors
import requests

from controller.core import labels

Facts = dict[str, Any]
TRAEFIK = "traefik-0"


def refusal(status: int, text: str) -> docker.errors.APIError:
    """Return the client's error for an answer of this status."""
    response = requests.Response()
    response.status_code = status
    kind = docker.errors.NotFound if status == requests.codes.not_found else docker.errors.APIError
    return kind(text, response=response, explanation=text)


class Engine:
    """What there is on the engine: it outlives every controller."""

    def __init__(self, instance: str) -> None:
        """Begin with Traefik alone."""
        self.volumes: dict[str, dict[str, str]] = {}
        self.networks: dict[str, Facts] = {}
        self.containers: dict[str, Facts] = {}
        self._numbers = itertools.count(1)
        self.containers[TRAEFIK] = {
            "Id": TRAEFIK,
            "Name": f"{instance}-traefik-1",
            "Labels": {labels.INSTANCE: instance, labels.COMPONENT: "traefik"},
            "State": "running",
            "Networks": {f"{instance}_edge"},
            "ExitCode": 0,
        }

    def api(self) -> Api:
        """Return a client of one controller."""
        return Api(self)

    def number(self) -> int:
        """Return another number than ever before."""
        return next(self._numbers)

    def find(self, name: str) -> Facts:
        """Return a container by id or name."""
        for one in self.containers.values():
            if name in {one["Id"], one["Name"]}:
                return one
        raise refusal(404, f"No such container: {name}")

    def network(self, name: str) -> Facts:
        """Return a network by name."""
        if name not in self.networks:
            raise refusal(404, f"network {name} not found")
        return self.networks[name]

    def attached(self, network: str) -> list[Facts]:
        """Return the running containers that are in a network."""
        return [
            one
            for one in self.containers.values()
            if network in one["Networks"] and one["State"] == "running"
        ]

    def sessions(self) -> list[Facts]:
        """Return the containers that record a session."""
        return [one for one in self.containers.values() if labels.SESSION in one["Labels"]]

    def restart(self) -> None:
        """Stop all sessions, as an engine that is restarted without live-restore does."""
        for one in self.sessions():
            if one["State"] == "running":
                one["State"], one["ExitCode"] = "exited", 0


class Api:
    """The calls of docker.APIClient that the hub makes."""

    def __init__(self, engine: Engine) -> None:
        """Speak to this engine."""
        self._engine = engine

    def close(self) -> None:
        """Nothing is open."""

    def ping(self) -> str:
        """Answer."""
        return "OK"

    def info(self) -> Facts:
        """Tell of no graphics cards."""
        return {}

    def events(self, **_: object) -> None:
        """Break off at once: whoever listens looks by itself again and again."""
        raise refusal(500, "no events here")

    def inspect_image(self, image: str) -> Facts:
        """Have every image."""
        return {"Id": image, "Config": {"Labels": {}}}

    def logs(self, *_: object, **__: object) -> bytes:
        """Nothing is printed."""
        return b""

    def stats(self, *_: object, **__: object) -> Facts:
        """Tell what an engine tells of a container that does nothing."""
        return {}

    # -- volumes ---------------------------------------------------------------------------

    def create_volume(
        self, name: str, driver: str = "local", labels: Mapping[str, str] | None = None
    ) -> Facts:
        """Make a volume; one that is there is returned as it is."""
        del driver
        found = self._engine.volumes.setdefault(name, dict(labels or {}))
        return {"Name": name, "Labels": found}

    def inspect_volume(self, name: str) -> Facts:
        """Tell of a volume."""
        if name not in self._engine.volumes:
            raise refusal(404, f"get {name}: no such volume")
        return {"Name": name, "Labels": self._engine.volumes[name]}

    def volumes(self, filters: Mapping[str, Any] | None = None) -> Facts:
        """List volumes."""
        found = [
            {"Name": name, "Labels": theirs}
            for name, theirs in self._engine.volumes.items()
            if _matches(theirs, filters)
        ]
        return {"Volumes": found}

    def remove_volume(self, name: str) -> None:
        """Remove a volume that no container has."""
        self.inspect_volume(name)
        if any(name in one.get("Volumes", ()) for one in self._engine.containers.values()):
            raise refusal(409, f"remove {name}: volume is in use")
        del self._engine.volumes[name]

    # -- networks --------------------------------------------------------------------------

    def create_network(self, name: str, **body: Any) -> Facts:  # noqa: ANN401
        """Make a network."""
        if name in self._engine.networks:
            raise refusal(409, f"network with name {name} already exists")
        (pool,) = body["ipam"]["Config"]
        for other in self._engine.networks.values():
            if other["IPAM"]["Config"] == [pool]:
                raise refusal(403, "Pool overlaps with other one on this address space")
        self._engine.networks[name] = {"Name": name, "Labels": body["labels"], "IPAM": body["ipam"]}
        return {"Id": name}

    def networks(
        self, names: Sequence[str] | None = None, filters: Mapping[str, Any] | None = None
    ) -> list[Facts]:
        """List networks; ``names`` are patterns, as the engine takes them."""
        return [
            one
            for one in self._engine.networks.values()
            if _matches(one["Labels"], filters)
            and (names is None or any(re.search(name, one["Name"]) for name in names))
        ]

    def inspect_network(self, name: str) -> Facts:
        """Tell of a network, with the running containers in it."""
        found = self._engine.network(name)
        return found | {"Containers": {one["Id"]: {} for one in self._engine.attached(name)}}

    def remove_network(self, name: str) -> None:
        """Remove a network that nobody is in."""
        self._engine.network(name)
        if self._engine.attached(name):
            raise refusal(403, f"network {name} has active endpoints")
        del self._engine.networks[name]

    def connect_container_to_network(self, container: str, network: str) -> None:
        """Let a container into a network."""
        self._engine.network(network)
        found = self._engine.find(container)
        if network in found["Networks"]:
            raise refusal(403, f"endpoint with name x already exists in network {network}")
        found["Networks"].add(network)

    def disconnect_container_from_network(
        self, container: str, network: str, *, force: bool = False
    ) -> None:
        """Take a container out of a network."""
        del force
        self._engine.network(network)
        found = self._engine.find(container)
        if network not in found["Networks"]:
            raise refusal(403, f"container {container} is not connected to network {network}")
        found["Networks"].remove(network)

    # -- containers ------------------------------------------------------------------------

    def create_container_from_config(self, config: Facts, name: str | None = None) -> Facts:
        """Make a container; a name can be given once."""
        made = f"c-{self._engine.number()}"
        name = name or f"nameless-{made}"
        if any(one["Name"] == name for one in self._engine.containers.values()):
            raise refusal(409, f"Conflict. The container name {name} is already in use")
        mode = config["HostConfig"]["NetworkMode"]
        self._engine.containers[made] = {
            "Id": made,
            "Name": name,
            "Labels": config["Labels"],
            "State": "created",
            "Networks": set[str]() if mode == "none" else {mode},
            "Volumes": [
                one["Source"] for one in config["HostConfig"]["Mounts"] if one["Type"] == "volume"
            ],
            "ExitCode": 0,
        }
        return {"Id": made}

    def containers(
        self,
        all: bool = False,  # noqa: A002 - the client's own name
        filters: Mapping[str, Any] | None = None,
    ) -> list[Facts]:
        """List containers."""
        assert all
        return [
            {
                "Id": one["Id"],
                "Names": [f"/{one['Name']}"],
                "Labels": one["Labels"],
                "State": one["State"],
                "Status": one["State"],
                "NetworkSettings": {"Networks": {name: {} for name in one["Networks"]}},
            }
            for one in self._engine.containers.values()
            if _matches(one["Labels"], filters)
        ]

    def inspect_container(self, container: str) -> Facts:
        """Tell of a container."""
        found = self._engine.find(container)
        state = {"ExitCode": found["ExitCode"], "FinishedAt": "2026-11-23T12:00:00Z"}
        return {
            "Id": found["Id"],
            "Name": f"/{found['Name']}",
            "Config": {"Labels": found["Labels"]},
            "State": state,
        }

    def start(self, container: str) -> None:
        """Start a container; one that runs goes on."""
        found = self._engine.find(container)
        for network in found["Networks"]:
            self._engine.network(network)
        found["State"] = "running"

    def stop(self, container: str, timeout: int = 10) -> None:
        """Stop a container."""
        del timeout
        found = self._engine.find(container)
        if found["State"] == "running":
            found["State"], found["ExitCode"] = "exited", 143

    def unpause(self, container: str) -> None:
        """Nothing is ever paused."""
        raise refusal(500, f"Container {container} is not paused")

    def rename(self, container: str, name: str) -> None:
        """Rename a container."""
        found = self._engine.find(container)
        if any(one["Name"] == name for one in self._engine.containers.values()):
            raise refusal(409, f"Conflict. The container name {name} is already in use")
        found["Name"] = name

    def remove_container(self, container: str, *, v: bool = False, force: bool = False) -> None:
        """Remove a container; its named volumes stay."""
        assert v
        assert force
        found = self._engine.find(container)
        del self._engine.containers[found["Id"]]


def _matches(theirs: Mapping[str, str], filters: Mapping[str, Any] | None) -> bool:
    for wanted in (filters or {}).get("label", ()):
        name, given, value = wanted.partition("=")
        if name not in theirs or (given and theirs[name] != value):
            return False
    return True
