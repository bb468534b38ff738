"""Who is logged in: from password to token and back, and when it ends.

A log-in stands as long as it is in the store; its mirror in memory answers verify without
waiting. When each was last used is noted in memory, too, and written down now and then. How
failures are counted is told in ``throttle``.

Of several controllers each hears a moment later of what another has written. A log-in must be good
at all of them in the answer that brings its cookie, and one that has ended at none. A record that
is not known here may be either, and which of the two is told by the store's revisions: the token
says in which one its record stood, and the reading says up to which one everything is known here.

- The record's revision is in the reading: it would be known here if it stood. It has ended, or was
  lost: refused. After a restart that is so of all tokens.
- It is not: whoever signed the token had written the record, and nothing that was heard of has
  ended it. The token tells what the record says, and counts like it until that is heard of, which
  takes no longer than to hear that another log-in has ended.
- The log-in is older than news can be: this controller hears nothing any more, or the records are
  those of before, from a copy. It lets in nobody by what it has not heard. Refused.

What was ended here is refused at once, whether it was heard of or not, and whether the store could
be told or not: that is tried until it is done. With one controller there are no revisions, and no
token tells anything.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Iterable

import anyio
import msgspec
import structlog

from controller.core.errors import (
    HubError,
    LoginNotHeardOf,
    LoginRefused,
    NoSuchLogin,
    NotReadyYet,
    NotWrittenDown,
    StoreUnavailable,
    TooManyAttempts,
    Unavailable,
)
from controller.core.model import Person, UserId
from controller.core.records import CONTROLLER, Actor, Login
from controller.monitoring.audit import Act, Audit
from controller.monitoring.metrics import Metrics
from controller.people.directory import Directory
from controller.people.throttle import Throttle, name_of
from controller.people.tokens import (
    LEEWAY,
    Audience,
    Claims,
    Keys,
    News,
    TokenRefused,
    VerifiedTokens,
)
from controller.people.user_agent import clean_agent
from controller.rules.cookies import bearer_of, cookie_of, login_cookie
from controller.settings.schema import Settings
from controller.store import Store

LOGINS_MOST = 25
"""Of one person's browsers, and as many of their programs. One more ends that of its kind which has
not been used for longest, so that programs that log in again and again end no browser's."""

_REFUSAL_SECONDS = 1.0
"""No refusal is answered earlier, so that its time tells nothing of the cause."""

_SEEN_SECONDS = 300.0  # between two times that the use of a log-in is written down

_ID_LENGTH = 32  # hexadecimal digits

_NEWS_SECONDS = 10.0  # in which a record travels, several times over; clocks may differ by LEEWAY

_TOLD_MAX = 2048  # bytes of a person in a token: a cookie has 4096 characters for all

_log = structlog.get_logger("logins")


class FreshLogin(msgspec.Struct, frozen=True):
    """A fresh log-in and the token that proves it."""

    login: Login
    token: str


Ended = Callable[[Collection[Login], bool], None]
"""Hears of log-ins that have ended, and whether that was asked for here and now: else they made
room for others, their time was over, or another controller has ended them."""


class _Standing:
    """Log-ins that stand, by their ids and by whose they are."""

    def __init__(self, logins: Iterable[Login] = ()) -> None:
        self._by_sid: dict[str, Login] = {}
        self._sids: dict[UserId, set[str]] = {}
        for login in logins:
            self.put(login)

    def __contains__(self, sid: str) -> bool:
        return sid in self._by_sid

    def put(self, login: Login) -> None:
        self._by_sid[login.sid] = login
        self._sids.setdefault(login.person.uid, set()).add(login.sid)

    def get(self, sid: str) -> Login | None:
        return self._by_sid.get(sid)

    def drop(self, sid: str) -> Login | None:
        login = self._by_sid.pop(sid, None)
        if login is not None:
            sids = self._sids[login.person.uid]
            sids.discard(sid)
            if not sids:
                del self._sids[login.person.uid]
        return login

    def of(self, uid: UserId) -> list[Login]:
        return [self._by_sid[sid] for sid in self._sids.get(uid, ())]

    def all(self) -> list[Login]:
        return list(self._by_sid.values())


