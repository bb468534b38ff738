"""Turns questions into verdicts. Anything unknown is denied."""

from __future__ import annotations

from enum import Enum, auto

import msgspec

from controller.core.model import Person, Phase, Role, SessionId, UserId, parse_session_id
from controller.core.records import Login
from controller.gate.contract import Companions, Handoff, Logins, Sessions
from controller.gate.question import Question
from controller.rules import origins, routes
from controller.settings.schema import Settings


class Verdict(Enum):
    """The outcome for a request."""

    PASS = auto()
    LOG_IN = auto()
    FORGED = auto()
    FORBID = auto()
    WAIT = auto()  # allowed, but the session is not ready
    NOT_READY = auto()  # the controller has not read the sessions yet


class Judgement(msgspec.Struct, frozen=True, gc=False):
    """A verdict and, for PASS or WAIT, whose request it is."""

    verdict: Verdict
    session_id: SessionId | None = None
    uid: UserId | None = None
    role: Role | None = None
    login: Login | None = None  # by which; None: the controller itself asks


class Judge:
    """Turns questions into verdicts."""

    def __init__(
        self, settings: Settings, sessions: Sessions, logins: Logins, entries: Handoff | None
    ) -> None:
        """``entries`` is given if sessions have hosts of their own."""
        self._settings = settings
        self._sessions = sessions
        self._logins = logins
        self._entries = entries

    def judge(self, question: Question) -> Judgement:
        """Return the verdict. Anything unknown is denied."""
        given = question.credentials
        session_id = parse_session_id(question.session_id)
        if session_id and self._logins.is_service(given, session_id):
            return Judgement(Verdict.PASS, session_id, UserId("controller"), Role.SERVICE)
        if self._entries is None:
            login = self._logins.by_cookie(given)
        else:
            login = self._entries.login_of(given, session_id) if session_id else None
        if login is not None:
            if self._is_foreign(question, session_id):
                return Judgement(Verdict.FORGED)
        else:
            login = self._logins.by_bearer(given)
        if login is None:
            return Judgement(Verdict.LOG_IN)
        if not self._sessions.ready:
            return Judgement(Verdict.NOT_READY)
        uid = login.person.uid
        access = self._sessions.access(session_id, uid) if session_id else None
        if access is None or access.role is None or access.phase is Phase.STOPPING:
            return Judgement(Verdict.FORBID)
        verdict = Verdict.PASS if access.phase is Phase.READY else Verdict.WAIT
        return Judgement(verdict, session_id, uid, access.role, login)

    def _is_foreign(self, question: Question, session_id: SessionId | None) -> bool:
        """Tell whether a foreign page uses a person's cookie."""
        if question.plain:
            return False
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


class CompanionJudge:
    """Turns questions about companions into verdicts."""

    def __init__(self, settings: Settings, companions: Companions, logins: Logins) -> None:
        self._settings = settings
        self._companions = companions
        self._logins = logins

    def judge(self, app: str, question: Question) -> tuple[Verdict, Person | None]:
        """Return the verdict, and whose request it is. Anything unknown is denied."""
        login = self._logins.by_cookie(question.credentials)
        if login is not None:
            if self._is_forged(question):
                return Verdict.FORGED, None
        else:
            login = self._logins.by_bearer(question.credentials)
        if login is None:
            return Verdict.LOG_IN, None
        if not self._companions.ready:
            return Verdict.NOT_READY, None
        passes = self._companions.admits(app, login.person)
        return Verdict.PASS if passes else Verdict.FORBID, login.person

    def _is_forged(self, question: Question) -> bool:
        """Tell whether a page of another origin sent a request that can change something."""
        # A handshake is a GET that opens what can change things; browsers do not agree on what
        # else they say of it.
        return origins.is_forged(
            "POST" if question.websocket else question.method,
            host=question.host,
            origin=question.origin,
            fetch_site="" if question.websocket else question.fetch_site,
            settings=self._settings,
        )
