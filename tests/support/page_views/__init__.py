"""Views of every page in every state, for the tests that render and those that look at them."""

from __future__ import annotations

from tests.support.page_views import admin, docs, errors, home, login, session, sharing
from tests.support.page_views.common import Pages

PAGES: Pages = {
    **login.PAGES,
    **home.PAGES,
    **session.PAGES,
    **sharing.PAGES,
    **errors.PAGES,
    **admin.PAGES,
    **docs.PAGES,
}
"""Each page in each of its states, by a name fit for a file."""