class Logins:
    """All log-ins of this instance."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        store: Store,
        keys: Keys,
        *,
        audit: Audit,
        metrics: Metrics,
        wall: Callable[[], float],
        new_sid: Callable[[], str] = lambda: secrets.token_urlsafe(24),
    ) -> None:
        """``wall``: seconds since the epoch; ``new_sid`` makes the ids of log-ins."""
        self._settings = settings
        self._directory = directory
        self._store = store
        self._keys = keys
        self._audit = audit
        self._metrics = metrics
        self._tokens = VerifiedTokens(keys, wall)
        self.throttle = Throttle(settings.login, store, wall=wall)
        self._wall = wall
        self._new_sid = new_sid
        self._live = _Standing()
        self._revision = 0  # of the store's, up to which all is known
        self._known = False  # what stands in the store
        self._ended: dict[str, float] = {}  # until when each would have lasted
        self._unwritten: set[str] = set()  # have ended here, and stand in the store
        self._listeners: list[Ended] = []
        self._used: dict[str, float] = {}  # when each was last used, since that was written down
        # What is read from the store must not undo what is being written there meanwhile.
        self._turn = anyio.Lock()
        self.cookie = login_cookie(settings.instance, secure=settings.secure)

    def when_ended(self, tell: Ended) -> None:
        """Let somebody hear of all log-ins that have ended, whoever ended them."""
        self._listeners.append(tell)

    async def load(self) -> None:
        """Read the store; before that nobody counts as logged in. Raises StoreUnavailable.

        A log-in that was ended here does not come back, whatever the store says yet; one that the
        store has not heard of yet stays.
        """
        async with self._turn:
            read = await self._store.read_logins()
            before = self._live.all()
            unheard = [
                one for one in before if one.revision > read.revision and self._is_news(one.created)
            ]
            self._live = _Standing(
                login
                for login in (*unheard, *read.logins)
                if login.sid not in self._ended and self._may_be_proven(login)
            )
            self._revision = read.revision
            self._known = True
        # Whoever has ended them tells of it, too, unless it was killed in between.
        self._tell_ended([one for one in before if one.sid not in self._live], asked=False)

    def _tell_ended(self, logins: Collection[Login], *, asked: bool) -> None:
        if logins:
            for tell in self._listeners:
                tell(logins, asked)

    async def enter(
        self, username: str, password: str, *, address: str, audience: Audience, agent: str = ""
    ) -> FreshLogin:
        """Log somebody in by password. ``agent``: what the browser calls itself.

        Raises LoginRefused, TooManyAttempts, DirectoryUnavailable or StoreUnavailable; the first
        two after the same time, whatever the cause.
        """
        earliest = anyio.current_time() + _REFUSAL_SECONDS
        try:
            async with self.throttle.attempt(username, address):
                person = await self._directory.authenticate(username, password)
        except Unavailable as error:
            self._note_failure(error, username, address, "unavailable")
            raise
        except (LoginRefused, TooManyAttempts) as error:
            refused = isinstance(error, LoginRefused)
            self._note_failure(error, username, address, "refused" if refused else "throttled")
            await anyio.sleep_until(earliest)
            raise
        return await self._admit(person, address, audience, clean_agent(agent))

    def _note_failure(self, error: HubError, username: str, address: str, result: str) -> None:
        name = name_of(username)
        why = getattr(error, "__notes__", [type(error).__name__])
        _log.info("login_refused", user=name, address=address, why=why)
        self._audit.record(Act.LOGIN_FAILED, Actor(name, address), reason=result)
        self._metrics.login(result)

    async def _admit(
        self, person: Person, address: str, audience: Audience, agent: str
    ) -> FreshLogin:
        now = self._wall()
        expires = now + self._settings.login.hours * 3600
        login = Login(
            sid=self._new_sid(),
            person=person,
            created=now,
            expires=expires,
            address=address,
            agent=agent,
            script=audience is Audience.API,
            seen=now,
            key=self._keys.ring.signing(now).kid,
        )
        async with self._turn:
            revision = await self._store.add_login(login)
            login = msgspec.structs.replace(login, revision=revision)
            self._live.put(login)
        by = Actor(person.uid, address)
        self._audit.record(Act.LOGIN, by, whose=person.uid, kind=audience.value)
        self._metrics.login("ok")
        await self._make_room(login)
        claims = Claims(
            sub=person.uid,
            sid=login.sid,
            aud=audience,
            iat=now,
            exp=expires,
            news=self.news_of(login, whole=True),
        )
        return FreshLogin(login, self._keys.issue(claims))

    async def _make_room(self, fresh: Login) -> None:
        surplus = _surplus(self.of_person(fresh.person.uid), fresh)
        try:
            await self._end(surplus, by=CONTROLLER, reason="too_many", asked=False)
        except NotWrittenDown as error:
            # The fresh one stands all the same, and housekeeping tries again.
            _log.warning("surplus_unwritten", user=fresh.person.uid, error=str(error))

    def news_of(self, login: Login, *, whole: bool = False) -> News | None:
        """Return what a token of this log-in tells to who has not heard of it; None: all have.

        ``whole``: all that the directory says of the person, and not only who it is.
        """
        if not login.revision or not self._is_news(login.created):
            return None
        fits = whole and len(msgspec.json.encode(login.person)) <= _TOLD_MAX
        person = login.person if fits else None
        return News(login.revision, login.created, login.expires, person)

    async def leave(self, login: Login, *, by: Actor, reason: str) -> None:
        """End a log-in for good, here at once.

        Raises NotWrittenDown if the store cannot be told yet.
        """
        await self._end([login], by=by, reason=reason)

    async def revoke(
        self,
        uid: UserId,
        *,
        by: Actor = CONTROLLER,
        reason: str = "departed",
        but: Login | None = None,
    ) -> int:
        """End every log-in of a person, or all ``but`` one; return how many there were.

        Raises NotWrittenDown like ``leave``.
        """
        kept = but.sid if but else ""
        theirs = [one for one in self._live.of(uid) if one.sid != kept]
        await self._end(theirs, by=by, reason=reason)
        return len(theirs)

    async def _end(
        self, logins: Collection[Login], *, by: Actor, reason: str, asked: bool = True
    ) -> None:
        for login in logins:
            if self._live.drop(login.sid) is not None:
                self._audit.record(Act.LOGOUT, by, whose=login.person.uid, reason=reason)
            self._ended[login.sid] = login.expires
            self._unwritten.add(login.sid)
        self._tell_ended(logins, asked=asked)
        try:
            await self._remove([one.sid for one in logins])
        except StoreUnavailable as error:
            _log.error("logins_not_removed", left=len(self._unwritten), error=error.in_full)
            raise NotWrittenDown from error

    async def write_down(self) -> None:
        """Take out of the store what has ended here and stands there yet.

        Raises StoreUnavailable; what is left is for the next time.
        """
        await self._remove(tuple(self._unwritten))

    async def _remove(self, sids: Collection[str]) -> None:
        fault: StoreUnavailable | None = None
        for sid in sids:
            async with self._turn:
                if sid not in self._unwritten:
                    continue  # somebody else did it meanwhile
                try:
                    await self._store.remove_login(sid)
                except StoreUnavailable as error:
                    fault = error  # the others may go
                else:
                    self._unwritten.discard(sid)
        if fault is not None:
            raise fault

    async def refresh(self, person: Person) -> None:
        """Let a person's log-ins know what the directory says of them now."""
        stale = [one for one in self._live.of(person.uid) if one.person != person]
        if not stale:
            return
        async with self._turn:
            await self._store.set_person(person)
            for login in stale:
                if login.sid in self._live:  # else it was ended meanwhile
                    self._live.put(msgspec.structs.replace(login, person=person))

    def of_person(self, uid: UserId) -> list[Login]:
        """Return somebody's log-ins that stand, the last used first."""
        now = self._wall()
        found = [
            msgspec.structs.replace(one, seen=self._seen(one))
            for one in self._live.of(uid)
            if one.expires > now
        ]
        return sorted(found, key=lambda one: (one.seen, one.created), reverse=True)

    def _seen(self, login: Login) -> float:
        return max(login.created, login.seen, self._used.get(login.sid, 0.0))

    def find(self, uid: UserId, id_: str) -> Login:
        """Return the log-in of this person that has this public id. Raises NoSuchLogin."""
        for login in self.of_person(uid):
            if login_id(login) == id_:
                return login
        raise NoSuchLogin

    async def keep_seen(self) -> None:
        """Write down which log-ins were used, each at most every few minutes."""
        for sid, at in tuple(self._used.items()):
            login = self._live.get(sid)
            if login is None:
                self._used.pop(sid)
            elif at - login.seen >= _SEEN_SECONDS:
                async with self._turn:
                    await self._store.set_seen(sid, at)
                    live = self._live.get(sid)
                    if live is not None:  # else it was ended meanwhile
                        self._live.put(msgspec.structs.replace(live, seen=at))

    async def end_unproven(self, *, leads: bool) -> None:
        """End the log-ins that no key of the ring proves any more.

        Those of another controller's last moments with an older ring are among them. ``leads``:
        whether it is this controller that writes it down. Raises NotWrittenDown like ``leave``.
        """
        lost = [one for one in self._live.all() if not self._is_proven(one)]
        if leads:
            await self._end(lost, by=CONTROLLER, reason="keys")
            return
        for login in lost:
            self._live.drop(login.sid)
        self._tell_ended(lost, asked=True)

    def _is_proven(self, login: Login) -> bool:
        keys = self._keys.ring.keys
        if not login.key:
            return login.created >= keys[-1].made
        return any(one.kid == login.key for one in keys)

    def _may_be_proven(self, login: Login) -> bool:
        """Tell the same where another controller may know of a newer key."""
        return self._is_proven(login) or login.created >= self._keys.ring.keys[0].made

    def stands(self, login: Login) -> bool:
        """Tell whether a log-in is not over."""
        return login.sid in self._live and login.expires > self._wall()

    def person_of(self, login: Login) -> Person:
        """Return what the directory last said of whose log-in it is."""
        return (self._live.get(login.sid) or login).person

    def people(self) -> frozenset[UserId]:
        """Return who is logged in."""
        now = self._wall()
        return frozenset(one.person.uid for one in self._live.all() if one.expires > now)

    def is_in(self, uid: UserId) -> bool:
        """Tell whether somebody is logged in, as far as it was heard of here."""
        now = self._wall()
        return any(one.expires > now for one in self._live.of(uid))

    @property
    def hears_late(self) -> bool:
        """Tell whether other controllers may know of log-ins that were not heard of here yet."""
        return self._revision > 0

    def by_cookie(self, header: str) -> Login | None:
        """Return the log-in that a Cookie header proves, or None. Raises NotReadyYet."""
        return self._by_token(cookie_of(header, self.cookie), Audience.LOGIN)

    def by_bearer(self, header: str) -> Login | None:
        """Return the log-in that an Authorization header proves, or None. Raises NotReadyYet."""
        return self._by_token(bearer_of(header), Audience.API)

    def _by_token(self, token: str, audience: Audience) -> Login | None:
        if not token:
            return None
        claims = self.read(token, audience)
        return self.standing(claims) if claims else None

    def read(self, token: str, audience: Audience) -> Claims | None:
        """Return what a token of this kind says; None: it proves nothing."""
        try:
            return self._tokens.verify(token, audience)
        except TokenRefused:
            return None

    def standing(self, claims: Claims) -> Login | None:
        """Return the log-in that a token belongs to; None: it is over.

        Raises NotReadyYet while it may be one that has not been read from the store yet, and
        LoginNotHeardOf where the token does not tell enough of one that is news.
        """
        login = self._live.get(claims.sid)
        if login is None and claims.sid not in self._ended:
            if not self._known:
                raise NotReadyYet
            login = self._unheard(claims)
        now = self._wall()
        if login is None or login.person.uid != claims.sub or login.expires <= now:
            return None
        self._used[login.sid] = now
        return login

    def _unheard(self, claims: Claims) -> Login | None:
        """Return a log-in that is not known here and has not ended here, if it is news.

        Why that is safe stands at the top.
        """
        news = claims.news
        if news is None or news.revision <= self._revision or not self._is_news(news.made):
            return None
        person = news.person
        if person is None and claims.session:
            # At a session's own host nothing counts but who it is: no group opens anything.
            return _login_of(claims, news, Person(UserId(claims.sub), claims.sub))
        if person is None:
            raise LoginNotHeardOf
        # Known from now on, to be found and ended like any other.
        login = _login_of(claims, news, person)
        self._live.put(login)
        return login

    def _is_news(self, made: float) -> bool:
        """Tell whether some controller may not have heard of a log-in that was made then."""
        return self._wall() <= made + _NEWS_SECONDS + LEEWAY

    def issue(self, claims: Claims) -> str:
        """Sign a token."""
        return self._keys.issue(claims)

    def is_service(self, header: str, session_id: str) -> bool:
        """Tell whether an Authorization header is the controller's own, for this session."""
        token = bearer_of(header)
        if not token:
            return False
        try:
            return self._tokens.verify(token, Audience.SERVICE).sid == session_id
        except TokenRefused:
            return False

    def csrf(self, login: Login) -> str:
        """Return what a form of this log-in must carry."""
        return self._keys.ring.csrf(login.sid, self._wall())

    def csrf_matches(self, login: Login, given: str) -> bool:
        """Tell whether a form was made for this log-in."""
        return self._keys.ring.csrf_matches(login.sid, given)

    async def sweep(self) -> None:
        """Forget log-ins that are over. Raises StoreUnavailable."""
        now = self._wall()
        over = [one for one in self._live.all() if one.expires <= now]
        for login in over:
            self._live.drop(login.sid)
        self._tell_ended(over, asked=False)
        self._ended = {sid: expires for sid, expires in self._ended.items() if expires > now}
        for login in await self._store.logins(now):
            if not self._may_be_proven(login):
                await self._store.remove_login(login.sid)
        self._unwritten &= self._ended.keys()  # the store has forgotten the others, too


def _surplus(theirs: list[Login], fresh: Login) -> tuple[Login, ...]:
    """Return which of a person's log-ins, the last used first, make room for a fresh one."""
    others = [one for one in theirs if one.sid != fresh.sid and one.script is fresh.script]
    return tuple(others[LOGINS_MOST - 1 :])


def _login_of(claims: Claims, news: News, person: Person) -> Login:
    return Login(
        sid=claims.sid,
        person=person,
        created=news.made,
        expires=news.expires,
        script=claims.aud is Audience.API,
        revision=news.revision,
    )


def login_id(login: Login) -> str:
    """Return by what its owner names a log-in: it says nothing of what proves it."""
    return hashlib.sha256(f"log-in:{login.sid}".encode()).hexdigest()[:_ID_LENGTH]
