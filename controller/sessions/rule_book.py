"""What administrators have decided, as the store has it."""

from __future__ import annotations

from collections.abc import Callable

from controller.core.model import SessionId, UserId
from controller.core.records import Drain, Message, Rules
from controller.store import RuleStore


class RuleBook:
    """The decisions that hold now. What changes them raises StoreUnavailable."""

    def __init__(self, store: RuleStore, *, changed: Callable[[], None]) -> None:
        """Nothing is decided before it is read. ``changed`` is called when it was."""
        self._store = store
        self._changed = changed
        self.rules = Rules()

    async def load(self) -> None:
        """Read what is decided."""
        self.rules = await self._store.rules()
        self._changed()

    async def set_drain(self, drain: Drain | None) -> None:
        """Let nothing start any more, or let it start again."""
        await self._store.set_drain(drain)
        await self.load()

    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        """Let somebody have so many sessions; None: as many as configured."""
        await self._store.set_quota(uid, sessions)
        await self.load()

    async def set_message(self, session_id: SessionId, message: Message) -> None:
        """Let a message stand in a session."""
        await self._store.set_message(session_id, message)
        await self.load()

    async def forget_messages(self, session_ids: list[SessionId]) -> None:
        """Let no message stand in these sessions any more."""
        for one in session_ids:
            await self._store.set_message(one, None)
        if session_ids:
            await self.load()
