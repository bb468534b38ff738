"""A store that several controllers share, where each hears late of what the others have written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

import anyio
from msgspec.structs import replace
from typing_extensions import override

from controller.core.model import SessionId
from controller.core.records import Login, Memo, Reading
from controller.store.sqlite.store import SqliteStore


class Cluster:
    """What the controllers share: one file, and one row in which all changes are counted."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Nothing has been written yet. ``clock``: seconds that pass for all."""
        self.path = path
        self.clock = clock
        self.revision = 0
        self.revisions: dict[str, int] = {}  # of each log-in's record
        self.memos: dict[Replica, tuple[float, dict[SessionId, Memo]]] = {}

    def replica(self) -> Replica:
        """Return what one more controller sees, from its start on."""
        return Replica(self)


class Replica(SqliteStore):
    """One controller's view: its own log-ins count at once, those of others once it has heard.

    ``hear`` is when that happens. All other records are shared without delay.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Hear of everything with the first reading."""
        super().__init__(cluster.path)
        self._cluster = cluster
        self._seen: dict[str, Login] | None = None
        self._heard = 0
        self._news = anyio.Event()

    async def hear(self) -> None:
        """Hear of all that was written until now, as one piece of news."""
        self._heard = self._cluster.revision
        self._seen = {
            one.sid: replace(one, revision=self._cluster.revisions[one.sid])
            for one in await super().logins(0)
        }
        self._news.set()

    @override
    async def add_login(self, login: Login) -> int:
        await super().add_login(login)
        self._cluster.revision += 1
        self._cluster.revisions[login.sid] = self._cluster.revision
        if self._seen is not None:
            self._seen[login.sid] = replace(login, revision=self._cluster.revision)
        return self._cluster.revision

    @override
    async def remove_login(self, sid: str) -> None:
        await super().remove_login(sid)
        self._cluster.revision += 1
        if self._seen is not None:
            self._seen.pop(sid, None)

    @override
    async def read_logins(self) -> Reading:
        if self._seen is None:
            await self.hear()
        return Reading(tuple((self._seen or {}).values()), self._heard)

    @override
    async def put_memos(self, memos: Mapping[SessionId, Memo]) -> None:
        self._cluster.memos[self] = (self._cluster.clock(), dict(memos))

    @override
    async def memos(self) -> dict[SessionId, Memo]:
        found = self._cluster.memos.values()
        return {one: memo for _, memos in found for one, memo in memos.items()}

    @override
    async def others_memos(self) -> dict[SessionId, Memo]:
        """There is one other."""
        now = self._cluster.clock()
        others = (memos for by, memos in self._cluster.memos.items() if by is not self)
        return {one: memo.aged(now - at) for at, memos in others for one, memo in memos.items()}

    @override
    async def changes(self) -> AsyncGenerator[None, None]:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            yield
