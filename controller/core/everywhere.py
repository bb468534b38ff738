"""Where something has to count before it is said to be done: at every gate."""

from __future__ import annotations

from typing import Protocol

from controller.core.errors import NotEverywhereYet

_TOLD_SECONDS = 0.5  # for gates that follow; one that hangs is not waited for

_EVERYWHERE_SECONDS = 5.0
"""Design.md section 6: within this time nobody passes any more whose right was taken back."""


class GateConfirmations(Protocol):
    """What the gates that there may be have confirmed."""

    async def told(self, seconds: float) -> None:
        """Wait until all gates that follow know what counts now, but no longer than this."""
        ...

    async def everywhere(self, seconds: float) -> bool:
        """Tell whether what counts now does so at all gates within so many seconds."""
        ...


class Everywhere:
    """Waits for the gates; without any, what counts here counts everywhere."""

    def __init__(self) -> None:
        self.gates: GateConfirmations | None = None

    async def told(self) -> None:
        """Wait for a moment until gates know what was taken back: nobody is to come in again."""
        if self.gates is not None:
            await self.gates.told(_TOLD_SECONDS)

    async def confirm(self) -> None:
        """Wait until what was taken back counts at all gates. Raises NotEverywhereYet."""
        if self.gates is not None and not await self.gates.everywhere(_EVERYWHERE_SECONDS):
            raise NotEverywhereYet
