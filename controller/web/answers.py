"""What all answers to people and scripts share: headers, and refusals."""

from __future__ import annotations

from litestar import Request
from litestar.datastructures import State

from controller.core.errors import HubError
from controller.core.sentence import Sentence
from controller.gate.answers import HTML, NO_STORE, SECURITY_HEADERS, Answer, answer
from controller.gate.refusals import APP_CLOSED, Closed
from controller.rules import origins
from controller.settings.schema import Settings
from controller.web.render import (
    ASIDE_POLICY,
    FORBIDDEN_SENTENCE,
    FORBIDDEN_TITLE,
    AsideView,
    RefusalView,
    Renderer,
)


def closed_pages(renderer: Renderer, settings: Settings) -> Closed:
    """Return the pages for people who may not enter a session or a companion."""
    home = f"{origins.origin_of(settings.public_url)}/"
    return Closed(
        session=forbidden_page(renderer, FORBIDDEN_TITLE, FORBIDDEN_SENTENCE),
        app=forbidden_page(
            renderer,
            APP_CLOSED,
            "It is not open to you, or it no longer exists. Ask the administrator.",
        ),
        host=aside_page(renderer, AsideView(home=home)),
        not_kept=aside_page(
            renderer,
            AsideView(
                home=home,
                title="This session could not be opened",
                sentence="Your browser did not send back the cookie that it received here, or it "
                "has another cookie with the same name. Allow cookies for this address, delete "
                "those of the hub and its sessions, and open the session from the home page.",
            ),
        ),
    )


AnyRequest = Request[None, None, State]

STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}
"""For a year. traefik/dynamic/hub.yml has the same for answers of sessions."""

JOIN_PATH = "/join/"
"""Path that is followed by the code of a link."""


_WORDS = {
    400: ("Invalid request", Sentence("Something in the request is missing or misspelt.")),
    404: (
        "Page not found",
        Sentence(
            "The address may be mistyped, or what was here has ended. Your files are not affected."
        ),
    ),
    405: ("Method not allowed", Sentence("This address does not accept this kind of request.")),
    408: (
        "Request too slow",
        Sentence("The request did not arrive completely in time. Send it again."),
    ),
    413: ("Request too large", Sentence("The request is larger than the hub accepts. Shorten it.")),
    415: ("Wrong content type", Sentence("Send a form or JSON, as this address expects.")),
    500: (
        "Error in the hub",
        Sentence(
            "Something went wrong. Try again. If it happens again, tell the administrator: the "
            "hub's log says more."
        ),
    ),
}


class HttpError(HubError):
    """An error that HTTP itself defines, in the hub's own words."""

    def __init__(self, status: int, detail: str | Sentence = "") -> None:
        """Use the words of the status, or of the nearest one; ``detail`` replaces the sentence."""
        self.status = status if status in _WORDS else 400 if status < 500 else 500  # noqa: PLR2004
        self.title, sentence = _WORDS[self.status]
        if isinstance(detail, str):
            detail = Sentence("{words}", words=detail) if detail else sentence
        super().__init__(detail)


def forbidden_page(renderer: Renderer, title: str, sentence: str) -> Answer:
    """Return the page for people who may not enter: always the same bytes."""
    page = renderer.refusal(
        RefusalView(stylesheet=renderer.stylesheet, title=title, sentence=sentence)
    )
    headers = SECURITY_HEADERS | NO_STORE | {"Content-Type": HTML}
    return answer(403, headers, page.encode())


def aside_page(
    renderer: Renderer, view: AsideView, status: int = 403, *, refresh: int | None = None
) -> Answer:
    """Return an answer at a session's own host, instead of the session's.

    ``refresh``: seconds after which the browser asks again.
    """
    headers = SECURITY_HEADERS | NO_STORE
    headers |= {"Content-Type": HTML, "Content-Security-Policy": ASIDE_POLICY}
    if refresh is not None:
        headers["Refresh"] = str(refresh)
    return answer(status, headers, renderer.aside(view).encode())


def wants_page(request: AnyRequest) -> bool:
    """Tell whether a person will see the answer."""
    return "text/html" in request.headers.get("accept", "")
