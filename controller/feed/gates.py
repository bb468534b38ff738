"""The gates that there are, and what counts at each of them."""

from __future__ import annotations

import anyio
import msgspec
import structlog
from typing_extensions import override

from controller.core.changes import ChangeCount
from controller.core.records import Actor
from controller.feed.server import Heard
from controller.gate.facts import Used
from controller.people.standing import Standing
from controller.sessions.usage import Usage

_log = structlog.get_logger("feed")


class Gate(msgspec.Struct, frozen=True):
    """A gate: its name, this start of it, and up to which number everything counts there."""

    name: str
    boot: str
    number: int = 0
    connected: bool = True


class Gates(Heard):
    """All gates that have followed this controller, and do what they let people do."""

    def __init__(self, usage: Usage, standing: Standing) -> None:
        self._usage = usage
        self._standing = standing
        self._known: dict[str, Gate] = {}  # by their boots
        self._heard = ChangeCount()

    # -- what they say ---------------------------------------------------------------------

    @override
    def joined(self, name: str, boot: str) -> None:
        # Whoever has its name now has taken its place: the one before is no more.
        self._known = {key: one for key, one in self._known.items() if one.name != name}
        self._known[boot] = Gate(name, boot)
        self._heard.add()

    @override
    def confirmed(self, boot: str, number: int) -> None:
        if known := self._known.get(boot):
            self._known[boot] = msgspec.structs.replace(known, number=number)
            self._heard.add()

    @override
    def left(self, boot: str, *, for_good: bool) -> None:
        known = self._known.get(boot)
        if known is None:
            return
        if for_good:
            del self._known[boot]
        else:
            self._known[boot] = msgspec.structs.replace(known, connected=False)
        self._heard.add()

    @override
    def used(self, used: Used) -> None:
        for session_id, ago in used.sessions.items():
            self._usage.touch(session_id, ago=ago)
        for sid, ago in used.logins.items():
            self._standing.note_use(sid, ago=ago)
        for one in used.entered:
            if not self._usage.is_inside(one.session, one.sid):
                self._usage.enter(one.session, one.sid, one.role, Actor(one.uid, one.address))

    # -- what is asked ---------------------------------------------------------------------

    def behind(self, number: int, *, connected: bool = False) -> list[Gate]:
        """Return the gates at which not everything up to a number counts yet.

        ``connected``: only those that could be told.
        """
        return [
            one
            for one in self._known.values()
            if one.number < number and (one.connected or not connected)
        ]

    async def until(self, number: int, seconds: float, *, connected: bool = False) -> bool:
        """Wait until everything up to a number counts at all gates; False: in that time it did not.

        ``connected``: see ``behind``.
        """
        if not self.behind(number, connected=connected):
            return True
        with anyio.move_on_after(seconds):
            while True:
                heard = self._heard.number
                if not self.behind(number, connected=connected):
                    return True
                await self._heard.beyond(heard)
        return False
