"""May this request go to this session? Traefik asks before every one.

A bare ASGI application, since it is asked more often than everything else together: headers to a
question, a question to a verdict, a verdict to an answer. It waits for nothing: neither the
directory nor the engine nor the store is asked. The session's id comes from the address that
Traefik's matching router names, never from the request's own path.

In subdomain mode the hand-off from the hub to a session's own host is in these answers, too: what
begins and what ends it comes before anything of the session's.

The same verdicts serve the place of a session that has no router (yet), in ``waiting``.
Companions are asked about in the same way, at ``/verify/app/<name>``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import msgspec
import structlog

from controller.companions import Companions
from controller.core.errors import (
    Forged,
    HubError,
    InvalidRequest,
    NotInvited,
    NotLoggedIn,
    NotReadyYet,
    Refused,
    Unavailable,
)
from controller.core.model import Person, Phase, Role, SessionId, UserId, parse_session_id
from controller.core.records import Actor
from controller.monitoring.metrics import Metrics
from controller.people.handoff import Entries
from controller.people.logins import Logins
from controller.rules import companions, cookies, origins, routes
from controller.rules.cookies import without_cookies
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.web import (
    ADDRESS_MAX,
    ENTER,
    ENTER_PATH,
    NO_STORE,
    STARTING,
    Answer,
    answer,
    login_url,
    problem_answer,
    redirect,
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_SHOWING = frozenset({"GET", "HEAD"})

_HEADER_MAX = 16_384  # bytes of one header that is looked at

_FORWARDED = ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto")

# Which of two says who asks, for what and from where? No two programs need agree on that.
_SINGLE = frozenset(
    {"authorization", "content-length", "content-type", "host", "origin", "proxy-authorization"}
    | {"referer", "sec-websocket-key", "transfer-encoding", "x-real-ip"}
)

_SINGLE_BEGIN = ("sec-fetch-", "x-forwarded-", "x-slicerhub-")

_APP = "/verify/app/"

APP_CLOSED = "This is not open to you"
"""What whoever may not use a companion is told; the same for those that are not there."""

_FIELDS_MAX = 8  # of the query there

# Made once, since nearly all answers are this one. Traefik drops the hub's cookie from what the
# session sets only if verify sets one, too; this one goes no further, since
# addAuthCookiesToResponse does not name it.
_PASSES = answer(200, NO_STORE | {"Set-Cookie": "slicerhub-guard=1"})

_log = structlog.get_logger("verify")


class Question(msgspec.Struct, frozen=True):
    """What was asked of Traefik, as far as the verdict depends on it."""

    session_id: str  # as the router's address names it
    method: str
    uri: str  # path and query
    host: str  # with the port if it was named
    cookie: str = ""
    authorization: str = ""
    origin: str = ""
    websocket: bool = False
    navigation: bool = False  # a person's browser wants a page
    opens: bool = False  # it is to be a page of its own, in nobody's frame
    fetch_site: str = ""  # where the browser says that it comes from; not asked for in path mode
    forwarded_for: str = ""

    @property
    def address(self) -> str:
        """Return the address that Traefik saw; it adds it at the end."""
        return self.forwarded_for.rpartition(",")[2].strip()[:ADDRESS_MAX]


class Verdict(Enum):
    """What becomes of a request."""

    PASS = auto()
    LOG_IN = auto()
    FORGED = auto()
    FORBID = auto()
    WAIT = auto()  # allowed, but the session is not ready
    BLIND = auto()  # the controller has not read the sessions yet


class Judgement(msgspec.Struct, frozen=True):
    """A verdict and, if it is PASS or WAIT, on whom."""

    verdict: Verdict
    session_id: SessionId | None = None
    uid: UserId | None = None
    role: Role | None = None
    sid: str = ""  # of the log-in


class Judge:
    """Turns questions into verdicts."""

    def __init__(
        self, settings: Settings, sessions: Sessions, logins: Logins, entries: Entries | None
    ) -> None:
        """Keep what is looked up. ``entries`` is given for sessions at hosts of their own."""
        self._settings = settings
        self._sessions = sessions
        self._logins = logins
        self._entries = entries

    def judge(self, question: Question) -> Judgement:
        """Return what becomes of the request. Whatever is not known denies."""
        session_id = parse_session_id(question.session_id)
        if session_id and self._logins.is_service(question.authorization, session_id):
            return Judgement(Verdict.PASS, session_id, UserId("controller"), Role.SERVICE)
        if self._entries is None:
            login = self._logins.by_cookie(question.cookie)
        else:
            login = self._entries.login_of(question.cookie, session_id) if session_id else None
        if login is not None:
            if self._is_foreign(question, session_id):
                return Judgement(Verdict.FORGED)
        else:
            login = self._logins.by_bearer(question.authorization)
        if login is None:
            return Judgement(Verdict.LOG_IN)
        if not self._sessions.ready:
            return Judgement(Verdict.BLIND)
        uid = login.person.uid
        access = self._sessions.access(session_id, uid) if session_id else None
        if access is None or access.role is None or access.phase is Phase.STOPPING:
            return Judgement(Verdict.FORBID)
        verdict = Verdict.PASS if access.phase is Phase.READY else Verdict.WAIT
        return Judgement(verdict, session_id, uid, access.role, login.sid)

    def _is_foreign(self, question: Question, session_id: SessionId | None) -> bool:
        """Tell whether a foreign page speaks with a person's cookie."""
        at_own_host = self._entries is not None and session_id is not None
        return origins.is_foreign(
            question.method,
            own=routes.session_origin(session_id, self._settings)
            if at_own_host and session_id
            else origins.public_url_for(question.host, self._settings),
            origin=question.origin,
            websocket=question.websocket,
            fetch_site=question.fetch_site if at_own_host else "",
            opens=question.opens,
        )


