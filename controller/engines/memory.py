"""An engine that runs nothing: sessions are values in this process.

For tests, and for looking at the hub without an engine. It keeps the whole contract, and can be
told to behave badly the way a real engine does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import anyio
import msgspec
from typing_extensions import override

from controller.core.errors import FilesInUse, ImageRefused, SessionExists, SessionStopping
from controller.core.model import (
    Observed,
    Offer,
    Session,
    SessionId,
    Usage,
    UserId,
    Volume,
    object_name,
    volume_name,
)
from controller.core.sentence import Phrase
from controller.engines import Orchestrator
from controller.settings.schema import Settings


class Fetch(msgspec.Struct, frozen=True):
    """How fetching a profile's program goes."""

    told: tuple[str, ...] = ()
    hold: anyio.Event | None = None  # after telling, it goes on once this is set
    refusal: str = ""  # the registry's words; empty: it is had


class MemoryOrchestrator(Orchestrator):
    """Sessions that are entries of a dictionary: for trying the hub out, and for its tests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[SessionId, Observed] = {}
        self._changed = anyio.Event()
        self.missing: dict[str, Fetch] = {}
        """Profiles whose program is not there, by their ids, and what fetching it does."""
        self.offers: list[Offer] = []
        """What runs besides the sessions and wants the hub's log-in."""
        self.files: dict[UserId, int] = {}
        """Bytes of people's files; they are there from someone's first session on."""
        self.usages: dict[SessionId, Usage] = {}
        """What sessions take; nothing if they are not named here."""

    def _put(self, observed: Observed) -> None:
        self._sessions[observed.session.id] = observed
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    @property
    @override
    def unread(self) -> int:
        return 0

    @override
    async def ensure(self, session: Session) -> None:
        await self.check(session.profile)
        await anyio.lowlevel.checkpoint()
        name = object_name(self._settings.instance, session.owner, session.name)
        for other in self._sessions.values():
            theirs = object_name(self._settings.instance, other.session.owner, other.session.name)
            if theirs == name and other.session.id != session.id:
                if other.deleting:
                    raise SessionStopping
                raise SessionExists(other.session.id)
        self.files.setdefault(session.owner, 0)
        seen = self._sessions.get(session.id)
        if seen is None or not (seen.running or seen.exit_code is not None):
            self._put(Observed(session=session, running=True))

    @override
    async def fetch(self, profile_id: str, tell: Callable[[Phrase], None]) -> None:
        self._known(profile_id)
        script = self.missing.get(profile_id)
        await anyio.lowlevel.checkpoint()
        if script is None:
            return
        for text in script.told:
            tell(Phrase("{text}", text=text))
        if script.hold is not None:
            await script.hold.wait()
        if script.refusal:
            raise ImageRefused("{refusal}", refusal=script.refusal)
        self.missing.pop(profile_id, None)

    @override
    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        del grace  # nothing runs, so nothing needs time
        await anyio.lowlevel.checkpoint()
        if self._sessions.pop(session_id, None) is not None:
            self._announce()

    @override
    async def get(self, session_id: SessionId) -> Observed | None:
        await anyio.lowlevel.checkpoint()
        return self._sessions.get(session_id)

    @override
    async def list(self) -> Sequence[Observed]:
        await anyio.lowlevel.checkpoint()
        return list(self._sessions.values())

    @override
    async def watch(self) -> AsyncGenerator[Sequence[Observed], None]:
        while True:
            changed = self._changed
            yield list(self._sessions.values())
            await changed.wait()

    @override
    async def logs(self, session_id: SessionId, *, tail: int) -> AsyncIterator[str]:
        await anyio.lowlevel.checkpoint()
        seen = self._sessions.get(session_id)
        if seen is not None and tail > 0 and seen.message:
            yield seen.message

    @override
    async def usage(self, session_id: SessionId) -> Usage | None:
        await anyio.lowlevel.checkpoint()
        if session_id not in self._sessions:
            return None
        return self.usages.get(session_id, Usage(0.0, 0))

    @override
    async def volumes(self) -> Sequence[Volume]:
        await anyio.lowlevel.checkpoint()
        instance = self._settings.instance
        return [Volume(uid, volume_name(instance, uid), size) for uid, size in self.files.items()]

    @override
    async def make_volume(self, owner: UserId) -> None:
        await anyio.lowlevel.checkpoint()
        self.files.setdefault(owner, 0)

    @override
    async def remove_volume(self, owner: UserId) -> None:
        await anyio.lowlevel.checkpoint()
        if any(one.session.owner == owner for one in self._sessions.values()):
            raise FilesInUse
        self.files.pop(owner, None)

    @override
    async def apps(self) -> Sequence[Offer]:
        await anyio.lowlevel.checkpoint()
        return list(self.offers)

    @override
    async def check(self, profile_id: str) -> None:
        self._known(profile_id)
        if profile_id in self.missing:
            raise ImageRefused(
                "The program of the profile {profile} is not there.", profile=profile_id
            )

    def _known(self, profile_id: str) -> None:
        if self._settings.profile(profile_id) is None:
            raise ImageRefused("The profile {profile} does not exist.", profile=profile_id)

    @override
    async def ping(self) -> None:
        await anyio.lowlevel.checkpoint()

    @override
    async def aclose(self) -> None:
        pass

    def adopt(self, observed: Observed) -> None:
        """Let a session be there that somebody else made."""
        self._put(observed)

    def crash(self, session_id: SessionId, *, exit_code: int, message: str) -> None:
        """End the program of a session, as a fault inside it would."""
        seen = self._sessions[session_id]
        self._put(
            msgspec.structs.replace(
                seen,
                running=False,
                exit_code=exit_code,
                message=message,
                ended_at=datetime.now(UTC),
            )
        )
