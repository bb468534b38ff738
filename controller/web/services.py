"""The services that handlers work with, each under the name by which a handler asks for it."""

from __future__ import annotations

import msgspec
from litestar.di import Provide

from controller.administration.acts import Acts
from controller.administration.history import History
from controller.administration.table import Table
from controller.administration.users import People
from controller.people.desk import Desk
from controller.people.directory import Directory
from controller.people.handoff import Handoffs
from controller.people.logins import Logins
from controller.sessions.ahead import StartAhead
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.web.companions import Companions
from controller.web.render import Renderer
from controller.web.streams import Streams


class Services(msgspec.Struct, frozen=True):
    """All of them, for what puts the applications together. A handler gets those that it names."""

    settings: Settings
    sessions: Sessions
    sharing: Sharing
    poller: Poller
    streams: Streams
    logins: Logins
    handoffs: Handoffs
    desk: Desk
    start_ahead: StartAhead
    directory: Directory
    companions: Companions
    table: Table
    acts: Acts
    people: People
    history: History
    renderer: Renderer


def constant(value: object) -> Provide:
    """Return what gives each handler that asks the same value."""
    return Provide(lambda: value, sync_to_thread=False)


def provided(services: Services) -> dict[str, Provide]:
    """Return what gives handlers the services by their names, and ``now``: UTC."""
    named = {name: constant(getattr(services, name)) for name in services.__struct_fields__}
    return named | {"now": Provide(lambda: services.acts.now, sync_to_thread=False)}
