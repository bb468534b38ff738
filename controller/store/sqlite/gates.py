"""The roster of gates."""

from __future__ import annotations

import sqlite3

from typing_extensions import override

from controller.core.records import Gate
from controller.store import GATES_MOST, GateStore, full_roster
from controller.store.sqlite.database import Database, transaction


class GateTables(Database, GateStore):
    """The roster of gates."""

    @override
    async def gates(self) -> tuple[Gate, ...]:
        def work(db: sqlite3.Connection) -> tuple[Gate, ...]:
            rows = db.execute("SELECT name, boot, since FROM gate ORDER BY name")
            return tuple(Gate(*row) for row in rows)

        return await self._run(work)

    @override
    async def put_gate(self, gate: Gate) -> None:
        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                count = "SELECT count(*) FROM gate WHERE name <> ?"
                if db.execute(count, (gate.name,)).fetchone()[0] >= GATES_MOST:
                    raise full_roster()
                db.execute(
                    "INSERT OR REPLACE INTO gate (name, boot, since) VALUES (?, ?, ?)",
                    (gate.name, gate.boot, gate.since),
                )

        await self._run(work)

    @override
    async def remove_gate(self, gate: Gate) -> None:
        await self._write(
            "DELETE FROM gate WHERE name = ? AND boot = ? AND since = ?",
            *(gate.name, gate.boot, gate.since),
        )
