"""May this request go to this session? Traefik asks before every one.

A bare ASGI application, because it gets more requests than everything else together: headers
become a question, a question a verdict, a verdict an answer. It never waits: it asks neither the
directory nor the engine nor the store. The session's id comes from the address of Traefik's
matching router, never from the path of the request.

In subdomain mode these answers also contain the hand-off from the hub to a session's own host,
which happens before the session gets any request.

``web.pages.waiting`` uses the same verdicts for a session without a router. Traefik asks about
companions in the same way, at ``/verify/app/<name>``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import structlog

from controller.core.errors import HubError, InvalidRequest, NotReadyYet
from controller.core.model import Role, UserId
from controller.core.records import Actor
from controller.gate.answers import NO_STORE, Answer, answer, problem_answer, redirect
from controller.gate.contract import Companions, Counts, Handoff, Logins, Sessions
from controller.gate.judge import CompanionJudge, Judge, Judgement, Verdict
from controller.gate.question import Question, check_host, parse_forwarded
from controller.gate.refusals import APP_CLOSED, Closed, HandoffRefusals, Refusals, starting_url
from controller.rules import companions, routes
from controller.rules.credentials import CredentialReader
from controller.settings.schema import Settings

_APP = "/verify/app/"

# Made once, since nearly all answers are this one. Traefik removes the hub's cookie from the answer
# of a session only if verify sets a cookie, too. This cookie stays in Traefik, because
# addAuthCookiesToResponse does not name it.
_PASSES = answer(200, NO_STORE | {"Set-Cookie": "slicerhub-guard=1"})

_log = structlog.get_logger("verify")


class Verify:
    """The ASGI application behind ``/verify/<id>``."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        logins: Logins,
        companions: Companions,
        *,
        entries: Handoff,
        closed: Closed,
        metrics: Counts,
    ) -> None:
        self._settings = settings
        self._door = CompanionJudge(settings, companions, logins)
        self._app_refusals = Refusals(settings, closed.app, APP_CLOSED)
        self._sessions = sessions
        self._reader = CredentialReader(settings)
        self._threshold = (
            HandoffRefusals(settings, closed, entries) if settings.sessions_at else None
        )
        self._judge = Judge(settings, sessions, logins, entries if settings.sessions_at else None)
        self._refusals = self._threshold or Refusals(settings, closed.session)
        self._metrics = metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Answer one question of Traefik's."""
        del receive  # a body is never read
        begun = time.perf_counter()
        try:
            found = self._answer(scope["path"], scope["headers"])
        except HubError as error:
            found = problem_answer(error)
        except Exception:  # noqa: BLE001 - the last fence before Traefik
            # An error of the hub must not let anybody in, nor look like a refusal.
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
        question = parse_forwarded(path.removeprefix("/verify/"), raw, self._reader)
        if self._threshold is not None:
            check_host(question, self._settings)
            if handed := self._threshold.enter(question):
                return handed
        found = self._judge.judge(question)
        if found.verdict is Verdict.PASS and found.session_id and found.uid and found.role:
            if found.role is not Role.SERVICE:
                if found.role.may_change:  # otherwise viewers would prevent its idle stop
                    self._sessions.touch(found.session_id)
                if question.navigation or question.websocket:
                    self._note_entry(question, found)
            return self._pass(question, found.uid, found.role)
        if found.verdict is Verdict.WAIT and question.navigation and found.session_id:
            return redirect(starting_url(question, found.session_id, self._settings))
        return self._refusals.answer(question, found.verdict)

    def _note_entry(self, question: Question, found: Judgement) -> None:
        session_id, login, role = found.session_id, found.login, found.role
        if session_id and login and role and not self._sessions.is_inside(session_id, login.sid):
            by = Actor(login.person.uid, question.address)
            self._sessions.enter(session_id, login.sid, role, by)

    def _answer_app(self, app: str, raw: Iterable[tuple[bytes, bytes]]) -> Answer:
        question = parse_forwarded("", raw, self._reader)
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
        """Let the request through; Traefik replaces its headers of these names."""
        cookies = question.credentials.others
        told = known | {"Cookie": cookies} if cookies else known
        more = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        return Answer(_PASSES.status, (*_PASSES.headers, *more))
