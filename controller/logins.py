"""Who is logged in: from password to token and back, and when it ends.

A log-in stands as long as it is in the store; its mirror in memory answers verify without
waiting. Failures are counted in the store for a name at an address and for an address alone, so
that guessing is slowed down and nobody can lock a person out from elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import anyio
import msgspec
import structlog

from controller.audit import CONTROLLER, Act, Actor, Audit
from controller.config import Settings
from controller.directory import Directory, clean_username
from controller.errors import HubError, LoginRefused, TooManyAttempts, Unavailable
from controller.metrics import Metrics
from controller.model import Person, UserId
from controller.routing import login_cookie
from controller.store import Login, Store
from controller.tokens import Audience, Claims, KeyRing, TokenRefused, VerifiedTokens

_REFUSAL_SECONDS = 1.0
"""No refusal is answered earlier, so that its time tells nothing of the cause."""

_NAME_COUNTED = 64  # characters of a user name by which its failures are counted
_NO_NAME = "(not a user name)"  # in logs: who types into the wrong field types a password
_COOKIE_MAX = 16_384  # bytes of a Cookie header that are looked at

_log = structlog.get_logger("logins")


class Entry(msgspec.Struct, frozen=True):
    """A fresh log-in and the token that proves it."""

    login: Login
    token: str


class Logins:
    """All log-ins of this instance."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        store: Store,
        ring: KeyRing,
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
        self._ring = ring
        self._audit = audit
        self._metrics = metrics
        self._tokens = VerifiedTokens(ring, wall)
        self._wall = wall
        self._new_sid = new_sid
        self._live: dict[str, Login] = {}
        self._ended: dict[str, float] = {}  # until when each would have lasted
        # What is read from the store must not undo what is being written there meanwhile.
        self._turn = anyio.Lock()
        self.cookie = login_cookie(settings.instance, secure=settings.secure)

    async def load(self) -> None:
        """Read the store; before that nobody counts as logged in. Raises StoreUnavailable.

        A log-in that was ended here does not come back, whatever the store says yet.
        """
        async with self._turn:
            found = await self._store.logins(self._wall())
            self._live = {login.sid: login for login in found if login.sid not in self._ended}

    async def enter(
        self, username: str, password: str, *, address: str, audience: Audience
    ) -> Entry:
        """Log somebody in by password.

        Raises LoginRefused, TooManyAttempts, DirectoryUnavailable or StoreUnavailable; the first
        two after the same time, whatever the cause.
        """
        earliest = anyio.current_time() + _REFUSAL_SECONDS
        keys = (f"user:{username[:_NAME_COUNTED].casefold()}@{address}", f"address:{address}")
        try:
            await self._check_throttle(keys)
            person = await self._directory.authenticate(username, password)
        except Unavailable as error:
            self._note_failure(error, username, address, "unavailable")
            raise
        except (LoginRefused, TooManyAttempts) as error:
            refused = isinstance(error, LoginRefused)
            self._note_failure(error, username, address, "refused" if refused else "throttled")
            if refused:
                for key in keys:
                    await self._store.add_failure(key, self._wall())
            await anyio.sleep_until(earliest)
            raise
        await self._store.clear_failures(keys[0])
        return await self._admit(person, address, audience)

    def _note_failure(self, error: HubError, username: str, address: str, result: str) -> None:
        name = _name_of(username)
        why = getattr(error, "__notes__", [type(error).__name__])
        _log.info("login_refused", user=name, address=address, why=why)
        self._audit.record(Act.LOGIN_FAILED, Actor(name, address), reason=result)
        self._metrics.login(result)

    async def _check_throttle(self, keys: tuple[str, str]) -> None:
        window = self._settings.login.attempts_seconds
        now = self._wall()
        limits = (
            self._settings.login.attempts_per_user,
            self._settings.login.attempts_per_address,
        )
        for key, limit in zip(keys, limits, strict=True):
            failures = await self._store.failures(key, now - window)
            if len(failures) >= limit:
                raise TooManyAttempts(retry_after=max(1, round(failures[-limit] + window - now)))

    async def _admit(self, person: Person, address: str, audience: Audience) -> Entry:
        now = self._wall()
        expires = now + self._settings.login.hours * 3600
        login = Login(sid=self._new_sid(), person=person, created=now, expires=expires)
        async with self._turn:
            await self._store.add_login(login)
            self._live[login.sid] = login
        by = Actor(person.uid, address)
        self._audit.record(Act.LOGIN, by, whose=person.uid, kind=audience.value)
        self._metrics.login("ok")
        claims = Claims(sub=person.uid, sid=login.sid, aud=audience, iat=now, exp=expires)
        return Entry(login, self._ring.issue(claims))

    async def leave(self, login: Login, *, by: Actor, reason: str) -> None:
        """End a log-in, here at once and in the store for good."""
        if self._live.pop(login.sid, None) is not None:
            self._audit.record(Act.LOGOUT, by, whose=login.person.uid, reason=reason)
        self._ended[login.sid] = login.expires
        async with self._turn:
            await self._store.remove_login(login.sid)

    async def revoke(self, uid: UserId, *, by: Actor = CONTROLLER, reason: str = "departed") -> int:
        """End every log-in of a person; return how many there were."""
        theirs = [one for one in self._live.values() if one.person.uid == uid]
        for login in theirs:
            await self.leave(login, by=by, reason=reason)
        return len(theirs)

    async def refresh(self, person: Person) -> None:
        """Let a person's log-ins know what the directory says of them now."""
        stale = [
            one
            for one in self._live.values()
            if one.person.uid == person.uid and one.person != person
        ]
        if not stale:
            return
        async with self._turn:
            await self._store.set_person(person)
            for login in stale:
                if login.sid in self._live:  # else it was ended meanwhile
                    self._live[login.sid] = msgspec.structs.replace(login, person=person)

    def people(self) -> frozenset[UserId]:
        """Return who is logged in."""
        now = self._wall()
        return frozenset(one.person.uid for one in self._live.values() if one.expires > now)

    def by_cookie(self, header: str) -> Login | None:
        """Return the log-in that a Cookie header proves, or None."""
        return self._by_token(cookie_of(header, self.cookie), Audience.LOGIN)

    def by_bearer(self, header: str) -> Login | None:
        """Return the log-in that an Authorization header proves, or None."""
        return self._by_token(bearer_of(header), Audience.API)

    def _by_token(self, token: str, audience: Audience) -> Login | None:
        if not token:
            return None
        try:
            claims = self._tokens.verify(token, audience)
        except TokenRefused:
            return None
        login = self._live.get(claims.sid)
        if login is None or login.person.uid != claims.sub or login.expires <= self._wall():
            return None
        return login

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
        return self._ring.csrf(login.sid)

    def csrf_matches(self, login: Login, given: str) -> bool:
        """Tell whether a form was made for this log-in."""
        return self._ring.csrf_matches(login.sid, given)

    async def sweep(self) -> None:
        """Forget log-ins that are over."""
        await self._store.logins(self._wall())
        now = self._wall()
        self._live = {sid: one for sid, one in self._live.items() if one.expires > now}
        self._ended = {sid: expires for sid, expires in self._ended.items() if expires > now}


def _name_of(typed: str) -> str:
    """Return what was typed as a user name, as it may stand in a log: one short line or none."""
    try:
        return clean_username(typed)
    except LoginRefused:
        return _NO_NAME


def bearer_of(header: str) -> str:
    """Return the token of an Authorization header, or ""."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def cookie_of(header: str, name: str) -> str:
    """Return the value of one cookie, or "".

    Two different values under one name mean that a page below the hub has planted one: then none
    is believed. (The standard library's parser gives up at the first cookie that it does not
    like, which would let any session log its user out of the hub.)
    """
    if len(header) > _COOKIE_MAX:
        return ""
    pieces = (piece.strip().partition("=") for piece in header.split(";"))
    values = {value for key, _, value in pieces if key == name}
    return values.pop() if len(values) == 1 else ""


def without_cookie(header: str, name: str) -> str:
    """Return a Cookie header without the cookie ``name`` (and its twins in other case)."""
    kept = [
        part
        for part in (piece.strip() for piece in header.split(";"))
        if part and part.partition("=")[0].strip().lower() != name.lower()
    ]
    return "; ".join(kept)
