"""What the administrators' pages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.response import Redirect

from controller.core.errors import InvalidRequest
from controller.core.sentence import Phrase
from controller.web.answers import AnyRequest


class Pager(msgspec.Struct, frozen=True):
    """Which page of a table this is, and the way to the others ("": there is none)."""

    page: int = 1
    pages: int = 1
    found: int = 0
    before: str = ""
    after: str = ""


_DONE: Mapping[str, tuple[str, str]] = {
    "stop": ("The session is being stopped.", "{} sessions are being stopped."),
    "message": ("The message was sent.", "The message was sent to {} sessions."),
    "extend": ("The session may run longer.", "{} sessions may run longer."),
    "undrain": ("Sessions can be started again.", ""),
    "drain": ("New sessions are blocked.", ""),
    "quota": ("The new limit applies from now on.", ""),
    "logout": ("The user is logged out.", ""),
    "files": ("The files are removed.", ""),
    "none": ("Choose sessions first.", ""),
    "release": ("Released. A correct password is accepted again.", ""),
    "released": ("These log-ins were no longer refused.", ""),
}


def page_of(text: str) -> int:
    """Return the number of a page that an address asks for; 1 for nonsense."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < len("1000000") else 1


def pager_of(number: int, pages: int, found: int, address: Callable[[int], str]) -> Pager:
    """Return the links between pages. ``address`` of each, by its number."""
    return Pager(
        page=number,
        pages=pages,
        found=found,
        before=address(number - 1) if number > 1 else "",
        after=address(number + 1) if number < pages else "",
    )


def said(request: AnyRequest) -> str:
    """Say what came of an act that led here."""
    one, many = _DONE.get(request.query_params.get("done", ""), ("", ""))
    number = page_of(request.query_params.get("n", ""))
    return many.format(number) if many and number > 1 else one


def done(back: str, what: str, number: int = 1) -> Response[str]:
    """Return to where somebody came from, and let it say what was done."""
    more = {"done": what} | ({"n": str(number)} if number > 1 else {})
    return Redirect(f"{back}{'&' if '?' in back else '?'}{urlencode(more)}", status_code=303)


def number_of(text: str, what: Phrase) -> int:
    """Read a number of a form. Raises InvalidRequest."""
    if not text.isascii() or not text.isdigit() or len(text) > len("1000000"):
        raise InvalidRequest("Write {what} as a number.", what=what)
    return int(text)
