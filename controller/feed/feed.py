"""The gates of one controller: what they are told, and what waits for them."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import structlog
from litestar.types import ASGIApp

from controller.core.changes import ChangeCount
from controller.core.errors import ConfigError, EngineUnavailable, StoreUnavailable
from controller.feed.agreement import Agreement
from controller.feed.barrier import behind_gates
from controller.feed.certificates import Proofs, server_context
from controller.feed.gates import Gates
from controller.feed.proofs import ProofStorage
from controller.feed.publisher import Publisher, Sources
from controller.feed.server import FeedServer
from controller.gate.facts import Site
from controller.store import MarkStore

_LONG_SECONDS = 1.0  # gates that run confirm within hundredths of a second

_AGAIN_SECONDS = 1.0  # between two tries to read proofs that cannot be read

LOOK_SECONDS = 120.0
"""Between two looks at proofs that another controller may have replaced. Gates find new ones in
their mounted file after a minute or two, too; meanwhile streams that are open stay."""

_log = structlog.get_logger("feed")


class Feed:
    """Tells the gates of this controller all that their verdicts need."""

    def __init__(
        self,
        site: Site,
        sources: Sources,
        gates: Gates,
        changes: ChangeCount,
        *,
        proofs: ProofStorage,
        listen: str,
        port: int,
        prove: Callable[[str, str], bytes],
        wall: Callable[[], float],
        others: MarkStore | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """``prove``: see ``facts.Proven``; ``wall``: seconds since the epoch.

        ``others``: where several controllers leave their marks. ``run`` begins.
        """
        self._proofs = proofs
        self._port = port
        self._look_seconds = look_seconds
        self.gates = gates
        self._server = FeedServer(
            host=listen,
            port=port,
            site=site,
            heard=gates,
            prove=prove,
        )
        self._publisher = Publisher(sources.facts, changes, tell=self._server.tell)
        self.agreement = Agreement(others, gates, self.publish, wall=wall) if others else None

    def publish(self) -> int:
        """Tell gates what is new; return the number of what counts now."""
        return self._publisher.publish()

    async def run(self) -> None:
        """Serve gates until cancelled. Raises ConfigError if that is impossible."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.gates.run)
            if self.agreement is not None:
                group.start_soon(self.agreement.run)
            await self._serve(await self._read_proofs())

    async def _read_proofs(self) -> Proofs:
        """Return the proofs once they can be read; until then no gate can follow."""
        while True:
            try:
                return await self._proofs.proofs()
            except (EngineUnavailable, StoreUnavailable) as error:
                _log.warning("gate_proofs_not_read", error=error.in_full)
                await anyio.sleep(_AGAIN_SECONDS)

    async def _serve(self, proofs: Proofs) -> None:
        try:
            with self._server.running(server_context(proofs)):
                async with anyio.create_task_group() as group:
                    group.start_soon(self._fail_with_server)
                    if self._proofs.shared:
                        group.start_soon(self._renew, proofs)
                    await self._publisher.run()
        except OSError as error:
            raise ConfigError(
                [f"gates.port (SLICERHUB_GATES_PORT): cannot listen at {self._port} ({error})."]
            ) from error

    async def _renew(self, proofs: Proofs) -> None:
        """Serve gates by the proofs that all controllers use, whoever has made them."""
        while True:
            await anyio.sleep(self._look_seconds)
            try:
                found = await self._proofs.proofs()
            except (EngineUnavailable, StoreUnavailable) as error:
                _log.warning("gate_proofs_not_read", error=error.in_full)
                continue
            if found != proofs:
                self._server.renew(server_context(found))
                proofs = found
                _log.info("gate_proofs_renewed")

    async def _fail_with_server(self) -> None:
        """End the controller if gates are served no more: they take it for gone, and so it must be.

        Its next start serves them again.
        """
        await self._server.ended()
        raise RuntimeError("Gates are served no more. The log says why.")

    async def told(self, seconds: float) -> None:
        """Wait until all gates that follow know what counts now, but no longer than this."""
        await self.gates.until_told(self.publish(), seconds)

    async def everywhere(self, seconds: float) -> bool:
        """Tell whether what counts now counts at all gates, within so many seconds."""
        number, counts = self.publish(), False
        async with anyio.create_task_group() as group:
            group.start_soon(self._strike_off)
            if self.agreement is not None:
                counts = await self.agreement.everywhere(number, seconds)
            else:
                counts = await self.gates.everywhere(number, seconds)
            group.cancel_scope.cancel()
        return counts

    async def _strike_off(self) -> None:
        """Look for gates that are no more, once it takes long to hear of them all."""
        await anyio.sleep(_LONG_SECONDS)
        await self.gates.strike_off()

    def answers_after(self, app: ASGIApp) -> ASGIApp:
        """Let answers of ``app`` wait until gates know what is in them."""
        return behind_gates(app, self.publish, self.gates)
