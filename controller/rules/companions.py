"""Companions: which services of the site are accepted, and their configuration for Traefik. Pure.

The people who run one label it with a name, a title and the groups that may use it. The labels are
facts, not commands: a companion is refused if it would take a name or path of a session or of the
hub, or would be open to everybody by mistake.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from controller.core.model import Offer, Person, Route, parse_session_id
from controller.rules import routes
from controller.rules.routes import (
    COMPANION_REQUEST_HEADERS,
    COMPANION_RESPONSE_HEADERS,
    MAX_VERIFY_BODY,
    VERIFY_PORT,
    alias_of,
)
from controller.settings.schema import Settings

EVERYBODY = "*"
"""The group of a companion that is open to everybody who may log in."""

_TITLE_MAX = 60  # characters

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_NAME_MAX = 32  # characters

# Names of the hub's own parts and pages, and what people would take for them.
_RESERVED = frozenset(
    {"admin", "api", "app", "apps", "auth", "controller", "edge", "hub", "internal", "join"}
    | {"ldap", "login", "logout", "metrics", "session", "sessions", "slicer", "slicerhub"}
    | {"starting", "static", "traefik", "verify", "web"}
)

_HOST = r"Host\(`[A-Za-z0-9.-]+`\)"

_HOSTS = rf"(?:{_HOST}|\({_HOST}(?: *\|\| *{_HOST})*\)) *&& *"


class Companion(msgspec.Struct, frozen=True):
    """A service that people reach with the hub's log-in."""

    app: str
    title: str
    groups: frozenset[str]  # casefolded; EVERYBODY among them: all

    @property
    def path(self) -> str:
        """Where it lives on the hub's own host."""
        return companion_path(self.app)

    def is_open_to(self, person: Person) -> bool:
        """Tell whether somebody may use it; the case of groups does not matter."""
        theirs = {group.casefold() for group in person.groups}
        return EVERYBODY in self.groups or not theirs.isdisjoint(self.groups)


class Refusal(msgspec.Struct, frozen=True):
    """An offer that was refused, with every reason."""

    where: str
    app: str
    faults: tuple[str, ...]


def judge(
    offers: Sequence[Offer], settings: Settings
) -> tuple[tuple[Companion, ...], tuple[Refusal, ...]]:
    """Return the accepted and the refused offers. Pure.

    A name that two services claim is refused for both.
    """
    once = sorted(set(offers), key=lambda offer: (offer.app, offer.where))
    claims = Counter(offer.app for offer in once)
    accepted: list[Companion] = []
    refused: list[Refusal] = []
    for offer in once:
        faults = faults_of(offer, settings)
        if claims[offer.app] > 1:
            others = sorted(one.where for one in once if one.app == offer.app)
            faults = (f"{offer.app!r} is claimed more than once: {', '.join(others)}.", *faults)
        if faults:
            refused.append(Refusal(offer.where, offer.app, faults))
        else:
            accepted.append(Companion(offer.app, _title(offer), frozenset(_groups(offer.groups))))
    return tuple(accepted), tuple(refused)


def faults_of(offer: Offer, settings: Settings) -> tuple[str, ...]:
    """Return why an offer is refused, each reason as a sentence that says what to change."""
    app = offer.app
    if not is_name(app):
        fault = (
            f"slicerhub.app: {app!r} must begin with a letter and have only a-z, 0-9 and single "
            f"'-', at most {_NAME_MAX} characters."
        )
        return (fault,)
    faults: list[str] = []
    if app in _RESERVED or app == settings.instance:
        faults.append(f"slicerhub.app: {app!r} is the hub's own name. Choose another.")
    if parse_session_id(app):
        faults.append(f"slicerhub.app: {app!r} looks like a session's id. Choose another name.")
    if not any(_groups(offer.groups)):
        faults.append(
            "slicerhub.groups is missing. Name the groups that may use it, separated by commas, "
            f"or {EVERYBODY} for everybody who may log in."
        )
    faults += [f"{label} is for the hub's own objects. Remove it." for label in offer.claims]
    faults += [
        f"{name!r} is a name for Traefik that must be {app} or begin with {app}-. Rename it."
        for name in sorted(offer.names)
        if name != app and not name.startswith(f"{app}-")
    ]
    if not offer.routes:
        faults.append("it has no router, so nobody can reach it. Add one.")
    for route in offer.routes:
        faults += _faults_of_route(route, app)
    return tuple(dict.fromkeys(faults))


