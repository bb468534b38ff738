"""How far the transfer of a program is, in words for the person who waits. Pure."""

from __future__ import annotations

import msgspec

from controller.core.sentence import Phrase
from controller.engines.docker.answers import PullMessage

_MB = 1_000_000

_TALKS_OF_A_LAYER = frozenset(
    {"Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum", "Download complete"}
)

_TRANSFERRED = frozenset({"Verifying Checksum", "Download complete", "Extracting", "Pull complete"})

BEGINNING = Phrase("Fetching the program")


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
    def state(self) -> Phrase:
        """Say where it stands: megabytes of 10^6 bytes, as far as their sum is known."""
        layers = self._layers.values()
        size = sum(layer.size for layer in layers)
        if layers and all(layer.here for layer in layers):
            unpacked = sum(layer.unpacked for layer in layers)
            return Phrase(
                "Unpacking the program: {done} of {size} MB",
                done=_floor(unpacked),
                size=_ceiling(size),
            )
        fetched = sum(layer.fetched for layer in layers)
        if all(layer.size or layer.here for layer in layers) and size:
            return Phrase(
                "Fetching the program: {done} of {size} MB",
                done=_floor(fetched),
                size=_ceiling(size),
            )
        # The engine fetches a few layers at once and tells nothing yet of those that wait.
        if not fetched:
            return BEGINNING
        return Phrase("Fetching the program: {done} MB so far", done=_floor(fetched))


def _floor(size: int) -> str:
    return f"{size // _MB:,}"


def _ceiling(size: int) -> str:
    return f"{-(-size // _MB):,}"
