"""Who is asking, for which session, and whether they may at all."""

from __future__ import annotations

from typing import Any, Self, cast
from urllib.parse import parse_qs

import msgspec
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from controller.core.errors import Forged, NotAllowed, NotLoggedIn, NotReadyYet
from controller.core.model import Observed, Person
from controller.core.records import Actor, Login
from controller.gate.answers import ADDRESS_MAX
from controller.people.logins import Logins
from controller.rules import origins
from controller.rules.credentials import Credentials
from controller.sessions.sessions import Sessions
from controller.settings.schema import Settings
from controller.web.answers import JOIN_PATH, AnyRequest
from controller.web.render import Viewer

_Connection = ASGIConnection[Any, Any, Any, Any]
_CREDENTIALS = "slicerhub_credentials"  # where a request keeps what was read of it


class Caller(msgspec.Struct, frozen=True):
    """The person who sent a request, the hub's address that they used, and their own address."""

    login: Login
    public_url: str
    address: str

    @property
    def person(self) -> Person:
        """Return the person."""
        return self.login.person

    @property
    def actor(self) -> Actor:
        """Return the caller for the audit log."""
        return Actor(self.person.uid, self.address)


class Callers:
    """Finds out who is asking and for which session: what handlers name, and the routers' guards.

    Each method but ``provided`` is called by Litestar, at each request to which it applies.
    """

    def __init__(self, settings: Settings, logins: Logins, sessions: Sessions) -> None:
        self._settings = settings
        self._logins = logins
        self._sessions = sessions

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Return the same: Litestar copies routers, and log-ins are the same to every copy."""
        return self

    def provided(self) -> dict[str, Provide]:
        """Return what handlers may name: ``caller``, ``viewer``, ``seen`` and ``own``."""
        named = {"caller": self.caller, "viewer": self.viewer, "seen": self.seen, "own": self.own}
        return {name: Provide(one, sync_to_thread=False) for name, one in named.items()}

    # -- dependencies ----------------------------------------------------------------------

    def caller(self, request: AnyRequest) -> Caller:
        """Return the caller, by bearer token or by cookie.

        Raises NotLoggedIn, or Forged for a changing request with a cookie that the hub's own page
        did not send. Raises NotReadyYet until the sessions have been read: otherwise owners would
        be told that theirs have ended.
        """
        public_url = origins.public_url_for(request.headers.get("host", ""), self._settings)
        given = credentials_of(request, self._logins)
        if given.bearer is not None:
            login = self._logins.proofs.by_bearer(given)
        else:
            login = self._logins.proofs.by_cookie(given)
            if login is not None:
                self._refuse_forged(request)
        if login is None:
            raise NotLoggedIn
        if not self._sessions.ready:
            raise NotReadyYet
        return Caller(login, public_url, client_address(request))

    def viewer(self, caller: NamedDependency[Caller]) -> Viewer:
        """Return who is asking, as the pages show them."""
        return viewer_of(self._logins, caller)

    def seen(self, session_id: FromPath[str], caller: NamedDependency[Caller]) -> Observed:
        """Return the session that the address names, in which the caller has a role.

        Raises NoSuchSession for unknown, foreign and stopped ones alike.
        """
        return self._sessions.find(session_id, caller.person.uid)

    def own(self, session_id: FromPath[str], caller: NamedDependency[Caller]) -> Observed:
        """Return the caller's own session that the address names.

        Raises NoSuchSession like ``seen``, NotAllowed for one that is only shown to them.
        """
        return self._sessions.find_own(session_id, caller.person.uid)

    # -- guards ----------------------------------------------------------------------------

    async def refuse_all_but_admins(
        self, connection: _Connection, handler: BaseRouteHandler
    ) -> None:
        """Raise NotLoggedIn, Forged, or NotAllowed unless an administrator asks."""
        del handler
        if not self.caller(cast("AnyRequest", connection)).person.admin:
            raise NotAllowed("This is for administrators.")

    async def refuse_foreign_forms(
        self, connection: _Connection, handler: BaseRouteHandler
    ) -> None:
        """Raise Forged unless a form may come from a page of the hub's own."""
        del handler
        self._refuse_forged(cast("AnyRequest", connection))

    async def refuse_unsigned_forms(
        self, connection: _Connection, handler: BaseRouteHandler
    ) -> None:
        """Raise NotLoggedIn or Forged unless a form was made for the log-in that sends it."""
        del handler
        request = cast("AnyRequest", connection)
        if request.method in origins.SAFE_METHODS:
            return
        given = _csrf_in(await request.body())
        if not self._logins.forms.csrf_matches(self.caller(request).login, given):
            raise Forged

    def _refuse_forged(self, request: AnyRequest) -> None:
        """Raise Forged unless the hub's own page may have sent the request."""
        if origins.is_forged(
            request.method,
            host=request.headers.get("host", ""),
            origin=request.headers.get("origin", ""),
            fetch_site=request.headers.get("sec-fetch-site", ""),
            settings=self._settings,
        ):
            raise Forged


def viewer_of(logins: Logins, caller: Caller) -> Viewer:
    """Return somebody as the pages show them."""
    return Viewer(
        user=caller.person.uid,
        display_name=caller.person.display_name,
        csrf=logins.forms.csrf(caller.login),
        admin=caller.person.admin,
    )


def join_url(caller: Caller, code: str) -> str:
    """Return the address of a link, at the hub's address that its owner uses."""
    return f"{caller.public_url}{JOIN_PATH}{code}"


def credentials_of(request: AnyRequest, logins: Logins) -> Credentials:
    """Return what a request carries. It is read once, however many ask."""
    state = request.scope["state"]
    found = state.get(_CREDENTIALS)
    if found is None:
        headers = request.headers
        found = state[_CREDENTIALS] = logins.proofs.reader.read(
            headers.get("cookie", ""), headers.get("authorization", "")
        )
    return found


def client_address(request: AnyRequest) -> str:
    """Return the client's address that Traefik saw; Traefik removes what the client claims."""
    forwarded = request.headers.get("x-real-ip", "")
    if forwarded:
        return forwarded[:ADDRESS_MAX]
    return request.client.host if request.client else "unknown"


def _csrf_in(form: bytes) -> str:
    """Return what a form says by which log-in it was made; "": nothing, or several things."""
    given = parse_qs(form.decode("latin-1"), keep_blank_values=True).get("csrf", [])
    return given[0] if len(given) == 1 else ""
