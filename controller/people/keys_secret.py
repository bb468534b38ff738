"""The key ring on a cluster: a Secret that all controllers share."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from controller.cluster.client import Api
from controller.core.errors import ConfigError
from controller.people.tokens import KeyRing, new_key_ring, parse_key_ring
from controller.store.kubernetes.shared_secret import Content, SharedSecret

_KEYS = "keys.json"


class KeySecret:
    """The key ring that all controllers share, as a Secret. See KeyStorage."""

    def __init__(self, api: Api, instance: str, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch. No request is made yet."""
        self._secret = SharedSecret(api, instance, f"{instance}-keys")
        self._wall = wall

    async def key_ring(self, *, make: bool = True) -> KeyRing:
        """Return the key ring that all controllers share; the first one makes it.

        It is the Secret ``<instance>-keys``, which may exist without content, so that the hub's
        Role need not name any other. Raises StoreUnavailable, and ConfigError for a key ring that
        is not safe, or is missing and must not be made.
        """

        def made(found: KeyRing | None) -> KeyRing:
            return found or (new_key_ring(self._wall()) if make else self._no_keys())

        return await self._change_keys(made)

    async def change_key_ring(self, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
        """See ``keys``. Of two changes at once, the second works on the result of the first.

        Raises StoreUnavailable and ConfigError.
        """
        return await self._change_keys(lambda found: change(found or self._no_keys()))

    def _no_keys(self) -> KeyRing:
        raise ConfigError([f"There are no keys in the Secret {self._secret.name}."])

    async def _change_keys(self, change: Callable[[KeyRing | None], KeyRing]) -> KeyRing:
        def work(content: Content) -> tuple[Content, KeyRing]:
            found = None
            if _KEYS in content:
                found = parse_key_ring(content[_KEYS], f"the Secret {self._secret.name}")
            ring = change(found)
            if ring == found:  # however it is written
                return content, ring
            return {**content, _KEYS: msgspec.json.encode(ring)}, ring

        return await self._secret.change(work)
