"""What administrators see of everybody's sessions, and do to them.

Whatever is done to somebody's session is told to its owner, on their page or in the session, and
put on record. What the history shows is kept in memory only: a restart of the controller begins
it anew, and the plots show a gap of nothing before.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import anyio
import msgspec
import structlog

from controller.core.errors import (
    FilesInUse,
    HubError,
    InvalidRequest,
    NotAllowed,
    SharingOff,
    Unavailable,
)
from controller.core.model import (
    Observed,
    Person,
    Phase,
    Place,
    Role,
    SessionId,
    Usage,
    UserId,
    Volume,
    moment,
)
from controller.core.records import Actor, Drain, Message, Reason, Share
from controller.engines import Orchestrator
from controller.monitoring.audit import Act, Audit, Detail
from controller.people.logins import Logins
from controller.people.throttle import Throttled
from controller.rules import sentences
from controller.rules.sentences import Why
from controller.sessions.grants import Grants
from controller.sessions.polling import Looks
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.store import Store

PAGE = 50
"""Rows of a table's page."""

SAMPLE_SECONDS = 60
"""Between two samples of the history."""

MESSAGE_MAX = 200
"""Characters of a message to people."""

MESSAGE_SECONDS = 600.0
"""For which a message stands in a session; on the owner's page until it is put away."""

_DAY = 86_400

_SAMPLES = _DAY // SAMPLE_SECONDS

_SIZES_FRESH = 300.0  # seconds; measuring walks through the engine's disk

_AT_ONCE = 8  # banners on their way

_HOUR = 3600

_QUOTA_MOST = 1000

_STOP_MOST_DAYS = 366

_UNKNOWN = "?"  # what a session shows: nobody knows

_log = structlog.get_logger("oversight")


class Sort(StrEnum):
    """By what sessions are sorted."""

    STARTED = "started"
    OWNER = "owner"
    TITLE = "title"
    PHASE = "phase"
    CPU = "cpu"
    MEMORY = "memory"
    ACTIVITY = "activity"


class Entry(msgspec.Struct, frozen=True):
    """A session as administrators see it."""

    seen: Observed
    title: str
    phase: Phase
    usage: Usage | None
    cpus: float  # cores that it may take
    memory_bytes: int  # that it may take
    active_at: datetime  # UTC
    ends_at: datetime | None  # UTC
    extra: float  # seconds by which its lifetime was extended
    why: Why
    why_at: datetime | None  # UTC; the moment in ``why``
    place: Place | None


class Listing(msgspec.Struct, frozen=True):
    """One page of the sessions. ``found``: all that match; ``total``: all there are."""

    entries: tuple[Entry, ...]
    found: int
    total: int
    page: int  # from 1
    pages: int


class User(msgspec.Struct, frozen=True):
    """Somebody who is logged in, has sessions, files or a number of sessions of their own."""

    uid: UserId
    sessions: int
    most: int  # sessions that they may have
    quota: int | None  # that number, if an administrator has set it
    logged_in: bool
    volume: Volume | None


class Users(msgspec.Struct, frozen=True):
    """One page of the people."""

    users: tuple[User, ...]
    found: int
    page: int  # from 1
    pages: int
    measured_at: float | None  # seconds since the epoch
    fault: str = ""  # why the files are not known


class Sample(msgspec.Struct, frozen=True):
    """How full the hub was."""

    at: float  # seconds since the epoch
    sessions: int
    cores: float  # taken by all together
    memory_bytes: int
    wait: float  # seconds that the first in line has waited


