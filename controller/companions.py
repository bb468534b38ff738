"""Companions: other services of the site that share the hub's log-in.

Whoever runs one labels it with a name, a title and the groups that may use it. The labels are
facts and no commands: what would take a session's or the hub's own name or path, or would be open
to everybody by mistake, is refused and said in the log. Traefik is told of those that are left,
and asks ``verify`` about each request to them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anyio
import msgspec
import structlog

from controller import routing
from controller.core.errors import EngineUnavailable
from controller.core.model import Offer, Person, Route, parse_session_id
from controller.orchestrators import Orchestrator
from controller.settings.schema import Settings

EVERYBODY = "*"
"""Stands for all groups where a companion is open to everybody who may log in."""

_LOOK_SECONDS = 3.0  # between two looks for companions

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

_log = structlog.get_logger("companions")


class Companion(msgspec.Struct, frozen=True):
    """A service that people reach with the hub's log-in."""

    app: str
    title: str
    groups: frozenset[str]  # casefolded; EVERYBODY among them: all

    @property
    def path(self) -> str:
        """Where it lives on the hub's own host."""
        return routing.companion_path(self.app)

    def is_open_to(self, person: Person) -> bool:
        """Tell whether somebody may use it; the case of groups does not matter."""
        theirs = {group.casefold() for group in person.groups}
        return EVERYBODY in self.groups or not theirs.isdisjoint(self.groups)


class Refusal(msgspec.Struct, frozen=True):
    """An offer that was not taken, and every reason."""

    where: str
    app: str
    faults: tuple[str, ...]


class Companions:
    """The companions of this instance."""

    def __init__(
        self, settings: Settings, orchestrator: Orchestrator, *, changed: Callable[[], None]
    ) -> None:
        """``changed`` is called when others are there than before; ``run`` begins."""
        self._settings = settings
        self._orchestrator = orchestrator
        self._changed = changed
        self._cookie = routing.login_cookie(settings.instance, secure=settings.secure)
        self._known: dict[str, Companion] = {}
        self._refused: tuple[Refusal, ...] = ()
        self.ready = False

    async def run(self) -> None:
        """Look for companions again and again until cancelled."""
        while True:
            try:
                await self.look()
            except EngineUnavailable as error:
                # What is known holds on: each request asks for a log-in and a group anyway.
                _log.info("companions_not_looked_for", error=error.in_full)
            await anyio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. Raises EngineUnavailable."""
        accepted, refused = judge(await self._orchestrator.apps(), self._settings)
        known = {one.app: one for one in accepted}
        for one in refused:
            if one not in self._refused:
                _log.warning("companion_refused", app=one.app, where=one.where, why=one.faults)
        for app, one in known.items():
            if self._known.get(app) != one:
                _log.info("companion_offered", app=app, groups=sorted(one.groups))
        for app in self._known.keys() - known.keys():
            _log.info("companion_gone", app=app)
        news = known != self._known
        self._known, self._refused, self.ready = known, refused, True
        if news:
            self._changed()

    def open_to(self, person: Person) -> list[Companion]:
        """Return what somebody may use, by title."""
        found = [one for one in self._known.values() if one.is_open_to(person)]
        return sorted(found, key=lambda one: (one.title.casefold(), one.app))

    def admits(self, app: str, person: Person) -> bool:
        """Tell whether somebody may use the companion of that name; False if there is none."""
        found = self._known.get(app)
        return found is not None and found.is_open_to(person)

    def configuration(self) -> dict[str, Any]:
        """Return what Traefik is told of all of them."""
        closed = {one.app for one in self._refused if _is_name(one.app)}
        on_cluster = self._settings.orchestrator == "kubernetes"
        return routing.companions_configuration(
            sorted(self._known),
            sorted(closed),
            cookie=self._cookie,
            verify_url=self._settings.kubernetes.verify_url if on_cluster else routing.VERIFY_URL,
            limited=not on_cluster,  # the cluster's Traefik may be of any version
        )


def judge(
    offers: Sequence[Offer], settings: Settings
) -> tuple[tuple[Companion, ...], tuple[Refusal, ...]]:
    """Return what is taken of what is offered, and what is not. Pure.

    A name that two services claim is neither's.
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
    """Return why an offer cannot be taken, each as a sentence that says what to change."""
    app = offer.app
    if not _is_name(app):
        fault = (
            f"slicerhub.app: {app!r} must begin with a letter and have a-z, 0-9 and single '-' "
            f"only, {_NAME_MAX} characters at most."
        )
        return (fault,)
    faults: list[str] = []
    if app in _RESERVED or app == settings.instance:
        faults.append(f"slicerhub.app: {app!r} is the hub's own name. Choose another.")
    if parse_session_id(app):
        faults.append(f"slicerhub.app: {app!r} looks like a session. Choose another name.")
    if not any(_groups(offer.groups)):
        faults.append(
            "slicerhub.groups is missing. Name the groups that may use it, separated by commas, "
            f"or {EVERYBODY} for everybody who may log in."
        )
    faults += [f"{label} is for the hub's own objects. Remove it." for label in offer.claims]
    faults += [
        f"{name!r} is not its own name for Traefik. Call it {app}, or {app}-something."
        for name in sorted(offer.names)
        if name != app and not name.startswith(f"{app}-")
    ]
    if not offer.routes:
        faults.append("it has no router: nobody would reach it.")
    for route in offer.routes:
        faults += _faults_of_route(route, app)
    return tuple(dict.fromkeys(faults))


def _faults_of_route(route: Route, app: str) -> Iterable[str]:
    path = routing.companion_path(app)
    if not re.fullmatch(
        rf"(?:{_HOSTS})?PathPrefix\(`{re.escape(path)}[A-Za-z0-9/_-]*`\)", route.rule
    ):
        yield f"its rule {route.rule!r} must be PathPrefix(`{path}`)."
    if not route.guarded:
        yield (
            f"its router does not ask the hub. Put {routing.guard_name(app)}@http first among its "
            "middlewares."
        )
    if route.priority is not None and route.priority >= routing.PLACES_PRIORITY:
        yield f"its priority must be below {routing.PLACES_PRIORITY}, where sessions are."


def _is_name(app: str) -> bool:
    return len(app) <= _NAME_MAX and _NAME.fullmatch(app) is not None


def _groups(text: str) -> Iterable[str]:
    return (group.strip().casefold() for group in text.split(",") if group.strip())


def _title(offer: Offer) -> str:
    """Return what people read: one line, without what cannot be seen, not too long."""
    seen = "".join(one for one in offer.title if unicodedata.category(one)[0] != "C")
    return " ".join(seen.split())[:_TITLE_MAX] or offer.app
