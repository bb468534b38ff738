"""A Secret of the hub's own namespace that its controllers share."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from controller.cluster.client import Api, ConflictError, MissingError, decoded
from controller.core.sentence import Sentence
from controller.store.kubernetes.objects import INSTANCE, TRIES, UNUSABLE, busy, mapped

_T = TypeVar("_T")

Content = Mapping[str, bytes]
"""What is in a Secret, by its keys."""


class SharedSecret:
    """One Secret, which may exist without content: the hub's Role need not name any other then."""

    def __init__(
        self, api: Api, instance: str, name: str, *, unusable: Sentence = UNUSABLE
    ) -> None:
        """No request is made yet. ``unusable``: what it means that it cannot be used."""
        self._api = api
        self._instance = instance
        self.name = name
        self._unusable = unusable

    async def change(self, work: Callable[[Content], tuple[Content, _T]]) -> _T:
        """Replace the content by the first value that ``work`` returns for it; return the second.

        Of two changes at once, the second works on the result of the first: ``work`` is called
        again. Content that stays as it was is not written. Raises StoreUnavailable, and what
        ``work`` does.
        """
        for _ in range(TRIES):
            with mapped(self._unusable):
                path = f"/api/v1/namespaces/{self._api.own_namespace()}/secrets"
                found = await self._find(f"{path}/{self.name}")
                content = msgspec.convert((found or {}).get("data") or {}, dict[str, bytes])
                after, result = work(content)
                if after == content:
                    return result
                with suppress(ConflictError):  # another was quicker: its content is read now
                    await self._put(path, found, after)
                    return result
        raise busy()

    async def _find(self, path: str) -> dict[str, Any] | None:
        try:
            return decoded(await self._api.request("GET", path), dict[str, Any])
        except MissingError:
            return None

    async def _put(self, path: str, found: dict[str, Any] | None, content: Content) -> None:
        data = {key: b64encode(value).decode() for key, value in content.items()}
        if found is not None:  # with the metadata that it was made with
            await self._api.request("PUT", f"{path}/{self.name}", body=found | {"data": data})
            return
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "labels": {INSTANCE: self._instance}},
            "type": "Opaque",
            "data": data,
        }
        await self._api.request("POST", path, body=body)
