"""The roster of gates."""

from __future__ import annotations

from typing_extensions import override

from controller.core.records import Gate
from controller.store import GATES_MOST, GateStore, full_roster
from controller.store.kubernetes.objects import Records
from controller.store.kubernetes.records import GATES, Roster

_ALL = "all"

_KEPT_SECONDS = 14 * 3600.0
"""A gate answers from memory for twelve hours, and one that follows is put here each hour."""


class GateRecords(Records, GateStore):
    """The roster of gates."""

    @override
    async def gates(self) -> tuple[Gate, ...]:
        """Asks the cluster: a gate that another controller has just put there counts, too."""
        found = await self._read(GATES, _ALL) or Roster()
        return tuple(sorted(found.gates.values(), key=lambda one: one.name))

    @override
    async def put_gate(self, gate: Gate) -> None:
        def work(found: Roster | None) -> Roster:
            alive = self._wall() - _KEPT_SECONDS
            gates = found.gates if found else {}
            gates = {name: one for name, one in gates.items() if one.since >= alive}
            gates[gate.name] = gate
            if len(gates) > GATES_MOST:
                raise full_roster()
            return Roster(gates)

        await self._until_heard(await self._change(GATES, _ALL, work))

    @override
    async def remove_gate(self, gate: Gate) -> None:
        def work(found: Roster | None) -> Roster | None:
            gates = found.gates if found else {}
            left = {name: one for name, one in gates.items() if one != gate}
            return Roster(left) if left else None

        await self._change(GATES, _ALL, work)