class Door:
    """Turns questions about companions into verdicts."""

    def __init__(self, settings: Settings, companions: Companions, logins: Logins) -> None:
        """Keep what is looked up."""
        self._settings = settings
        self._companions = companions
        self._logins = logins

    def judge(self, app: str, question: Question) -> tuple[Verdict, Person | None]:
        """Return what becomes of the request, and whose it is. Whatever is not known denies."""
        login = self._logins.by_cookie(question.cookie)
        if login is not None:
            if self._is_forged(question):
                return Verdict.FORGED, None
        else:
            login = self._logins.by_bearer(question.authorization)
        if login is None:
            return Verdict.LOG_IN, None
        if not self._companions.ready:
            return Verdict.BLIND, None
        passes = self._companions.admits(app, login.person)
        return Verdict.PASS if passes else Verdict.FORBID, login.person

    def _is_forged(self, question: Question) -> bool:
        """Tell whether a foreign page may speak here: what changes things names its origin."""
        # A handshake is a GET that opens what can change things; browsers do not agree on what
        # else they say of it.
        return origins.is_forged(
            "POST" if question.websocket else question.method,
            host=question.host,
            origin=question.origin,
            fetch_site="" if question.websocket else question.fetch_site,
            settings=self._settings,
        )


class Closed(msgspec.Struct, frozen=True):
    """The pages of those who may not enter: finished, since each is always the same bytes."""

    session: Answer
    app: Answer
    host: Answer  # at a session's own host, which has nothing of the hub's
    not_kept: Answer  # there, for a browser that does not keep its cookie


class Refusals:
    """Answers to everything but PASS, the same from verify and from a session's empty place."""

    def __init__(
        self, settings: Settings, forbidden: Answer, title: str = NotInvited.title
    ) -> None:
        """``forbidden``: the page for the uninvited; ``title``: the same for programs."""
        self._settings = settings
        self._title = title
        self._forbidden = forbidden

    def answer(self, question: Question, verdict: Verdict) -> Answer:
        """Return the answer for a person's browser or for a program."""
        match verdict:
            case Verdict.LOG_IN if question.navigation and question.method in _SHOWING:
                public_url = origins.public_url_for(question.host, self._settings)
                return redirect(login_url(public_url, question.uri))
            case Verdict.LOG_IN:
                return problem_answer(NotLoggedIn())
            case Verdict.FORGED:
                return problem_answer(Forged())
            case Verdict.FORBID | Verdict.PASS if question.navigation:
                return self._forbidden
            case Verdict.FORBID | Verdict.PASS:
                return problem_answer(Refused(f"{self._title}."))
            case Verdict.WAIT:
                return problem_answer(Unavailable("The session is still starting. Try again soon."))
            case Verdict.BLIND:
                return problem_answer(NotReadyYet())


