"""What all answers to people and scripts share: headers, and pages of refusals."""

from __future__ import annotations

from litestar import Request
from litestar.datastructures import State

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
