"""What is served at a session's address while Traefik has no router for the session.

The hub's low-priority router leads here: in path mode what is below ``/s/<id>/``, in subdomain
mode what comes to a session's host. The verdicts are verify's, so that a session that is starting,
foreign, stopped or unknown looks the same from here and from there. In subdomain mode ``/s/<id>/``
only leads on.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from controller.core.errors import HttpError, HubError, NoSuchSession, NotReadyYet
from controller.core.model import Phase, Role, parse_session_id
from controller.core.sentence import Sentence
from controller.gate.answers import (
    HTML,
    NO_STORE,
    SECURITY_HEADERS,
    Answer,
    answer,
    problem_answer,
    redirect,
)
from controller.gate.judge import Judge, Judgement, Verdict
from controller.gate.question import Question, check_host, parse_direct
from controller.gate.refusals import Closed, HandoffRefusals, Refusals, starting_url
from controller.people.handoff import Handoffs
from controller.people.logins import Logins
from controller.rules import origins, routes
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.web.answers import aside_page
from controller.web.caller import Caller, viewer_of
from controller.web.pages.session import starting_view
from controller.web.render import AsideView, Renderer


class Waiting:
    """The ASGI application for addresses of sessions that have no router."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        logins: Logins,
        handoffs: Handoffs,
        *,
        renderer: Renderer,
        closed: Closed,
    ) -> None:
        """``closed``: the pages of those who may not enter."""
        self._settings = settings
        self._sessions = sessions
        self._logins = logins
        self._renderer = renderer
        self._reader = logins.proofs.reader
        self._judge = Judge(settings, sessions, logins.proofs, None)
        self._refusals = Refusals(settings, closed.session)
        self._inner_judge = Judge(settings, sessions, logins.proofs, handoffs)
        self._threshold = HandoffRefusals(settings, closed, handoffs)
        home = f"{origins.origin_of(settings.public_url)}/"
        self._moment = aside_page(
            renderer,
            AsideView(home=home, title="One moment", sentence="The session is opening."),
            NotReadyYet.status,
            refresh=1,  # Traefik is about to take over: ask again
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Answer one request."""
        del receive  # bodies are not looked at
        try:
            found = await self._answer(scope)
        except HubError as error:
            found = problem_answer(error)
        await send(
            {"type": "http.response.start", "status": found.status, "headers": found.headers}
        )
        body = b"" if scope["method"] == "HEAD" else found.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any) -> Answer:  # noqa: ANN401
        label = routes.session_label(host_of(scope), self._settings)
        if label is not None:
            return self._answer_at_host(parse_direct(label, scope["path"], scope, self._reader))
        path = scope["path"].removeprefix("/s").removeprefix("/")
        session_id, slash, rest = path.partition("/")
        question = parse_direct(session_id, f"/s/{path}", scope, self._reader)
        if self._settings.sessions_at:
            return self._lead_on(question, rest)
        return await self._answer_at_path(question, whole=bool(slash))

    def _answer_at_host(self, question: Question) -> Answer:
        check_host(question, self._settings)
        if handed := self._threshold.enter(question):
            return handed
        found = self._inner_judge.judge(question)
        if refusal := _refusal(self._threshold, question, found):
            return refusal
        if not _is_showing(question) or found.session_id is None:
            return self._threshold.answer(question, Verdict.WAIT)
        if found.verdict is Verdict.WAIT:
            return redirect(starting_url(question, found.session_id, self._settings))
        return self._moment

    def _lead_on(self, question: Question, rest: str) -> Answer:
        """Send who may enter to the session's own address; nothing is served at this one."""
        found = self._judge.judge(question)
        if refusal := _refusal(self._refusals, question, found):
            return refusal
        if found.session_id is None:
            return self._refusals.answer(question, Verdict.FORBID)
        url = routes.session_url(found.session_id, self._settings)
        if not _is_showing(question):
            there = Sentence("This session is at {url} and not here.", url=url)
            return problem_answer(HttpError(404, there))
        _, mark, query = question.uri.partition("?")
        target = origins.safe_next(f"/{quote(rest)}{mark}{query}")
        return redirect(url.rstrip("/") + target)

    async def _answer_at_path(self, question: Question, *, whole: bool) -> Answer:
        found = self._judge.judge(question)
        if refusal := _refusal(self._refusals, question, found):
            return refusal
        if not whole and found.session_id:
            public_url = origins.public_url_for(question.host, self._settings)
            return redirect(public_url + routes.session_path(found.session_id), 307)
        if _is_showing(question):
            return await self._page(question, found)
        return self._refusals.answer(question, Verdict.WAIT)

    async def _page(self, question: Question, found: Judgement) -> Answer:
        session_id = parse_session_id(question.session_id)
        if found.login is None or session_id is None:
            return self._refusals.answer(question, Verdict.LOG_IN)
        try:
            seen = self._sessions.find(session_id, found.login.person.uid)
        except NoSuchSession:
            return self._refusals.answer(question, Verdict.FORBID)
        headers = SECURITY_HEADERS | NO_STORE | {"Content-Type": HTML}
        if self._sessions.phase(seen) is Phase.READY:
            # Traefik is about to take over: ask again.
            headers["Refresh"] = "1"
        public_url = origins.public_url_for(question.host, self._settings)
        caller = Caller(found.login, public_url, question.address)
        viewer = viewer_of(self._logins, caller)
        view = await starting_view(self._settings, self._sessions, viewer, seen)
        return answer(200, headers, self._renderer.page(view).encode())


def host_of(scope: Any) -> str:  # noqa: ANN401 - ASGI's own
    """Return the Host header of a request."""
    found = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return found.decode("latin-1")


def _is_showing(question: Question) -> bool:
    return question.navigation and question.method in {"GET", "HEAD"}


def _refusal(refusals: Refusals, question: Question, found: Judgement) -> Answer | None:
    """Return the answer to somebody who may not enter; None: they may."""
    if found.verdict in {Verdict.PASS, Verdict.WAIT} and found.role is not Role.SERVICE:
        return None
    # The controller's own probe has to see that nothing is served here.
    verdict = Verdict.LOG_IN if found.verdict is Verdict.PASS else found.verdict
    return refusals.answer(question, verdict)
