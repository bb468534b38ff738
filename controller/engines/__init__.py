"""The contract between the hub and an engine that runs sessions.

An engine holds the only record of a session (its labels), so asking twice gives the same
answer. Implementations do I/O only: what they send is built in ``core.labels``,
``rules.routes`` and ``manifests``, what it means is decided in ``rules.lifecycle``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Protocol

from controller.core.model import Observed, Offer, Session, SessionId, Usage, UserId, Volume
from controller.core.sentence import Phrase


class Orchestrator(Protocol):
    """Every method raises EngineUnavailable if the engine does not answer as it should."""

    async def ensure(self, session: Session) -> None:
        """Make the session exist and run; returns when the engine accepted it, not when ready.

        Idempotent; repairs what a crash left half made. Raises SessionExists or SessionStopping if
        the same owner has one of the same name, ImageRefused if the profile's image is missing
        or unsafe. After any error nothing of a session that did not exist before is left.
        """
        ...

    async def fetch(self, profile_id: str, tell: Callable[[Phrase], None]) -> None:
        """Bring the profile's image to the engine if it is missing; returns once it is there.

        ``tell`` gets the progress for the person who waits, from the event loop's thread.
        Several callers share one transfer. Raises ImageRefused with the registry's words
        if it cannot be had, or if there is no such profile.
        """
        ...

    async def remove(self, session_id: SessionId, *, grace: timedelta) -> None:
        """End the session and forget it; its owner's files stay.

        The program inside has ``grace`` to end in order. Idempotent: a missing session is
        success, a removal that was cut short is finished.
        """
        ...

    async def get(self, session_id: SessionId) -> Observed | None:
        """Return what is known of one session now, or None."""
        ...

    async def list(self) -> Sequence[Observed]:
        """Return all sessions of this instance; what cannot be read is left out and counted."""
        ...

    @property
    def unread(self) -> int:
        """How many of this instance's objects could not be read of late; the log names each."""
        ...

    def watch(self) -> AsyncGenerator[Sequence[Observed], None]:
        """Yield whole snapshots, now and after any change; reconnects by itself, never ends.

        The caller must close it (``aclosing``), because it has tasks of its own.
        """
        ...

    def logs(self, session_id: SessionId, *, tail: int) -> AsyncIterator[str]:
        """Yield the last ``tail`` lines of the session's output; nothing if it is gone."""
        ...

    async def usage(self, session_id: SessionId) -> Usage | None:
        """Return CPU and memory since the last call; None if not known (yet)."""
        ...

    async def volumes(self) -> Sequence[Volume]:
        """Return the files of all people of this instance. May take long: the engine measures."""
        ...

    async def make_volume(self, owner: UserId) -> None:
        """Make an empty volume with its labels for a person's files; an existing one stays."""
        ...

    async def remove_volume(self, owner: UserId) -> None:
        """Remove a person's files for good; missing ones are success.

        Raises FilesInUse while a session has them.
        """
        ...

    async def apps(self) -> Sequence[Offer]:
        """Return what runs of services that want the hub's log-in, as their owners label them.

        Only what names this instance. Each replica of a service may be listed.
        """
        ...

    async def check(self, profile_id: str) -> None:
        """Raise ImageRefused unless this profile could be started."""
        ...

    async def ping(self) -> None:
        """Return if the engine answers."""
        ...

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        ...
