"""The administrators' pages, put together."""

from __future__ import annotations

from litestar import Router

from controller.web.caller import Callers
from controller.web.pages.admin.acts import act, ask
from controller.web.pages.admin.drain import ask_drain, drain, undrain
from controller.web.pages.admin.sessions import Overview, overview
from controller.web.pages.admin.users import (
    ask_files,
    log_out,
    quota,
    release,
    remove_files,
    throttled,
    user,
    users,
)
from controller.web.services import Services, constant


def admin_pages_router(services: Services, callers: Callers) -> Router:
    """Return the administrators' pages; all of them are refused to others."""
    views = Overview(services.settings, services.sessions, services.table, services.history)
    return Router(
        "/",
        route_handlers=[
            overview,
            ask,
            act,
            ask_drain,
            drain,
            undrain,
            users,
            user,
            quota,
            log_out,
            ask_files,
            remove_files,
            throttled,
            release,
        ],
        guards=[callers.refuse_all_but_admins],
        dependencies={"views": constant(views)},
    )
