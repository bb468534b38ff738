"""What every answer of the hub shares: its headers, its way to refuse, and who is asking."""

from __future__ import annotations

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency

from controller.administration.table import Oversight
from controller.companions import Companions
from controller.core.errors import Forged, HubError, NotLoggedIn, NotReadyYet
from controller.core.model import Person
from controller.core.records import Actor, Login
from controller.engines import Orchestrator
from controller.gate.answers import ADDRESS_MAX, HTML, NO_STORE, SECURITY_HEADERS, Answer, answer
from controller.monitoring.audit import Audit
from controller.people.directory import Directory
from controller.people.handoff import Entries
from controller.people.logins import Entry, Logins
from controller.people.tokens import Audience
from controller.render import ASIDE_POLICY, AsideView, RefusalView, Renderer
from controller.rules import origins
from controller.sessions.polling import Looks
from controller.sessions.sessions import Sessions
from controller.sessions.sharing import Sharing
from controller.settings.schema import Settings
from controller.store import Store
from controller.streams import Streams

AnyRequest = Request[None, None, State]

STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}
"""For a year. The same in traefik/dynamic/hub.yml, for what sessions answer."""

JOIN_PATH = "/join/"
"""What follows it is the code of a link."""


class Hub(msgspec.Struct, frozen=True):
    """The parts that the handlers work with."""

    settings: Settings
    sessions: Sessions
    logins: Logins
    entries: Entries
    directory: Directory
    orchestrator: Orchestrator
    store: Store
    sharing: Sharing
    looks: Looks
    streams: Streams
    companions: Companions
    oversight: Oversight
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


async def log_in(
    hub: Hub, request: AnyRequest, username: str, password: str, audience: Audience
) -> Entry:
    """Log somebody in by password. Raises what ``Logins.enter`` does."""
    return await hub.logins.enter(
        username,
        password,
        address=client_address(request),
        audience=audience,
        agent=request.headers.get("user-agent", ""),
    )


async def end_login(hub: Hub, caller: Caller, id_: str) -> Login:
    """End one of the caller's log-ins, and close what it may have open; what may stay comes back.

    Raises NoSuchLogin, NotWrittenDown.
    """
    login = hub.logins.find(caller.person.uid, id_)
    reason = "asked" if login.sid == caller.login.sid else "elsewhere"
    await hub.logins.leave(login, by=caller.actor, reason=reason)
    return login


async def log_out_everywhere(hub: Hub, caller: Caller, *, but_here: bool) -> int:
    """End all log-ins of the caller, or all but this one, programs' too; return how many.

    Raises NotWrittenDown.
    """
    return await hub.logins.revoke(
        caller.person.uid,
        by=caller.actor,
        reason="everywhere",
        but=caller.login if but_here else None,
    )


async def log_out(hub: Hub, caller: Caller) -> None:
    """End the caller's log-in, and close what it may have open; what may stay comes back.

    Raises NotWrittenDown.
    """
    await hub.logins.leave(caller.login, by=caller.actor, reason="asked")


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


def wants_page(request: AnyRequest) -> bool:
    """Tell whether the answer will be looked at by a person."""
    return "text/html" in request.headers.get("accept", "")
