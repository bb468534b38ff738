"""Where the proofs of controllers and gates come from: a folder here, on a cluster a Secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import anyio.to_thread
from typing_extensions import override

from controller.feed.certificates import Proofs, hand_out, make_proofs


class ProofStorage(Protocol):
    """Where controllers and gates find what proves them to each other.

    ``shared``: by several controllers. Any of them may have replaced the proofs, so they are to be
    asked for again and again.
    """

    shared: bool

    async def proofs(self) -> Proofs:
        """Return the proofs to use from now on; gates find theirs.

        Raises ConfigError, and StoreUnavailable or EngineUnavailable where trying again may help.
        """
        ...


class ProofFolder(ProofStorage):
    """A folder that a single controller shares with its gates. Each start makes new proofs."""

    shared = False

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        """``wall``: seconds since the epoch. Nothing is written yet."""
        self._folder = folder
        self._wall = wall

    @override
    async def proofs(self) -> Proofs:
        def work() -> Proofs:
            proofs = make_proofs(self._wall())
            hand_out(proofs, self._folder)
            return proofs

        return await anyio.to_thread.run_sync(work)
