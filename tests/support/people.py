"""The log-ins of one controller over a real store, without a hub around them."""

from __future__ import annotations

from controller.core.records import Login
from controller.monitoring.audit import Audit
from controller.monitoring.metrics import Metrics
from controller.people.logins import Logins
from controller.people.tokens import Audience, Keys
from controller.rules.credentials import Credentials
from controller.store.sqlite.store import SqliteStore
from tests.support.fakes.directory import FakeDirectory
from tests.support.hub import RING, Clock
from tests.support.samples import settings


class Desk:
    """Log-ins over a store, and the clock that they go by."""

    def __init__(self, store: SqliteStore | None = None, *, clock: Clock | None = None) -> None:
        """Begin with nobody."""
        self.clock = clock or Clock()
        self.store = store or SqliteStore(":memory:")
        self.directory = FakeDirectory()
        self.keys = Keys(RING)
        self.logins = self.another()

    def another(self) -> Logins:
        """Return the log-ins of another controller over the same store."""
        configured, metrics, wall = settings(), Metrics(), self.clock.wall
        return Logins(
            configured,
            self.directory,
            self.store,
            self.keys,
            audit=Audit(configured.audit, metrics, wall=wall),
            metrics=metrics,
            wall=wall,
        )

    async def restart(self) -> Logins:
        """Return what a controller knows that has just started."""
        again = self.another()
        await again.following.load()
        return again

    async def log_in(self, name: str, audience: Audience = Audience.LOGIN) -> Login:
        """Log somebody in."""
        fresh = await self.logins.entering.enter(name, name, address="10.0.0.1", audience=audience)
        return fresh.login

    async def enter(self, name: str) -> Credentials:
        """Log somebody in as a script does; return what it carries from then on."""
        fresh = await self.logins.entering.enter(
            name, name, address="10.0.0.1", audience=Audience.API
        )
        return Credentials(bearer=fresh.token)