def _faults_of_route(route: Route, app: str) -> Iterable[str]:
    path = companion_path(app)
    if not re.fullmatch(
        rf"(?:{_HOSTS})?PathPrefix\(`{re.escape(path)}[A-Za-z0-9/_-]*`\)", route.rule
    ):
        yield f"its rule {route.rule!r} must be PathPrefix(`{path}`)."
    if not route.guarded:
        yield (
            f"its router does not ask the hub. Make {guard_name(app)}@http the first of its "
            "middlewares."
        )
    if route.priority is not None and route.priority >= routes.PLACES_PRIORITY:
        yield f"its priority must be below {routes.PLACES_PRIORITY}, that of sessions."


def is_name(app: str) -> bool:
    """Tell whether a text can be the name of a companion."""
    return len(app) <= _NAME_MAX and _NAME.fullmatch(app) is not None


def _groups(text: str) -> Iterable[str]:
    return (group.strip().casefold() for group in text.split(",") if group.strip())


def _title(offer: Offer) -> str:
    """Return the title to display: one line, no invisible characters, not too long."""
    seen = "".join(one for one in offer.title if unicodedata.category(one)[0] != "C")
    return " ".join(seen.split())[:_TITLE_MAX] or offer.app


_CLOSED = "closed"

_CLOSING_PRIORITY = 2_000_000_000  # above whatever a companion's labels may say


def companion_path(app: str) -> str:
    """Path below which a companion lives, with its closing slash."""
    return f"/apps/{app}/"


def guard_name(app: str) -> str:
    """Name of the middleware that asks the hub about a companion."""
    return f"slicerhub-{app}"


def groups_header(groups: Iterable[str]) -> str:
    """Return groups in the form of a header: ASCII, sorted, separated by commas."""
    return ",".join(quote(group, safe="@ ") for group in sorted(groups))


def companions_configuration(
    apps: Iterable[str],
    closed: Iterable[str],
    *,
    cookie: str,
    verify_url: str,
    limited: bool = True,
) -> dict[str, Any]:
    """Return the configuration for Traefik's HTTP provider: the log-in of each companion.

    ``apps``: names of companions, ``closed``: names that were refused. A router that names a
    middleware that is missing here serves nothing. A router without a middleware would serve
    everybody. So the path of a refused name gets another router before it, whose requests verify
    refuses. ``cookie``: the name of the log-in cookie. ``verify_url``: the address of verify for
    Traefik, with ``{alias}`` and ``{port}`` for one of its addresses. ``limited``: whether Traefik
    knows a limit for verify's answers; a version that does not refuses the whole configuration.
    """

    def guard(app: str) -> dict[str, Any]:
        alias = alias_of(app)
        url = verify_url.format(alias=alias, port=VERIFY_PORT + alias)
        return {
            "forwardAuth": {
                "address": f"{url}/verify/app/{app}",
                "trustForwardHeader": False,
                "authRequestHeaders": COMPANION_REQUEST_HEADERS,
                "authResponseHeaders": COMPANION_RESPONSE_HEADERS,
                "addAuthCookiesToResponse": [cookie],
                **({"maxResponseBodySize": MAX_VERIFY_BODY} if limited else {}),
            }
        }

    routers = {
        f"closed-{app}": {
            "rule": f"PathPrefix(`{companion_path(app)}`)",
            "priority": _CLOSING_PRIORITY,
            "middlewares": [_CLOSED],
            "service": "noop@internal",
        }
        for app in closed
    }
    middlewares = {guard_name(app): guard(app) for app in apps}
    if routers:
        middlewares[_CLOSED] = guard("-")  # nobody's name
    # Traefik refuses an empty list of either.
    told = {"middlewares": middlewares, "routers": routers}
    return {"http": found} if (found := {key: one for key, one in told.items() if one}) else {}
