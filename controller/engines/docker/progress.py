"""How far the transfer of a program is, in words for the person who waits. Pure."""

from __future__ import annotations

import msgspec

from controller.engines.docker.answers import PullMessage

_MB = 1_000_000

_TALKS_OF_A_LAYER = frozenset(
    {"Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum", "Download complete"}
)

_TRANSFERRED = frozenset({"Verifying Checksum", "Download complete", "Extracting", "Pull complete"})

BEGINNING = "Fetching the program"


class _Layer(msgspec.Struct):
    fetched: int = 0  # bytes
    size: int = 0  # bytes as transferred; 0: not known
    here: bool = False
    unpacked: int = 0  # bytes of ``size``


class Progress:
    """Adds up the messages of ``POST /images/create`` (engine 20.10 and later)."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}

    def hear(self, message: PullMessage) -> None:
        """Take one message in. What is of no layer that has to be fetched changes nothing."""
        status = message.status
        if status not in _TALKS_OF_A_LAYER | _TRANSFERRED:
            return
        layer = self._layers.setdefault(message.id, _Layer())
        current = message.detail.current if message.detail else 0
        total = message.detail.total if message.detail else 0
        if status == "Downloading":
            layer.fetched, layer.size = current, max(total, 0)
        elif status in _TRANSFERRED:
            layer.here = True
            layer.size = layer.size or max(total, layer.fetched)
            layer.fetched = layer.size
        if status == "Extracting":
            layer.unpacked = min(current, layer.size)
        elif status == "Pull complete":
            layer.unpacked = layer.size

    @property
    def text(self) -> str:
        """Say where it stands: megabytes of 10^6 bytes, as far as their sum is known."""
        layers = self._layers.values()
        size = sum(layer.size for layer in layers)
        if layers and all(layer.here for layer in layers):
            return f"Unpacking the program: {_of(sum(one.unpacked for one in layers), size)}"
        fetched = sum(layer.fetched for layer in layers)
        if all(layer.size or layer.here for layer in layers) and size:
            return f"{BEGINNING}: {_of(fetched, size)}"
        # The engine fetches a few layers at once and tells nothing yet of those that wait.
        return f"{BEGINNING}: {fetched // _MB:,} MB so far" if fetched else BEGINNING


def _of(part: int, whole: int) -> str:
    return f"{part // _MB:,} of {-(-whole // _MB):,} MB"
