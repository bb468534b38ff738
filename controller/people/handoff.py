"""How people get from the hub to a session's own host: a hand-off, in subdomain mode.

The two hosts share no cookie. The session's host gives an unknown browser a random state and
redirects it to the hub. The hub knows the person and redirects back with a code, which is valid
once, for a short time, for this session and for the browser with the state. The session's host
exchanges the code for a cookie of its own, the entry. Code and entry name the log-in that they come
from and end with it. If the log-in is new, they carry it to controllers that do not know it yet.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

from controller.core.kept import Kept
from controller.core.model import SessionId
from controller.core.records import Login
from controller.people.proofs import Proofs
from controller.people.tokens import Audience, Claims
from controller.people.verified import HeldKeys
from controller.rules import cookies
from controller.rules.credentials import Credentials
from controller.settings.schema import Settings

CODE_SECONDS = 30.0

STATE_SECONDS = 300
"""Seconds in which a person who is logged in returns; after a log-in the hand-off starts again."""

_STATE_BYTES = 24

_STATE_LENGTH = 32  # characters of them

_USED_MAX = 4096  # codes that are remembered as used


class Handoffs:
    """Hand-offs and entries of this instance.

    A gate has them, too: all but ``code``, which only the hub can sign.
    """

    def __init__(
        self,
        settings: Settings,
        proofs: Proofs,
        keys: HeldKeys,
        *,
        wall: Callable[[], float],
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(_STATE_BYTES),
    ) -> None:
        """``wall``: seconds since the epoch; ``new_secret`` makes states and numbers of codes."""
        self._secure = settings.secure
        self._proofs = proofs
        self._keys = keys
        self._wall = wall
        self._new_secret = new_secret
        self._entry = cookies.entry_cookie(settings.instance, secure=settings.secure)
        self._state = cookies.state_cookie(settings.instance, secure=settings.secure)
        self._used: Kept[str, None] = Kept(_USED_MAX)  # numbers of codes

    def login_of(self, given: Credentials, session_id: SessionId) -> Login | None:
        """Return the log-in with which a browser has entered this session, or None."""
        claims = self._proofs.read(given.entry, Audience.ENTRY) if given.entry else None
        if claims is None or claims.session != session_id:
            return None
        return self._proofs.login_of(claims)

    def begin(self, given: Credentials) -> tuple[str, str]:
        """Begin a hand-off. Returns the state's hash, for the hub, and the state's Set-Cookie.

        A browser that began one in another tab keeps the state that it has.
        """
        state = given.state
        if len(state) != _STATE_LENGTH:
            state = self._new_secret()
        return _hash(state), self._cookie(self._state, state, STATE_SECONDS)

    def code(self, login: Login, session_id: SessionId, state: str) -> str:
        """Return the code with which this log-in enters; ``state``: the hash from the request.

        Raises CannotSign in a gate.
        """
        now = self._wall()
        return self._keys.issue(
            Claims(
                sub=login.person.uid,
                sid=login.sid,
                aud=Audience.CODE,
                iat=now,
                exp=now + CODE_SECONDS,
                session=session_id,
                state=state,
                jti=self._new_secret(),
                news=self._proofs.news_of(login),
            )
        )

    def redeem(self, code: str, given: Credentials, session_id: SessionId) -> tuple[str, ...]:
        """Return the Set-Cookies for a code; none: the code is not valid here.

        Raises CannotSign where there is no key for entries.
        """
        claims = self._proofs.read(code, Audience.CODE) if code else None
        if claims is None or claims.session != session_id or not claims.jti:
            return ()
        if not given.state or _hash(given.state) != claims.state:
            return ()
        login = self._proofs.login_of(claims)
        if login is None or not self._use(claims):
            return ()
        now = self._wall()
        entry = Claims(
            sub=login.person.uid,
            sid=login.sid,
            aud=Audience.ENTRY,
            iat=now,
            exp=login.expires,
            session=session_id,
            news=self._proofs.news_of(login),
        )
        return (
            self._cookie(self._entry, self._keys.issue(entry), int(login.expires - now)),
            self._cookie(self._state, "", 0),
        )

    def _use(self, claims: Claims) -> bool:
        """Use a code up; False: it was used before.

        Each controller remembers only the last ones that it was given. In all other cases a second
        use fails because the browser loses the state with the first.
        """
        if claims.jti in self._used:
            return False
        self._used.keep(claims.jti, None)
        return True

    def _cookie(self, name: str, value: str, seconds: int) -> str:
        """Return a Set-Cookie for this host alone.

        Lax and not Strict: who follows a link to a session from elsewhere comes in. What a page of
        the session itself sends, WebSockets too, carries it either way.
        """
        secure = "; Secure" if self._secure else ""
        return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
