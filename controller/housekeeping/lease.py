"""The election on a cluster: the controller that holds the Lease leads.

The holder renews it every few seconds. A holder that cannot stops leading before another may begin.
The others read it each second, and take it once it has not changed for its whole length by their
own monotonic clock, so no two clocks are compared. Kubernetes' own components do the same
(client-go's leaderelection).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import anyio
import structlog
from typing_extensions import override

from controller.cluster.client import Api, ConflictError, MissingError, decoded
from controller.core.errors import EngineUnavailable
from controller.housekeeping.election import Election
from controller.settings.schema import Settings

LEASE_SECONDS = 15.0

_RENEW_SECONDS = 5.0  # between two renewals

_READ_SECONDS = 1.0  # between two reads of the others

_SURE_SECONDS = 10.0  # for which the holder is sure of the Lease after it asked for a renewal

_RELEASE_SECONDS = 2.0  # for the release by a controller that ends

_log = structlog.get_logger("election")


class LeaseElection(Election):
    """The controller that holds a Lease of the cluster leads."""

    def __init__(
        self,
        settings: Settings,
        *,
        identity: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """``identity`` is this controller's name among those of the instance.

        ``clock``: monotonic seconds; ``wall``: seconds since the epoch, for people to read only.
        """
        self._name = f"{settings.instance}-controller"
        self._identity = identity
        self._clock = clock
        self._wall = wall
        self._api = Api(settings.kubernetes)
        self._sure_until = float("-inf")
        self._seen = ""  # the version that the Lease had
        self._seen_at = 0.0

    @property
    @override
    def leading(self) -> bool:
        """The clock decides, so that a process that was paused does not go on."""
        return self._clock() < self._sure_until

    @override
    async def run(self) -> None:
        """Raises nothing: while the cluster does not answer, no controller leads."""
        try:
            while True:
                before = self.leading
                try:
                    await self._turn()
                except EngineUnavailable as error:
                    _log.warning("lease_not_renewed", error=error.in_full)
                if before is not self.leading:
                    _log.info("leading" if self.leading else "not_leading", who=self._identity)
                await anyio.sleep(_RENEW_SECONDS if self.leading else _READ_SECONDS)
        finally:
            with anyio.move_on_after(_RELEASE_SECONDS, shield=True):
                await self._release()
                await self._api.aclose()

    async def _turn(self) -> None:
        began = self._clock()
        with anyio.move_on_after(_RENEW_SECONDS):
            if await self._hold():
                self._sure_until = began + _SURE_SECONDS

    async def _hold(self) -> bool:
        """Hold the Lease, or learn that another controller does."""
        lease = await self._read()
        try:
            if lease is None:
                await self._api.request("POST", self._path(), body=self._lease({}))
                return True
            version = str(lease["metadata"]["resourceVersion"])
            if version != self._seen:
                self._seen, self._seen_at = version, self._clock()
            holder = _spec(lease).get("holderIdentity")
            over = self._clock() - self._seen_at >= LEASE_SECONDS
            if holder and holder != self._identity and not over:
                self._sure_until = float("-inf")
                return False
            await self._api.request("PUT", self._path(self._name), body=self._lease(lease))
        except ConflictError:
            # Another was quicker; the next read shows who holds it now.
            return False
        return True

    async def _release(self) -> None:
        """Let another begin at once."""
        was, self._sure_until = self.leading, float("-inf")
        if not was:
            return
        try:
            lease = await self._read()
            if lease and _spec(lease).get("holderIdentity") == self._identity:
                spec = _spec(lease) | {"holderIdentity": ""}
                await self._api.request("PUT", self._path(self._name), body=lease | {"spec": spec})
        except EngineUnavailable as error:
            _log.warning("lease_not_released", error=error.in_full)

    async def _read(self) -> dict[str, Any] | None:
        try:
            return decoded(await self._api.request("GET", self._path(self._name)), dict[str, Any])
        except MissingError:
            return None

    def _lease(self, found: dict[str, Any]) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="microseconds")
        now = now.replace("+00:00", "Z")
        before = _spec(found)
        mine = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_SECONDS),
            "renewTime": now,
            "acquireTime": before.get("acquireTime", now) if mine else now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not mine),
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": found.get("metadata") or {"name": self._name},
            "spec": spec,
        }

    def _path(self, name: str = "") -> str:
        namespace = self._api.own_namespace()
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        return f"{path}/{name}" if name else path


def _spec(lease: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", lease.get("spec") or {})
