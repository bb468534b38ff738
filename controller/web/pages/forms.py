"""What the pages share: their answers, and how their forms are read.

Each form carries ``csrf``, which the routers ask for before a handler is called.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec
from litestar import Response
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.enums import MediaType, RequestEncodingType
from litestar.params import Body

from controller.core.errors import HubError
from controller.gate.answers import NO_STORE
from controller.people.logins import Logins
from controller.settings.schema import Settings
from controller.web.render import Renderer, View, Viewer


class ErrorView(msgspec.Struct, frozen=True):
    """The page of an error."""

    template: ClassVar[str] = "error.html"

    status: int
    title: str
    sentence: str
    viewer: Viewer | None = None
    retry_after: int | None = None  # seconds; the page tries again by itself. Only after a GET.


def error_view(error: HubError, viewer: Viewer | None = None, *, again: bool = False) -> ErrorView:
    """Return an error as a page shows it; ``again``: the page may try again by itself."""
    return ErrorView(
        status=error.status,
        title=error.title,
        sentence=str(error),
        viewer=viewer,
        retry_after=error.retry_after if again else None,
    )


Form = Body(media_type=RequestEncodingType.URL_ENCODED)


def page(html: str, status: int = 200, headers: dict[str, str] | None = None) -> Response[str]:
    """Return a private page."""
    return Response(
        html,
        status_code=status,
        media_type=MediaType.HTML,  # Litestar itself adds the charset
        headers=NO_STORE | (headers or {}),
    )


class Screen(msgspec.Struct, frozen=True):
    """What a page is shown with: who looks at it, when (UTC), and what draws it."""

    renderer: Renderer
    viewer: Viewer
    now: datetime

    def page(self, view: View, headers: dict[str, str] | None = None) -> Response[str]:
        """Return the page of a view."""
        return page(self.renderer.page(view), headers=headers)

    def refusal(self, view: View, error: HubError) -> Response[str]:
        """Return the page of a view that says why something was refused."""
        return page(self.renderer.page(view), error.status, retry_after(error))


def provide_screen(
    renderer: NamedDependency[Renderer],
    viewer: NamedDependency[Viewer],
    now: NamedDependency[datetime],
) -> Screen:
    """Return what a page for this viewer is shown with."""
    return Screen(renderer, viewer, now)


def refresh(url: str, *, seconds: int = 0) -> dict[str, str]:
    """Return the header that lets a browser go on from a page by itself."""
    return {"Refresh": f"{seconds}; url={url}"}


def cookie_with(settings: Settings, logins: Logins, token: str) -> Cookie:
    """Return the log-in cookie with this token; an empty one ends it."""
    return Cookie(
        key=logins.proofs.cookie,
        value=token,
        path="/",
        max_age=settings.login.hours * 3600 if token else 0,
        httponly=True,
        secure=settings.secure,
        samesite="lax",
    )


def retry_after(error: HubError) -> dict[str, str]:
    """Return the header that tells when to try again, if the error knows it."""
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
