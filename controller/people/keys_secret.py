"""The key ring on a cluster: a Secret that all controllers share."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from controller.cluster.client import Api, ConflictError, MissingError, decoded
from controller.core.errors import ConfigError
from controller.people.tokens import KeyRing, new_key_ring, parse_key_ring
from controller.store.kubernetes.objects import INSTANCE, TRIES, busy, mapped

_KEYS = "keys.json"


class KeySecret:
    """The key ring that all controllers share, as a Secret. See KeyStorage."""

    def __init__(self, api: Api, instance: str, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch. No request is made yet."""
        self._api = api
        self._instance = instance
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
        raise ConfigError([f"There are no keys in the Secret {self._keys_name}."])

    @property
    def _keys_name(self) -> str:
        return f"{self._instance}-keys"

    async def _change_keys(self, change: Callable[[KeyRing | None], KeyRing]) -> KeyRing:
        name = self._keys_name
        for _ in range(TRIES):
            with mapped():
                path = f"/api/v1/namespaces/{self._api.own_namespace()}/secrets"
                secret = await self._secret(f"{path}/{name}")
                data: dict[str, str] = (secret or {}).get("data") or {}
                found = None
                if _KEYS in data:
                    found = parse_key_ring(b64decode(data[_KEYS]), f"the Secret {name}")
                ring = change(found)
                if ring == found:
                    return ring
                data[_KEYS] = b64encode(msgspec.json.encode(ring)).decode()
                with suppress(ConflictError):  # another was quicker: its ring is read now
                    await self._put_secret(path, secret, name, data)
                    return ring
        raise busy()

    async def _secret(self, path: str) -> dict[str, Any] | None:
        try:
            return decoded(await self._api.request("GET", path), dict[str, Any])
        except MissingError:
            return None

    async def _put_secret(
        self, path: str, found: dict[str, Any] | None, name: str, data: dict[str, str]
    ) -> None:
        if found is not None:  # with the metadata that it was made with
            await self._api.request("PUT", f"{path}/{name}", body=found | {"data": data})
            return
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {INSTANCE: self._instance}},
            "type": "Opaque",
            "data": data,
        }
        await self._api.request("POST", path, body=body)
