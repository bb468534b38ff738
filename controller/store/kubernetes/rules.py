"""Decisions of administrators."""

from __future__ import annotations

from msgspec.structs import replace
from typing_extensions import override

from controller.core.model import SessionId, UserId
from controller.core.records import Drain, Message, Rules
from controller.store import RuleStore
from controller.store.kubernetes.objects import Records
from controller.store.kubernetes.records import RULES


class RuleRecords(Records, RuleStore):
    """Decisions of administrators."""

    @override
    async def rules(self) -> Rules:
        return await self._get(RULES, "all") or Rules()

    @override
    async def set_drain(self, drain: Drain | None) -> None:
        await self._change(RULES, "all", lambda now: _ruled(replace(now or Rules(), drain=drain)))

    @override
    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        def work(found: Rules | None) -> Rules | None:
            rules = found or Rules()
            others = {one: most for one, most in rules.quotas.items() if one != uid}
            own = {} if sessions is None else {uid: sessions}
            return _ruled(replace(rules, quotas=others | own))

        await self._change(RULES, "all", work)

    @override
    async def set_message(self, session: SessionId, message: Message | None) -> None:
        def work(found: Rules | None) -> Rules | None:
            rules = found or Rules()
            others = {one: said for one, said in rules.messages.items() if one != session}
            own = {} if message is None else {session: message}
            return _ruled(replace(rules, messages=others | own))

        await self._change(RULES, "all", work)


def _ruled(rules: Rules) -> Rules | None:
    return rules if rules != Rules() else None
