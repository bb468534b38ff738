"""When a gate keeps what it knows on a disk, when it forgets it, and when it goes on by it.

- It is written once the gate goes on alone, from what it knows then.
- It is removed before the gate confirms anything, and before it says goodbye: a gate that a
  controller no longer waits for has none. Where that is not sure the gate does not confirm, until
  the file is too old for whoever might find it.
- A start of the gate goes on by it if no controller is there.

A disk may hang: everything is done in other threads, one after the other, and is not waited for
for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import anyio
import anyio.to_thread
import structlog

from controller.gate.facts import Snapshot
from controller.gate.freshness import Freshness
from controller.gate.kept import KeptSnapshot, for_owners, good_until, is_good
from controller.gate.sealed import NotOpened, SealedFile, SealedForAnother

_DISK_SECONDS = 2.0  # for which a disk is waited for

_log = structlog.get_logger("gate")


class Keeping:
    """What one process of a gate keeps."""

    def __init__(
        self,
        file: SealedFile,
        freshness: Freshness,
        *,
        snapshot: Callable[[], Snapshot | None],
        replace: Callable[[Snapshot], None],
        clock: Callable[[], float],
        machine: str,
    ) -> None:
        """``snapshot`` returns what the gate knows, and ``replace`` lets it know something else.

        ``clock``: the one that ``freshness`` has; ``machine``: id of this start of the machine.
        """
        self._file = file
        self._freshness = freshness
        self._snapshot = snapshot
        self._replace = replace
        self._clock = clock
        self._machine = machine
        self._found: KeptSnapshot | None = None  # by this start, and not used yet
        # An earlier start may have written something a moment ago.
        self._until = good_until(clock())
        self._turn = threading.Lock()
        self._round = 0  # a thread that waited too long for its turn must not write any more

    async def load(self) -> None:
        """Look what an earlier start has kept; what is not good is removed."""
        try:
            with anyio.fail_after(_DISK_SECONDS):
                found = await self._do(self._file.read)
        except SealedForAnother as error:
            # After each stop of the whole hub: its controller came first, with new proofs.
            _log.info("kept_snapshot_is_over", error=str(error))
            await self._drop()
            return
        except (NotOpened, OSError) as error:
            _log.warning("kept_snapshot_not_read", error=str(error) or type(error).__name__)
            await self._drop()
            return
        if found is None:
            self._until = 0.0
            return
        self._until = good_until(found.contact)
        if is_good(found, now=self._clock(), machine=self._machine):
            self._found = found
        else:
            _log.info("kept_snapshot_too_old")
            await self._drop()

    def resume(self) -> bool:
        """Go on by what an earlier start has kept, since no controller is there; False: nothing."""
        found, self._found = self._found, None
        if found is None or not is_good(found, now=self._clock(), machine=self._machine):
            return False
        self._replace(found.snapshot)
        self._freshness.resume(found.contact, good_until(found.contact))
        _log.warning("kept_snapshot_used", sessions=len(found.snapshot.sessions))
        return True

    def leave(self) -> None:
        """Do not go on by it in this start: there is a controller."""
        self._found = None

    async def keep(self) -> None:
        """Keep what is known: from now on the gate goes on alone."""
        snapshot, contact = self._snapshot(), self._freshness.contact
        if snapshot is None or contact is None:
            return
        self._until = good_until(contact)
        kept = KeptSnapshot(for_owners(snapshot), contact, self._machine)
        try:
            with anyio.fail_after(_DISK_SECONDS):
                await self._do(partial(self._write, kept, self._round))
        except (NotOpened, OSError) as error:
            _log.warning("snapshot_not_kept", error=str(error) or type(error).__name__)

    def _write(self, kept: KeptSnapshot, begun: int) -> None:
        if begun == self._round:
            self._file.write(kept)

    async def forget(self) -> None:
        """Keep nothing any more. Raises OSError unless no start can go on by it from now on."""
        self._found = None
        self._round += 1
        try:
            with anyio.fail_after(_DISK_SECONDS):
                await self._do(self._file.remove)
        except OSError as error:
            _log.warning("kept_snapshot_not_removed", error=str(error) or type(error).__name__)
            if self._clock() <= self._until:
                raise

    async def _drop(self) -> None:
        """Remove what is not good; it would not be used anyway."""
        try:
            await self.forget()
        except OSError:
            return  # the log says it

    async def _do(self, work: Callable[[], KeptSnapshot | None]) -> KeptSnapshot | None:
        def alone() -> KeptSnapshot | None:
            if not self._turn.acquire(timeout=_DISK_SECONDS):
                raise TimeoutError("the disk hangs")
            try:
                return work()
            finally:
                self._turn.release()

        return await anyio.to_thread.run_sync(alone, abandon_on_cancel=True)