class Oversight:
    """The acts of administrators."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        looks: Looks,
        *,
        grants: Grants,
        logins: Logins,
        orchestrator: Orchestrator,
        store: Store,
        audit: Audit,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """``wall``: seconds since the epoch; ``clock``: monotonic seconds."""
        self._settings = settings
        self._sessions = sessions
        self._looks = looks
        self._grants = grants
        self._logins = logins
        self._orchestrator = orchestrator
        self._store = store
        self._audit = audit
        self._wall = wall
        self._clock = clock
        self._history: deque[Sample] = deque(maxlen=_SAMPLES)
        self._begun = wall()
        self._swept = False
        self._shown: dict[SessionId, str] = {}  # standing banners, by what they say
        self._volumes: tuple[Volume, ...] = ()
        self._measured: tuple[float, float] | None = None  # when: monotonic, and by the wall
        self._measuring = anyio.Lock()
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    @property
    def now(self) -> datetime:
        """Return what time it is (UTC)."""
        return datetime.fromtimestamp(self._wall(), UTC)

    # -- sessions --------------------------------------------------------------------------

    def listing(self, *, query: str, sort: Sort, desc: bool, page: int) -> Listing:
        """Return one page of the sessions that match, cheaply sorted; only its rows are worked out.

        ``query``: words that all must be found in owner, name, profile, phase or id.
        """
        everything = self._sessions.everything()
        words = query.casefold().split()
        found = [one for one in everything if self._matches(one, words)]
        found.sort(key=self._sort_key(sort), reverse=desc)
        pages = max(1, -(-len(found) // PAGE))
        page = min(max(1, page), pages)
        places = self._sessions.places()
        shown = found[(page - 1) * PAGE : page * PAGE]
        return Listing(
            tuple(self._entry(one, places) for one in shown),
            found=len(found),
            total=len(everything),
            page=page,
            pages=pages,
        )

    def entry(self, session_id: str) -> Entry:
        """Return one session. Raises NoSuchSession."""
        return self._entry(self._sessions.any(session_id), self._sessions.places())

    def _entry(self, seen: Observed, places: dict[SessionId, Place]) -> Entry:
        place = places.get(seen.session.id)
        profile = self._sessions.profile_of(seen)
        why, why_at = self._sessions.why_alive(seen, place)
        look = self._looks.last(seen.session.id)
        return Entry(
            seen=seen,
            title=sentences.session_title(profile.title, seen.session.name),
            phase=self._sessions.phase(seen),
            usage=look.usage if look else None,
            cpus=profile.cpus,
            memory_bytes=profile.memory_mib * 2**20,
            active_at=self._sessions.last_activity(seen),
            ends_at=self._sessions.expires(seen),
            extra=self._sessions.extension(seen),
            why=why,
            why_at=why_at,
            place=place,
        )

    def _matches(self, seen: Observed, words: Sequence[str]) -> bool:
        if not words:
            return True
        one = seen.session
        title = self._sessions.profile_of(seen).title
        phase = self._sessions.phase(seen)
        text = f"{one.owner} {one.name} {one.profile} {title} {phase} {one.id}".casefold()
        return all(word in text for word in words)

    def _sort_key(self, sort: Sort) -> Callable[[Observed], tuple[object, ...]]:
        sessions = self._sessions

        def usage(seen: Observed) -> Usage:
            look = self._looks.last(seen.session.id)
            return (look.usage if look else None) or Usage(-1.0, -1)

        keys: dict[Sort, Callable[[Observed], object]] = {
            Sort.STARTED: lambda seen: seen.session.created_at,
            Sort.OWNER: lambda seen: seen.session.owner,
            Sort.TITLE: lambda seen: (
                sessions.profile_of(seen).title.casefold(),
                seen.session.name.casefold(),
            ),
            Sort.PHASE: lambda seen: sessions.phase(seen).value,
            Sort.CPU: lambda seen: usage(seen).cpu_percent,
            Sort.MEMORY: lambda seen: usage(seen).memory_bytes,
            Sort.ACTIVITY: sessions.last_activity,
        }
        chosen = keys[sort]
        return lambda seen: (chosen(seen), seen.session.owner, seen.session.id)

    def counts(self) -> Counter[Phase]:
        """Return how many sessions stand where."""
        return Counter(self._sessions.phase(one) for one in self._sessions.everything())

    # -- acts on sessions: each raises NoSuchSession or Unavailable --------------------------

    async def stop(self, session_id: str, by: Actor) -> None:
        """Stop anybody's session; its owner is told by whom."""
        seen = self._sessions.any(session_id)
        self._record(Act.ADMIN_STOP, seen, by)
        waits = self._sessions.place(seen) is not None
        await self._sessions.stop(seen.session.id, Reason.ADMIN)
        if waits:
            await self._tell(seen, "was taken out of the line at", "by the administrator.")

    async def message(self, session_id: str, text: str, by: Actor) -> bool:
        """Tell everybody in a session, and its owner's page; False: only the page shows it."""
        text = clean_message(text)
        if not text:
            raise InvalidRequest("Write what is to be said.")
        seen = self._sessions.any(session_id)
        self._record(Act.ADMIN_MESSAGE, seen, by, length=len(text))
        title = sentences.session_title(self._sessions.profile_of(seen).title, seen.session.name)
        await self._store.add_notice(
            seen.session.owner,
            "The administrator wrote at",
            f"about {title}: {text}",
            self._wall(),
        )
        self._sessions.announce()
        if self._sessions.phase(seen) is not Phase.READY:
            return False
        words = f"The administrator says: {text}"
        message = Message(words, self._wall() + MESSAGE_SECONDS)
        await self._store.set_message(seen.session.id, message)
        await self._sessions.load_rules()
        self.forget_shown(seen.session.id)
        return await self._show_standing(seen)

    async def extend(self, session_id: str, hours: float, by: Actor) -> float:
        """Let a session live longer; returns the hours added so far.

        Raises InvalidRequest for one that has no end, or no session yet.
        """
        most = self._settings.admin.extend_hours
        if not 0 < hours <= most:
            raise InvalidRequest(f"A session can be extended by up to {most} hours.")
        seen = self._sessions.any(session_id)
        if self._sessions.expires(seen) is None:
            raise InvalidRequest("This session has no end that could be put off.")
        extra = await self._sessions.extend(seen, hours * _HOUR)
        self._record(Act.ADMIN_EXTEND, seen, by, hours=hours)
        await self._tell(seen, "may run longer, as the administrator decided at", "")
        return extra / _HOUR

    async def look(self, session_id: str, person: Person, by: Actor) -> datetime:
        """Let an administrator look on, never unseen; returns until when (UTC).

        Raises NotAllowed if the configuration does not allow it, InvalidRequest if there is
        nothing to be seen, Unavailable if nobody could be told.
        """
        if not self._settings.admin.may_look:
            raise NotAllowed(
                "Looking into people's sessions is switched off. It is the setting admin.may_look."
            )
        if not self._settings.sharing:
            raise SharingOff  # whom a session could harm, an administrator above all
        seen = self._sessions.any(session_id)
        if self._sessions.phase(seen) is not Phase.READY:
            raise InvalidRequest("There is nothing to be seen in this session at present.")
        if not self._sessions.profile_of(seen).endpoints:
            raise NotAllowed("This program knows no way of only looking on.")
        if self._sessions.role(seen, person.uid) is not None and not self._looks_on(seen, person):
            raise InvalidRequest("This session is open to you already. Open it from your page.")
        minutes = self._settings.admin.look_minutes
        name = f"{person.display_name} (administration)"
        self._record(Act.ADMIN_LOOK, seen, by, role=Role.VIEW, minutes=minutes)
        # First it is told: a look that cannot be told of does not happen.
        await self._tell(
            seen,
            f"is looked into by {name} since",
            f"for {minutes} minutes at most. They see what you see and can change nothing.",
        )
        if not await self._sessions.show(seen, _looking_words(name), None):
            raise Unavailable("The session does not answer, so nobody in it could be told.")
        self._shown[seen.session.id] = _looking_words(name)  # what else stood there comes back
        await self._grants.invite(
            seen.session.id,
            msgspec.structs.replace(person, display_name=name),
            Role.VIEW,
            seconds=minutes * 60,
            look=True,
        )
        self._sessions.announce()
        await self._show_standing(seen)
        return self.now + timedelta(minutes=minutes)

    def _looks_on(self, seen: Observed, person: Person) -> bool:
        return any(one.uid == person.uid for one in self._lookers(seen.session.id))

    def _lookers(self, session_id: SessionId) -> list[Share]:
        return [one for one in self._grants.of_session(session_id) if one.look]

    async def _tell(self, seen: Observed, words: str, more: str) -> None:
        title = sentences.session_title(self._sessions.profile_of(seen).title, seen.session.name)
        await self._store.add_notice(
            seen.session.owner, f"{title} {words}", more or ".", self._wall()
        )
        self._sessions.announce()

    def _record(self, act: Act, seen: Observed, by: Actor, **details: Detail) -> None:
        session = seen.session
        self._audit.record(act, by, whose=session.owner, session=session.id, **details)

    # -- people ----------------------------------------------------------------------------

    async def users(self, *, query: str, page: int, fresh: bool = False) -> Users:
        """Return one page of the people. Files are measured at most every few minutes."""
        fault = ""
        try:
            await self._measure(fresh=fresh)
        except Unavailable as error:
            fault = str(error)
        volumes = {one.owner: one for one in self._volumes}
        running = Counter(one.session.owner for one in self._sessions.everything())
        here = self._logins.people()
        quotas = self._sessions.rules.quotas
        words = query.casefold().split()
        found = sorted(
            uid
            for uid in {*volumes, *running, *here, *quotas}
            if all(word in uid for word in words)
        )
        pages = max(1, -(-len(found) // PAGE))
        page = min(max(1, page), pages)
        return Users(
            tuple(
                self._user(uid, running[uid], uid in here, volumes.get(uid))
                for uid in found[(page - 1) * PAGE : page * PAGE]
            ),
            found=len(found),
            page=page,
            pages=pages,
            measured_at=self._measured[1] if self._measured else None,
            fault=fault,
        )

    async def user(self, uid: UserId) -> User:
        """Return one person, whether they are known to anything or not."""
        with suppress(Unavailable):  # then their files are not known, as the table says
            await self._measure(fresh=False)
        own = self._sessions.owned_by(uid)
        volume = next((one for one in self._volumes if one.owner == uid), None)
        return self._user(uid, len(own), uid in self._logins.people(), volume)

    def _user(self, uid: UserId, sessions: int, here: bool, volume: Volume | None) -> User:
        return User(
            uid,
            sessions=sessions,
            most=self._sessions.most_sessions(uid),
            quota=self._sessions.rules.quotas.get(uid),
            logged_in=here,
            volume=volume,
        )

    async def _measure(self, *, fresh: bool) -> None:
        asked = self._clock()
        async with self._measuring:
            last = self._measured[0] if self._measured else None
            # Who waited for somebody else's measuring has what they wanted.
            if last is not None and (last >= asked or (not fresh and asked - last < _SIZES_FRESH)):
                return
            self._volumes = tuple(await self._orchestrator.volumes())
            self._measured = (self._clock(), self._wall())

    async def set_quota(self, uid: UserId, most: int | None, by: Actor) -> None:
        """Let somebody have another number of sessions; None: as many as configured."""
        if most is not None and not 0 <= most <= _QUOTA_MOST:
            raise InvalidRequest(f"Say a number from 0 to {_QUOTA_MOST}.")
        self._audit.record(Act.ADMIN_QUOTA, by, whose=uid, sessions=most)
        await self._store.set_quota(uid, most)
        await self._sessions.load_rules()

    async def log_out(self, uid: UserId, by: Actor) -> int:
        """End every log-in of somebody, and what they have open; returns how many.

        Raises NotWrittenDown.
        """
        self._audit.record(Act.ADMIN_LOGOUT, by, whose=uid)
        return await self._logins.revoke(uid, reason="admin")

    async def throttled(self) -> list[Throttled]:
        """Return whose log-ins are refused for a while, after too many failures."""
        return await self._logins.throttle.throttled()

    async def release(self, throttled_id: str, by: Actor) -> Throttled:
        """Let log-ins be looked at again that are refused. Raises NotThrottled."""
        found = await self._logins.throttle.release(throttled_id)
        self._audit.record(
            Act.ADMIN_RELEASE, by, whose=found.user, address=found.address, failures=found.failures
        )
        return found

    async def remove_files(self, uid: UserId, by: Actor) -> None:
        """Remove a person's files for good. Raises FilesInUse while they have a session."""
        if any(one.session.owner == uid for one in self._sessions.everything()):
            raise FilesInUse
        self._audit.record(Act.ADMIN_REMOVE_FILES, by, whose=uid)
        await self._orchestrator.remove_volume(uid)
        self._volumes = tuple(one for one in self._volumes if one.owner != uid)

    # -- the end of all ----------------------------------------------------------------------

    async def drain(self, message: str, stop_at: float | None, by: Actor) -> Drain:
        """Let nothing start any more, and say so everywhere.

        ``stop_at``: when every session is stopped (seconds since the epoch); None: they run on.
        """
        message = clean_message(message)
        if message and not message.endswith((".", "!", "?")):
            message += "."
        if stop_at is not None and not 0 < stop_at - self._wall() <= _STOP_MOST_DAYS * _DAY:
            raise InvalidRequest(
                "The moment at which all sessions are stopped must lie ahead, within a year."
            )
        drain = Drain(UserId(by.who), self._wall(), message, stop_at)
        self._audit.record(Act.ADMIN_DRAIN, by, stop_at=stop_at)
        await self._store.set_drain(drain)
        await self._sessions.load_rules()
        await self._show_all()
        return drain

    async def undrain(self, by: Actor) -> None:
        """Let sessions start again."""
        if self._sessions.drain is None:
            return
        self._audit.record(Act.ADMIN_UNDRAIN, by)
        await self._store.set_drain(None)
        await self._sessions.load_rules()
        self._sessions.serve_line()
        # Also where another controller has shown it.
        self._shown = {one.session.id: _UNKNOWN for one in self._sessions.all()}
        await self._show_all()

    # -- rounds ----------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Show standing banners where they are not seen yet, and end what a drain ends."""
        living = {one.session.id for one in self._sessions.all()}
        self._shown = {one: text for one, text in self._shown.items() if one in living}
        if not self._swept:
            self._swept = True
            for seen in self._sessions.all():
                # An earlier controller may have shown them something that is over.
                if seen.session.created_at.timestamp() < self._begun:
                    self._shown.setdefault(seen.session.id, _UNKNOWN)
        drain = self._sessions.drain
        if drain is not None and drain.stop_at is not None and self._wall() >= drain.stop_at:
            for seen in self._sessions.everything():
                try:
                    await self._sessions.stop(seen.session.id, Reason.DRAIN)
                except HubError as error:
                    _log.warning("not_drained", session=seen.session.id, error=error.in_full)
            return
        await self._show_all()
        await self._forget_messages(living)

    async def _forget_messages(self, living: Collection[SessionId]) -> None:
        messages = self._sessions.rules.messages
        over = [
            one
            for one, message in messages.items()
            if one not in living or self._wall() >= message.until
        ]
        for one in over:
            await self._store.set_message(one, None)
        if over:
            await self._sessions.load_rules()

    def forget_shown(self, session_id: SessionId) -> None:
        """Count a session's banner as gone: another one has taken its place."""
        self._shown.pop(session_id, None)

    async def _show_all(self) -> None:
        async with anyio.create_task_group() as group:
            for seen in self._sessions.all():
                if self._sessions.phase(seen) is Phase.READY:
                    group.start_soon(self._show_standing, seen)

    async def _show_standing(self, seen: Observed) -> bool:
        """Show what a session has to show, if it does not yet; a warning comes before that."""
        text = self._standing(seen)
        session_id = seen.session.id
        if self._shown.get(session_id, "") == text:
            return True
        if self._sessions.warned(seen) is not None:
            return False
        async with self._limiter:
            shown = await self._sessions.show(seen, text, None)
        if shown:
            self._shown[session_id] = text
        return shown

    def _standing(self, seen: Observed) -> str:
        """Return what a session has to show at present."""
        sentences = [_looking_words(one.display_name) for one in self._lookers(seen.session.id)]
        drain = self._sessions.drain
        if drain is not None:
            sentences.append(drain_words(drain, moment(drain.since)))
        message = self._sessions.rules.messages.get(seen.session.id)
        if message is not None and self._wall() < message.until:
            sentences.append(message.text)
        return " ".join(sentences)

    # -- history ---------------------------------------------------------------------------

    def sample(self) -> None:
        """Note how full the hub is."""
        usages = [
            look.usage
            for one in self._sessions.all()
            if (look := self._looks.last(one.session.id)) is not None and look.usage is not None
        ]
        self._history.append(
            Sample(
                at=self._wall(),
                sessions=len(self._sessions.all()),
                cores=sum(max(0.0, one.cpu_percent) for one in usages) / 100,
                memory_bytes=sum(one.memory_bytes for one in usages),
                wait=max(self._sessions.waits(), default=0.0),
            )
        )

    @property
    def history(self) -> Sequence[Sample]:
        """Return the samples of the last day, oldest first."""
        return tuple(self._history)


def drain_words(drain: Drain, now: datetime) -> str:
    """Say to everybody what a drain means for them."""
    words = drain.message or "The hub is being prepared for maintenance."
    if drain.stop_at is None:
        return f"{words} This session goes on; nothing new can be started."
    at = sentences.clock_text(moment(drain.stop_at), now)
    return f"{words} All sessions are stopped at {at}. Save your work."


def clean_message(text: str) -> str:
    """Return a message as one line. Raises InvalidRequest if it is too long."""
    cleaned = unicodedata.normalize("NFC", " ".join(text.split()))
    if len(cleaned) > MESSAGE_MAX:
        raise InvalidRequest(f"A message has {MESSAGE_MAX} characters at most.")
    return "".join(one for one in cleaned if unicodedata.category(one)[0] != "C")


def _looking_words(name: str) -> str:
    return f"{name} is looking on."
