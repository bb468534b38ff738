"""From a token to the log-in that it proves, and back.

With several controllers, each learns a moment later what another has written. A new log-in must be
valid at all of them as soon as its cookie is sent, and one that has ended at none. A log-in that is
not known here may be either. The store's revisions tell which: the token names the revision in
which the log-in was written, and this controller knows up to which revision it has read.

- That revision has been read here, and the log-in is not there: it has ended, or was lost. It is
  refused. After a restart this is true of every unknown token.
- That revision has not been read here yet: the controller that signed the token had written the
  log-in before, and nothing read so far ends it. The token carries what the record says, and counts
  like it until the record is read. An end of a log-in takes as long to arrive.
- The log-in is older than changes need to arrive: this controller no longer gets changes, or the
  records are an older copy. It is refused.

A log-in that was ended here is refused at once, even before the store has been told, which is tried
until it works. With one controller there are no revisions, and no token carries a record.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from controller.core.errors import LoginNotHeardOf, NotReadyYet
from controller.core.model import Person, UserId
from controller.core.records import Login
from controller.people.standing import Standing
from controller.people.tokens import Audience, Claims, News, TokenRefused
from controller.people.verified import HeldKeys, VerifiedTokens
from controller.rules.cookies import login_cookie
from controller.rules.credentials import CredentialReader, Credentials
from controller.settings.schema import Settings

_TOLD_MAX = 2048  # bytes of a person in a token: a cookie has 4096 characters for all

_AT_SESSIONS = (Audience.CODE, Audience.ENTRY)


class Proofs:
    """What proves log-ins: the tokens of browsers and programs. Nothing is signed here.

    Verify asks here at every request: nothing of this waits. In a gate, whose keys are GateKeys,
    all that reads a token raises TokenUnproven for one that an earlier hub has signed: ask the hub,
    ``remember`` what it says, and try again.
    """

    def __init__(
        self, settings: Settings, standing: Standing, keys: HeldKeys, *, wall: Callable[[], float]
    ) -> None:
        """``wall``: seconds since the epoch."""
        self._standing = standing
        self._tokens = VerifiedTokens(keys, wall)
        self.reader = CredentialReader(settings)
        self.cookie = login_cookie(settings.instance, secure=settings.secure)

    # -- what requests carry ---------------------------------------------------------------

    def by_cookie(self, given: Credentials) -> Login | None:
        """Return the log-in that a browser's cookie proves, or None. Raises NotReadyYet."""
        return self._by_token(given.login, Audience.LOGIN)

    def by_bearer(self, given: Credentials) -> Login | None:
        """Return the log-in that a program's token proves, or None. Raises NotReadyYet."""
        return self._by_token(given.bearer, Audience.API)

    def _by_token(self, token: str | None, audience: Audience) -> Login | None:
        if not token:
            return None
        claims = self.read(token, audience)
        return self.login_of(claims) if claims else None

    def is_service(self, given: Credentials, session_id: str) -> bool:
        """Tell whether the controller itself asks this session something."""
        claims = self.read(given.bearer, Audience.SERVICE) if given.bearer else None
        return claims is not None and claims.sid == session_id

    # -- tokens ----------------------------------------------------------------------------

    def read(self, token: str, audience: Audience) -> Claims | None:
        """Return what a token of this kind says; None: it proves nothing."""
        try:
            return self._tokens.verify(token, audience)
        except TokenRefused:
            return None

    def remember(self, token: str, claims: Claims) -> None:
        """Believe what the hub has read in a token for which TokenUnproven was raised."""
        self._tokens.remember(token, claims)

    def login_of(self, claims: Claims) -> Login | None:
        """Return the log-in that a token belongs to; None: it is over.

        Raises NotReadyYet while it may be one that has not been read from the store yet, and
        LoginNotHeardOf where it is too new to be read and the token does not carry enough of it.
        """
        login = self._standing.get(claims.sid)
        if login is None and not self._standing.is_over(claims.sid):
            if not self._standing.known:
                raise NotReadyYet
            login = self._unheard(claims)
        if login is None or login.person.uid != claims.sub:
            return None
        return self._standing.use(login)

    def _unheard(self, claims: Claims) -> Login | None:
        """Return a log-in that is too new to be known here, from its token.

        The module's docstring tells why that is safe.
        """
        news = claims.news
        if news is None or news.revision <= self._standing.revision:
            return None
        if not self._standing.is_news(news.made):
            return None
        if claims.aud in _AT_SESSIONS:
            # At a session's own host only the person matters: no group opens anything there. And
            # gates sign entries: what one of them says of a person is not known from then on.
            return _login_of(claims, news, Person(UserId(claims.sub), claims.sub))
        person = news.person
        if person is None:
            raise LoginNotHeardOf
        # Known from now on, to be found and ended like any other.
        login = _login_of(claims, news, person)
        self._standing.put(login)
        return login

    def news_of(self, login: Login, *, whole: bool = False) -> News | None:
        """Return what a token of this log-in tells to who has not heard of it; None: all have.

        ``whole``: all that the directory says of the person, and not only who it is.
        """
        if not login.revision or not self._standing.is_news(login.created):
            return None
        fits = whole and len(msgspec.json.encode(login.person)) <= _TOLD_MAX
        person = login.person if fits else None
        return News(login.revision, login.created, login.expires, person)


def _login_of(claims: Claims, news: News, person: Person) -> Login:
    return Login(
        sid=claims.sid,
        person=person,
        created=news.made,
        expires=news.expires,
        script=claims.aud is Audience.API,
        revision=news.revision,
    )
