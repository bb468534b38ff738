"""Which of several controllers keeps house. See ``lease`` for how they agree on a cluster."""

from __future__ import annotations

from typing import Protocol


class Election(Protocol):
    """Decides who keeps house."""

    @property
    def leading(self) -> bool:
        """Whether this controller keeps house at this moment."""
        ...

    async def run(self) -> None:
        """Take part until cancelled."""
        ...


class Alone:
    """There is one controller only."""

    leading = True

    async def run(self) -> None:
        """See Election."""
