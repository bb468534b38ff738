"""The decisions of administrators, as the store has them."""

from __future__ import annotations

from collections.abc import Callable

from controller.core.model import SessionId, UserId
from controller.core.records import Drain, Message, Rules
from controller.store import RuleStore


class RuleBook:
    """The decisions in force. Methods that change them raise StoreUnavailable."""

    def __init__(self, store: RuleStore, *, changed: Callable[[], None]) -> None:
        """There are no decisions before they are read. ``changed`` is called after each change."""
        self._store = store
        self._changed = changed
        self.rules = Rules()

    async def load(self) -> None:
        """Read the decisions."""
        self.rules = await self._store.rules()
        self._changed()

    async def set_drain(self, drain: Drain | None) -> None:
        """Block new sessions, or let them start again."""
        await self._store.set_drain(drain)
        await self.load()

    async def set_quota(self, uid: UserId, sessions: int | None) -> None:
        """Set a person's number of sessions; None: as configured."""
        await self._store.set_quota(uid, sessions)
        await self.load()

    async def set_message(self, session_id: SessionId, message: Message) -> None:
        """Keep a message for a session."""
        await self._store.set_message(session_id, message)
        await self.load()

    async def forget_messages(self, session_ids: list[SessionId]) -> None:
        """Remove the messages of these sessions."""
        for one in session_ids:
            await self._store.set_message(one, None)
        if session_ids:
            await self.load()
