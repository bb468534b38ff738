"""What administrators do to sessions and to the hub.

The owner of a session is told of every act on it, on their page or in the session, and the audit
log records it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from controller.core.errors import HubError, InvalidRequest, NotAllowed, SharingOff, Unavailable
from controller.core.model import Observed, Person, Phase, Role, UserId
from controller.core.records import Actor, Drain, Message, Reason
from controller.core.sentence import Phrase, Sentence
from controller.monitoring.audit import Act, Audit, Detail
from controller.rules import notices, sentences
from controller.sessions.grant_records import GrantRecords
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.store import DeskStore

MESSAGE_MAX = 200
"""Characters of a message to people."""

MESSAGE_SECONDS = 600.0
"""Seconds for which a session shows a message; the owner's page shows it until it is dismissed."""

_HOUR = 3600
_DAY = 86_400
_STOP_MOST_DAYS = 366

_log = structlog.get_logger("administration")


class Acts:
    """The acts of administrators. Each on a session raises NoSuchSession or Unavailable."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        *,
        grant_records: GrantRecords,
        store: DeskStore,
        audit: Audit,
        wall: Callable[[], float],
    ) -> None:
        """``wall``: seconds since the epoch."""
        self._settings = settings
        self._sessions = sessions
        self._grant_records = grant_records
        self._store = store
        self._audit = audit
        self._wall = wall

    @property
    def now(self) -> datetime:
        """Return what time it is (UTC)."""
        return datetime.fromtimestamp(self._wall(), UTC)

    async def stop(self, session_id: str, by: Actor) -> None:
        """Stop anybody's session; its owner is told by whom."""
        seen = self._sessions.any(session_id)
        self._record(Act.ADMIN_STOP, seen, by)
        waits = self._sessions.queue.place(seen) is not None
        await self._sessions.stop(seen.session.id, Reason.ADMIN)
        if waits:
            await self._tell(seen, notices.taken_out(self._title(seen)))

    async def message(self, session_id: str, text: str, by: Actor) -> bool:
        """Tell everybody in a session, and its owner's page; False: only the page shows it."""
        text = clean_message(text)
        if not text:
            raise InvalidRequest("Write a message.")
        seen = self._sessions.any(session_id)
        self._record(Act.ADMIN_MESSAGE, seen, by, length=len(text))
        await self._tell(seen, notices.written(self._title(seen), text))
        if self._sessions.phase(seen) is not Phase.READY:
            return False
        message = Message(str(notices.said(text)), self._wall() + MESSAGE_SECONDS)
        await self._sessions.rule_book.set_message(seen.session.id, message)
        return await self._sessions.banners.show_anew(seen)

    async def extend(self, session_id: str, hours: float, by: Actor) -> float:
        """Let a session run longer; returns the hours added so far.

        Raises InvalidRequest for one that has no end, or no session yet.
        """
        most = self._settings.admin.extend_hours
        if not 0 < hours <= most:
            raise InvalidRequest("A session can be extended by up to {most} hours.", most=most)
        seen = self._sessions.any(session_id)
        if self._sessions.usage.expires(seen) is None:
            raise InvalidRequest("This session has no end that could be extended.")
        extra = await self._sessions.usage.extend(seen, hours * _HOUR)
        self._record(Act.ADMIN_EXTEND, seen, by, hours=hours)
        await self._tell(seen, notices.extended(self._title(seen)))
        return extra / _HOUR

    async def look(self, session_id: str, person: Person, by: Actor) -> datetime:
        """Let an administrator view a session, which its owner is told; returns until when (UTC).

        Raises NotAllowed if the configuration does not allow it, InvalidRequest if there is
        nothing to see, Unavailable if nobody in the session could be told.
        """
        if not self._settings.admin.may_look:
            raise NotAllowed(
                "Looking into people's sessions is off. The setting admin.may_look turns it on."
            )
        if not self._settings.sharing:
            raise SharingOff  # a session could act as an administrator who opens it
        seen = self._sessions.any(session_id)
        if self._sessions.phase(seen) is not Phase.READY:
            raise InvalidRequest("This session is not running, so there is nothing to see.")
        if not self._sessions.profile_of(seen).endpoints:
            raise NotAllowed(
                "This program cannot let anybody only view, so you cannot look into it."
            )
        if self._sessions.role(seen, person.uid) is not None and not self._looks_on(seen, person):
            raise InvalidRequest("This session is already open to you. Open it from your page.")
        minutes = self._settings.admin.look_minutes
        name = str(Phrase("{name} (administration)", name=person.display_name))
        self._record(Act.ADMIN_LOOK, seen, by, role=Role.VIEW, minutes=minutes)
        # The owner is told first; without that an administrator is not let in.
        await self._tell(seen, notices.viewed(self._title(seen), name, minutes))
        if not await self._sessions.banners.tell_of_looker(seen, name):
            raise Unavailable(
                "The session does not answer, so its people could not be told, and you were not "
                "let in."
            )
        await self._grant_records.invite(
            seen.session.id,
            msgspec.structs.replace(person, display_name=name),
            Role.VIEW,
            seconds=minutes * 60,
            look=True,
        )
        self._sessions.announce()
        await self._sessions.banners.show_standing(seen)
        return self.now + timedelta(minutes=minutes)

    async def drain(self, message: str, stop_at: float | None, by: Actor) -> Drain:
        """Block new sessions, and tell everybody.

        ``stop_at``: when every session is stopped (seconds since the epoch); None: they go on.
        """
        message = clean_message(message)
        if message and not message.endswith((".", "!", "?")):
            message += "."
        if stop_at is not None and not 0 < stop_at - self._wall() <= _STOP_MOST_DAYS * _DAY:
            raise InvalidRequest(
                "The time at which all sessions are stopped must be in the future, within a year."
            )
        drain = Drain(UserId(by.who), self._wall(), message, stop_at)
        self._audit.record(Act.ADMIN_DRAIN, by, stop_at=stop_at)
        await self._sessions.rule_book.set_drain(drain)
        await self._sessions.banners.show_all()
        return drain

    async def undrain(self, by: Actor) -> None:
        """Let sessions start again."""
        if self._sessions.drain is None:
            return
        self._audit.record(Act.ADMIN_UNDRAIN, by)
        await self._sessions.rule_book.set_drain(None)
        self._sessions.serve_queue()
        await self._sessions.banners.show_all(anew=True)

    async def end_drained(self) -> None:
        """Stop every session, if a drain has come to its end."""
        drain = self._sessions.drain
        if drain is None or drain.stop_at is None or self._wall() < drain.stop_at:
            return
        for seen in self._sessions.everything():
            try:
                await self._sessions.stop(seen.session.id, Reason.DRAIN)
            except HubError as error:
                _log.warning("not_drained", session=seen.session.id, error=error.in_full)

    def _looks_on(self, seen: Observed, person: Person) -> bool:
        return any(one.uid == person.uid for one in self._sessions.banners.lookers(seen.session.id))

    def _title(self, seen: Observed) -> str:
        return sentences.session_title(self._sessions.profile_of(seen).title, seen.session.name)

    async def _tell(self, seen: Observed, said: Sentence) -> None:
        text, more = said.around("at")
        await self._store.add_notice(seen.session.owner, text, more, self._wall())
        self._sessions.announce()

    def _record(self, act: Act, seen: Observed, by: Actor, **details: Detail) -> None:
        session = seen.session
        self._audit.record(act, by, whose=session.owner, session=session.id, **details)


def clean_message(text: str) -> str:
    """Return a message as one line. Raises InvalidRequest if it is too long."""
    cleaned = unicodedata.normalize("NFC", " ".join(text.split()))
    if len(cleaned) > MESSAGE_MAX:
        raise InvalidRequest("A message can have at most {most} characters.", most=MESSAGE_MAX)
    return "".join(one for one in cleaned if unicodedata.category(one)[0] != "C")
