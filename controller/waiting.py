"""What stands at ``/s/<id>/`` while Traefik has no router of the session's own.

The hub's low-priority router leads here. The verdicts are verify's, so that a session that is
starting, foreign, stopped or unknown looks the same from here and from there.
"""

from __future__ import annotations

from typing import Any

from controller import policy, routing
from controller.errors import HubError, NoSuchSession, NotReadyYet
from controller.model import Phase, parse_session_id
from controller.pages import starting_page
from controller.verify import Judge, Judgement, Question, Refusals, Verdict, parse_direct
from controller.web import (
    HTML,
    NO_STORE,
    SECURITY_HEADERS,
    Answer,
    Caller,
    Hub,
    answer,
    problem_answer,
    redirect,
)


class Waiting:
    """The ASGI application mounted at ``/s``."""

    def __init__(self, hub: Hub) -> None:
        """Keep the parts."""
        self._hub = hub
        self._judge = Judge(hub.settings, hub.sessions, hub.logins)
        self._refusals = Refusals(hub.settings, hub.renderer)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """Answer one request."""
        del receive  # bodies are not looked at
        path = scope["path"].removeprefix("/s").removeprefix("/")
        session_id, slash, _ = path.partition("/")
        try:
            question = parse_direct(session_id, f"/s/{path}", scope)
            found = await self._answer(question, whole=bool(slash))
        except HubError as error:
            found = problem_answer(error)
        await send(
            {"type": "http.response.start", "status": found.status, "headers": found.headers}
        )
        body = b"" if scope["method"] == "HEAD" else found.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, question: Question, *, whole: bool) -> Answer:
        found = self._judge.judge(question)
        if found.verdict not in {Verdict.PASS, Verdict.WAIT} or found.uid == "controller":
            # The controller's own probe has to see that nothing is served here.
            verdict = Verdict.LOG_IN if found.verdict is Verdict.PASS else found.verdict
            return self._refusals.answer(question, verdict)
        if not whole and found.session_id:
            public_url = policy.public_url_for(question.host, self._hub.settings)
            return redirect(public_url + routing.session_path(found.session_id), 307)
        if question.navigation and question.method in {"GET", "HEAD"}:
            return await self._page(question, found)
        return problem_answer(NotReadyYet())

    async def _page(self, question: Question, found: Judgement) -> Answer:
        login = self._hub.logins.by_cookie(question.cookie) or self._hub.logins.by_bearer(
            question.authorization
        )
        session_id = parse_session_id(question.session_id)
        if login is None or session_id is None or found.uid is None:
            return self._refusals.answer(question, Verdict.LOG_IN)
        try:
            seen = self._hub.sessions.find(session_id, found.uid)
        except NoSuchSession:
            return self._refusals.answer(question, Verdict.FORBID)
        headers = SECURITY_HEADERS | NO_STORE | {"Content-Type": HTML}
        if self._hub.sessions.phase(seen) is Phase.READY:
            # Traefik is just about to take over: look again.
            headers["Refresh"] = "1"
        public_url = policy.public_url_for(question.host, self._hub.settings)
        caller = Caller(login, public_url, question.address)
        html = await starting_page(self._hub, caller, seen)
        return answer(200, headers, html.encode())
