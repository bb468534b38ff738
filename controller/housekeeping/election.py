"""Which of several controllers keeps house. See ``lease`` for how they agree on a cluster."""

from __future__ import annotations

from typing import Protocol

from typing_extensions import override


class Election(Protocol):
    """Decides which controller keeps house."""

    @property
    def leading(self) -> bool:
        """Whether this controller keeps house at this moment."""
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
