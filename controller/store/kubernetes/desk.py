"""Notices to people, and their choices."""

from __future__ import annotations

from msgspec.structs import replace
from typing_extensions import override

from controller.core.model import UserId
from controller.core.records import Notice
from controller.store import NOTICES_KEPT, DeskStore
from controller.store.kubernetes.objects import Records, hashed
from controller.store.kubernetes.records import DESK, Desk


class DeskRecords(Records, DeskStore):
    """Notices to people, and their choices."""

    @override
    async def add_notice(self, uid: UserId, text: str, more: str, now: float) -> None:
        def work(found: Desk | None) -> Desk:
            desk = found or Desk()
            last = desk.notices[0].number if desk.notices else 0
            # By the clock, so that no number is used twice after all are gone.
            notice = Notice(max(last + 1, int(now)), now, text, more)
            return replace(desk, notices=[notice, *desk.notices][:NOTICES_KEPT])

        await self._change(DESK, hashed(uid), work)

    @override
    async def notices(self, uid: UserId) -> list[Notice]:
        return (await self._get(DESK, hashed(uid)) or Desk()).notices

    @override
    async def remove_notice(self, uid: UserId, number: int) -> None:
        def work(found: Desk | None) -> Desk | None:
            desk = found or Desk()
            return _kept(replace(desk, notices=[n for n in desk.notices if n.number != number]))

        await self._change(DESK, hashed(uid), work)

    @override
    async def set_ahead(self, uid: UserId, profile: str, *, on: bool) -> None:
        def work(found: Desk | None) -> Desk | None:
            desk = found or Desk()
            return _kept(
                replace(desk, ahead=(desk.ahead | {profile}) if on else desk.ahead - {profile})
            )

        await self._change(DESK, hashed(uid), work)

    @override
    async def ahead(self, uid: UserId) -> frozenset[str]:
        return (await self._get(DESK, hashed(uid)) or Desk()).ahead


def _kept(desk: Desk) -> Desk | None:
    return desk if desk != Desk() else None
