"""Logs people in: from user name and password to the token that proves it from then on.

How failures are counted is told in ``throttle``.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import msgspec
import structlog

from controller.core.errors import (
    HalfDone,
    HubError,
    LoginRefused,
    TooManyAttempts,
    Unavailable,
)
from controller.core.model import Person
from controller.core.records import CONTROLLER, Actor, Login
from controller.monitoring.audit import Act, Audit
from controller.monitoring.metrics import Metrics
from controller.people.directory import Directory
from controller.people.ending import Ending
from controller.people.proofs import Proofs
from controller.people.standing import Standing
from controller.people.throttle import Throttle, name_of
from controller.people.tokens import Audience, Claims, Keys, Use
from controller.people.user_agent import clean_agent
from controller.settings.schema import Settings
from controller.store import LoginStore

LOGINS_MOST = 25
"""Of one person's browsers, and as many of their programs. One more ends that of its kind which has
not been used for longest, so that programs that log in again and again end no browser's."""

_REFUSAL_SECONDS = 1.0
"""No refusal is answered earlier, so that its time tells nothing of the cause."""

_log = structlog.get_logger("logins")


class FreshLogin(msgspec.Struct, frozen=True):
    """A fresh log-in and the token that proves it."""

    login: Login
    token: str


class Entering:
    """How log-ins begin."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        store: LoginStore,
        keys: Keys,
        *,
        throttle: Throttle,
        standing: Standing,
        ending: Ending,
        proofs: Proofs,
        audit: Audit,
        metrics: Metrics,
        wall: Callable[[], float],
        new_sid: Callable[[], str],
    ) -> None:
        """``wall``: seconds since the epoch; ``new_sid`` makes the ids of log-ins."""
        self._settings = settings
        self._directory = directory
        self._store = store
        self._keys = keys
        self._throttle = throttle
        self._standing = standing
        self._ending = ending
        self._proofs = proofs
        self._audit = audit
        self._metrics = metrics
        self._wall = wall
        self._new_sid = new_sid

    async def enter(
        self, username: str, password: str, *, address: str, audience: Audience, agent: str = ""
    ) -> FreshLogin:
        """Log somebody in by password. ``agent``: what the browser calls itself.

        Raises LoginRefused, TooManyAttempts, DirectoryUnavailable or StoreUnavailable; the first
        two after the same time, whatever the cause.
        """
        earliest = anyio.current_time() + _REFUSAL_SECONDS
        try:
            async with self._throttle.attempt(username, address):
                person = await self._directory.authenticate(username, password)
        except Unavailable as error:
            self._note_failure(error, username, address, "unavailable")
            raise
        except (LoginRefused, TooManyAttempts) as error:
            refused = isinstance(error, LoginRefused)
            self._note_failure(error, username, address, "refused" if refused else "throttled")
            await anyio.sleep_until(earliest)
            raise
        login = await self._admit(person, address, audience, clean_agent(agent))
        await self._make_room(login)
        return FreshLogin(login, self._token_of(login, audience))

    def _note_failure(self, error: HubError, username: str, address: str, result: str) -> None:
        name = name_of(username)
        why = getattr(error, "__notes__", [type(error).__name__])
        _log.info("login_refused", user=name, address=address, why=why)
        self._audit.record(Act.LOGIN_FAILED, Actor(name, address), reason=result)
        self._metrics.login(result)

    async def _admit(self, person: Person, address: str, audience: Audience, agent: str) -> Login:
        now = self._wall()
        login = Login(
            sid=self._new_sid(),
            person=person,
            created=now,
            expires=now + self._settings.login.hours * 3600,
            address=address,
            agent=agent,
            script=audience is Audience.API,
            seen=now,
            key=self._keys.ring.signing(Use.HUB, now).kid,
        )
        async with self._standing.turn:
            revision = await self._store.add_login(login)
            login = msgspec.structs.replace(login, revision=revision)
            self._standing.put(login)
        by = Actor(person.uid, address)
        self._audit.record(Act.LOGIN, by, whose=person.uid, kind=audience.value)
        self._metrics.login("ok")
        return login

    def _token_of(self, login: Login, audience: Audience) -> str:
        """Return the token that proves a fresh log-in."""
        claims = Claims(
            sub=login.person.uid,
            sid=login.sid,
            aud=audience,
            iat=login.created,
            exp=login.expires,
            news=self._proofs.news_of(login, whole=True),
        )
        return self._keys.issue(claims)

    async def _make_room(self, fresh: Login) -> None:
        surplus = _surplus(self._standing.of_person(fresh.person.uid), fresh)
        try:
            await self._ending.end(surplus, by=CONTROLLER, reason="too_many", asked=False)
        except HalfDone as error:
            # The new log-in is valid all the same, and housekeeping tries again.
            _log.warning("surplus_unwritten", user=fresh.person.uid, error=str(error))


def _surplus(theirs: list[Login], fresh: Login) -> tuple[Login, ...]:
    """Return which of a person's log-ins, the last used first, make room for a fresh one."""
    others = [one for one in theirs if one.sid != fresh.sid and one.script is fresh.script]
    return tuple(others[LOGINS_MOST - 1 :])
