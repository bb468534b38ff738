"""Who is asking, and the parts that the handlers work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler

from controller.administration.acts import Acts
from controller.administration.history import History
from controller.administration.table import Table
from controller.administration.users import People
from controller.core.errors import Forged, NotAllowed, NotLoggedIn, NotReadyYet
from controller.core.model import Person
from controller.core.records import Actor, Login
from controller.engines import Orchestrator
from controller.gate.answers import ADDRESS_MAX
from controller.monitoring.audit import Audit
from controller.people.desk import Desk
from controller.people.directory import Directory
from controller.people.handoff import Handoffs
from controller.people.logins import Logins
from controller.rules import origins
from controller.sessions.ahead import StartAhead
from controller.sessions.polling import Poller
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.store import Store
from controller.web.answers import JOIN_PATH, AnyRequest
from controller.web.companions import Companions
from controller.web.render import Renderer
from controller.web.streams import Streams

_Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]


def admin_only(hub: Hub) -> _Guard:
    """Return what stands before every route of administration, whatever its handler asks for.

    It raises NotLoggedIn, Forged, or NotAllowed unless an administrator asks.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        del handler
        request: AnyRequest = Request(connection.scope)
        if not provide_caller(request, hub).person.admin:
            raise NotAllowed("This is for administrators.")

    return guard


class Hub(msgspec.Struct, frozen=True):
    """The parts that the handlers work with."""

    settings: Settings
    sessions: Sessions
    logins: Logins
    handoffs: Handoffs
    directory: Directory
    orchestrator: Orchestrator
    store: Store
    desk: Desk
    start_ahead: StartAhead
    sharing: Sharing
    poller: Poller
    streams: Streams
    companions: Companions
    table: Table
    acts: Acts
    people: People
    history: History
    renderer: Renderer
    audit: Audit


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request, the address that they used, and the one that they came from."""

    login: Login
    public_url: str
    address: str

    @property
    def person(self) -> Person:
        """Return who it is."""
        return self.login.person

    @property
    def actor(self) -> Actor:
        """Return who it is to the record of acts."""
        return Actor(self.person.uid, self.address)


def join_url(caller: Caller, code: str) -> str:
    """Return the address of a link, as the person who made it reaches the hub."""
    return f"{caller.public_url}{JOIN_PATH}{code}"


def client_address(request: AnyRequest) -> str:
    """Return the address that Traefik saw: it strips what the client claims."""
    forwarded = request.headers.get("x-real-ip", "")
    if forwarded:
        return forwarded[:ADDRESS_MAX]
    return request.client.host if request.client else "unknown"


def provide_caller(request: AnyRequest, hub: NamedDependency[Hub]) -> Caller:
    """Return who is asking, by bearer token or by cookie.

    Raises NotLoggedIn, or Forged for a changing request that a cookie speaks for and that the
    hub's own page did not send. Raises NotReadyYet while the sessions have not been read: whoever
    has one would be told that it is gone.
    """
    headers = request.headers
    public_url = origins.public_url_for(headers.get("host", ""), hub.settings)
    if authorization := headers.get("authorization", ""):
        login = hub.logins.by_bearer(authorization)
    else:
        login = hub.logins.by_cookie(headers.get("cookie", ""))
        if login is not None:
            refuse_forged(request, hub)
    if login is None:
        raise NotLoggedIn
    if not hub.sessions.ready:
        raise NotReadyYet
    return Caller(login, public_url, client_address(request))


def refuse_forged(request: AnyRequest, hub: Hub) -> None:
    """Raise Forged unless the request may be the hub's own page speaking."""
    if origins.is_forged(
        request.method,
        host=request.headers.get("host", ""),
        origin=request.headers.get("origin", ""),
        fetch_site=request.headers.get("sec-fetch-site", ""),
        settings=hub.settings,
    ):
        raise Forged
