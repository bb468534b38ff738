"""What all answers to people and scripts share: their headers, and how something is refused."""

from __future__ import annotations

from litestar import Request
from litestar.datastructures import State

from controller.core.errors import HubError
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
    """Return the pages of those who may not enter a session or a companion."""
    home = f"{origins.origin_of(settings.public_url)}/"
    return Closed(
        session=forbidden_page(renderer, FORBIDDEN_TITLE, FORBIDDEN_SENTENCE),
        app=forbidden_page(
            renderer,
            APP_CLOSED,
            "It is for others, or is not here any more. Ask the administrator.",
        ),
        host=aside_page(renderer, AsideView(home=home)),
        not_kept=aside_page(
            renderer,
            AsideView(
                home=home,
                title="This session could not be opened",
                sentence="Your browser did not bring back the cookie that it was given here, or "
                "holds another one of that name. Allow cookies for this address, delete those of "
                "the hub and its sessions, and open the session from the first page.",
            ),
        ),
    )


AnyRequest = Request[None, None, State]

STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}
"""For a year. The same in traefik/dynamic/hub.yml, for what sessions answer."""

JOIN_PATH = "/join/"
"""What follows it is the code of a link."""


_WORDS = {
    400: ("That cannot be understood", "Something in the request is missing or misspelt."),
    404: (
        "There is nothing here",
        "The address may be mistyped, or what it led to has ended. Your files are not affected.",
    ),
    405: ("Not possible here", "That cannot be done with this address."),
    408: ("That came too slowly", "The request did not come in whole in time. Send it again."),
    413: ("That was too much", "More was sent than the hub takes. Shorten it and try again."),
    415: ("Wrong form", "The request must be a form or JSON, as the address wants it."),
    500: ("A fault of the hub", "Something went wrong here. It is in the hub's log."),
}


class HttpError(HubError):
    """An error that HTTP itself knows, in words of ours."""

    def __init__(self, status: int, detail: str = "") -> None:
        """Take the words of the status, or those of the nearest one; ``detail`` says it better."""
        self.status = status if status in _WORDS else 400 if status < 500 else 500  # noqa: PLR2004
        self.title, sentence = _WORDS[self.status]
        super().__init__(detail or sentence)


def forbidden_page(renderer: Renderer, title: str, sentence: str) -> Answer:
    """Return the page for what is not open to somebody: always the same bytes."""
    page = renderer.refusal(
        RefusalView(stylesheet=renderer.stylesheet, title=title, sentence=sentence)
    )
    headers = SECURITY_HEADERS | NO_STORE | {"Content-Type": HTML}
    return answer(403, headers, page.encode())


def aside_page(
    renderer: Renderer, view: AsideView, status: int = 403, *, refresh: int | None = None
) -> Answer:
    """Return what a session's own host says in the session's place.

    ``refresh``: seconds after which the browser asks again.
    """
    headers = SECURITY_HEADERS | NO_STORE
    headers |= {"Content-Type": HTML, "Content-Security-Policy": ASIDE_POLICY}
    if refresh is not None:
        headers["Refresh"] = str(refresh)
    return answer(status, headers, renderer.aside(view).encode())


def wants_page(request: AnyRequest) -> bool:
    """Tell whether the answer will be looked at by a person."""
    return "text/html" in request.headers.get("accept", "")
