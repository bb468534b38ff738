"""The complete store of one controller."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
from typing_extensions import override

from controller.store import Store
from controller.store.sqlite.desk import DeskTables
from controller.store.sqlite.gates import GateTables
from controller.store.sqlite.grants import GrantTables
from controller.store.sqlite.logins import LoginTables
from controller.store.sqlite.rules import RuleTables
from controller.store.sqlite.sessions import SessionTables


class SqliteStore(
    LoginTables, GrantTables, DeskTables, SessionTables, RuleTables, GateTables, Store
):
    """The store in one file."""

    @override
    async def ping(self) -> None:
        await self._run(lambda db: db.execute("SELECT count(*) FROM login").fetchone())

    @override
    async def changes(self) -> AsyncGenerator[None, None]:
        """Nobody else changes the file."""
        await anyio.sleep_forever()
        yield
