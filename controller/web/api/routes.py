"""The API under ``/api/v1``, put together; what administrators do stands in ``admin``."""

from __future__ import annotations

from litestar import Router

from controller.web.api.account import (
    apps,
    end_login,
    end_logins,
    log_in,
    log_out,
    me,
    my_logins,
    profiles,
    set_ahead,
)
from controller.web.api.sessions import SessionsController, events
from controller.web.api.sharing import SharingController, join, people


def api_router() -> Router:
    """Return the API's routes."""
    return Router(
        "/api/v1",
        route_handlers=[
            log_in,
            log_out,
            me,
            my_logins,
            end_login,
            end_logins,
            profiles,
            apps,
            set_ahead,
            people,
            join,
            events,
            SessionsController,
            SharingController,
        ],
    )