class Threshold(Refusals):
    """The same at a session's own host, and the hand-off that ends or begins there."""

    def __init__(self, settings: Settings, closed: Closed, entries: Entries) -> None:
        """``closed``: the pages of those who may not enter."""
        super().__init__(settings, closed.host)
        self._entries = entries
        self._not_kept = closed.not_kept

    def answer(self, question: Question, verdict: Verdict) -> Answer:
        """Return the answer for a person's browser or for a program."""
        if verdict is Verdict.LOG_IN and question.navigation and question.method in _SHOWING:
            return self._begin(question, question.uri)
        return super().answer(question, verdict)

    def enter(self, question: Question) -> Answer | None:
        """End the hand-off; None: the request is no such thing."""
        path, _, query = question.uri.partition("?")
        if path != ENTER_PATH or question.method not in _SHOWING:
            return None
        session_id = parse_session_id(question.session_id)
        if session_id is None or not question.navigation:
            return self.answer(question, Verdict.LOG_IN)
        try:
            fields = parse_qs(query, max_num_fields=_FIELDS_MAX)
        except ValueError as error:
            raise InvalidRequest("The address has too many parts.") from error
        given = {key: values[0] for key, values in fields.items()}
        target = origins.safe_next(given.get("next", "/"))
        location = routes.session_origin(session_id, self._settings) + target
        if self._entries.is_torn(question.cookie):
            return self._not_kept
        if cookies := self._entries.redeem(given.get("code", ""), question.cookie, session_id):
            return redirect(location, cookies=cookies)
        if self._entries.login_of(question.cookie, session_id) is not None:
            return redirect(location)  # in already: gone back to, or a second tab's
        # Once more, for a state that ran out while its person logged in, but not for ever.
        return self._not_kept if "again" in given else self._begin(question, target, again=True)

    def _begin(self, question: Question, target: str, *, again: bool = False) -> Answer:
        state, cookie = self._entries.begin(question.cookie)
        asked = {"next": origins.safe_next(target), "state": state}
        if again:
            asked["again"] = "1"
        hub = origins.origin_of(self._settings.public_url)
        where = f"{hub}{ENTER}{quote(question.session_id, safe='')}?{urlencode(asked)}"
        return redirect(where, cookies=(cookie,))


class Verify:
    """The ASGI application behind ``/verify/<id>``."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        logins: Logins,
        companions: Companions,
        *,
        entries: Entries,
        closed: Closed,
        metrics: Metrics,
    ) -> None:
        """Keep the parts."""
        self._settings = settings
        self._door = Door(settings, companions, logins)
        self._app_refusals = Refusals(settings, closed.app, APP_CLOSED)
        self._sessions = sessions
        self._cookies = cookies.own_cookies(settings)
        self._threshold = Threshold(settings, closed, entries) if settings.sessions_at else None
        self._judge = Judge(settings, sessions, logins, entries if settings.sessions_at else None)
        self._refusals = self._threshold or Refusals(settings, closed.session)
        self._metrics = metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Answer one question of Traefik's."""
        del receive  # a body is never looked at
        begun = time.perf_counter()
        try:
            found = self._answer(scope["path"], scope["headers"])
        except HubError as error:
            found = problem_answer(error)
        except Exception:  # noqa: BLE001 - the last fence before Traefik
            # Whatever is wrong with us must not let anybody in, nor look like a refusal.
            _log.exception("verify_fault")
            found = problem_answer(NotReadyYet())
        self._metrics.verified(found.status, time.perf_counter() - begun)
        await send(
            {"type": "http.response.start", "status": found.status, "headers": found.headers}
        )
        await send({"type": "http.response.body", "body": found.body})

    def _answer(self, path: str, raw: Iterable[tuple[bytes, bytes]]) -> Answer:
        if path.startswith(_APP):
            return self._answer_app(path.removeprefix(_APP), raw)
        question = parse_forwarded(path.removeprefix("/verify/"), raw)
        if self._threshold is not None:
            check_place(question, self._settings)
            if handed := self._threshold.enter(question):
                return handed
        found = self._judge.judge(question)
        if found.verdict is Verdict.PASS and found.session_id and found.uid and found.role:
            if found.role is not Role.SERVICE:
                if found.role.may_change:  # else whoever looks on would keep it from its idle stop
                    self._sessions.touch(found.session_id)
                if question.navigation or question.websocket:
                    self._note_entry(question, found)
            return self._pass(question, found.uid, found.role)
        if found.verdict is Verdict.WAIT and question.navigation and found.session_id:
            return redirect(starting_url(question, found.session_id, self._settings))
        return self._refusals.answer(question, found.verdict)

    def _note_entry(self, question: Question, found: Judgement) -> None:
        session_id, uid, role = found.session_id, found.uid, found.role
        if session_id and uid and role and not self._sessions.is_inside(session_id, found.sid):
            by = Actor(uid, question.address)
            self._sessions.enter(session_id, found.sid, role, by)

    def _answer_app(self, app: str, raw: Iterable[tuple[bytes, bytes]]) -> Answer:
        question = parse_forwarded("", raw)
        if question.host.lower().partition(":")[0] not in self._settings.hosts:
            # The companion's own rule need not name the hub's hosts, as that of a session does.
            raise InvalidRequest("The hub does not answer to this host name.")
        verdict, person = self._door.judge(app, question)
        if verdict is not Verdict.PASS or person is None:
            return self._app_refusals.answer(question, verdict)
        return self._let_through(
            question,
            {
                "X-Slicerhub-User": routes.user_header(person.uid),
                "X-Slicerhub-Name": quote(person.display_name, safe="@ "),
                "X-Slicerhub-Groups": companions.groups_header(person.groups),
            },
        )

    def _pass(self, question: Question, uid: UserId, role: Role) -> Answer:
        known = {"X-Slicerhub-User": routes.user_header(uid), "X-Slicerhub-Role": role.value}
        return self._let_through(question, known)

    def _let_through(self, question: Question, known: dict[str, str]) -> Answer:
        """Let it through; Traefik replaces the request's own headers of these names."""
        cookies = without_cookies(question.cookie, self._cookies)
        told = known | {"Cookie": cookies} if cookies else known
        more = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        return Answer(_PASSES.status, (*_PASSES.headers, *more))


