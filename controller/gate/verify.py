"""May this request go to this session? Traefik asks before every one.

It gets more requests than everything else together: headers become a question, a question a
verdict, a verdict an answer, in plain calls without a framework. It never waits: it asks neither
the directory nor the engine nor the store. Only a gate that does not know a log-in may ask the
controller first (``AskFirst``). The session's id comes from the address of Traefik's matching
router, never from the path of the request.

A gate calls ``answer`` for each request it reads (``protocol``); in the controller the same is an
ASGI application.

In subdomain mode these answers also contain the hand-off from the hub to a session's own host,
which happens before the session gets any request.

``web.pages.waiting`` uses the same verdicts for a session without a router. Traefik asks about
companions in the same way, at ``/verify/app/<name>``.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

import structlog

from controller.core.errors import HubError, InvalidRequest, NotReadyYet
from controller.core.kept import Kept
from controller.core.model import Role, UserId
from controller.core.records import Actor
from controller.gate.answers import NO_STORE, Answer, Headers, answer, problem_answer, redirect
from controller.gate.contract import AskFirst, Companions, Counts, Handoff, Logins, Sessions
from controller.gate.judge import CompanionJudge, Judge, Judgement, Verdict
from controller.gate.question import Question, check_host, parse_forwarded
from controller.gate.refusals import APP_CLOSED, Closed, HandoffRefusals, Refusals, starting_url
from controller.rules import companions, routes
from controller.rules.credentials import CredentialReader
from controller.settings.schema import Settings

_APP = "/verify/app/"

# Traefik removes the hub's cookie from the answer
# of a session only if verify sets a cookie, too. This cookie stays in Traefik, because
# addAuthCookiesToResponse does not name it.
_PASSES = answer(200, NO_STORE | {"Set-Cookie": "slicerhub-guard=1"})

_ASK_SECONDS = 1.0  # for the controller to answer; the request waits meanwhile

_WORKING = tuple(role for role in Role if role.may_change)  # asked at every request

_PASSES_MAX = 16_384  # answers that are kept: of as many people as tokens (``people.verified``)

# Characters of the cookies of one of them, so that all of them are 52 MiB at most. With few cookies
# an answer takes 1.3 KiB, and those of all 20 MiB.
_KEPT_MAX = 512

_log = structlog.get_logger("verify")


class Verify:
    """What answers at ``/verify/<id>``, by plain calls or as an ASGI application."""

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
        # Made once for each person and their cookies, since nearly all answers are these.
        self._passes: Kept[tuple[UserId, Role, str], Answer] = Kept(_PASSES_MAX)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Answer one question of Traefik's, as an ASGI application."""
        del receive  # a body is never read
        path, headers = scope["path"], scope["headers"]
        try:
            found = self.answer(path, headers)
        except AskFirst as asked:
            found = await self.answer_after(asked, path, headers)
        await send(
            {"type": "http.response.start", "status": found.status, "headers": found.headers}
        )
        await send({"type": "http.response.body", "body": found.body})

    def answer(self, path: str, headers: Headers) -> Answer:
        """Answer one question of Traefik's. Raises AskFirst, but no fault."""
        begun = time.perf_counter()
        try:
            found = self._answer(path, headers)
        except HubError as error:
            found = problem_answer(error)
        except AskFirst:
            raise
        except Exception:  # noqa: BLE001 - the last fence before Traefik
            # An error of the hub must not let anybody in, nor look like a refusal.
            _log.exception("verify_fault")
            found = problem_answer(NotReadyYet())
        self._metrics.verified(found.status, time.perf_counter() - begun)
        return found

    async def answer_after(self, asked: AskFirst, path: str, headers: Headers) -> Answer:
        """Wait until what must be asked first is answered, at most for a second, and answer."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await asked.ask()
            return self.answer(path, headers)
        except (AskFirst, HubError, TimeoutError):
            _log.warning("controller_not_heard")
        except Exception:  # noqa: BLE001 - the same fence
            _log.exception("verify_fault")
        found = problem_answer(NotReadyYet())
        self._metrics.verified(found.status, _ASK_SECONDS)
        return found

    def _answer(self, path: str, raw: Headers) -> Answer:
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
                if found.role in _WORKING:  # otherwise viewers would prevent its idle stop
                    self._sessions.touch(found.session_id)
                if question.navigation or question.websocket:
                    self._note_entry(question, found)
            return self._pass(found.uid, found.role, question.credentials.others)
        if found.verdict is Verdict.WAIT and question.navigation and found.session_id:
            return redirect(starting_url(question, found.session_id, self._settings))
        return self._refusals.answer(question, found.verdict)

    def _note_entry(self, question: Question, found: Judgement) -> None:
        session_id, login, role = found.session_id, found.login, found.role
        if session_id and login and role and not self._sessions.is_inside(session_id, login.sid):
            by = Actor(login.person.uid, question.address)
            self._sessions.enter(session_id, login.sid, role, by)

    def _answer_app(self, app: str, raw: Headers) -> Answer:
        question = parse_forwarded("", raw, self._reader)
        if question.host.lower().partition(":")[0] not in self._settings.hosts:
            # The companion's own rule need not name the hub's hosts, as that of a session does.
            raise InvalidRequest("The hub does not answer to this host name.")
        verdict, person = self._door.judge(app, question)
        if verdict is not Verdict.PASS or person is None:
            return self._app_refusals.answer(question, verdict)
        return _let_through(
            {
                "X-Slicerhub-User": routes.user_header(person.uid),
                "X-Slicerhub-Name": quote(person.display_name, safe="@ "),
                "X-Slicerhub-Groups": companions.groups_header(person.groups),
            },
            question.credentials.others,
        )

    def _pass(self, uid: UserId, role: Role, others: str) -> Answer:
        """Let somebody into a session, with the cookies that are not the hub's."""
        known = self._passes.get((uid, role, others))
        if known is None:
            named = {"X-Slicerhub-User": routes.user_header(uid), "X-Slicerhub-Role": role.value}
            known = _let_through(named, others)
            if len(others) <= _KEPT_MAX:
                self._passes.keep((uid, role, others), known)
        return known


def _let_through(known: dict[str, str], others: str) -> Answer:
    """Let a request through; Traefik replaces its headers of these names.

    ``others``: the cookies that are not the hub's, as they came.
    """
    more = [(name.lower().encode(), value.encode()) for name, value in known.items()]
    if others:
        more.append((b"cookie", others.encode("latin-1")))
    return Answer(_PASSES.status, (*_PASSES.headers, *more))
