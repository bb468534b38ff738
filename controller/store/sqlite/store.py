"""The store of one controller, whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio

from controller.store.sqlite.desk import DeskTables
from controller.store.sqlite.grants import GrantTables
from controller.store.sqlite.logins import LoginTables
from controller.store.sqlite.rules import RuleTables
from controller.store.sqlite.sessions import SessionTables


class SqliteStore(LoginTables, GrantTables, DeskTables, SessionTables, RuleTables):
    """Everything in one file."""

    async def ping(self) -> None:
        """See Store."""
        await self._run(lambda db: db.execute("SELECT count(*) FROM login").fetchone())

    async def changes(self) -> AsyncGenerator[None, None]:
        """See Store. The file is one controller's: nobody else changes it."""
        await anyio.sleep_forever()
        yield
