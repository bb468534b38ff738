"""The companions of this instance: found at the engine, and configured in Traefik."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import structlog

from controller.core.errors import EngineUnavailable
from controller.core.model import Person
from controller.engines import Orchestrator
from controller.rules import companions, cookies, routes
from controller.rules.companions import Companion, Refusal, is_name, judge
from controller.settings.schema import Settings

_SEARCH_SECONDS = 3.0  # between two searches for companions

_log = structlog.get_logger("companions")


class Companions:
    """The companions of this instance."""

    def __init__(
        self, settings: Settings, orchestrator: Orchestrator, *, changed: Callable[[], None]
    ) -> None:
        """``changed`` is called when the companions have changed; ``run`` starts the search."""
        self._settings = settings
        self._orchestrator = orchestrator
        self._changed = changed
        self._cookie = cookies.login_cookie(settings.instance, secure=settings.secure)
        self._known: dict[str, Companion] = {}
        self._refused: tuple[Refusal, ...] = ()
        self.ready = False

    async def run(self) -> None:
        """Search for companions regularly until cancelled."""
        while True:
            try:
                await self.search()
            except EngineUnavailable as error:
                # Known companions stay: each request needs a log-in and a group anyway.
                _log.info("companions_not_looked_for", error=error.in_full)
            await anyio.sleep(_SEARCH_SECONDS)

    async def search(self) -> None:
        """Search once. Raises EngineUnavailable."""
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
        news = known != self._known or not self.ready
        self._known, self._refused, self.ready = known, refused, True
        if news:
            self._changed()

    def all(self) -> list[Companion]:
        """Return all companions, by name."""
        return [one for _, one in sorted(self._known.items())]

    def open_to(self, person: Person) -> list[Companion]:
        """Return the companions that a person may use, by title."""
        found = [one for one in self._known.values() if one.is_open_to(person)]
        return sorted(found, key=lambda one: (one.title.casefold(), one.app))

    def admits(self, app: str, person: Person) -> bool:
        """Tell whether somebody may use the companion of that name; False if there is none."""
        found = self._known.get(app)
        return found is not None and found.is_open_to(person)

    def configuration(self) -> dict[str, Any]:
        """Return the configuration of all companions for Traefik."""
        closed = {one.app for one in self._refused if is_name(one.app)}
        on_cluster = self._settings.orchestrator == "kubernetes"
        return companions.companions_configuration(
            sorted(self._known),
            sorted(closed),
            cookie=self._cookie,
            verify_url=self._settings.kubernetes.verify_url if on_cluster else routes.VERIFY_URL,
            limited=not on_cluster,  # the cluster's Traefik may be of any version
        )
