"""The calls of the Docker engine's client that the hub makes, and their types.

The stubs of docker.APIClient know some of its answers, and what they know is what engines ought to
say. Here an answer is an ``object`` until ``answers`` has read it. That the real client has these
calls the type checker sees where it is made, and a test by its signatures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

import requests

Filters = dict[str, str | list[str]]


class EventStream(Protocol):
    """What the engine tells as it happens, until somebody closes it."""

    def __iter__(self) -> Iterator[object]:
        """Yield one event after the other."""
        ...

    def close(self) -> None:
        """End it, from whichever thread."""
        ...


class Api(Protocol):
    """One connection to the engine. Every call blocks, and raises what ``client.mapped`` maps."""

    timeout: int
    """Seconds for each answer."""

    @property
    def base_url(self) -> str:
        """Where the engine is."""
        ...

    @property
    def api_version(self) -> str:
        """The version of its API that both sides know."""
        ...

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        ...

    def ping(self) -> object:
        """Return if the engine answers."""
        ...

    def info(self) -> object:
        """Return what the engine says of itself: ``answers.Info``."""
        ...

    def events(self, *, filters: Filters) -> EventStream:
        """Return what happens from now on."""
        ...

    # What the client has no call for, or none that ever gives up.

    def get(self, url: str, /, *, params: Mapping[str, str]) -> requests.Response:
        """Ask for any path."""
        ...

    def post(
        self,
        url: str,
        /,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        stream: bool,
        timeout: float,
    ) -> requests.Response:
        """Post to any path."""
        ...

    # Images.

    def inspect_image(self, image: str, /) -> object:
        """Return an image: ``answers.Image``."""
        ...

    # Containers.

    def create_container_from_config(
        self, config: Mapping[str, object], name: str | None = None, /
    ) -> object:
        """Make a container: ``answers.Made``."""
        ...

    def containers(self, *, all: bool, filters: Filters) -> object:  # noqa: A002 - the client's
        """List containers: ``answers.Container`` each."""
        ...

    def inspect_container(self, container: str, /) -> object:
        """Return a container: ``answers.Inspected``."""
        ...

    def start(self, container: str, /) -> object:
        """Start a container; one that runs goes on."""
        ...

    def rename(self, container: str, name: str, /) -> object:
        """Give a container another name."""
        ...

    def unpause(self, container: str, /) -> object:
        """Let a paused container go on."""
        ...

    def stop(self, container: str, /, *, timeout: int) -> object:
        """Ask a container's program to end, and end it after ``timeout`` seconds."""
        ...

    def remove_container(self, container: str, /, *, v: bool, force: bool) -> object:
        """Remove a container; ``v``: nameless volumes, too."""
        ...

    def logs(self, container: str, /, *, tail: int, stream: Literal[False]) -> bytes:
        """Return the last lines that a container has written."""
        ...

    def stats(self, container: str, /, *, stream: Literal[False], one_shot: bool) -> object:
        """Return what a container takes: ``answers.Stats``, if it runs."""
        ...

    # Volumes.

    def create_volume(self, name: str, driver: str, /, *, labels: dict[str, str]) -> object:
        """Make a volume; one that is there stays as it is."""
        ...

    def inspect_volume(self, name: str, /) -> object:
        """Return a volume: ``answers.Labelled``."""
        ...

    def volumes(self, *, filters: Filters) -> object:
        """List volumes: ``answers.StoredList``."""
        ...

    def remove_volume(self, name: str, /) -> object:
        """Remove a volume that no container has."""
        ...

    # Networks.

    def create_network(
        self,
        name: str,
        /,
        *,
        driver: str,
        options: dict[str, str],
        ipam: Any,  # noqa: ANN401 - JSON; the stubs want a class where the client takes any mapping
        check_duplicate: bool,
        internal: bool,
        labels: dict[str, str],
        enable_ipv6: bool,
        attachable: bool,
    ) -> object:
        """Make a network."""
        ...

    def networks(self, *, names: list[str] | None = None, filters: Filters | None = None) -> object:
        """List networks: ``answers.Network`` each; ``names`` are patterns."""
        ...

    def inspect_network(self, net_id: str, /) -> object:
        """Return a network with who is in it: ``answers.Members``."""
        ...

    def connect_container_to_network(self, container: str, net_id: str, /) -> object:
        """Let a container into a network."""
        ...

    def disconnect_container_from_network(
        self, container: str, net_id: str, /, *, force: bool
    ) -> object:
        """Take a container out of a network; ``force``: whether it runs or not."""
        ...

    def remove_network(self, net_id: str, /) -> object:
        """Remove a network that nobody is in."""
        ...
