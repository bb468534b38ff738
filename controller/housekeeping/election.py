"""Which of several controllers leads: it does the housekeeping. On a cluster see ``lease``."""

from __future__ import annotations

from typing import Protocol

from typing_extensions import override


class Election(Protocol):
    """Decides which controller leads."""

    @property
    def leading(self) -> bool:
        """Whether this controller leads at this moment."""
        ...

    async def run(self) -> None:
        """Take part until cancelled."""
        ...


class Alone(Election):
    """There is one controller only."""

    @property
    @override
    def leading(self) -> bool:
        return True

    @override
    async def run(self) -> None:
        pass
