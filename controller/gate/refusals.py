"""Answers to everything that does not pass, and the hand-off to a session's own host."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlencode

import msgspec

from controller.core.errors import (
    Forged,
    InvalidRequest,
    NotInvited,
    NotLoggedIn,
    NotReadyYet,
    Refused,
    Unavailable,
)
from controller.core.model import SessionId, parse_session_id
from controller.gate.answers import (
    ENTER,
    ENTER_PATH,
    STARTING,
    Answer,
    login_url,
    problem_answer,
    redirect,
)
from controller.gate.contract import Handoff
from controller.gate.judge import Verdict
from controller.gate.question import SHOWING, Question
from controller.rules import origins, routes
from controller.settings.schema import Settings

APP_CLOSED = "This is not open to you"
"""Title for people who may not use a companion; the same for one that does not exist."""

_FIELDS_MAX = 8  # of the query there


class Closed(msgspec.Struct, frozen=True):
    """The pages for people who may not enter: rendered once, since they never change."""

    session: Answer
    app: Answer
    host: Answer  # at a session's own host, which has nothing of the hub's
    not_kept: Answer  # there, for a browser that does not keep its cookie


class Refusals:
    """Answers to everything but PASS, the same from verify and where a session has no route."""

    def __init__(
        self, settings: Settings, forbidden: Answer, title: str = NotInvited.title
    ) -> None:
        """``forbidden``: the page for people who are not invited; ``title``: for programs."""
        self._settings = settings
        self._title = title
        self._forbidden = forbidden

    def answer(self, question: Question, verdict: Verdict) -> Answer:
        """Return the answer for a person's browser or for a program."""
        match verdict:
            case Verdict.LOG_IN if question.navigation and question.method in SHOWING:
                public_url = origins.public_url_for(question.host, self._settings)
                return redirect(login_url(public_url, question.uri))
            case Verdict.LOG_IN:
                return problem_answer(NotLoggedIn())
            case Verdict.FORGED:
                return problem_answer(Forged())
            case Verdict.FORBID | Verdict.PASS if question.navigation:
                return self._forbidden
            case Verdict.FORBID | Verdict.PASS:
                return problem_answer(Refused("{title}.", title=self._title))
            case Verdict.WAIT:
                return problem_answer(
                    Unavailable("The session is still starting. Try again in a few seconds.")
                )
            case Verdict.NOT_READY:
                return problem_answer(NotReadyYet())


class HandoffRefusals(Refusals):
    """The same at a session's own host, and the hand-off that begins or ends there."""

    def __init__(self, settings: Settings, closed: Closed, entries: Handoff) -> None:
        """``closed``: the pages for people who may not enter."""
        super().__init__(settings, closed.host)
        self._entries = entries
        self._not_kept = closed.not_kept

    def answer(self, question: Question, verdict: Verdict) -> Answer:
        """Return the answer for a person's browser or for a program."""
        if verdict is Verdict.LOG_IN and question.navigation and question.method in SHOWING:
            return self._begin(question, question.uri)
        return super().answer(question, verdict)

    def enter(self, question: Question) -> Answer | None:
        """End the hand-off; None: the request does not belong to one."""
        path, _, query = question.uri.partition("?")
        if path != ENTER_PATH or question.method not in SHOWING:
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
        if question.credentials.torn:
            return self._not_kept
        code = given.get("code", "")
        if cookies := self._entries.redeem(code, question.credentials, session_id):
            return redirect(location, cookies=cookies)
        if self._entries.login_of(question.credentials, session_id) is not None:
            return redirect(location)  # in already: gone back to, or a second tab's
        # Once more, for a state that ran out while its person logged in, but not for ever.
        return self._not_kept if "again" in given else self._begin(question, target, again=True)

    def _begin(self, question: Question, target: str, *, again: bool = False) -> Answer:
        state, cookie = self._entries.begin(question.credentials)
        asked = {"next": origins.safe_next(target), "state": state}
        if again:
            asked["again"] = "1"
        hub = origins.origin_of(self._settings.public_url)
        where = f"{hub}{ENTER}{quote(question.session_id, safe='')}?{urlencode(asked)}"
        return redirect(where, cookies=(cookie,))


def starting_url(question: Question, session_id: SessionId, settings: Settings) -> str:
    """Return where the start of a session is shown, at the address of the hub's that was used."""
    return f"{origins.public_url_for(question.host, settings)}{STARTING}{session_id}"
