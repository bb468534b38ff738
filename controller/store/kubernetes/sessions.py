"""Facts about sessions: times of starts, memos, the queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace
from typing_extensions import override

from controller.core.model import SessionId
from controller.core.records import Memo, Ticket
from controller.settings.schema import SHARED_ROUND_MOST
from controller.store import STARTS_KEPT, SessionStore
from controller.store.kubernetes.objects import Records, hashed
from controller.store.kubernetes.records import MEMOS, STARTS, TICKET, Memos, Starts

_MEMOS_FRESH_SECONDS = (
    2.0 * SHARED_ROUND_MOST
)  # seconds; a controller without a memo for this time does not run

_MEMOS_KEPT_SECONDS = 3600.0  # seconds; memos of a stopped controller, for its successor


class SessionRecords(Records, SessionStore):
    """Facts about sessions."""

    @override
    async def add_start(self, profile: str, seconds: float, now: float) -> None:
        def work(found: Starts | None) -> Starts:
            starts = found.starts if found else {}
            newest = sorted([*starts.get(profile, ()), (now, seconds)])[-STARTS_KEPT:]
            return Starts(starts | {profile: newest})

        await self._change(STARTS, "all", work)

    @override
    async def starts(self, profile: str) -> list[float]:
        found = await self._get(STARTS, "all") or Starts()
        return [seconds for _, seconds in found.starts.get(profile, ())]

    @override
    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        now = self._wall()
        own = Memos(self._identity, now, dict(memos)) if memos else None
        await self._change(MEMOS, hashed(self._identity), lambda _: own)
        for one in await self._all(MEMOS):
            if one.by != self._identity and one.at < now - _MEMOS_KEPT_SECONDS:
                await self._change(MEMOS, hashed(one.by), lambda _: None)

    @override
    async def memos(self) -> dict[SessionId, Memo]:
        return _merged(await self._all(MEMOS))

    @override
    async def others_memos(self) -> dict[SessionId, Memo]:
        """Clocks in a cluster may differ by seconds."""
        now = self._wall()
        fresh: list[Memos] = []
        for one in await self._all(MEMOS):
            ago = max(0.0, now - one.at)
            if one.by == self._identity or ago >= _MEMOS_FRESH_SECONDS:
                continue
            aged = {id_: memo.aged(ago) for id_, memo in one.memos.items()}
            fresh.append(replace(one, memos=aged))
        return _merged(fresh)

    @override
    async def add_ticket(self, ticket: Ticket) -> None:
        await self._add(TICKET, ticket.session.id, ticket)

    @override
    async def remove_ticket(self, session: SessionId) -> None:
        await self._change(TICKET, session, lambda _: None)

    @override
    async def tickets(self) -> list[Ticket]:
        return sorted(await self._all(TICKET), key=lambda one: (one.since, one.session.id))


def _merged(found: Collection[Memos]) -> dict[SessionId, Memo]:
    """Return the newest memo of each session, with the shortest idle time."""
    memos: dict[SessionId, Memo] = {}
    for one in sorted(found, key=lambda one: one.at):
        for session, memo in one.memos.items():
            before = memos.get(session, memo)
            latest = memo if memo.idle <= before.idle else before
            memos[session] = replace(
                memo,
                idle=latest.idle,
                sign=latest.sign,
                kept_by=latest.kept_by,
                extra=max(memo.extra, before.extra),
                warned=memo.warned or before.warned,
            )
    return memos