def starting_url(question: Question, session_id: SessionId, settings: Settings) -> str:
    """Return where the start of a session is shown, at the address of the hub's that was used."""
    return f"{origins.public_url_for(question.host, settings)}{STARTING}{session_id}"


def check_place(question: Question, settings: Settings) -> None:
    """Raise InvalidRequest unless the request came to this very session's host.

    A session that was started in path mode, or below another domain, is none that can be served.
    """
    host = question.host.lower().partition(":")[0]
    if host != f"{question.session_id}.{settings.sessions_at}":
        raise InvalidRequest("There is no session at this host name.")


def parse_forwarded(session_id: str, raw: Iterable[tuple[bytes, bytes]]) -> Question:
    """Read Traefik's question. Raises InvalidRequest if it is not whole and of one meaning."""
    headers = _decode(raw)
    missing = [name for name in _FORWARDED if not headers.get(name)]
    if missing:
        raise InvalidRequest(f"{missing[0]} is missing: only Traefik may ask this.")
    method, uri = headers["x-forwarded-method"], headers["x-forwarded-uri"]
    if method not in _METHODS or not uri.startswith("/") or not uri.isascii():
        raise InvalidRequest("The forwarded method or address is not one that can be served.")
    if headers["x-forwarded-proto"] not in {"http", "https", "ws", "wss"}:
        raise InvalidRequest("The forwarded protocol is not one that can be served.")
    return _question(session_id, method, uri, headers["x-forwarded-host"], headers)


def parse_direct(session_id: str, path: str, scope: Any) -> Question:  # noqa: ANN401 - ASGI's own
    """Read a request that came to the controller itself, to a session's empty place."""
    headers = _decode(scope["headers"])
    query = scope["query_string"].decode("ascii", errors="replace")
    uri = quote(path, safe="/") + (f"?{query}" if query else "")
    return _question(session_id, scope["method"], uri, headers.get("host", ""), headers)


def _question(
    session_id: str, method: str, uri: str, host: str, headers: dict[str, str]
) -> Question:
    mode = headers.get("sec-fetch-mode", "")
    # Traefik removes Connection and Upgrade from its question: these two remain of a handshake.
    websocket = "sec-websocket-key" in headers or mode == "websocket"
    return Question(
        session_id=session_id,
        method=method,
        uri=uri,
        host=host,
        cookie=headers.get("cookie", ""),
        authorization=headers.get("authorization", ""),
        origin=headers.get("origin", ""),
        websocket=websocket,
        navigation=not websocket
        and mode in {"", "navigate"}
        and "text/html" in headers.get("accept", ""),
        opens=mode == "navigate" and headers.get("sec-fetch-dest", "") == "document",
        fetch_site=headers.get("sec-fetch-site", ""),
        forwarded_for=headers.get("x-forwarded-for", ""),
    )


def _decode(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name. Raises InvalidRequest for two where one has to decide."""
    headers: dict[str, str] = {}
    for name, value in raw:
        if len(value) > _HEADER_MAX:
            raise InvalidRequest("A header is too long.")
        key = name.decode("latin-1")
        if key in headers:
            if key in _SINGLE or key.startswith(_SINGLE_BEGIN):
                raise InvalidRequest(f"{key} stands there twice.")
            # RFC 9110, 5.3: two lines are one list. RFC 9113 splits cookies, too.
            between = "; " if key == "cookie" else ", "
            headers[key] += between + value.decode("latin-1")
        else:
            headers[key] = value.decode("latin-1")
    return headers
