"""Views of the pages that stand in the place of another one, and say why."""

from __future__ import annotations

from controller.core.errors import DirectoryUnavailable, Forged, HttpError
from controller.web.pages.forms import error_view
from controller.web.render import RefusalView
from tests.support.page_views.common import ALICE, Pages

AWAY = DirectoryUnavailable(
    "The directory does not answer; people who are logged in can go on working."
)

PAGES: Pages = {
    "forbidden": lambda r: r.page(error_view(Forged(), ALICE)),
    "not_found": lambda r: r.page(error_view(HttpError(404))),
    "unavailable": lambda r: r.page(error_view(AWAY)),
    "too_large": lambda r: r.page(error_view(HttpError(413), ALICE)),
    "refusal": lambda r: r.refusal(RefusalView(stylesheet=r.stylesheet)),
}
