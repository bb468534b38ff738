"""The marks of controllers."""

from __future__ import annotations

from typing_extensions import override

from controller.core.records import Mark
from controller.store import MarkStore
from controller.store.kubernetes.objects import Records, hashed
from controller.store.kubernetes.records import MARK

_KEPT_SECONDS = 24 * 3600.0  # of a controller that has gone; what it asked was long answered


class MarkRecords(Records, MarkStore):
    """The marks of controllers."""

    @property
    @override
    def identity(self) -> str:
        return self._identity

    @override
    async def marks(self) -> list[Mark]:
        return [one for one in await self._all(MARK) if one.by != self._identity]

    @override
    async def put_mark(self, mark: Mark) -> None:
        await self._change(MARK, hashed(self._identity), lambda _: mark)
        for one in await self.marks():
            if one.at < self._wall() - _KEPT_SECONDS:
                await self._change(MARK, hashed(one.by), lambda _: None)
